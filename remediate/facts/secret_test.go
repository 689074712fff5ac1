package facts

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// plant writes a txtar's files under a new directory.
func plant(t *testing.T, name string) (dir string, a *txtar.Archive) {
	t.Helper()
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
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

var (
	canary = regexp.MustCompile(`CANARY\S*`)
	keep   = regexp.MustCompile(`KEEP\w*`)
)

// TestSecrets plants a canary in every known place of a secret and looks for it in everything that leaves the host; what stands beside
// the secrets must come.
func TestSecrets(t *testing.T) {
	dir, a := plant(t, "testdata/secrets.txtar")
	part := fmt.Sprintf("mh_tree %s\n", dir)
	for _, f := range a.Files {
		if !strings.Contains(f.Name, "passw") && !strings.Contains(f.Name, "auth") && !strings.HasSuffix(f.Name, ".pem") && !strings.Contains(f.Name, "dovecot/users") {
			part += fmt.Sprintf("mh_cmd postconf:%s 5 cat %s/%s\nmh_cmd err:%s 5 sh -c 'cat %s/%s >&2'\n", f.Name, dir, f.Name, f.Name, dir, f.Name)
		}
	}
	part += "sh -c 'while :; do sleep 1; done' -- --password=CANARY-argv KEEP-argv & mh_spy=$!\nmh__table\nmh_running dash sh >/dev/null\nkill $mh_spy\nwait $mh_spy 2>/dev/null\n"
	for _, shell := range [][]string{{"sh"}, {"busybox", "sh"}, {"ksh93"}} {
		raw := output(t, part, shell...)
		if found := canary.FindAll(raw, -1); found != nil {
			t.Errorf("%v: secrets left the host: %q", shell, found)
		}
		for _, f := range a.Files {
			for _, w := range keep.FindAll(f.Data, -1) {
				if !regexp.MustCompile(`\b` + string(w) + `\b`).Match(raw) {
					t.Errorf("%v: %s: %s was taken for a secret", shell, f.Name, w)
				}
			}
		}
		if !bytes.Contains(raw, []byte("KEEP-argv")) {
			t.Errorf("%v: the process is missing", shell)
		}
	}
	s := collect(t, part)
	for _, f := range a.Files {
		checkMasks(t, s, filepath.Join(dir, f.Name), f.Data)
	}
}

// checkMasks puts the original's bytes back in the places of the masks: offsets and lengths are right when the original comes out.
func checkMasks(t *testing.T, s *Snapshot, path string, original []byte) {
	t.Helper()
	f, ok := s.File(path)
	if !ok {
		t.Errorf("%s was not collected", path)
		return
	}
	if f.SHA256 != Digest(string(original)) || f.Size != int64(len(original)) {
		t.Errorf("%s: size %d, sha256 %s are not the original's", path, f.Size, f.SHA256)
	}
	if f.State == Secret {
		return
	}
	if f.State != Whole || !bytes.Equal(restored(f, original), original) {
		t.Errorf("%s: state %q, masks %+v do not lead back to the original:\n%s", path, f.State, f.Masks, f.Data)
	}
}

// TestEqualSecrets holds that within a run equal secrets have equal marks, and in another run other ones.
func TestEqualSecrets(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.cf")
	if err := os.WriteFile(path, []byte("password = one\nbind_pw = one\npassword = two\npassword = onE"), 0o600); err != nil {
		t.Fatal(err)
	}
	marks := func() []string {
		f, _ := collect(t, "mh_file "+path).File(path)
		var marks []string
		for line := range strings.Lines(string(f.Data)) {
			_, m, _ := strings.Cut(strings.TrimSpace(line), " = ")
			marks = append(marks, m)
		}
		return marks
	}
	a, b := marks(), marks()
	if len(a) != 4 || a[0] != a[1] || a[0] == a[2] || a[0] == a[3] || !strings.HasPrefix(a[0], "<secret ") {
		t.Errorf("marks: %q", a)
	}
	if a[0] == b[0] {
		t.Errorf("two runs gave the same mark %q: it is not keyed by the run", a[0])
	}
}
