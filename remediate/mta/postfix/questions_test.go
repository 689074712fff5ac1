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
		{"addresses of no one are refused", "3.10", "smtpd_client_restrictions = check_client_access cidr:{{198.51.100.0/24 REJECT},{203.0.113.0/24 REJECT},{192.0.2.0/24 REJECT}}\n" +
			"relay_domains = example.com\nallow_untrusted_routing = yes\n", stockMaster},
		{"addresses of no one are turned away", "3.10", "postscreen_access_list = cidr:{{198.51.100.0/24 reject},{203.0.113.0/24 reject},{192.0.2.0/24 reject}}\n" +
			"postscreen_denylist_action = drop\nrelay_domains = example.com\nallow_untrusted_routing = yes\n", "smtp inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd\n"},
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
