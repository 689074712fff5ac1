package postfix

import (
	"strings"
	"testing"

	"mtaharden/remediate/judge"
)

// TestBecauseOfRecipient: what leads to an answer is the recipient's relay domain, not the sender's, whose class is looked up too.
func TestBecauseOfRecipient(t *testing.T) {
	main := "compatibility_level = 2\nmyhostname = lab.example.edu\nmynetworks = 0.0.0.0/0\nrelay_domains = partner.example, other.example\n" +
		"smtpd_sender_restrictions = reject_unknown_sender_domain\n"
	_, cfg := testCase{addrs: labAddrs, files: map[string]string{"main.cf": main}}.config(t, "3.10")
	m := cfg.Model.(*model)
	for rcpt, want := range map[string]bool{"relaytest@example.org": false, "u%example.org@other.example": true} {
		a := m.reply(judge.Question{Class: judge.Outside, Form: "plain", Verb: judge.Rcpt, ClientAddr: "198.51.100.7", ClientName: outsideName, Sender: "a@partner.example", Recipient: rcpt}, m.listeners[0])
		var all []string
		for _, l := range a.Because {
			all = append(all, l.Text)
		}
		text := strings.Join(all, "\n")
		if a.Outcome != judge.Relayed || strings.Contains(text, "partner.example") || strings.Contains(text, "other.example") != want {
			t.Errorf("%s: %s because of\n%s", rcpt, a.Outcome, text)
		}
	}
}
