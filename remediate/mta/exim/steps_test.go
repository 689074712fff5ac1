package exim

import (
	"strings"
	"testing"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// TestReloadOfOwnConfiguration: a daemon that was started with -C would lose its port at a reload.
func TestReloadOfOwnConfiguration(t *testing.T) {
	const n = "mh-0123456789abcdef "
	const frame = n + "begin 1 0 1795298848\n" + n + "fact exim:1:program /usr/sbin/exim4\n" + n + "fact exim:1:file /etc/exim4/site.conf\n" + n + "fact exim:1:pid 42\n" + n + "done\n"
	const reloads = "systemctl reload exim4.service, or where no daemon runs then systemctl restart exim4.service"
	for _, c := range []struct {
		argv []string
		say  string
	}{
		{[]string{"/usr/sbin/exim4", "-bd", "-q30m"}, reloads},
		{[]string{"/usr/sbin/exim4", "-bdf", "-q30m", "-oP", "/run/C.pid"}, reloads},
		{[]string{"/usr/sbin/exim4", "-bd", "-q30m", "-C", "/etc/exim4/site.conf"}, "systemctl restart exim4.service"},
		{[]string{"/usr/sbin/exim4", "-C/etc/exim4/site.conf", "-bd"}, "systemctl restart exim4.service"},
	} {
		in := mta.Install{MTA: "exim", Program: "/usr/sbin/exim4", Config: "/etc/exim4/site.conf", Active: true}
		s, err := facts.Parse(strings.NewReader(frame))
		if err != nil {
			t.Fatal(err)
		}
		s.Init, s.Processes = "systemd", []facts.Process{{PID: 7, Argv: []string{"/usr/bin/other", "-C"}}, {PID: 42, Argv: c.argv}}
		cmds := reload(s, in)
		if len(cmds) != 1 || cmds[0].Say != c.say {
			t.Errorf("%q: %v, want %q", c.argv, cmds, c.say)
		}
		if last := cmds[0].Argv[len(cmds[0].Argv)-3:]; strings.Join(last, " ") != "systemctl restart exim4.service" {
			t.Errorf("%q: where no daemon is left it does %q", c.argv, last)
		}
	}
}
