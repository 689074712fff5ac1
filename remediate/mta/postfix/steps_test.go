package postfix

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// TestRegenerate runs the rebuilding script against stub tools: each source is built with the type that the configuration names it by,
// an alias file by postalias, main.cf and master.cf by nothing.
func TestRegenerate(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("main.cf", "x = btree:"+dir+"/access, hash:$config_directory/nets\nalias_maps = hash:"+dir+"/aliases\n")
	write("master.cf", "smtp inet n - n - - smtpd\n  -o y=lmdb:"+dir+"/over\n")
	write("postconf", "#!/bin/sh\ncase $* in *alias_database*) echo hash:"+dir+"/aliases ;; *) cat "+dir+"/main.cf ;; esac\n")
	for _, tool := range []string{"postmap", "postalias"} {
		write(tool, "#!/bin/sh\necho "+tool+" $3 >> "+dir+"/log\n")
	}
	in := mta.Install{Config: dir}
	var paths []string
	for _, name := range []string{"access", "nets", "aliases", "over", "unnamed", "main.cf", "master.cf"} {
		paths = append(paths, filepath.Join(dir, name))
	}
	for _, c := range regenerate(in, paths) {
		cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
		cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	want := "postmap btree:D/access\npostmap hash:D/nets\npostalias hash:D/aliases\npostmap lmdb:D/over\n"
	if got := strings.ReplaceAll(string(log), dir, "D"); got != want {
		t.Errorf("built\n%swant\n%s", got, want)
	}
}

// TestReload runs the reload script against stub tools: a reload, or a restart where the addresses to listen on changed, and where the run whose
// folder it is told restarted before.
func TestReload(t *testing.T) {
	const restarted = "systemctl restart postfix@-.service\n"
	for _, c := range []struct {
		name, initSystem string
		sent             bool     // the run's folder was made of the controller's copy
		now              []string // inet_interfaces and inet_protocols at each call
		want             string
	}{
		{"same", "systemd", false, []string{"all\\nall\\n", "all\\nall\\n"}, "postfix -c /etc/postfix reload\npostfix -c /etc/postfix reload\n"},
		{"changed systemd", "systemd", false, []string{"loopback-only\\nall\\n"}, restarted},
		{"changed none", "none", false, []string{"loopback-only\\nall\\n"}, "postfix -c /etc/postfix stop\npostfix -c /etc/postfix start\n"},
		{"changed and put back", "systemd", false, []string{"loopback-only\\nall\\n", "all\\nall\\n"}, restarted + restarted},
		{"put back from a copy", "systemd", true, []string{"all\\nall\\n"}, restarted},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(tool, text string) {
				if err := os.WriteFile(filepath.Join(dir, tool), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			write("postfix", "echo postfix $* >> "+dir+"/log")
			write("systemctl", "case $1 in show) echo MainPID=12 ;; *) echo systemctl $* >> "+dir+"/log ;; esac")
			if c.sent {
				write("sent", "")
			}
			f, err := os.Open("testdata/hosts/deb12-postfix-open.snap")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s, err := facts.Parse(f)
			if err != nil {
				t.Fatal(err)
			}
			s.Init = c.initSystem
			cmds := reload(s, detect(s)[0])
			if len(cmds) != 1 {
				t.Fatalf("%d commands", len(cmds))
			}
			for _, now := range c.now {
				write("postconf", "printf '"+now+"'")
				cmd := exec.Command(cmds[0].Argv[0], cmds[0].Argv[1:]...)
				cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "MTAHARDEN_RUN=" + dir}
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			if log, _ := os.ReadFile(filepath.Join(dir, "log")); string(log) != c.want {
				t.Errorf("ran %q, want %q", log, c.want)
			}
			if c.sent {
				return
			}
			// Another instance, whose addresses are the same, is told by a reload: that this one was restarted is not its business.
			other := detect(s)[0]
			other.Instance = "postfix-out"
			write("postconf", "printf 'all\\nall\\n'")
			cmd := exec.Command(reload(s, other)[0].Argv[0], reload(s, other)[0].Argv[1:]...)
			cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "MTAHARDEN_RUN=" + dir}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if log, _ := os.ReadFile(filepath.Join(dir, "log")); string(log) != c.want+"postfix -c /etc/postfix reload\n" {
				t.Errorf("with another instance it ran %q", log)
			}
		})
	}
}
