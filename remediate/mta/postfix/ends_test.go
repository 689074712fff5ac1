package postfix

import (
	"testing"

	"mtaharden/remediate/judge"
)

// TestEnds: an smtpd that ends itself at a question is a listener that does not serve only where it ends at the client's mail to this host too.
func TestEnds(t *testing.T) {
	for name, want := range map[string]judge.Outcome{"relay-domains-ends": judge.Dead, "relay-domains-ends-one": judge.Deferred} {
		c := loadCases(t, "testdata/judge/"+name+".txtar")[0]
		_, cfg := c.config(t, "3.7")
		q := c.asks[0].q
		q.Listener = cfg.Model.(*model).listeners[0].addr
		if a, ok := again(cfg, q); !ok || a.Outcome != want {
			t.Errorf("%s: %s (%s), want %s", name, a.Outcome, a.Text, want)
		}
	}
}
