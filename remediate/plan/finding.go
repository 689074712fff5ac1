package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mtaharden/playbooks"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// Status is what a rule came to at an installation.
type Status string

const (
	Pass          Status = "pass"
	Fail          Status = "fail"
	Unknown       Status = "unknown" // what the verdict needs was not there: never a pass
	Review        Status = "review"  // a person has to decide
	NotApplicable Status = "not-applicable"
	Waived        Status = "waived" // fail, with a waiver that holds
	Error         Status = "error"  // the listener does not serve
)

// Statuses lists every status, the worst first.
func Statuses() []Status { return []Status{Fail, Error, Unknown, Review, Waived, Pass, NotApplicable} }

func worse(a, b Status) bool { return slices.Index(Statuses(), a) < slices.Index(Statuses(), b) }

// Words are a finding's texts in one language.
type Words struct {
	Title     string `json:"title"`
	Why       string `json:"why,omitempty"`
	Have      string `json:"have"`
	Want      string `json:"want"`
	Manual    string `json:"manual,omitempty"`     // what a person has to do, where no edit is planned
	GuideText string `json:"guide_text,omitempty"` // the official text's criterion
}

// Evidence is what one judge said.
type Evidence struct {
	Judge judge.Judge   `json:"judge"`
	Says  judge.Outcome `json:"says"`
	Text  string        `json:"text,omitempty"`
	// Because is the chain of configuration lines: first what decided, then what led to it.
	Because []judge.Line `json:"because,omitempty"`
}

// maxBecause bounds the chain that a finding shows.
const maxBecause = 24

// said is an answer as evidence.
func said(a judge.Answer) Evidence {
	return Evidence{a.Judge, a.Outcome, a.Text, a.Because[:min(len(a.Because), maxBecause)]}
}

// same says whether two pieces of evidence are one.
func (e Evidence) same(f Evidence) bool {
	return e.Judge == f.Judge && e.Says == f.Says && e.Text == f.Text && slices.Equal(e.Because, f.Because)
}

// withOthers is one listener's evidence with what judges said of another to which the same finding applies: those that were not heard of the
// first, or could not tell.
func withOthers(evidence, others []Evidence) []Evidence {
	out := slices.Clone(evidence)
	for _, e := range others {
		mute := func(f Evidence) bool { return f.Judge == e.Judge && f.Says == judge.CannotTell }
		switch {
		case !slices.ContainsFunc(out, func(f Evidence) bool { return f.Judge == e.Judge }):
			out = append(out, e)
		case e.Says != judge.CannotTell && slices.ContainsFunc(out, mute) && !slices.ContainsFunc(out, func(f Evidence) bool { return f.Judge == e.Judge && !mute(f) }):
			out[slices.IndexFunc(out, mute)] = e
		}
	}
	return out
}

// unasked adds why the network judge, where it took part, said nothing of a listener.
func (s *subject) unasked(evidence []Evidence, listener string) []Evidence {
	why := s.in.Passed[listener]
	if why == "" || slices.ContainsFunc(evidence, func(e Evidence) bool { return e.Judge == judge.Network }) {
		return evidence
	}
	return append(slices.Clone(evidence), Evidence{Judge: judge.Network, Says: judge.CannotTell, Text: "not asked: " + why})
}

// Proof says how it is known that the planned changes mend a finding.
type Proof string

const (
	ByEvaluator Proof = "evaluator" // the changed sources were judged again and pass
	AtApply     Proof = "apply"     // only the host can tell: apply proves it in its stage before a live file moves
)

// Finding is a rule judged at an installation, or at one listener of it.
type Finding struct {
	Rule     string
	MTA      string // "unknown" for a listener that no known installation owns, "" where the host has none at all
	Install  int    // index into Result.Installs, -1 where there is none
	Listener string // "" for the whole installation
	Severity playbooks.Severity
	Status   Status
	Words           // in English
	Ko       Words  // in Korean
	File     string // where the value that decided stands
	Line     int    // from 1; 0 where there is no line
	Controls []string
	// GuideStatus is the verdict of the official text read to the letter, "" where the rule has no such check.
	GuideStatus Status
	Fixable     bool
	Proof       Proof
	Evidence    []Evidence
	Waiver      *Waiver // the waiver that was looked at, expired ones too

	fixes []mta.Fix
	modes []Change
	relay bool // its rule judges who may relay
	live  bool // the running server is wrong, and what is on disk is not
}

// In returns the finding's texts in the language "en" or "ko".
func (f *Finding) In(lang string) Words {
	if lang == "ko" {
		return f.Ko
	}
	return f.Words
}

// Waiver is a finding that somebody answers for, up to a date.
type Waiver struct {
	Rule    string    `json:"rule"`
	Reason  string    `json:"reason"`
	Expires time.Time `json:"expires"` // it holds up to the end of this day, in its own zone
}

// holds says whether the waiver's last day is not over at now.
func (w Waiver) holds(now time.Time) bool {
	y, m, d := w.Expires.Date()
	return now.Before(time.Date(y, m, d+1, 0, 0, 0, 0, w.Expires.Location()))
}

// text is one sentence in both languages.
type text struct{ en, ko string }

// say formats the same arguments into both languages; the Korean format may reorder them by index.
func say(en, ko string, args ...any) text {
	return text{fmt.Sprintf(en, args...), fmt.Sprintf(ko, args...)}
}

func (t text) empty() bool { return t.en == "" && t.ko == "" }

// maxText bounds a finding's texts, in bytes: what a host says may be long.
const maxText = 2000

// cut shortens both sentences to at most n bytes.
func (t text) cut(n int) text {
	short := func(s string) string {
		if len(s) <= n {
			return s
		}
		return strings.ToValidUTF8(s[:n], "") + "…"
	}
	return text{short(t.en), short(t.ko)}
}

// and joins two sentences with a semicolon, dropping repetitions.
func (t text) and(u text) text {
	switch {
	case u.empty() || t == u:
		return t
	case t.empty():
		return u
	}
	return text{t.en + "; " + u.en, t.ko + "; " + u.ko}
}

// verdict is what one want, or a whole rule, came to at one listener.
type verdict struct {
	status     Status
	have, want text
	file       string
	line       int
	evidence   []Evidence
	live       bool // the network alone says so: what is on disk is not what is wrong
	fixes      []mta.Fix
	modes      []Change // what is no edit of a source: permission bits, services
}

// join is the verdict of two wants of one rule: the worse status, with the texts of those that reach it.
func (v verdict) join(w verdict) verdict {
	if v.status == "" {
		return w
	}
	out := v
	switch {
	case worse(w.status, v.status):
		out = w
	case w.status == v.status:
		out.live = v.live && w.live
		out.have = joinOnce(v.have, w.have)
		out.want = joinOnce(v.want, w.want)
		if out.file == "" {
			out.file, out.line = w.file, w.line
		}
	}
	out.evidence = slices.Clone(v.evidence)
	for _, e := range w.evidence {
		if !slices.ContainsFunc(out.evidence, e.same) {
			out.evidence = append(out.evidence, e)
		}
	}
	out.fixes = addFixes(slices.Clone(v.fixes), w.fixes...)
	out.modes = append(slices.Clone(v.modes), w.modes...)
	return out
}

// joinOnce joins two texts unless the second says the same as the first.
func joinOnce(a, b text) text {
	if a == b {
		return a
	}
	return a.and(b)
}

// Severity is a rule's, as reports show it.
type Severity = playbooks.Severity

// Severities lists every severity, the worst first.
func Severities() []Severity {
	return []Severity{playbooks.Critical, playbooks.High, playbooks.Medium, playbooks.Low}
}
