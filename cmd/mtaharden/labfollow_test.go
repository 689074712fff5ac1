package main

import (
	"encoding/json"
	"strings"
	"testing"

	"mtaharden/remediate/remote/remotetest"
)

// TestLabSecondExec audits hosts whose verdict lies in a table of which the first command does not know that it matters: reading asks for it
// with a second command on the same login, and then says what the table says, with its place. What sendmail needs the first command asks.
func TestLabSecondExec(t *testing.T) {
	l := needLab(t)
	t.Parallel()
	for _, c := range []struct {
		host   string
		script string
		execs  int
		at     string // a part of the chain that the configuration gives for relaying
	}{
		{"deb12-exim", `sed -i 's|^acl_check_rcpt:|acl_check_rcpt:\n\n  accept\n    condition = ${lookup{$sender_host_address}iplsearch{/etc/exim4/friends}{yes}{no}}\n|' /etc/exim4/exim4.conf.template
echo '198.51.100.0/24: yes' >/etc/exim4/friends
`, 2, "/etc/exim4/friends"},
		{"deb12-postfix", `echo '198.51.100 OK' >/etc/postfix/friends
postmap hash:/etc/postfix/friends
rm /etc/postfix/friends
postconf -e 'smtpd_relay_restrictions = permit_mynetworks, check_client_access hash:/etc/postfix/friends, reject_unauth_destination'
`, 2, "hash:/etc/postfix/friends"},
		{"deb12-sendmail", openings()["sendmail"], 1, "everybody may relay"},
	} {
		t.Run(c.host, func(t *testing.T) {
			t.Parallel()
			host := l.host(t, c.host)
			remotetest.Alone(t, host)
			prepared(t, l, host, c.script)
			t.Cleanup(func() { prepared(t, l, host, "") })
			relaysBy(t, sessions(t, l, host, c.execs), c.at)
		})
	}
}

// relaysBy holds an audit's JSON to a configuration that relays for a stranger, by what its chain names.
func relaysBy(t *testing.T, out, at string) {
	t.Helper()
	var r struct {
		Hosts []struct {
			Findings []struct {
				Rule, Status string
				Evidence     []struct {
					Judge, Says, Text string
					Because           []struct{ File, Text string }
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || len(r.Hosts) != 1 {
		t.Fatalf("%v: %.300s", err, out)
	}
	for _, f := range r.Hosts[0].Findings {
		for _, e := range f.Evidence {
			for _, b := range e.Because {
				if f.Rule == "open-relay" && f.Status == "fail" && e.Judge == "config" && e.Says == "relayed" && strings.Contains(b.File+" "+b.Text, at) {
					return
				}
			}
		}
	}
	t.Errorf("no open relay by %s: %+v", at, r.Hosts[0].Findings)
}
