package postfix

import (
	"slices"
	"testing"

	"mtaharden/remediate/judge"
)

// TestQuestionsMeet: among the questions is one that shows a stranger what the configuration lets him do.
func TestQuestionsMeet(t *testing.T) {
	const own = "compatibility_level = 2\nmyhostname = lab.example.edu\nmydestination = $myhostname\nmynetworks = 127.0.0.0/8\n"
	for _, c := range []struct{ name, version, main, master string }{
		{"no name", "3.10", "smtpd_relay_restrictions = check_client_access inline:{unknown=OK}, reject_unauth_destination\n", stockMaster},
		{"bare address", "3.7", "smtpd_relay_restrictions = permit_naked_ip_address, reject_unauth_destination\n", stockMaster},
		{"top level", "3.10", "smtpd_relay_restrictions = check_recipient_access inline:{org=REJECT}, check_client_access static:OK, reject\n", stockMaster},
		{"named in master.cf", "3.10", "smtpd_relay_restrictions = permit\nsmtpd_recipient_restrictions = reject\n",
			"smtp inet n - n - - smtpd\n -o relay_domains=example.org,example.net -o smtpd_recipient_restrictions=check_recipient_access,inline:{example.org=REJECT,example.net=REJECT},check_client_access,static:OK,reject\n"},
		{"proxy on the host", "3.10", "smtpd_relay_restrictions = permit\nsmtpd_recipient_restrictions = warn_if_reject reject, permit_mynetworks, check_client_access static:OK, reject\n",
			"127.0.0.1:2525 inet n - n - - smtpd\n  -o smtpd_upstream_proxy_protocol=haproxy\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, cfg := testCase{name: c.name, addrs: labAddrs, files: map[string]string{"main.cf": own + c.main, "master.cf": c.master}}.config(t, c.version)
			relays := func(a judge.Answer) bool {
				return a.Outcome == judge.Relayed && a.Question.Class == judge.Outside && a.Question.User == ""
			}
			if all := answers(s, cfg); !slices.ContainsFunc(all, relays) {
				t.Errorf("no stranger relays: %v", all)
			}
		})
	}
}
