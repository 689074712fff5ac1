package plan

import (
	"fmt"
	"slices"
	"strings"

	"mtaharden/playbooks"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// answer judges what the judges answered at one listener: every question of the want's kind must have come to a good end.
func (s *subject) answer(w playbooks.Want, listener string) verdict {
	v := verdict{want: wantedAnswer(w)}
	asked := s.asked(w, listener)
	if len(asked) == 0 && listener != "" && loopback(listener) {
		return s.homely(v, listener)
	}
	if len(asked) == 0 {
		v.status = Unknown
		v.have = say("no judge answered %s for a client %s", "%[1]s 질의(%[2]s 클라이언트)에 답한 판정자가 없음", w.Verb, strings.Join(w.Class, ", "))
		return v
	}
	t := tallyOf(asked, w.Bad)
	v.evidence = evidenceOf(asked, w.Bad)
	switch {
	case len(t.bad) > 0:
		v.status, v.have = Fail, tell(t.bad)
		v.file, v.line = place(t.bad)
		if w.Verb == string(judge.Rcpt) && listener != "" && loopback(listener) {
			// No client from outside reaches it as it is; whatever forwards connections to it makes it an open relay.
			v.have = v.have.and(say("only this machine reaches %s", "%s는 이 장비에서만 접근 가능", listener))
		}
		if v.live = s.live(t.bad); v.live {
			v.have = v.have.and(say("what is on disk says otherwise: see judges-disagree", "디스크의 설정과 다름: judges-disagree 참조"))
		}
		if w.Remedy {
			v.fixes = s.remedies(t.bad)
		}
		s.entered(&v, t.bad, w.Remedy)
	case len(t.dead) > 0:
		v.status = Error
		v.have = say("the listener does not serve: %s", "서비스가 동작하지 않음: %s", t.dead[0].Text)
		v.file, v.line = place(t.dead)
	case stuck(t):
		v.status = Error
		v.have = say("the listener answers every recipient with a delay that is no policy: %s", "모든 수신자에 대해 정책이 아닌 일시 오류로 응답: %s", t.open[0].Text)
		v.file, v.line = place(t.open)
	case len(t.open) > 0:
		v.status = Unknown
		first := t.open[max(slices.IndexFunc(t.open, func(a judge.Answer) bool { return a.Perhaps }), 0)] // mail that was passed on says most
		v.have = say("cannot tell: %s", "판단 불가: %s", first.Text)
		v.file, v.line = place(t.open)
	default:
		v.status, v.have = Pass, tell(t.good)
		// What was passed on for a client whom the host may trust, and refused to another stranger, shows nothing.
		v.evidence = evidenceOf(slices.DeleteFunc(slices.Clone(asked), func(a judge.Answer) bool { return a.Perhaps }), w.Bad)
		v.file, v.line = place(t.good)
		s.doubt(&v, asked)
		s.glimpse(&v)
	}
	return v
}

// glimpse takes a pass back that rests on what the network saw of a server whose configuration is not known: it saw it from one address.
func (s *subject) glimpse(v *verdict) {
	if s.judged.Config == nil && v.status != Unknown {
		v.status = Unknown
		v.have = v.have.and(say("so the network saw it from one address; its configuration is not known", "한 주소에서 네트워크로 확인한 결과이며 설정은 알 수 없음"))
	}
}

// homely is the verdict where a judge asked nothing because no client from elsewhere reaches the listener. A listener that does not serve
// its own machine is still an error.
func (s *subject) homely(v verdict, listener string) verdict {
	for _, a := range s.answers {
		if a.Outcome == judge.Dead && (a.Question.Listener == "" || sameListener(a.Question.Listener, listener)) {
			v.status, v.have = Error, say("the listener does not serve: %s", "서비스가 동작하지 않음: %s", a.Text)
			v.file, v.line = place([]judge.Answer{a})
			return v
		}
	}
	v.status, v.have = Pass, say("only this machine reaches %s", "%s는 이 장비에서만 접근 가능", listener)
	return v
}

// localForm is the form of a question about a recipient of the host's own. It tells whether mail comes in, and nothing of relaying.
const localForm = "local"

// asked returns the answers to the want's questions that hold at a listener.
func (s *subject) asked(w playbooks.Want, listener string) []judge.Answer {
	var out []judge.Answer
	for _, a := range s.answers {
		q := a.Question
		formed := slices.Contains(w.Form, q.Form) || len(w.Form) == 0 && q.Form != localForm
		if q.User != "" {
			continue // who has logged in may relay: no rule is about that
		}
		if string(q.Verb) != w.Verb || !slices.Contains(w.Class, string(q.Class)) || !formed {
			continue
		}
		if q.Listener == "" || listener == "" || sameListener(q.Listener, listener) || a.Judge == judge.Network && serves(listener, q.Listener) {
			out = append(out, a) // the network names the address it dialled, the others what the MTA is bound to
		}
	}
	return out
}

// tally sorts answers by what they mean: open holds those questions that no judge could answer.
type tally struct{ bad, dead, open, good []judge.Answer }

func tallyOf(answers []judge.Answer, bad []string) tally {
	var t tally
	settled, met := map[judge.Question]bool{}, map[judge.Question][]judge.Answer{}
	for _, a := range answers {
		switch {
		case slices.Contains(bad, string(a.Outcome)):
			t.bad = append(t.bad, a)
		case a.Outcome == judge.Dead:
			t.dead = append(t.dead, a)
		case a.Outcome == judge.CannotTell, a.Outcome == judge.Deferred && a.Question.Verb == judge.Rcpt:
			continue // a delay that is no policy says nothing of the next attempt
		default:
			t.good = append(t.good, a)
		}
		settled[anywhere(a.Question)] = true
		if a.Judge == judge.Network {
			met[loose(a)] = append(met[loose(a)], a)
		}
	}
	for _, a := range answers {
		// The running server's own word settles what another judge cannot tell, and one stranger's refusal what another stranger met, of
		// one address family. But that a stranger was refused does not settle what the other judges cannot tell of relaying: a policy
		// service, a table or a program that they could not follow may know another client.
		like := func(b judge.Answer) bool {
			return (a.Question.Verb != judge.Rcpt || a.Judge == judge.Network) && kin(a.Question, b.Question)
		}
		if !settled[anywhere(a.Question)] && !slices.ContainsFunc(met[loose(a)], like) && (a.Judge != judge.Network || a.Perhaps) {
			t.open = append(t.open, a)
		}
	}
	if len(t.bad)+len(t.dead)+len(t.good) == 0 && len(t.open) == 0 {
		t.open = answers
	}
	return t
}

// stuck says that no question about a recipient got another answer than "try again": such a listener takes no mail from anyone.
func stuck(t tally) bool {
	return len(t.good) == 0 && len(t.open) > 0 && !slices.ContainsFunc(t.open, func(a judge.Answer) bool { return a.Outcome != judge.Deferred })
}

// anywhere is a question without its listener, so that the answers of judges that know listeners meet those of judges that do not.
func anywhere(q judge.Question) judge.Question {
	q.Listener = ""
	return q
}

// place returns the first place in a file that led to the answers.
func place(answers []judge.Answer) (string, int) {
	for _, a := range answers {
		for _, b := range a.Because {
			if b.File != "" {
				return b.File, b.Line
			}
		}
	}
	return "", 0
}

// maxForms bounds the forms that one sentence names.
const maxForms = 6

// tell says in one sentence what the answers, all of one meaning, came to.
func tell(answers []judge.Answer) text {
	first := answers[0]
	var forms []string
	for _, a := range answers {
		f := a.Question.Form
		if f == "" {
			f = strings.TrimSpace(string(a.Question.Class) + " " + a.Question.Entry)
		}
		if !slices.Contains(forms, f) {
			forms = append(forms, f)
		}
	}
	more := ""
	if len(forms) > maxForms {
		more = fmt.Sprintf(" +%d", len(forms)-maxForms)
		forms = forms[:maxForms]
	}
	what := fmt.Sprintf("%s %s (%s%s)", first.Question.Verb, first.Outcome, strings.Join(forms, ", "), more)
	ko := fmt.Sprintf("%s %s (%s%s)", first.Question.Verb, outcomeKo(first.Outcome), strings.Join(forms, ", "), more)
	if i := slices.IndexFunc(answers, func(a judge.Answer) bool { return a.Outcome == first.Outcome && len(a.Because) > 0 }); i > 0 {
		first = answers[i] // of several that say the same, the one that shows by which line
	}
	if reason := reasonOf(first); reason != "" {
		what, ko = what+": "+reason, ko+": "+reason
	}
	return text{what, ko}
}

// reasonOf is the line of configuration that decided, else the reply.
func reasonOf(a judge.Answer) string {
	for _, b := range a.Because {
		if b.Text != "" {
			return b.Text
		}
	}
	return a.Text
}

func outcomeKo(o judge.Outcome) string {
	switch o {
	case judge.Relayed:
		return "릴레이됨"
	case judge.Delivered:
		return "수신됨"
	case judge.Refused:
		return "거부됨"
	case judge.Deferred:
		return "보류됨"
	case judge.Dead:
		return "동작하지 않음"
	case judge.Disclosed:
		return "노출됨"
	}
	return "판단 불가"
}

func wantedAnswer(w playbooks.Want) text {
	client := strings.Join(w.Class, ", ")
	if w.Verb == string(judge.Rcpt) {
		return say("mail to other domains is refused for clients: %s", "외부 도메인으로 가는 메일 거부 (클라이언트: %s)", client)
	}
	return say("%s discloses nothing", "%s 정보 노출 없음", w.Verb)
}

// evidenceOf sums up each judge in one line: its worst answer.
func evidenceOf(answers []judge.Answer, bad []string) []Evidence {
	var out []Evidence
	for _, j := range []judge.Judge{judge.Config, judge.MTA, judge.Network} {
		var worst *judge.Answer
		for i, a := range answers {
			if a.Judge == j && (worst == nil || weight(a, bad) > weight(*worst, bad)) {
				worst = &answers[i]
			}
		}
		if worst != nil {
			out = append(out, said(*worst))
		}
	}
	return out
}

func weight(a judge.Answer, bad []string) int {
	switch o := a.Outcome; {
	case slices.Contains(bad, string(o)):
		return 4
	case o == judge.Dead, a.Perhaps, a.TakesAny && o == judge.CannotTell:
		return 3
	case o == judge.Deferred:
		return 2
	case o == judge.CannotTell:
		return 1
	}
	return 2
}

// remedies asks the driver what would change each bad answer.
func (s *subject) remedies(answers []judge.Answer) []mta.Fix {
	d := s.judged.Driver
	if d == nil || d.Remedy == nil || s.judged.Config == nil {
		return nil
	}
	var out []mta.Fix
	for _, a := range answers {
		if a.Judge != judge.Network { // what it alone shows is not in the files
			out = addFixes(out, d.Remedy(s.judged.Config, a)...)
		}
	}
	return out
}

// entered names the entry within which the network's client stood where that alone is what let it relay, and takes the entry away.
func (s *subject) entered(v *verdict, bad []judge.Answer, remedy bool) {
	if v.live || v.file != "" || s.judged.Config == nil || bad[0].Judge != judge.Network {
		return
	}
	for _, t := range s.judged.Config.Trusted {
		if t.ID == bad[0].Question.Entry && t.ID != "" {
			shown := shownTrust(t)
			v.have = v.have.and(text{"let in by " + shown.en, "허용 근거: " + shown.ko})
			v.file, v.line = t.File, t.Line
			if remedy {
				v.fixes = addFixes(v.fixes, t.Fix...)
			}
		}
	}
}

// live says that the running server alone is wrong: the network says so, and another judge says otherwise to every one of its questions
// that it was asked.
func (s *subject) live(bad []judge.Answer) bool {
	contrary, bySender := false, s.bySender()
	for _, b := range bad {
		if b.Judge != judge.Network {
			return false
		}
		for _, a := range s.judged.Answers {
			if loose(a) != loose(b) {
				continue
			}
			a, same := s.same(a, b, bySender)
			if !same {
				continue
			}
			if kind(a.Outcome) == kind(b.Outcome) {
				return false
			}
			contrary = true
		}
	}
	return contrary
}

// doubt turns a pass into a review where nobody ever saw such an installation run: only the network has then seen this one.
func (s *subject) doubt(v *verdict, answers []judge.Answer) {
	if s.judged.Install.Basis == mta.Lab {
		return
	}
	seen := func(a judge.Answer) bool { return a.Judge == judge.Network && a.Outcome != judge.CannotTell }
	if slices.ContainsFunc(answers, seen) {
		return
	}
	v.status = Review
	v.have = v.have.and(say("this version on this system was never seen running, only read about (%s)", "이 시스템에서 이 버전은 실제로 확인된 적이 없고 문서로만 알려져 있음 (%s)", basisName(s.judged.Install.Basis)))
}

func basisName(b mta.Basis) string {
	if b == "" {
		return "unsaid"
	}
	return string(b)
}
