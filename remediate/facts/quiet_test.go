package facts_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta/all"
)

// parts are the drivers' parts of the collector.
func parts() []string {
	var parts []string
	for _, d := range all.Drivers() {
		parts = append(parts, d.Collect)
	}
	return parts
}

// TestSize holds the whole script, as it is sent, to what passes in one go.
func TestSize(t *testing.T) {
	n := len(facts.Strip(facts.Script(parts()...)))
	t.Logf("the script is sent as %d bytes", n)
	if n > 128<<10 {
		t.Errorf("%d bytes are too many", n)
	}
}

// TestChangesNothing runs the whole collector over a tree with every kind of file, in a hurry and with commands that hang, leave children
// behind and flood, and finds the tree as it was, and no process of the run alive.
func TestChangesNothing(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "sub/b", "sub/passwd", "secret.key"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name+"\npassword = x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := manifest(t, dir)
	t.Run("runs", func(t *testing.T) {
		for _, shell := range []string{"dash", "bash", "mksh", "ksh93", "yash", "posh", "busybox sh"} {
			for how, set := range map[string]string{"timeout": "", "watch": "mh_timeout= mh_short=\n"} {
				if how == "timeout" && shell != "dash" && shell != "busybox sh" {
					continue // there timeout(1) does the stopping, whatever the shell
				}
				t.Run(shell+" "+how, func(t *testing.T) {
					t.Parallel()
					hurry(t, dir, strings.Fields(shell), set)
				})
			}
		}
	})
	for path, line := range difference(before, manifest(t, dir)) {
		t.Errorf("%s: %s", path, line)
	}
}

// hurry runs the collector in dir with commands that do not end by themselves.
func hurry(t *testing.T, dir string, shell []string, set string) {
	nonce := facts.Nonce()
	script := []string{set + fmt.Sprintf("cd %s\nmh_tree %s\nmh_package %s/a\n", dir, dir, dir) + `
mh_cmd hang 1 sleep 60
mh_cmd family 1 sh -c 'trap "" TERM; sleep 61 & (sleep 62 & wait) & wait'
mh_cmd flood 5 yes
`}
	if shell[0] == "dash" {
		script = append(parts(), script...)
	}
	cmd := exec.Command(shell[0], shell[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "MTAHARDEN_RUN="+nonce, "HOME="+dir, "TMPDIR="+dir)
	cmd.Stdin = strings.NewReader(facts.Strip(facts.Script(script...)))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if s, err := facts.Parse(bytes.NewReader(out)); err != nil || !s.Complete {
		t.Fatal(err)
	}
	if alive := survivors(nonce); len(alive) > 0 {
		t.Errorf("processes outlive the run: %q", alive)
	}
}

// survivors returns the processes that have the nonce in their environment, after a moment for those that are just ending.
func survivors(nonce string) []string {
	var alive []string
	for range 20 {
		alive = nil
		environs, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, e := range environs {
			if env, err := os.ReadFile(e); err == nil && bytes.Contains(env, []byte("MTAHARDEN_RUN="+nonce)) {
				line, _ := os.ReadFile(filepath.Join(filepath.Dir(e), "cmdline"))
				alive = append(alive, strings.ReplaceAll(string(line), "\x00", " "))
			}
		}
		if alive == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return alive
}

// manifest is what a tree is: of each path its mode, owner, size, times of change and content.
func manifest(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		st := fi.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%v %d:%d %d mtime %d.%09d ctime %d.%09d", fi.Mode(), st.Uid, st.Gid, fi.Size(), st.Mtim.Sec, st.Mtim.Nsec, st.Ctim.Sec, st.Ctim.Nsec)
		if fi.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %x", sha256.Sum256(data))
		}
		m[path] = line
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// difference returns the paths that differ, with both lines.
func difference(a, b map[string]string) map[string]string {
	d := map[string]string{}
	for _, p := range slices.Concat(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b))) {
		if a[p] != b[p] {
			d[p] = fmt.Sprintf("was %q, is %q", a[p], b[p])
		}
	}
	return d
}

// unpack writes a txtar's files under a new directory.
func unpack(t *testing.T, archive string) (string, *txtar.Archive) {
	t.Helper()
	a, err := txtar.ParseFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range a.Files {
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, a
}
