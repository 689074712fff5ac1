package backup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"mtaharden/remediate/plan"
)

func newStore(t *testing.T, dir string, recipients ...string) *Store {
	t.Helper()
	st, err := OpenStateDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenStore(st, recipients)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// backupOf is a manifest of files with these contents, and the contents.
func backupOf(run string, contents ...string) (Manifest, map[int][]byte) {
	m := Manifest{Run: run}
	data := map[int][]byte{}
	for i, text := range contents {
		item := Item{Kind: plan.EditFile, Path: "/etc/f" + string(rune('0'+i)), Before: State{Hash: Hash([]byte(text)), Size: int64(len(text)), Mode: "0644"}}
		m.Items, data[i] = append(m.Items, item), []byte(text)
	}
	return m, data
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func keep(t *testing.T, s *Store, host, run string, contents ...string) {
	t.Helper()
	m, data := backupOf(run, contents...)
	if err := s.Keep(t.Context(), host, m, data, noon); err != nil {
		t.Fatal(err)
	}
}

// tree lists what a directory holds, with modes.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		rel, _ := filepath.Rel(dir, p)
		out = append(out, info.Mode().String()+" "+rel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := newStore(t, dir)
	keep(t, s, "mx1.example.com", "r1", "one\n", "two\x00\xff", "")
	keep(t, s, "../../mx2", "r1", "one\n")
	keep(t, s, "mx1.example.com", "r2", "three\n")
	c, err := s.Load("r1", "mx1.example.com")
	if err != nil || c.Host != "mx1.example.com" || len(c.Contents) != 3 || c.Bytes() != 9 || !c.Made.Equal(noon) {
		t.Fatalf("%+v, %v", c, err)
	}
	if data, err := s.Get(c.Contents[1]); err != nil || string(data) != "two\x00\xff" {
		t.Errorf("%q, %v", data, err)
	}
	if runs, err := s.Runs(); err != nil || !slices.Equal(runs, []string{"r1", "r2"}) {
		t.Errorf("%v, %v", runs, err)
	}
	if copies, bad := s.Copies("r1"); len(copies) != 2 || len(bad) > 0 || copies[0].Host != "../../mx2" {
		t.Errorf("%v, %v", copies, bad)
	}
	for _, line := range tree(t, dir) {
		if !strings.HasPrefix(line, "-rw-------") && !strings.HasPrefix(line, "drwx------") {
			t.Errorf("others may read: %s", line)
		}
	}
	if damage, n, err := s.Verify(t.Context()); err != nil || len(damage) > 0 || n != 4 {
		t.Errorf("%v, %d, %v", damage, n, err)
	}
}

// TestFlippedBit flips every bit of everything that is kept, one at a time: each is found.
func TestFlippedBit(t *testing.T) {
	t.Parallel()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	flips := 0
	for _, recipients := range [][]string{nil, {id.Recipient().String()}} {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		s := newStore(t, dir, recipients...)
		keep(t, s, "mx1", "r1", "myhostname = x\n")
		files, err := filepath.Glob(dir + "/blobs/*/*")
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		data, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(data) * 8 {
			bad := slices.Clone(data)
			bad[i/8] ^= 1 << (i % 8)
			if err := os.WriteFile(files[0], bad, 0o600); err != nil {
				t.Fatal(err)
			}
			damage, _, err := s.Verify(t.Context())
			if err != nil || len(damage) != 1 || !errors.Is(damage[0].Err, ErrDamage) || damage[0].Host != "mx1" || damage[0].Run != "r1" {
				t.Fatalf("bit %d of %s: %v, %v", i, files[0], damage, err)
			}
			flips++
		}
		// What is damaged is put anew by the next run that has the same content.
		keep(t, s, "mx1", "r2", "myhostname = x\n")
		if damage, _, err := s.Verify(t.Context()); err != nil || len(damage) > 0 {
			t.Errorf("after putting it anew: %v, %v", damage, err)
		}
		if err := os.Remove(files[0]); err != nil {
			t.Fatal(err)
		}
		if damage, _, err := s.Verify(t.Context()); err != nil || len(damage) != 2 {
			t.Errorf("a content is gone: %v, %v", damage, err)
		}
		name := dir + "/" + copyName("r1", "mx1")
		if err := os.WriteFile(name, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		if damage, _, err := s.Verify(t.Context()); err != nil || len(damage) != 2 || !errors.Is(damage[0].Err, ErrDamage) {
			t.Errorf("a manifest is damaged: %v, %v", damage, err)
		}
		if _, err := s.Remove(t.Context(), nil); err == nil {
			t.Error("contents were removed though a manifest cannot be read")
		}
	}
	t.Logf("%d bits were flipped", flips)
}

func TestEncrypted(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "state")
	s := newStore(t, dir, id.Recipient().String())
	const secret = "AuthInfo:relay \"P:CANARY\"\n"
	keep(t, s, "mx1", "r1", secret)
	hash := Hash([]byte(secret))
	if data, err := s.Get(hash, id); err != nil || string(data) != secret {
		t.Errorf("%q, %v", data, err)
	}
	for _, ids := range [][]age.Identity{nil, {other}} {
		if _, err := s.Get(hash, ids...); !errors.Is(err, ErrEncrypted) {
			t.Errorf("%v", err)
		}
	}
	if out, err := exec.Command("grep", "-r", "CANARY", dir).CombinedOutput(); err == nil || len(out) > 0 {
		t.Errorf("the secret stands in the store: %s", out)
	}
	if _, err := OpenStore(s.StateDir, []string{"age1wrong"}); err == nil {
		t.Error("a wrong recipient was taken")
	}
}

func TestShared(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, fs.ModeSetgid|0o770); err != nil {
		t.Fatal(err)
	}
	keep(t, newStore(t, dir), "mx1", "r1", "x")
	for _, line := range tree(t, dir) {
		if !strings.HasPrefix(line, "-rw-r-----") && !strings.HasPrefix(line, "dgrwxrwx---") && !strings.HasSuffix(line, " .lock") {
			t.Errorf("not shared with the group, or with more: %s", line)
		}
	}
	for _, mode := range []fs.FileMode{0o755, 0o750, 0o777, fs.ModeSetgid | 0o775} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenStateDir(dir); err == nil {
			t.Errorf("a directory of mode %v was taken", mode)
		}
	}
}

// TestTogether has many runs write at once and one remove: nothing that a manifest names is missing at the end.
func TestTogether(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := newStore(t, dir)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			m, data := backupOf("r"+string(rune('0'+i)), "same\n", "own "+string(rune('0'+i)))
			if err := newStore(t, dir).Keep(context.Background(), "mx1", m, data, noon); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if _, err := s.Remove(context.Background(), nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if damage, n, err := s.Verify(t.Context()); err != nil || len(damage) > 0 || n != 9 {
		t.Errorf("%v, %d, %v", damage, n, err)
	}
	if left, _ := filepath.Glob(dir + "/*/*/.new-*"); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestChoose(t *testing.T) {
	day := func(run string, n int, k Kept) Kept {
		k.Run, k.Made = run, noon.Add(-time.Duration(n)*24*time.Hour)
		return k
	}
	good := Kept{Good: true, Ended: true}
	all := []Kept{
		day("r1", 40, good), day("r2", 30, Kept{Good: true}), day("r3", 20, good), day("r4", 10, good), day("r5", 5, Kept{Ended: true}), day("r6", 1, Kept{Ended: true}),
	}
	for _, c := range []struct {
		name   string
		all    []Kept
		last   int
		within time.Duration
		want   []string
	}{
		{"nothing kept by a number", all, 0, 0, []string{"r1", "r3", "r5", "r6"}},
		{"the newest two", all, 2, 0, []string{"r1", "r3"}},
		{"three weeks", all, 0, 21 * 24 * time.Hour, []string{"r1"}},
		{"more than there are", all, 99, 0, nil},
		{"needed by a rollback", append(slices.Clone(all), day("r7", 0, Kept{Good: true, Of: "r1"})), 1, 0, []string{"r3", "r4", "r5", "r6"}},
		{"none good", []Kept{day("r1", 3, Kept{Ended: true})}, 0, 0, []string{"r1"}},
		{"empty", nil, 0, 0, nil},
	} {
		if diff := cmp.Diff(c.want, Choose(c.all, c.last, c.within, noon)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestRemove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := newStore(t, dir)
	keep(t, s, "mx1", "r1", "one", "both")
	keep(t, s, "mx1", "r2", "two", "both")
	gone, err := s.Remove(t.Context(), map[string][]string{"r1": {"mx1"}})
	if err != nil || gone != 1 {
		t.Errorf("%d, %v", gone, err)
	}
	if _, err := s.Load("r1", "mx1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if damage, n, err := s.Verify(t.Context()); err != nil || len(damage) > 0 || n != 2 {
		t.Errorf("%v, %d, %v", damage, n, err)
	}
}
