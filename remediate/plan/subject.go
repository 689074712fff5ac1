package plan

import (
	"slices"

	"mtaharden/playbooks"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// subject is one installation in front of the judge.
type subject struct {
	in      Input
	index   int
	judged  Judged
	answers []judge.Answer             // of every judge
	entries map[string][]judge.Answer  // those to questions about relaying, by Question.Entry; made when first asked for
	reasked map[judge.Question]reasked // what the configuration said for the network's client; made when first asked for
}

// about returns the answers to the questions about relaying that were made for an entry.
func (s *subject) about(entry string) []judge.Answer {
	if s.entries == nil {
		s.entries = map[string][]judge.Answer{}
		for _, a := range s.answers {
			if q := a.Question; q.Entry != "" && q.Verb == judge.Rcpt && q.Form != localForm && q.User == "" {
				s.entries[q.Entry] = append(s.entries[q.Entry], a)
			}
		}
	}
	return s.entries[entry]
}

func newSubject(in Input, index int) *subject {
	s := &subject{in: in, index: index, judged: in.Installs[index]}
	s.admit(s.judged.Answers...)
	for _, a := range in.Network {
		if a.Question.Listener == "" || slices.ContainsFunc(s.judged.Install.Listen, func(l string) bool { return takes(in.Snapshot, l, a.Question.Listener) }) {
			s.admit(s.heard(a))
		}
	}
	return s
}

func (s *subject) mta() string { return s.judged.Install.MTA }

// listeners returns every listener that something is known of, "" alone where none is.
func (s *subject) listeners() []string {
	var out []string
	add := func(l string) {
		if l != "" && !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	for _, l := range s.judged.Install.Listen {
		add(l)
	}
	for _, a := range s.judged.Answers {
		add(a.Question.Listener)
	}
	if len(out) == 0 {
		return []string{""}
	}
	return out
}

// findings judges every rule.
func (s *subject) findings(rules []playbooks.Rule) []Finding {
	var out []Finding
	for _, r := range rules {
		if r.ID == playbooks.BuiltIn {
			out = append(out, s.disagreements(r)...)
			continue
		}
		out = append(out, s.rule(r)...)
	}
	return out
}

// rule judges one rule: at each listener where it looks at listeners, and once where they all come to the same.
func (s *subject) rule(r playbooks.Rule) []Finding {
	wants := s.applicable(r.For(s.mta()))
	if len(wants) == 0 {
		return []Finding{s.finding(r, "", s.silent(r))}
	}
	listeners := []string{""}
	if slices.ContainsFunc(wants, perListener) {
		listeners = s.listeners()
	}
	var verdicts []verdict
	for _, l := range listeners {
		verdicts = append(verdicts, s.judge(wants, l))
	}
	if alike(verdicts) {
		v := verdicts[0]
		for _, w := range verdicts[1:] {
			v.fixes = addFixes(v.fixes, w.fixes...)
			v.evidence = withOthers(v.evidence, w.evidence)
		}
		l := ""
		if len(listeners) == 1 {
			l = listeners[0]
		}
		return []Finding{s.finding(r, l, v)}
	}
	var out []Finding
	for i, l := range listeners {
		out = append(out, s.finding(r, l, verdicts[i]))
	}
	return out
}

func perListener(w playbooks.Want) bool {
	return w.Kind == playbooks.Answer || w.Kind == playbooks.Setting
}

// alike says whether every listener came to the same for the same reason, so that one finding tells it all.
func alike(verdicts []verdict) bool {
	for _, v := range verdicts[1:] {
		a := verdicts[0]
		if v.status != a.status || v.have != a.have || v.file != a.file || v.line != a.line {
			return false
		}
	}
	return true
}

func (s *subject) judge(wants []playbooks.Want, listener string) verdict {
	var v verdict
	for _, w := range wants {
		v = v.join(s.want(w, listener))
	}
	return v
}

// want judges one want at one listener.
func (s *subject) want(w playbooks.Want, listener string) verdict {
	if v, stop := s.unreadable(w); stop {
		return v
	}
	v := verdict{}
	switch w.Kind {
	case playbooks.Answer:
		v = s.answer(w, listener)
		v.evidence = s.unasked(v.evidence, listener)
	case playbooks.Setting:
		v = s.setting(w, listener)
	case playbooks.Trust:
		v = s.trust(w)
	case playbooks.Mode:
		v = s.mode(w)
	case playbooks.Note:
		v = s.note(w)
	case playbooks.Version:
		v = s.version(w)
	case playbooks.Service:
		v = s.service()
	default:
		v = verdict{status: Unknown, have: say("this program does not know wants of kind %q", "이 프로그램이 모르는 점검 종류 %q", string(w.Kind))}
	}
	if broken := s.broken(); v.status == Pass && !broken.empty() && needsConfig(w) {
		v.status, v.have = Unknown, broken
	}
	if w.Expect != "" {
		v.want = text{w.Expect, w.ExpectKo}
	}
	if v.status == Fail && w.Result == string(Review) {
		v.status = Review
	}
	if v.status == Fail && !v.live {
		v.fixes = append(v.fixes, fixesOf(w.Fix)...)
	}
	return v
}

// unreadable is the verdict where the configuration could not be read at all and the want needs it.
func (s *subject) unreadable(w playbooks.Want) (verdict, bool) {
	needs := needsConfig(w) || w.Kind == playbooks.Answer && len(s.answers) == 0
	if s.judged.Config != nil || !needs {
		return verdict{}, false
	}
	have := say("the configuration could not be read", "설정을 읽을 수 없음")
	if s.judged.Err != nil {
		have = text{s.judged.Err.Error(), "설정을 읽을 수 없음: " + s.judged.Err.Error()}
	}
	return verdict{status: Unknown, have: have, want: say("a configuration that can be read", "읽을 수 있는 설정")}, true
}

func needsConfig(w playbooks.Want) bool {
	return w.Kind == playbooks.Setting || w.Kind == playbooks.Trust || w.Kind == playbooks.Note
}

// broken says that the MTA itself does not take its configuration: what is read from it then decides nothing.
func (s *subject) broken() text {
	if s.judged.Config == nil {
		return text{}
	}
	for _, n := range s.judged.Config.Notes {
		if n.Code == "config-error" {
			return text{n.Text, "MTA가 설정을 받아들이지 않음: " + n.Text}
		}
	}
	return text{}
}

// silent is the verdict of a rule that has nothing to say of this MTA.
func (s *subject) silent(r playbooks.Rule) verdict {
	v := verdict{status: NotApplicable, want: text{r.Title, r.TitleKo}}
	if why, ok := r.Absent[s.mta()]; ok {
		v.have = text{why.En, why.Ko}
		return v
	}
	v.have = say("the rule does not concern %s %s", "이 규칙은 %s %s에 해당하지 않음", s.mta(), s.judged.Install.Version)
	return v
}

// applicable returns the wants whose versions and feature this installation has. An unknown version is within every bound.
func (s *subject) applicable(wants []playbooks.Want) []playbooks.Want {
	var out []playbooks.Want
	have := s.judged.Install.Version
	for _, w := range wants {
		if have != "" && (w.Since != "" && versionLess(have, w.Since) || w.Until != "" && !versionLess(have, w.Until)) {
			continue
		}
		if w.Feature != "" && !s.featured(w.Feature) {
			continue
		}
		out = append(out, w)
	}
	return out
}

// featured says whether the installation was probed to have a feature, or with "!" in front, not to have it.
func (s *subject) featured(name string) bool {
	if name[0] == '!' {
		return !slices.Contains(s.judged.Install.Features, name[1:])
	}
	return slices.Contains(s.judged.Install.Features, name)
}

func fixesOf(fixes []playbooks.Fix) []mta.Fix {
	var out []mta.Fix
	for _, f := range fixes {
		out = append(out, mta.Fix{Name: f.Name, Listener: f.Listener, Op: mta.Op(f.Op), Value: f.Value})
	}
	return out
}

// finding makes the finding of a rule's verdict, with the official text's verdict beside it.
func (s *subject) finding(r playbooks.Rule, listener string, v verdict) Finding {
	if v.have.empty() {
		v.have = say("no such entry", "해당 항목 없음")
	}
	v.have, v.want = v.have.cut(maxText), v.want.cut(maxText)
	f := Finding{
		Rule: r.ID, MTA: s.mta(), Install: s.index, Listener: listener, Severity: r.Severity, Status: v.status,
		File: v.file, Line: v.line, Controls: r.Controls, Evidence: v.evidence,
		Words: Words{Title: r.Title, Why: r.Why, Have: v.have.en, Want: v.want.en, GuideText: r.GuideText},
		Ko:    Words{Title: r.TitleKo, Why: r.WhyKo, Have: v.have.ko, Want: v.want.ko, GuideText: r.GuideTextKo},
		fixes: v.fixes, modes: v.modes, relay: judgesRelay(r), live: v.live,
	}
	if guide := s.applicable(r.GuideFor(s.mta())); len(guide) > 0 {
		g := s.judge(guide, listener)
		f.GuideStatus = g.status
		if f.Status == Fail {
			f.fixes, f.modes = append(f.fixes, g.fixes...), append(f.modes, g.modes...)
		}
	}
	manual := r.ManualFor(s.mta())
	f.Manual, f.Ko.Manual = manual.En, manual.Ko
	if v.live && f.Status == Fail {
		f.Manual = "Nothing on disk is to be mended for this: reload or restart the mail server so that it reads its files, look at what stands before it, and audit again."
		f.Ko.Manual = "디스크의 설정은 수정할 필요 없음. 메일 서버를 재적재 또는 재시작하고 앞단 장비를 확인한 뒤 재점검"
	}
	return f
}

// judgesRelay says whether a rule's fixes take away somebody's right to relay.
func judgesRelay(r playbooks.Rule) bool {
	return slices.ContainsFunc(r.Wants, func(w playbooks.Want) bool {
		return w.Kind == playbooks.Trust || w.Kind == playbooks.Answer && w.Verb == string(judge.Rcpt)
	})
}
