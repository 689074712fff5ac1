package sendmail

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"mtaharden/remediate/mta"
)

// TestStaging: maps are built by the K line that names them, under the name that it gives; the .cf of its source and what that includes; the
// daemon is started by the words of its pid file; queues are empty, what always is is not named again.
func TestStaging(t *testing.T) {
	s := framed(t, txtar.Parse([]byte(`
-- fact sendmail:programs --
/usr/sbin/sendmail
-- fact sendmail:configs --
/etc/mail/sendmail.cf
-- fact sendmail:mc:/etc/mail/sendmail.cf --
/etc/mail/sendmail.mc
-- fact sendmail:process:151 --
/usr/sbin/sendmail sendmail: MTA: accepting connections
-- fact sendmail:started:151 --
/usr/sbin/sendmail -L sm-mta -bD -q10m
-- file /etc/mail/sendmail.mc --
FEATURE(`+"`access_db'"+`)dnl
-- file /srv/who --
Connect:192.0.2.1	RELAY
-- file /etc/mail/sendmail.cf --
V10/Berkeley
Kaccess hash -T<TMPF> -o /srv/who.db
Kvirtuser cdb /etc/mail/virtual
Kdomains dbm /etc/mail/domains
Kldapish ldap -k (x=%0)
O QueueDirectory=/srv/queue/q*
O StatusFile=/srv/lib/sendmail.st
O PidFile=/run/sendmail/pid
Mlocal, P=/usr/bin/procmail, F=lsDFMAw5:/|@qSPfhn9, A=procmail -Y
Scheck_rcpt
R$*		$#error $@ 5.7.1 $: 550
`)))
	in := detect(s)[0]
	c, err := read(s, in)
	if err != nil {
		t.Fatal(err)
	}
	st := staging(s, c, []string{"/srv/who", "/etc/mail/domains", "/etc/mail/sendmail.mc", "/etc/mail/helpfile"})
	var got []string
	for _, g := range st.Generated {
		got = append(got, g.Path+" of "+strings.Join(g.Sources, " ")+" by "+strings.Join(g.Show, " "))
	}
	want := []string{
		"/srv/who.db of /srv/who by makemap -u hash /srv/who", "/etc/mail/domains.pag of /etc/mail/domains by makemap -u dbm /etc/mail/domains",
		"/etc/mail/domains.dir of /etc/mail/domains by cksum /etc/mail/domains.dir", "/etc/mail/sendmail.cf of /etc/mail/sendmail.mc by ",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("generated\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(st.Start) != 1 || st.Start[0].String() != "/usr/sbin/sendmail -L sm-mta -bd -q10m" {
		t.Errorf("started by %v", st.Start)
	}
	has := func(dir string) bool {
		return slices.ContainsFunc(st.Fresh, func(f mta.Fresh) bool { return f.Path == dir })
	}
	if !has("/srv/queue") || !has("/srv/lib") || has("/run/sendmail") || has("/etc/mail") {
		t.Errorf("empty: %v", st.Fresh)
	}
	if !slices.Equal(st.Copies, []string{"/etc/mail"}) {
		t.Errorf("copies: %v", st.Copies)
	}
}

// TestBuild runs the scripts that build, as three kinds of site have it: by Debian's Makefile, which goes on when m4 fails; by one with a rule of
// patterns; by m4 alone, with the tree's cf.m4 included by the source. What m4 refuses leaves the .cf as it is, but for Debian's way.
func TestBuild(t *testing.T) {
	for _, tool := range []string{"make", "m4"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs " + tool)
		}
	}
	const debian = "DIR/sendmail.cf: DIR/sendmail.mc\n\t@m4 DIR/sendmail.mc >DIR/sendmail.cf.new 2>DIR/sendmail.cf.errors || true\n\t@echo '### appended' >>DIR/sendmail.cf.new\n\t@mv -f DIR/sendmail.cf.new DIR/sendmail.cf\n"
	const pattern = "%.cf: %.mc\n\tm4 $< >$@.new && mv -f $@.new $@\n"
	for _, c := range []struct {
		name, makefile, mc, want string
		fails                    bool
	}{
		{"debian", debian, "define(`x', `yes')dnl\nx\n", "yes\n### appended\n", false},
		{"debian, bad", debian, "errprint(`*** ERROR: no such feature\n')x\n", "", true},
		{"debian, unquoted", debian, "define(`x, 1)\n", "", true},
		{"pattern", pattern, "define(`x', `yes')dnl\nx\n", "yes\n", false},
		{"pattern, unquoted", pattern, "define(`x, 1)\n", "old\n", true},
		{"m4", "", "include(`DIR/cf.m4')dnl\nx\n", "tree\n", false},
		{"m4, bad", "", "include(`DIR/cf.m4')dnl\nerrprint(`*** ERROR: no\n')x\n", "old\n", true},
		{"m4, unquoted", "", "include(`DIR/cf.m4')dnl\ndefine(`x, 1)\n", "old\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			write := func(name, text string, mode os.FileMode) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "DIR", dir)), mode); err != nil {
					t.Fatal(err)
				}
			}
			write("sendmail.cf", "old\n", 0o640)
			before := time.Now().Add(-time.Minute) // make(1) builds what is older than its source, and both are written within one tick of the clock
			if err := os.Chtimes(filepath.Join(dir, "sendmail.cf"), before, before); err != nil {
				t.Fatal(err)
			}
			write("sendmail.mc", c.mc, 0o644)
			write("cf.m4", "define(`x', `tree')", 0o644)
			if c.makefile != "" {
				write("Makefile", c.makefile, 0o644)
			}
			cmd := shell("", makeCF, dir+"/sendmail.mc", dir+"/sendmail.cf")
			out, err := exec.Command(cmd.Argv[0], cmd.Argv[1:]...).CombinedOutput()
			if (err != nil) != c.fails {
				t.Fatalf("%v: %s", err, out)
			}
			if got, _ := os.ReadFile(dir + "/sendmail.cf"); c.want != "" && string(got) != c.want {
				t.Errorf("the .cf holds %q, want %q", got, c.want)
			}
			if left, _ := filepath.Glob(dir + "/*mtaharden*"); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestBuildMap runs the script that builds a map with a stub of makemap: the map takes the live one's place with its mode, a text that is refused
// leaves it, and the ending is the type's.
func TestBuildMap(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("makemap", "#!/bin/sh\nend=.db\n[ \"$1\" != cdb ] || end=.cdb\ncat >\"$2$end\"\n! grep bad \"$2$end\" >/dev/null\n", 0o755)
	for _, c := range []struct{ kind, file string }{{"hash", "access.db"}, {"cdb", "access.cdb"}} {
		write(c.file, "old\n", 0o640)
		run := func(text string) error {
			write("text", text, 0o644)
			cmd := exec.Command("/bin/sh", "-c", makeMap, "sh", dir+"/text", c.kind, dir+"/access")
			cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
			return cmd.Run()
		}
		if err := run("bad\n"); err == nil {
			t.Error("a text that makemap refuses was taken")
		}
		if got, _ := os.ReadFile(filepath.Join(dir, c.file)); string(got) != "old\n" {
			t.Errorf("after a refusal the map holds %q", got)
		}
		if err := run("new\n"); err != nil {
			t.Error(err)
		}
		got, _ := os.ReadFile(filepath.Join(dir, c.file))
		if info, err := os.Stat(filepath.Join(dir, c.file)); err != nil || string(got) != "new\n" || info.Mode() != 0o640 {
			t.Errorf("%s holds %q, %v", c.file, got, err)
		}
	}
	if left, _ := filepath.Glob(dir + "/*mtaharden*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
