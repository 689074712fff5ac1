package exim

import (
	"slices"
	"strings"
	"testing"

	"mtaharden/remediate/judge"
)

// A list that refuses the networks which nobody has, as lists of bogus networks do, does not speak for all strangers.
func TestStrangers(t *testing.T) {
	const conf = "primary_hostname = mx.example.edu\ndomainlist local_domains = @\nacl_smtp_rcpt = r\nbegin acl\nr:\n" +
		"  deny hosts = 198.51.100.0/24 : 203.0.113.0/24 : 192.0.2.0/24\n  accept\nbegin routers\ndns:\n  driver = dnslookup\n  transport = out\nbegin transports\nout:\n  driver = smtp\n"
	m := modelOf(t, "4.96", "/etc/exim4/made.conf", conf, "", nil, func(string) ([]byte, bool, bool) { return nil, false, false })
	relays := func(q judge.Question) bool {
		return q.Class == judge.Outside && q.Verb == judge.Rcpt && m.fromConfig(q).Outcome == judge.Relayed
	}
	if !slices.ContainsFunc(m.standard(), relays) {
		t.Error("nobody relays")
	}
	for _, s := range strangers {
		if net := strings.TrimSuffix(s, ".7"); !strings.Contains(askScript, " "+net+" ") && !strings.Contains(askScript, " "+net+";") {
			t.Errorf("Exim itself is not asked for %s", s)
		}
	}
}
