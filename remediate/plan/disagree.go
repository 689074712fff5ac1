package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"mtaharden/playbooks"
	"mtaharden/remediate/judge"
)

// maxDisputes bounds the disagreements of one installation that become findings of their own.
const maxDisputes = 8

// dispute is where two judges differ at one listener, over one question or more.
type dispute struct {
	a, b  judge.Answer  // the first pair; b is the network's where it is one of the two
	also  *judge.Answer // what a third judge says, as a does
	forms []string
}

// disagreements are the findings of the rule that the program makes by itself: two judges answered the same question differently, with what
// may explain it. There is one for each pair of judges, outcomes and listener; one that passes where no two judges differ.
func (s *subject) disagreements(r playbooks.Rule) []Finding {
	disputes, compared := s.disputes()
	if len(disputes) == 0 {
		v := verdict{status: Pass, want: agreement(), have: say("no two judges answered the same question", "같은 질의에 둘 이상의 판정자가 답하지 않음")}
		if compared {
			v.have = say("all answers agree", "모든 답이 일치함")
		}
		return []Finding{s.finding(r, "", v)}
	}
	var out []Finding
	for _, d := range disputes[:min(len(disputes), maxDisputes)] {
		v := verdict{status: Fail, want: agreement(), have: d.tell(), evidence: []Evidence{said(d.a), said(d.b)}}
		if d.also != nil {
			v.evidence = []Evidence{said(d.a), said(*d.also), said(d.b)}
		}
		if cause := s.cause(d); !cause.empty() {
			v.have = v.have.and(text{"likely cause: " + cause.en, "추정 원인: " + cause.ko})
		}
		v.file, v.line = place([]judge.Answer{d.a, d.b})
		listener := ""
		if d.b.Judge == judge.Network {
			listener = d.b.Question.Listener
		}
		out = append(out, s.finding(r, listener, v))
	}
	return out
}

func agreement() text { return say("every judge answers alike", "모든 판정자의 답이 같음") }

// disputes compares every two judges' answers to the same question: the configuration and the MTA where they were asked the very same, the
// network where class, entry, form, verb, TLS and login are the same, for it cannot choose its address. What a judge cannot tell, what was
// not tested and what was put off is no disagreement.
func (s *subject) disputes() (out []*dispute, compared bool) {
	exact, loosely := map[judge.Question][]judge.Answer{}, map[judge.Question][]judge.Answer{}
	for _, a := range s.answers {
		switch {
		case !definite(a) || a.Judge == judge.Network:
		case a.Judge == judge.MTA:
			exact[anywhere(a.Question)] = append(exact[anywhere(a.Question)], a)
			fallthrough
		default:
			loosely[loose(a)] = append(loosely[loose(a)], a)
		}
	}
	for _, b := range s.answers { // in the order of the answers, so that the findings are the same every time
		switch {
		case !definite(b):
		case b.Judge == judge.Config:
			for _, a := range exact[anywhere(b.Question)] {
				if meet(a.Question, b.Question) {
					compared = true
					out = enter(out, b, a)
				}
			}
		case b.Judge == judge.Network:
			for _, j := range []judge.Judge{judge.Config, judge.MTA} {
				if a, ok := counterpart(loosely[loose(b)], j, b); ok {
					compared = true
					out = enter(out, a, b)
				}
			}
		}
	}
	return out, compared
}

// counterpart returns what another judge said to the network's question: of several answers, one that agrees.
func counterpart(answers []judge.Answer, j judge.Judge, b judge.Answer) (judge.Answer, bool) {
	first, found := judge.Answer{}, false
	for _, a := range answers {
		if a.Judge != j || !meet(a.Question, b.Question) || !kin(a.Question.ClientAddr, b.Question.ClientAddr) {
			continue
		}
		if kind(a.Outcome) == kind(b.Outcome) {
			return a, true
		}
		if !found {
			first, found = a, true
		}
	}
	return first, found
}

// kin says whether two clients are of one address family, as far as they are known.
func kin(a, b string) bool {
	x, err := netip.ParseAddr(a)
	y, bad := netip.ParseAddr(b)
	return err != nil || bad != nil || x.Unmap().Is4() == y.Unmap().Is4()
}

func definite(a judge.Answer) bool {
	return a.Outcome != judge.CannotTell && a.Outcome != judge.Deferred
}

// enter adds a difference to the dispute that it is of.
func enter(out []*dispute, a, b judge.Answer) []*dispute {
	if kind(a.Outcome) == kind(b.Outcome) {
		return out
	}
	form := strings.TrimSpace(string(a.Question.Class) + " " + a.Question.Form)
	for _, d := range out {
		if !d.holds(a, b) {
			continue
		}
		if d.a.Judge != a.Judge && d.also == nil {
			d.also = &a
		}
		if !slices.Contains(d.forms, form) {
			d.forms = append(d.forms, form)
		}
		return out
	}
	return append(out, &dispute{a: a, b: b, forms: []string{form}})
}

// holds says whether the dispute is the one that two answers are of: the configuration and the MTA against the network are one side.
func (d *dispute) holds(a, b judge.Answer) bool {
	if d.b.Judge != b.Judge || d.a.Question.Verb != a.Question.Verb || kind(d.a.Outcome) != kind(a.Outcome) || kind(d.b.Outcome) != kind(b.Outcome) {
		return false
	}
	if b.Judge == judge.Network {
		return d.b.Question.Listener == b.Question.Listener
	}
	return d.a.Judge == a.Judge
}

// meet says whether two answers may be about the same listener.
func meet(a, b judge.Question) bool {
	return a.Listener == "" || b.Listener == "" || serves(a.Listener, b.Listener) || serves(b.Listener, a.Listener)
}

// loose is what a question asks, whoever asks it: the network's client cannot choose its address or name. A stranger that stands within an
// entry too wide to make it known is, for the others, a client inside that entry.
func loose(a judge.Answer) judge.Question {
	q := a.Question
	if a.Judge == judge.Network && q.Class == judge.Outside && q.Entry != "" {
		q.Class = judge.Inside
	}
	return judge.Question{Class: q.Class, Entry: q.Entry, Form: q.Form, Verb: q.Verb, TLS: q.TLS, User: q.User}
}

// kind folds outcomes that are one verdict: a recipient that is local to one judge and unknown to another is no matter of relaying.
func kind(o judge.Outcome) string {
	switch o {
	case judge.Relayed, judge.Dead, judge.Disclosed:
		return string(o)
	}
	return "closed"
}

func (d *dispute) tell() text {
	forms := d.forms
	more := ""
	if len(forms) > maxForms {
		more = fmt.Sprintf(" +%d", len(forms)-maxForms)
		forms = forms[:maxForms]
	}
	ask := fmt.Sprintf("%s (%s%s)", d.a.Question.Verb, strings.Join(forms, ", "), more)
	who, whoKo, say := string(d.a.Judge), judgeKo(d.a.Judge), "says"
	if d.also != nil {
		who, whoKo, say = who+" and "+string(d.also.Judge), whoKo+"·"+judgeKo(d.also.Judge), "say"
	}
	why, other := clip(reasonOf(d.a)), clip(reasonOf(d.b))
	return text{
		fmt.Sprintf("%s: %s %s %s (%s), %s says %s (%s)", ask, who, say, d.a.Outcome, why, d.b.Judge, d.b.Outcome, other),
		fmt.Sprintf("%s: %s 판정 %s (%s), %s 판정 %s (%s)", ask, whoKo, outcomeKo(d.a.Outcome), why, judgeKo(d.b.Judge), outcomeKo(d.b.Outcome), other),
	}
}

// clip bounds one judge's reason within the sentence; the evidence has all of it.
func clip(s string) string { return text{en: s}.cut(maxReason).en }

// maxReason is the room for one judge's reason, in bytes.
const maxReason = 160

func judgeKo(j judge.Judge) string {
	switch j {
	case judge.Config:
		return "설정 평가"
	case judge.MTA:
		return "MTA 질의"
	}
	return "네트워크"
}
