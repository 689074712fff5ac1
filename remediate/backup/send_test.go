package backup_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/backup"
	"mtaharden/remediate/plan"
)

// TestSend puts a host back by the controller's copy, its own folder being gone: with nothing there but the scripts that were sent.
func TestSend(t *testing.T) {
	for _, shell := range shells {
		t.Run(shell[0], func(t *testing.T) {
			t.Parallel()
			l := newLab(t, shell)
			const before, after = "myhostname = x\x00\xff\n", "myhostname = y\n"
			f := l.file(t, oddName, before, 0o640)
			if err := os.Chown(f, 25, 26); err != nil {
				t.Fatal(err)
			}
			big := l.file(t, "access.db", strings.Repeat("\x00'\xff\r\n", 60000), 0o600) // too long for a script
			made := filepath.Join(l.etc, "made")
			m, contents, err := backup.Save(t.Context(), l.Dir, l.Layout, "r1", []backup.Want{
				{Kind: plan.EditFile, Path: f, After: backup.State{Hash: backup.Hash([]byte(after)), Size: int64(len(after)), Mode: "0644"}},
				{Kind: plan.EditFile, Path: big, After: backup.State{Hash: backup.Hash([]byte(after)), Size: int64(len(after)), Mode: "0600"}},
				{Kind: plan.CreateFile, Path: made, After: backup.State{Hash: backup.Hash([]byte("made")), Size: 4, Mode: "0644"}},
			}, backup.Saving{})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(l.Base()); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
			l.file(t, oddName, after, 0o644)
			l.file(t, "made", "made", 0o644)
			l.file(t, "access.db", after, 0o600)
			scripts := func(m backup.Manifest) (map[string]string, error) {
				s, err := apply.Write(m, l.Layout)
				return map[string]string{"restore.sh": s.Restore, "confirm.sh": s.Confirm}, err
			}
			sent, err := backup.Send(t.Context(), l.Dir, l.Layout, *m, contents, scripts)
			if err != nil || sent.Items[0].Kept {
				t.Fatalf("%+v, %v", sent, err)
			}
			if r := l.inspect(t, "r1"); len(r.Damage) > 0 || r.Manifest == nil {
				t.Errorf("what was sent: %+v", r)
			}
			if _, err := os.Stat(filepath.Join(l.Layout.Run("r1"), "sent")); err != nil {
				t.Errorf("the folder does not say that it was sent: %v", err)
			}
			argv := append(append([]string{}, shell[1:]...), filepath.Join(l.Layout.Run("r1"), "restore.sh"))
			if out, err := exec.Command(shell[0], argv...).CombinedOutput(); err != nil {
				t.Fatalf("restore.sh: %v\n%s", err, out)
			}
			data, err := os.ReadFile(f)
			var st syscall.Stat_t
			if err != nil || string(data) != before || syscall.Stat(f, &st) != nil || st.Uid != 25 || st.Gid != 26 || st.Mode&0o7777 != 0o640 {
				t.Errorf("%q, %v, %d:%d %o", data, err, st.Uid, st.Gid, st.Mode)
			}
			if data, err := os.ReadFile(big); err != nil || string(data) != strings.Repeat("\x00'\xff\r\n", 60000) {
				t.Errorf("of the long file %d bytes came back, %v", len(data), err)
			}
			if left, _ := filepath.Glob(l.Base() + "/.upload*"); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			if _, err := os.Stat(made); err == nil {
				t.Error("what was not there before is there")
			}
			delete(contents, 0)
			if _, err := backup.Send(t.Context(), l.Dir, l.Layout, *m, contents, scripts); err == nil {
				t.Error("a backup without a content was sent")
			}
		})
	}
}
