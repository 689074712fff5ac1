package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mtaharden/remediate/remote/remotetest"
)

// retiredSh says what serves port 25 on a host, and what starts the mail server at boot.
const retiredSh = `ss -ltn | grep -c ':25 ' || true
ls -d /etc/systemd/system/multi-user.target.wants/postfix.service /etc/rc[2-5].d/S*postfix /etc/runlevels/default/postfix 2>/dev/null || true`

// TestLabRetire carries out what a host whose role is none is due, with a file and a mode beside it: the service stops and starts at boot no more,
// under systemd, where Debian's postfix.service is but a name for another, under sysvinit, and under OpenRC. Rolled back, it runs, and every link is back.
func TestLabRetire(t *testing.T) {
	l := needLab(t)
	t.Parallel()
	for host, links := range map[string]string{l.host(t, "deb11-postfix", "deb12-postfix"): "/etc/systemd/system/multi-user.target.wants/postfix.service", "deb12-sysvinit-postfix": "/etc/rc2.d/S", "deb12-openrc-postfix": "/etc/runlevels/default/postfix"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			remotetest.Alone(t, host)
			l := l.retiring(t, host)
			t.Cleanup(func() { l.putBack(t, host) })
			l.plantDemo(t, host, "postfix")
			before, was := l.on(t, host, treeSh), l.on(t, host, retiredSh)
			if strings.HasPrefix(was, "0\n") || !strings.Contains(was, links) {
				t.Fatalf("planted, it says\n%s", was)
			}
			state := filepath.Join(t.TempDir(), "state")
			run := l.change(t, state, 0, "changed", "apply", "--limit", host)
			now := l.on(t, host, retiredSh)
			if !strings.HasPrefix(now, "0\n") || strings.Contains(now, links) {
				t.Errorf("retired, it says\n%s", now)
			}
			l.change(t, state, 0, "unchanged", "apply", "--limit", host)
			l.change(t, state, 0, "rolled-back", "rollback", run, "--limit", host)
			if is := l.on(t, host, retiredSh); is != was {
				t.Errorf("rolled back, it says\n%s\nwant\n%s", is, was)
			}
			if now := l.on(t, host, treeSh); now != before {
				t.Errorf("the tree is not what it was:\n%s", differing(before, now))
			}
		})
	}
}

// retiring is the lab with an inventory by which a host needs no mail server.
func (l lab) retiring(t *testing.T, host string) lab {
	t.Helper()
	text, err := os.ReadFile(l.inventory)
	if err != nil {
		t.Fatal(err)
	}
	stanza := "[hosts.\"" + host + "\"]\n"
	if !strings.Contains(string(text), stanza) {
		t.Fatalf("%s has no host %s", l.inventory, host)
	}
	l.inventory = filepath.Join(t.TempDir(), "none.toml")
	if err := os.WriteFile(l.inventory, []byte(strings.Replace(string(text), stanza, stanza+"role = \"none\"\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return l
}
