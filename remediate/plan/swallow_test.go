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

// A recipient that hides a foreign address was taken, as any account at that name is: another judge of that very recipient says what it is.
func TestTakesAny(t *testing.T) {
	const rcpt = "relaytest%example.org@mx.example"
	says := func(rcpt string, o judge.Outcome) judge.Answer {
		return judge.Answer{Judge: judge.Config, Outcome: o, Question: judge.Question{Class: judge.Outside, Verb: judge.Rcpt, Form: "percent-name", Recipient: rcpt}}
	}
	for _, test := range []struct {
		name    string
		says    []judge.Answer
		want    judge.Outcome
		perhaps bool
	}{
		{"it is sent on", []judge.Answer{says("RelayTest%example.org@mx.example", judge.Relayed)}, judge.Relayed, false},
		{"it is kept", []judge.Answer{says(rcpt, judge.Delivered)}, judge.Delivered, false},
		{"it is refused on disk", []judge.Answer{says(rcpt, judge.Refused)}, judge.CannotTell, true},
		{"one judge has it refused, one kept", []judge.Answer{says(rcpt, judge.Refused), says(rcpt, judge.Delivered)}, judge.Delivered, false},
		{"another name was asked about", []judge.Answer{says("relaytest%example.org@other.example", judge.Relayed)}, judge.CannotTell, false},
		{"nobody can tell", []judge.Answer{says(rcpt, judge.CannotTell)}, judge.CannotTell, false},
		{"nobody else was asked", nil, judge.CannotTell, false},
	} {
		s := &subject{judged: Judged{Answers: test.says}}
		a := judge.Answer{Judge: judge.Network, Outcome: judge.CannotTell, TakesAny: true,
			Question: judge.Question{Listener: "192.0.2.1:25", Class: judge.Outside, Verb: judge.Rcpt, Form: "percent-name", Recipient: rcpt}}
		if got := s.heard(a); got.Outcome != test.want || got.Perhaps != test.perhaps {
			t.Errorf("%s: %s, perhaps %v (%s)", test.name, got.Outcome, got.Perhaps, got.Text)
		}
	}
}

// A recipient that hides a foreign address, taken where no other account is: the configuration's word that it is an account excuses the
// server that runs only where the MTA does not refuse it, and only behind the same name.
func TestOwnRecipient(t *testing.T) {
	const rcpt = "relaytest%example.org@mx.example"
	says := func(j judge.Judge, rcpt string, o judge.Outcome) judge.Answer {
		return judge.Answer{Judge: j, Outcome: o, Question: judge.Question{Class: judge.Outside, Verb: judge.Rcpt, Form: "percent-name", Recipient: rcpt}}
	}
	for _, test := range []struct {
		name string
		says []judge.Answer
		want judge.Outcome
	}{
		{"the configuration keeps it", []judge.Answer{says(judge.Config, rcpt, judge.Delivered)}, judge.Delivered},
		{"the MTA keeps it", []judge.Answer{says(judge.Config, rcpt, judge.Refused), says(judge.MTA, rcpt, judge.Delivered)}, judge.Delivered},
		{"the MTA refuses it", []judge.Answer{says(judge.MTA, "probe%example.net@MX.example", judge.Refused), says(judge.Config, rcpt, judge.Delivered)}, judge.Relayed},
		{"the MTA refuses it, told after", []judge.Answer{says(judge.Config, rcpt, judge.Delivered), says(judge.MTA, rcpt, judge.Refused)}, judge.Relayed},
		{"the MTA refuses it behind another name", []judge.Answer{says(judge.Config, rcpt, judge.Delivered), says(judge.MTA, "x%example.org@other.example", judge.Refused)}, judge.Delivered},
		{"it is kept behind another name", []judge.Answer{says(judge.Config, "relaytest%example.org@other.example", judge.Delivered)}, judge.Relayed},
	} {
		s := &subject{judged: Judged{Answers: test.says}}
		a := judge.Answer{Judge: judge.Network, Outcome: judge.Relayed,
			Question: judge.Question{Listener: "192.0.2.1:25", Class: judge.Outside, Verb: judge.Rcpt, Form: "percent-name", Recipient: rcpt}}
		if got := s.heard(a); got.Outcome != test.want {
			t.Errorf("%s: %s (%s)", test.name, got.Outcome, got.Text)
		}
	}
}
