package exim

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// TestStaging: of Debian's sources one file is generated, of anything else none; the spool is empty; the daemon is started by its own words.
func TestStaging(t *testing.T) {
	files, _ := filepath.Glob("testdata/hosts/*.snap")
	if len(files) == 0 {
		t.Fatal("no snapshots")
	}
	for _, file := range files {
		s := parseSnapshot(t, file)
		for _, in := range detect(s) {
			c, err := read(s, in)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if winner := staging(s, c, []string{debConf}); in.Config == debWinner && len(winner.Generated) > 0 {
				t.Errorf("%s: beside %s is generated %v", file, debWinner, winner.Generated)
			}
			c.Install.Config = debOutput
			st := staging(s, c, []string{debConf, "/etc/other"})
			if len(st.Generated) != 1 || st.Generated[0].Path != debOutput || !slices.Equal(st.Generated[0].Sources, []string{debConf}) || st.Generated[0].Show != nil {
				t.Errorf("%s: generated %+v", file, st.Generated)
			}
			if !slices.Equal(st.Copies, []string{"/var/lib/exim4", "/etc/exim4"}) {
				t.Errorf("%s: copies %q", file, st.Copies)
			}
			broken := strings.Contains(file, "broken")
			if spool := slices.ContainsFunc(st.Fresh, func(f mta.Fresh) bool { return f.Path == "/var/spool/exim4" }); !spool && !broken {
				t.Errorf("%s: empty %+v", file, st.Fresh)
			}
			if got := st.Start; in.Active && (len(got) != 1 || !strings.HasPrefix(strings.Join(got[0].Argv, " "), "/usr/sbin/exim4 -bd")) {
				t.Errorf("%s: started by %v", file, got)
			}
			if none := staging(s, c, []string{"/etc/other"}); len(none.Generated) > 0 {
				t.Errorf("%s: of another file is generated %v", file, none.Generated)
			}
		}
	}
}

// TestTables: a dbm file in which the configuration looks, and whose text lies beside it, is built when that text changes.
func TestTables(t *testing.T) {
	s := parseSnapshot(t, "testdata/hosts/deb12-senders.snap").With(&facts.File{Path: "/etc/exim4/peers.db", State: facts.Binary}, &facts.File{Path: "/etc/exim4/unused.db"})
	out, ok := s.Output("exim:1:config")
	if !ok {
		t.Fatal("the snapshot has no configuration")
	}
	changed := *out
	changed.Stdout = append(slices.Clone(out.Stdout), "hostlist peers = dbm;/etc/exim4/peers.db\n"...)
	s = s.WithOutputs(&changed)
	in := detect(s)[0]
	in.Config = debOutput
	paths := []string{"/etc/exim4/peers", "/etc/exim4/unused", debConf}
	cmds := regenerate(in, paths)
	if len(cmds) != 2 || strings.Join(cmds[0].Argv[3:], " ") != "sh /etc/exim4/peers /etc/exim4/peers.db" || cmds[1].String() != debTool {
		t.Fatalf("%v", cmds)
	}
	c := &mta.Config{Install: in, Model: &model{in: in, snapshot: s, key: "exim:1"}}
	st := staging(s, c, paths)
	if len(st.Generated) != 2 || st.Generated[1].Path != "/etc/exim4/peers.db" || st.Generated[1].Sources[0] != "/etc/exim4/peers" {
		t.Errorf("%+v", st.Generated)
	}
}

// TestTableScripts runs both scripts against stub tools: the new table takes the old one's place with its mode, and of a text that the program
// refuses the old one stays; what is shown are the values of the text's keys.
func TestTableScripts(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("exim_dbmbuild", "#!/bin/sh\necho half >\"$2\"\n! grep bad \"$1\" && cp \"$1\" \"$2\"\n", 0o755)
	write("exim", "#!/bin/sh\nkey=${2#*lookup{}\nkey=${key%%\\}*}\nsed -n \"s/^$key: //p\" "+dir+"/t.db\n", 0o755)
	write("t", "# who\na.example: one\n\"b.example\" : two\n b\n", 0o644)
	write("t.db", "old", 0o640)
	run := func(script string, args ...string) (string, error) {
		cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, args...)...)
		cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
		out, err := cmd.Output()
		return string(out), err
	}
	text, table := filepath.Join(dir, "t"), filepath.Join(dir, "t.db")
	if _, err := run(makeDBM, text, table); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(table)
	info, _ := os.Stat(table)
	if err != nil || !strings.Contains(string(got), "one") || info.Mode() != 0o640 {
		t.Errorf("%q, %v, %v", got, info.Mode(), err)
	}
	if out, err := run(showDBM, filepath.Join(dir, "exim"), text, table); err != nil || out != "a.example: one\nb.example: " {
		t.Errorf("shown: %q, %v", out, err)
	}
	write("t", "bad\n", 0o644)
	if _, err := run(makeDBM, text, table); err == nil {
		t.Error("a bad text was taken")
	}
	if again, _ := os.ReadFile(table); string(again) != string(got) {
		t.Errorf("the table holds %q", again)
	}
	if left, _ := filepath.Glob(dir + "/*mtaharden*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
