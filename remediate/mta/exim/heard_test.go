package exim

import (
	"strings"
	"testing"

	"mtaharden/remediate/judge"
)

// A refusal that is only the failed verification of where percent_hack_domains may lead is no refusal to relay: another name exists.
func TestVerifiedBehindPercent(t *testing.T) {
	const conf = `percent_hack_domains = %s
primary_hostname = mx.example.edu
domainlist local_domains = @
acl_smtp_rcpt = r
begin acl
r:
  accept domains = +local_domains
         endpass
         verify = recipient
  deny
`
	for value, want := range map[string]judge.Outcome{
		"+local_domains":           judge.CannotTell, // what it said of the first domain is remembered for the second
		"${lookup{x}lsearch{/no}}": judge.CannotTell,
		"mx.example.edu":           judge.CannotTell,
		"other.example.edu":        judge.Refused, // the recipient is a local one, of no account
	} {
		m := modelOf(t, "4.96", "/etc/exim4/made.conf", strings.Replace(conf, "%s", value, 1), "", nil, func(string) ([]byte, bool, bool) { return nil, false, false })
		q := judge.Question{Class: judge.Outside, Form: "percent-name", ClientAddr: "198.51.100.7", Verb: judge.Rcpt, Sender: "a@example.com", Recipient: "b%example.org@mx.example.edu"}
		x := exchange{Command: "RCPT TO:<" + q.Recipient + ">", Reply: "550 Unrouteable address", Trace: []string{
			`>>> using ACL "r"`, `>>> processing "accept" (/etc/exim4/made.conf 7)`, `>>> check domains = +local_domains`, `>>> check verify = recipient`,
			`>>> accept: condition test failed in ACL "r"`, `>>> end of ACL "r": not OK`,
		}}
		if a := m.recipientAnswer(q, x, exchange{}); a.Outcome != want {
			t.Errorf("percent_hack_domains = %s: %s (%s), want %s", value, a.Outcome, a.Text, want)
		}
	}
}
