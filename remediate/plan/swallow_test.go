package plan

import (
	"testing"

	"mtaharden/remediate/judge"
)

// A server that took everything is no relay where a judge of its configuration calls every foreign recipient the host's own, and is one
// where that judge relays a single form, cannot tell one, or was not asked.
func TestSwallows(t *testing.T) {
	config := func(form string, o judge.Outcome) judge.Answer {
		return judge.Answer{Judge: judge.Config, Outcome: o, Question: judge.Question{Class: judge.Outside, Verb: judge.Rcpt, Form: form}}
	}
	for _, test := range []struct {
		name string
		all  bool
		says []judge.Answer
		want judge.Outcome
	}{
		{"every domain is local", true, []judge.Answer{config("plain", judge.Delivered), config("bang", judge.Refused)}, judge.Delivered},
		{"but one form", true, []judge.Answer{config("plain", judge.Delivered), config("bang", judge.Relayed)}, judge.Relayed},
		{"one is not told", true, []judge.Answer{config("plain", judge.Delivered), config("bang", judge.CannotTell)}, judge.Relayed},
		{"another form alone", true, []judge.Answer{config("bang", judge.Delivered)}, judge.Relayed},
		{"only its own mail", true, []judge.Answer{config("local", judge.Delivered)}, judge.Relayed},
		{"nobody else was asked", true, nil, judge.Relayed},
		{"it refuses some", false, []judge.Answer{config("plain", judge.Delivered)}, judge.Relayed},
	} {
		s := &subject{judged: Judged{Answers: test.says}}
		a := judge.Answer{Judge: judge.Network, Outcome: judge.Relayed, AcceptsAll: test.all,
			Question: judge.Question{Listener: "192.0.2.1:25", Class: judge.Outside, Verb: judge.Rcpt, Form: "percent"}}
		if got := s.heard(a); got.Outcome != test.want {
			t.Errorf("%s: %s (%s)", test.name, got.Outcome, got.Text)
		}
	}
}
