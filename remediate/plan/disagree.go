package plan

import (
	"fmt"

	"mtaharden/playbooks"
	"mtaharden/remediate/judge"
)

// disagreement is the finding of the rule that the program makes by itself: two judges answered the same question differently.
func (s *subject) disagreement(r playbooks.Rule) Finding {
	v := verdict{status: Pass, want: say("every judge answers alike", "모든 판정자의 답이 같음")}
	told := map[judge.Question][]judge.Answer{}
	network := map[judge.Question][]judge.Answer{}
	compared := false
	for _, a := range s.answers {
		if a.Outcome == judge.CannotTell || a.Outcome == judge.Deferred {
			continue
		}
		if a.Judge == judge.Network {
			network[loose(a.Question)] = append(network[loose(a.Question)], a)
			continue
		}
		told[anywhere(a.Question)] = append(told[anywhere(a.Question)], a)
	}
	for _, a := range s.answers { // in the order of the answers, so that the finding is the same every time
		others := told[anywhere(a.Question)]
		if a.Judge != judge.Network {
			others = append(others[:len(others):len(others)], network[loose(a.Question)]...)
		}
		if a.Outcome == judge.CannotTell || a.Outcome == judge.Deferred {
			continue
		}
		for _, b := range others {
			if a.Judge == b.Judge || !meet(a.Question, b.Question) {
				continue
			}
			compared = true
			if v.status == Pass && kind(a.Outcome) != kind(b.Outcome) {
				v.status = Fail
				v.have = differ(a, b)
				v.file, v.line = place([]judge.Answer{a, b})
				v.evidence = []Evidence{{a.Judge, a.Outcome, a.Text}, {b.Judge, b.Outcome, b.Text}}
			}
		}
	}
	if v.status == Pass && compared {
		v.have = say("all answers agree", "모든 답이 일치함")
	} else if v.status == Pass {
		v.have = say("no two judges answered the same question", "같은 질의에 둘 이상의 판정자가 답하지 않음")
	}
	return s.finding(r, "", v)
}

// meet says whether two answers may be about the same listener.
func meet(a, b judge.Question) bool {
	return a.Listener == "" || b.Listener == "" || serves(a.Listener, b.Listener) || serves(b.Listener, a.Listener)
}

// loose is what a question asks, whoever asks it: the network's client cannot choose its address or name.
func loose(q judge.Question) judge.Question {
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

func differ(a, b judge.Answer) text {
	q := a.Question
	ask := fmt.Sprintf("%s %s %s", q.Verb, q.Class, q.Form)
	return say("%s: %s says %s (%s), %s says %s (%s)", "%s: %s 판정 %s (%s), %s 판정 %s (%s)",
		ask, a.Judge, a.Outcome, a.Text, b.Judge, b.Outcome, b.Text)
}
