package sendmail

import (
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// TestReload: Debian's unit has no reload (a HUP with a configuration that does not load ends the daemon); without an init system the
// process itself is told.
func TestReload(t *testing.T) {
	in := mta.Install{Active: true, Program: "/usr/sbin/sendmail", Config: "/etc/mail/sendmail.cf"}
	s := framed(t, &txtar.Archive{Files: []txtar.File{
		{Name: "fact sendmail:process:123", Data: []byte("/usr/sbin/sendmail sendmail: accepting connections")},
	}})
	for _, c := range []struct{ init, id, want string }{
		{"systemd", "debian", "systemctl restart sendmail"}, {"systemd", "rhel", "systemctl reload-or-restart sendmail"},
		{"smf", "solaris", "svcadm refresh svc:/network/smtp:sendmail"}, {"src", "aix", "refresh -s sendmail"}, {"none", "x", "kill -HUP 123"},
	} {
		host := *s
		host.Init, host.OS = c.init, facts.OS{ID: c.id}
		cmds := reload(&host, in)
		if len(cmds) != 1 || cmds[0].String() != c.want {
			t.Errorf("%s on %s: %v, want %s", c.init, c.id, cmds, c.want)
		}
	}
	in.Active = false
	if cmds := reload(s, in); cmds != nil {
		t.Errorf("what does not run is told %v", cmds)
	}
}

// TestRegenerate: maps first, by the type of the K line, then the .cf from its source.
func TestRegenerate(t *testing.T) {
	in := mta.Install{Config: "/etc/mail/sendmail.cf", Features: []string{"sendmail:mc=/etc/mail/site.mc", "sendmail:map=btree /etc/mail/access /etc/mail/access", "sendmail:map=hash /etc/mail/virtusertable /srv/virtual"}}
	cmds := regenerate(in, []string{"/etc/mail/access", "/srv/virtual", "/etc/mail/helpfile", "/etc/mail/site.mc"})
	if len(cmds) != 3 {
		t.Fatalf("%d commands", len(cmds))
	}
	if got := strings.Join(cmds[0].Argv[3:], " "); got != "sh /etc/mail/access btree /etc/mail/access" {
		t.Errorf("map: %s", got)
	}
	if got := strings.Join(cmds[1].Argv[3:], " "); got != "sh /srv/virtual hash /etc/mail/virtusertable" {
		t.Errorf("map of a linked text: %s", got)
	}
	if got := strings.Join(cmds[2].Argv[3:], " "); got != "sh /etc/mail/site.mc /etc/mail/sendmail.cf" {
		t.Errorf("cf: %s", got)
	}
	if cmds := regenerate(in, []string{"/etc/sendmail.cf"}); cmds != nil {
		t.Errorf("a .cf that is its own source makes %v", cmds)
	}
}
