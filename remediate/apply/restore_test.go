package apply

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// oddNames are file names that a careless script would trip over.
func oddNames() []string {
	return []string{"plain.cf", "two words", "it's", "new\nline", "-dash", "$(touch gone)", "`touch gone`", "per%scent\\n", "*.conf", "ü", "\xff\xfe", "tab\t", `"double"`, "end\n", "..hidden", "a;b&c|d", "!x", "~root", "[a-z]", "#c", "back\\slash"}
}

// everyKind plants a change of every kind under an odd name each.
func everyKind(s *site) {
	for i, name := range oddNames() {
		if s.shell[0] == "yash" && !utf8.ValidString(name) {
			continue // yash reads no script with bytes that are no text in its locale
		}
		w := want{name: name, before: "before " + name + "\n", after: "after\x00 " + name, mode: 0o640, uid: i % 3 * 1000}
		switch i % 6 {
		case 1:
			w.before = absent
		case 2:
			w.after = absent
		case 3:
			w.unkept = true
		case 4:
			w.after, w.last = absent, true
		}
		s.plant(w)
	}
	s.plant(want{name: "empty", before: "", after: "no longer"})
	s.plant(want{name: "emptied", before: "full", after: ""})
	s.plant(want{name: "same", before: "same", after: "same"})
	s.plant(want{name: "dir with\nodd 'name'/file", before: "1", after: strings.Repeat("0123456789abcdef", 20000), mode: 0o4755})
	s.plantMode("mode", 0o4755, 0o755)
	s.plantMode("-mode'", 0o644, 0o2600)
}

// TestSwapRestore holds, under every shell, that a swap makes what it should of every kind of item, and that the restore makes it all undone:
// bytes, owners, modes, times, attributes and names, with nothing left.
func TestSwapRestore(t *testing.T) {
	for i, shell := range shells {
		t.Run(shell[0], func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(shell[0]); err != nil {
				t.Fatalf("%s is not installed: the scripts were not tried under it", shell[0])
			}
			s := newSite(t, shell...)
			everyKind(s)
			s.ready()
			before := s.before()
			swapped := s.do("swap.sh")
			if swapped.status != 0 {
				t.Fatalf("swap: %+v", swapped)
			}
			s.checkSwapped()
			if r := s.do("restore.sh", "--dry"); r.status != 0 || strings.Count(r.said(), "ours") != len(s.m.Items)-1 {
				t.Errorf("dry: %d %s %s", r.status, r.said(), r.stderr)
			}
			for _, how := range []string{"--guard", ""}[:1+i%2] {
				r := s.do("restore.sh", strings.Fields(how)...)
				if r.status != 0 || r.stderr != "" {
					t.Errorf("restore %s: %+v", how, r)
				}
				if d := cmp.Diff(before, tree(t, s.live)); d != "" {
					t.Fatalf("restore %s: %s", how, d)
				}
			}
			if told, _ := os.ReadFile(filepath.Join(s.dir, "reloads")); string(told) != strings.Repeat("told\x01'\\ ü\n\n", 2) {
				t.Errorf("the reload was told %q", told)
			}
			s.checkOver("restored")
		})
	}
}

// TestRestoreOwner holds, under every shell, that owner, mode, attributes and time come back where somebody brought the content back alone.
func TestRestoreOwner(t *testing.T) {
	for _, shell := range shells {
		t.Run(shell[0], func(t *testing.T) {
			t.Parallel()
			s := newSite(t, shell...)
			s.plant(want{name: "owner", before: "by copy\n", after: "new", uid: 1000})
			s.plant(want{name: "mode", before: "by an editor\n", after: "new", mode: 0o4750, unkept: true})
			s.plant(want{name: "gone", before: "made again\n", after: absent, uid: 1000, mode: 0o600})
			s.plant(want{name: "time", before: "as it was, but later\n", after: "new", uid: 1000})
			s.plant(want{name: "changed", before: "old\n", after: "new"})
			s.ready()
			before := s.before()
			if r := s.do("swap.sh"); r.status != 0 {
				t.Fatalf("swap: %+v", r)
			}
			for i, name := range []string{"owner", "mode", "gone", "time"} {
				p, copied := filepath.Join(s.live, name), filepath.Join(s.rundir(), "copy", strconv.Itoa(i+1))
				s.must(exec.Command("cp", "-a", "--remove-destination", copied, p).Run())
				s.must(os.Chtimes(p, time.Time{}, time.Now()))
			}
			s.must(os.Chown(filepath.Join(s.live, "owner"), 0, 0))
			s.must(unix.Removexattr(filepath.Join(s.live, "owner"), "user.note"))
			s.must(os.Chmod(filepath.Join(s.live, "mode"), 0o644))
			s.must(os.Chown(filepath.Join(s.live, "gone"), 0, 1000))
			if r := s.do("restore.sh", "--dry"); r.status != 0 || r.said() != "ours ours ours already ours" {
				t.Errorf("dry: %+v", r)
			}
			if r := s.do("restore.sh"); r.status != 0 || r.said() != "restored restored restored already restored reloaded" || r.stderr != "" {
				t.Errorf("restore: %+v", r)
			}
			if d := cmp.Diff(before, s.before()); d != "" {
				t.Errorf("restore: %s", d)
			}
			s.checkOver("restored")
			if r := s.do("restore.sh"); r.status != 0 || r.said() != "already already already already already" {
				t.Errorf("a second restore: %+v", r)
			}
		})
	}
}

// before is the tree of live files without the second names that the run keeps: as it was before the run.
func (s *site) before() map[string]string {
	out := tree(s.t, s.live)
	for k, v := range out {
		out[k] = strings.Replace(v, " links 2 ", " links 1 ", 1)
	}
	return out
}

// checkSwapped holds the live files against the manifest.
func (s *site) checkSwapped() {
	s.t.Helper()
	for _, it := range s.m.Items {
		data, err := os.ReadFile(it.Path)
		switch {
		case it.Kind == "mode" || it.Service != nil:
		case it.After.Absent:
			if !os.IsNotExist(err) {
				s.t.Errorf("%q is there: %v", it.Path, err)
			}
			continue
		case err != nil || hashOf(string(data)) != it.After.Hash:
			s.t.Errorf("%q: %q, %v", it.Path, data, err)
		}
		if it.Service != nil {
			continue
		}
		if got, want := s.stat(it.Path), it.After; got.UID != want.UID || got.GID != want.GID || !sameMode(got.Mode, want.Mode) {
			s.t.Errorf("%q: %+v, want %+v", it.Path, got, want)
		}
		if !it.Before.Absent && it.Kind != "mode" && !strings.Contains(tree(s.t, filepath.Dir(it.Path))[filepath.Base(it.Path)], `note "of `) {
			s.t.Errorf("%q lost its attributes", it.Path)
		}
	}
}

// checkOver holds that nothing is left of a run but its folder.
func (s *site) checkOver(end string) {
	s.t.Helper()
	got, _ := os.ReadFile(filepath.Join(s.rundir(), "end"))
	if strings.TrimSpace(string(got)) != end {
		s.t.Errorf("the run's end: %q, want %q", got, end)
	}
	for _, gone := range []string{s.layout.Lock(), s.rundir() + "/guard", s.rundir() + "/hooks", s.rundir() + "/stage", s.rundir() + "/holding.*"} {
		if left, _ := filepath.Glob(gone); len(left) > 0 {
			s.t.Errorf("%s is left", left)
		}
	}
	if owed, err := os.ReadFile(s.rundir() + "/owed"); err == nil && len(owed) > 0 {
		s.t.Errorf("owed: %q", owed)
	}
	for name := range tree(s.t, s.live) {
		if strings.Contains(name, ".mtaharden-") {
			s.t.Errorf("%s is left", name)
		}
	}
	for name := range tree(s.t, s.pace.root) {
		if strings.Contains(name, "mtaharden") {
			s.t.Errorf("the boot hook %s is left", name)
		}
	}
}
