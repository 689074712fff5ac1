package sendmail

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

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
	s = framed(t, &txtar.Archive{Files: []txtar.File{
		{Name: "fact sendmail:process:123", Data: []byte("/usr/sbin/sendmail sendmail: accepting connections")},
		{Name: "fact sendmail:started:123", Data: []byte("/usr/lib/sendmail -bd -q30m")},
		{Name: "file /etc/mail/sendmail.cf", Data: []byte("O PidFile=/run/mta.pid\n")},
	}})
	s.Init = "bsd"
	cmds := reload(s, in)
	if len(cmds) != 1 || cmds[0].Say != "kill -HUP of /usr/lib/sendmail -bd -q30m, or where it does not run then that command" {
		t.Fatalf("%v", cmds)
	}
	argv := strings.Join(cmds[0].Argv[4:], " ")
	if !strings.HasPrefix(argv, "123 /usr/lib/sendmail -bd -q30m /run/mta.pid /var/run/") || !strings.HasSuffix(argv, ".pid -- /usr/sbin/sendmail -bd -q30m") {
		t.Errorf("its words are %s", argv)
	}
	in.Active = false
	if cmds := reload(s, in); cmds != nil {
		t.Errorf("what does not run is told %v", cmds)
	}
}

// TestHangup: a daemon that no service manager has is told more than once by the same command, though its number changes; one that a HUP would
// end, or that ended, is started anew.
func TestHangup(t *testing.T) {
	t.Parallel()
	// Under nohup(1) a hangup is ignored, and a shell sets no trap for what it began with ignored (POSIX, trap): not so below a handler of ours.
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(heard) })
	for _, c := range []struct{ name, relative, onHangup string }{
		{"it has another number then", "", `"$0" "$me" -bd & exit`},
		{"it keeps its number", "", `:`},
		{"it ends", "", `exit`},
		{"it was not started by its full path", `[ ! -s told ] || line=$PWD/start`, `"$0" "$me" -bd & exit`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			pidFile, told := filepath.Join(dir, "pid"), filepath.Join(dir, "told")
			program := filepath.Join(dir, "sendmail") // a shell of that name: what a process is called is its program's name
			sh, err := os.ReadFile("/bin/sh")
			must(t, err)
			must(t, os.WriteFile(program, sh, 0o755))
			script := filepath.Join(dir, "script")
			line := program + " " + script + " -bd"
			if c.relative != "" {
				line = "sendmail " + script + " -bd"
			}
			must(t, os.WriteFile(script, []byte("me="+script+" line='"+line+"'\n"+c.relative+
				"\ntrap '"+c.onHangup+"' HUP\ntrap 'rm -f "+pidFile+"; exit' TERM\nprintf '%s\\n' $$ \"$line\" >"+pidFile+"\necho started >>"+told+"\nwhile :; do sleep 0.1; done\n"), 0o644))
			start := filepath.Join(dir, "start")
			must(t, os.WriteFile(start, []byte("#!/bin/sh\ncd "+dir+"\n"+program+" "+script+" -bd >/dev/null 2>&1 &\n"), 0o755))
			number := func() string {
				text, _ := os.ReadFile(pidFile)
				pid, _, _ := strings.Cut(string(text), "\n")
				return pid
			}
			started := func() int {
				text, _ := os.ReadFile(told)
				return strings.Count(string(text), "started")
			}
			t.Cleanup(func() {
				if pid := number(); pid != "" {
					exec.Command("kill", "-KILL", pid).Run()
				}
			})
			must(t, exec.Command(start).Run())
			for range 1200 {
				if number() != "" && started() > 0 {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			first := number()
			for n := range 2 {
				out, err := exec.Command("/bin/sh", "-c", hup, "sh", first, line, filepath.Join(dir, "none"), pidFile, "--", start).CombinedOutput()
				if err != nil || exec.Command("kill", "-0", number()).Run() != nil {
					t.Errorf("command %d: %v, %s; the daemon is %q, was %s", n+1, err, out, number(), first)
				}
				for wait := 0; c.onHangup != ":" && started() < n+2 && wait < 1200; wait++ { // a busy machine's daemon hears of it late
					time.Sleep(100 * time.Millisecond)
				}
			}
			if c.onHangup != ":" && started() != 3 {
				t.Errorf("it was started %d times", started())
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
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
