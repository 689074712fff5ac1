package backup_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mtaharden/remediate/backup"
)

// inspect returns what the host keeps of a run.
func (l *lab) inspect(t *testing.T, run string) backup.HostRun {
	t.Helper()
	all, err := backup.Inspect(t.Context(), l.Dir, l.Layout)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(r backup.HostRun) bool { return r.Run == run })
	if i < 0 {
		t.Fatalf("the host keeps nothing of %s: %+v", run, all)
	}
	return all[i]
}

func TestInspect(t *testing.T) {
	for _, shell := range shells {
		t.Run(shell[0], func(t *testing.T) {
			t.Parallel()
			l := newLab(t, shell)
			f, g := l.file(t, "main.cf", "myhostname = x\n", 0o644), l.file(t, "empty", "", 0o600)
			if _, _, err := backup.Save(t.Context(), l.Dir, l.Layout, "r1", edits(f, g), backup.Saving{}); err != nil {
				t.Fatal(err)
			}
			if r := l.inspect(t, "r1"); r.Manifest == nil || len(r.Damage)+len(r.Written) > 0 || r.Bytes() != 15 {
				t.Errorf("%+v", r)
			}
			// A flipped bit in a copy is damage; in the kept inode, which is the live file, it is somebody's edit.
			copied := filepath.Join(l.Layout.Run("r1"), "copy/1")
			flip(t, copied)
			if r := l.inspect(t, "r1"); len(r.Damage) != 1 || !errors.Is(r.Damage[0], backup.ErrDamage) || !strings.Contains(r.Damage[0].Error(), f) {
				t.Errorf("a flipped bit: %+v", r)
			}
			flip(t, copied)
			flip(t, f)
			if r := l.inspect(t, "r1"); len(r.Damage) > 0 || !slices.Equal(r.Written, []string{f}) {
				t.Errorf("the kept inode was written to: %+v", r)
			}
			if err := errors.Join(os.Remove(copied), os.Remove(filepath.Join(l.Layout.Run("r1"), "keep/2"))); err != nil {
				t.Fatal(err)
			}
			if r := l.inspect(t, "r1"); len(r.Damage) != 2 {
				t.Errorf("copy and inode are gone: %+v", r)
			}
			manifest := filepath.Join(l.Layout.Run("r1"), "manifest")
			if err := os.WriteFile(manifest, []byte("{}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if r := l.inspect(t, "r1"); len(r.Damage) != 1 || r.Manifest != nil {
				t.Errorf("the manifest is damaged: %+v", r)
			}
		})
	}
}

func flip(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[3] ^= 4
	out, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestHostPrune(t *testing.T) {
	l := newLab(t, nil)
	for _, run := range []string{"r2", "r3", "r4"} {
		if err := os.MkdirAll(filepath.Join(l.Layout.Run(run), "copy"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// What a send leaves whose link was lost: a content, and a folder that is not whole.
	cut := []string{l.Base() + "/.upload.r2.mh-0123.1", l.Base() + "/.sent.r2/copy"}
	for _, dir := range cut {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	gone, kept, err := backup.Prune(t.Context(), l.Dir, l.Layout, []string{"r2"})
	if err != nil || len(gone) > 0 || !strings.Contains(kept["r2"], "lock") {
		t.Errorf("under a lock: %v, %v, %v", gone, kept, err)
	}
	for _, dir := range cut { // a rollback may be about to use it
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("under a lock: %v", err)
		}
	}
	if err := os.Rename(l.Lock(), filepath.Join(l.Layout.Run("r1"), "unlocked")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(l.Layout.Run("r3"), "guard"), 0o700); err != nil {
		t.Fatal(err)
	}
	gone, kept, err = backup.Prune(t.Context(), l.Dir, l.Layout, []string{"r2", "r3", "r9"})
	if err != nil || !slices.Equal(gone, []string{"r2"}) || !strings.Contains(kept["r3"], "guard") {
		t.Errorf("%v, %v, %v", gone, kept, err)
	}
	if names, _ := filepath.Glob(l.Base() + "/*"); len(names) != 3 {
		t.Errorf("left: %v", names)
	}
	if names, _ := filepath.Glob(l.Base() + "/.[gsu]*"); len(names) != 0 {
		t.Errorf("left over: %v", names)
	}
	if _, _, err := backup.Prune(t.Context(), l.Dir, l.Layout, []string{"../r4"}); err == nil {
		t.Error("a path was taken for a run")
	}
}
