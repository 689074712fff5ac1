package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode/utf16"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/plan"
)

// Schema names the shape of the json and jsonl formats. Fields may be added to it, none removed.
const Schema = "mtaharden/1"

type jsonRun struct {
	ID        string   `json:"id"`
	Command   string   `json:"command"`
	Started   string   `json:"started"`
	Finished  string   `json:"finished"`
	Playbooks []string `json:"playbooks"`

	// Of a run that changes hosts.
	Of         string `json:"of,omitempty"`
	Plan       string `json:"plan,omitempty"` // its digest
	User       string `json:"user,omitempty"`
	Controller string `json:"controller,omitempty"`
	Program    string `json:"program,omitempty"`
	Ticket     string `json:"ticket,omitempty"`
	Note       string `json:"note,omitempty"`
}

type jsonHost struct {
	Name     string         `json:"name"`
	Address  string         `json:"address"`
	State    State          `json:"state"`
	Error    string         `json:"error"`
	OS       plan.OS        `json:"os"`
	Installs []plan.Install `json:"installs"`
	Findings []jsonFinding  `json:"findings"`
	Changes  []jsonChange   `json:"changes"`
	Impact   []plan.Impact  `json:"impact"`
	Network  []plan.Contact `json:"network,omitempty"` // what the network judge met; absent where it was not asked
	Problems []string       `json:"problems"`
	Steps    []jsonStep     `json:"steps"`
	Outcome  apply.Ending   `json:"outcome"`
	Run      string         `json:"run,omitempty"`      // of an apply or a rollback: the name of its folder on the host
	Sentence string         `json:"sentence,omitempty"` // how it left the host, in the report's language
	Reason   string         `json:"reason,omitempty"`   // why it ended so, where that is not the good end
	Command  string         `json:"command,omitempty"`  // what a person types on the host
	Until    string         `json:"until,omitempty"`    // of not-known: when the host has restored itself
	Warnings []string       `json:"warnings,omitempty"`
}

type jsonFinding struct {
	Rule        string          `json:"rule"`
	MTA         string          `json:"mta"`
	Install     int             `json:"install"`
	Listener    string          `json:"listener"`
	Title       string          `json:"title"`
	Severity    plan.Severity   `json:"severity"`
	Status      plan.Status     `json:"status"`
	StatusText  string          `json:"status_text"` // in the report's language
	Have        string          `json:"have"`
	Want        string          `json:"want"`
	Why         string          `json:"why"`
	Manual      string          `json:"manual,omitempty"`
	File        string          `json:"file"`
	Line        int             `json:"line"`
	Controls    []string        `json:"controls"`
	GuideStatus plan.Status     `json:"guide_status"`
	GuideText   string          `json:"guide_text,omitempty"`
	Fixable     bool            `json:"fixable"`
	Proof       plan.Proof      `json:"proof,omitempty"`
	Evidence    []plan.Evidence `json:"evidence"`
	Waiver      *plan.Waiver    `json:"waiver,omitempty"`
}

type jsonChange struct {
	Path  string          `json:"path"`
	Kind  plan.ChangeKind `json:"kind"`
	Diff  string          `json:"diff"`
	Rules []string        `json:"rules"`
}

// list makes an empty list of none, so that a reader finds [] and never null.
func list[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

func runOf(r Run, finished time.Time) jsonRun {
	return jsonRun{
		ID: r.ID, Command: r.Command, Started: moment(r.Started), Finished: moment(finished), Playbooks: list(r.Playbooks),
		Of: r.Of, Plan: r.Plan, User: r.User, Controller: r.Controller, Program: r.Program, Ticket: r.Ticket, Note: r.Note,
	}
}

func findingOf(f *plan.Finding, lang string) jsonFinding {
	w := f.In(lang)
	out := jsonFinding{
		Rule: f.Rule, MTA: f.MTA, Install: f.Install, Listener: f.Listener, Title: w.Title, Severity: f.Severity,
		Status: f.Status, StatusText: wordsOf(lang).status[f.Status], Have: w.Have, Want: w.Want, Why: w.Why,
		File: f.File, Line: f.Line, Controls: list(f.Controls), GuideStatus: f.GuideStatus, Fixable: f.Fixable, Proof: f.Proof,
		Evidence: list(f.Evidence), Waiver: f.Waiver,
	}
	if !f.Fixable && f.Status != plan.Pass && f.Status != plan.NotApplicable {
		out.Manual = w.Manual
	}
	if f.GuideStatus != "" {
		out.GuideText = w.GuideText
	}
	return out
}

func hostOf(h *Host, lang string) jsonHost {
	out := jsonHost{
		Name: h.Name, Address: h.Address, State: h.State, Error: h.Error, Outcome: "unchanged",
		Installs: []plan.Install{}, Findings: []jsonFinding{}, Changes: []jsonChange{}, Impact: []plan.Impact{}, Problems: []string{}, Steps: []jsonStep{},
	}
	out.apply(h.Apply, lang)
	if h.Result == nil {
		return out
	}
	out.OS, out.Impact, out.Problems = h.Result.OS, list(h.Result.Impact), list(h.Result.Problems)
	out.Network = h.Result.Contacts
	for _, i := range h.Result.Installs {
		i.Listen = list(i.Listen)
		out.Installs = append(out.Installs, i)
	}
	for i := range h.Result.Findings {
		out.Findings = append(out.Findings, findingOf(&h.Result.Findings[i], lang))
	}
	for _, c := range h.Result.Changes {
		out.Changes = append(out.Changes, jsonChange{c.Path, c.Kind, c.Diff, list(c.Rules)})
	}
	return out
}

// jsonStep is one step of a run on a host.
type jsonStep struct {
	Step  apply.Step      `json:"step"`
	State apply.StepState `json:"state"`
	Error string          `json:"error"`
}

// apply takes in how an apply or a rollback left the host.
func (h *jsonHost) apply(o *apply.Outcome, lang string) {
	if o == nil {
		return
	}
	h.Outcome, h.Run, h.Sentence, h.Reason, h.Command, h.Warnings = o.Ending, o.Run, o.Sentence(lang), o.Reason, o.Command, o.Warnings
	if o.Nothing {
		h.Reason = ""
	}
	h.Until = moment(o.Until)
	for _, s := range o.Steps {
		h.Steps = append(h.Steps, jsonStep{s.Step, s.State, s.Error})
	}
	for _, c := range o.Generated {
		h.Changes = append(h.Changes, jsonChange{c.Path, c.Kind, c.Diff, list(c.Rules)})
	}
	for _, c := range o.Conflicts {
		h.Changes = append(h.Changes, jsonChange{c.Path, "conflict", c.Diff, []string{}})
	}
}

// jsonDocument writes one document at the end, its hosts in the run's order whatever order they came in.
type jsonDocument struct {
	w     io.Writer
	lang  string
	run   Run
	hosts []jsonHost
	sum   Summary
}

func (d *jsonDocument) Begin(r Run) error { d.run = r; return nil }

func (d *jsonDocument) Host(h *Host) error {
	d.hosts = append(d.hosts, hostOf(h, d.lang))
	d.sum.Add(h)
	return nil
}

func (d *jsonDocument) End(finished time.Time) error {
	order := func(name string) int {
		if i := slices.Index(d.run.Hosts, name); i >= 0 {
			return i
		}
		return len(d.run.Hosts)
	}
	slices.SortStableFunc(d.hosts, func(a, b jsonHost) int { return order(a.Name) - order(b.Name) })
	doc := struct {
		Schema  string     `json:"schema"`
		Run     jsonRun    `json:"run"`
		Hosts   []jsonHost `json:"hosts"`
		Summary Summary    `json:"summary"`
	}{
		Schema,
		runOf(d.run, finished),
		list(d.hosts), d.sum,
	}
	return encode(d.w, doc, "  ")
}

// encode writes v as JSON on lines of its own. Characters that a terminal might obey are written as escapes: encoding/json does so for
// those below U+0020 alone, and there are more (U+009B begins an escape sequence as well).
func encode(w io.Writer, v any, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return err
	}
	var out bytes.Buffer
	for _, r := range b.String() { // these characters stand in strings only, so an escape means the same
		if r >= 0x7f && unprintable(r) {
			for _, u := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&out, `\u%04x`, u)
			}
			continue
		}
		out.WriteRune(r)
	}
	_, err := w.Write(out.Bytes())
	return err
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// jsonLines writes a line a finding, each with its host; a host without findings gives one line that says why.
type jsonLines struct {
	w    io.Writer
	lang string
	run  Run
}

func (l *jsonLines) Begin(r Run) error { l.run = r; return nil }

func (l *jsonLines) Host(h *Host) error {
	type line struct {
		Schema   string       `json:"schema"`
		Run      string       `json:"run"`
		Host     string       `json:"host"`
		Address  string       `json:"address"`
		State    State        `json:"state"`
		Error    string       `json:"error"`
		Outcome  apply.Ending `json:"outcome,omitempty"`
		Sentence string       `json:"sentence,omitempty"`
		*jsonFinding
	}
	whole := hostOf(h, l.lang)
	base := line{Schema: Schema, Run: l.run.ID, Host: h.Name, Address: h.Address, State: h.State, Error: h.Error}
	if h.Apply != nil {
		base.Outcome, base.Sentence = whole.Outcome, whole.Sentence
	}
	if len(whole.Findings) == 0 {
		return encode(l.w, base, "")
	}
	for i := range whole.Findings {
		base.jsonFinding = &whole.Findings[i]
		if err := encode(l.w, base, ""); err != nil {
			return err
		}
	}
	return nil
}

func (l *jsonLines) End(time.Time) error { return nil }
