package sendmail

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// directoryTools are the POSIX utilities of a directory host; readlink, stat, timeout and id -u are not among them.
const directoryTools = "awk cat cksum cut date find grep head id ls od printf rm sed sh sleep sort tail tr true uname wc kill"

// TestDirectoryHosts runs the driver's own part of the collector in directories that stand for systems which cannot be booted here: the
// places of the files and the words of the pid file are those of the vendors' manuals, sendmail is a stub that answers as 8.14 does.
func TestDirectoryHosts(t *testing.T) {
	files, err := filepath.Glob("testdata/hosts/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no directory hosts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			directoryHost(t, a)
		})
	}
}

func directoryHost(t *testing.T, a *txtar.Archive) {
	dir := t.TempDir()
	want := ""
	for _, f := range a.Files {
		if f.Name == "want" {
			want = string(f.Data)
			continue
		}
		put(t, filepath.Join(dir, f.Name), f.Data)
	}
	furnish(t, dir)
	s := insideOf(t, dir)
	installs := detect(s)
	if len(installs) != 1 {
		t.Fatalf("%d installations in %v", len(installs), s.Facts("sendmail:"))
	}
	in := installs[0]
	c, err := read(s, in)
	if err != nil {
		t.Fatal(err)
	}
	if in.Basis == mta.Lab {
		t.Error("a directory host is said to have been seen running")
	}
	var got strings.Builder
	got.WriteString(in.Version + " " + in.Program + " " + in.Config + "\n")
	for _, answer := range answers(s, c) {
		if q := answer.Question; answer.Judge == judge.MTA && (q.Form == "plain" || q.Verb != judge.Rcpt) {
			got.WriteString(strings.Join([]string{string(q.Verb), string(q.Class), q.Entry, string(answer.Outcome)}, " ") + "\n")
		}
	}
	for _, n := range c.Notes {
		got.WriteString("note " + n.Code + "\n")
	}
	checkSome(t, want, got.String(), "host")
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// furnish puts busybox, mksh and their libraries into a directory host.
func furnish(t *testing.T, dir string) {
	t.Helper()
	copyIn := func(from, to string) {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, to), data)
	}
	for _, name := range []string{"busybox", "mksh"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatalf("cannot make a directory host: %v", err)
		}
		copyIn(path, "bin/"+name)
		out, _ := exec.Command("ldd", path).Output() // of a static program it fails
		for w := range strings.FieldsSeq(string(out)) {
			if strings.HasPrefix(w, "/") {
				copyIn(w, w)
			}
		}
	}
	for tool := range strings.FieldsSeq(directoryTools) {
		target := "busybox"
		if tool == "sh" {
			target = "mksh"
		}
		if err := os.Symlink(target, filepath.Join(dir, "bin", tool)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(dir, "dev/null"), nil)
	put(t, filepath.Join(dir, "etc/passwd"), nil)
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// insideOf runs the collector with dir as its root directory; who is not root does so in a user namespace.
func insideOf(t *testing.T, dir string) *facts.Snapshot {
	t.Helper()
	c := facts.Command(facts.Nonce(), Driver.Collect)
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Path, cmd.Dir, cmd.Env = "/bin/sh", "/", []string{"PATH=/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	cmd.Stdin = bytes.NewReader(c.Stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Errorf("%v, standard error %q", err, stderr.String())
	}
	s, err := facts.Parse(bytes.NewReader(out))
	if err != nil || !s.Complete {
		t.Fatalf("%v: %s", err, out)
	}
	return s
}
