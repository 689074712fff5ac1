package plan

import (
	"fmt"
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
		v.have = v.have.and(s.uncompared())
		return []Finding{s.finding(r, "", v)}
	}
	shown := disputes[:min(len(disputes), maxDisputes)]
	var out []Finding
	for i, d := range shown {
		v := verdict{status: Fail, want: agreement(), have: d.tell(), evidence: []Evidence{said(d.a), said(d.b)}}
		if d.also != nil {
			v.evidence = []Evidence{said(d.a), said(*d.also), said(d.b)}
		}
		if cause := s.cause(d); !cause.empty() {
			v.have = v.have.and(text{"likely cause: " + cause.en, "추정 원인: " + cause.ko})
		}
		if more := len(disputes) - len(shown); more > 0 && i == len(shown)-1 {
			v.have = v.have.and(say("and %d more disagreements", "그 외 불일치 %d건", more))
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
