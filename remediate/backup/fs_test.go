package backup_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
)

// mounted has the host's commands run in a mount namespace of their own, after what setup mounts there. In it LIB is the folder of runs and ETC
// the configuration.
func (l *lab) mounted(t *testing.T, setup string) {
	t.Helper()
	setup = strings.NewReplacer("LIB", l.Base(), "ETC", l.etc, "TOP", filepath.Dir(l.etc)).Replace(setup)
	file := filepath.Join(t.TempDir(), "enter")
	text := "#!/bin/sh\nexec unshare -m --propagation private /bin/sh -c '" + setup + "\nexec /bin/sh \"$@\"' sh \"$@\"\n"
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	l.Shell = []string{file}
}

// TestFileSystems meets file systems that are read-only, full, mounted on a single file, or another one than the run's folder.
func TestFileSystems(t *testing.T) {
	for name, c := range map[string]struct {
		setup string
		says  string
		kind  plan.ChangeKind
		room  int64
	}{
		"read-only":             {setup: "mount --bind ETC ETC && mount -o remount,ro,bind ETC", says: "mounted read-only"},
		"read-only for a mode":  {setup: "mount --bind ETC ETC && mount -o remount,ro,bind ETC", says: "mounted read-only", kind: plan.ModeChange},
		"a file of its own":     {setup: "mount --bind ETC/main.cf ETC/main.cf", says: "is a mount of its own"},
		"its mode":              {setup: "mount --bind ETC/main.cf ETC/main.cf", kind: plan.ModeChange},
		"no room in the folder": {setup: "mount --bind LIB /mnt && mount -t tmpfs -o size=1m none LIB && cp -a /mnt/. LIB", says: "no room", room: 2 << 20},
		"full folder":           {setup: "mount --bind LIB /mnt && mount -t tmpfs -o size=64k none LIB && cp -a /mnt/. LIB", says: "main.cf cannot be copied"},
		"no room beside it":     {setup: "mount --bind ETC /mnt && mount -t tmpfs -o size=1m,mode=755 none ETC && cp -a /mnt/. ETC", says: "the file system of ETC has", room: 2 << 20},
		"other file system":     {setup: "mount --bind LIB /mnt && mount -t tmpfs -o size=64m none LIB && cp -a /mnt/. LIB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, nil)
			f := l.file(t, "main.cf", strings.Repeat("a line of the file\n", 10000), 0o640)
			l.mounted(t, c.setup)
			kind := c.kind
			if kind == "" {
				kind = plan.EditFile
			}
			m, contents, err := backup.Save(t.Context(), l.Dir, l.Layout, "r1", []backup.Want{{Kind: kind, Path: f, After: backup.State{Mode: "0600"}}}, backup.Saving{Room: c.room})
			says := strings.ReplaceAll(c.says, "ETC", l.etc)
			if c.says != "" {
				if !errors.Is(err, backup.ErrUnsafe) || !strings.Contains(err.Error(), says) {
					t.Errorf("%v, want %q", err, says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if kind == plan.EditFile && (m.Items[0].Kept || len(contents[0]) != 190000 || m.Items[0].Before.Mode != "0640") {
				t.Errorf("%+v", m.Items[0])
			}
		})
	}
}

// TestOverlay: where the layers of an overlay lie on two file systems, the two names of one inode may show two numbers.
func TestOverlay(t *testing.T) {
	t.Parallel()
	disk, err := os.MkdirTemp("/var/tmp", "mtaharden-test-") // of a memory file system over another the numbers are the same
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(disk) })
	l := newLabAt(t, nil, disk)
	f := l.file(t, "main.cf", "a line of the file\n", 0o640)
	l.mounted(t, "mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w && mount -t overlay -o lowerdir=TOP,upperdir=/mnt/u,workdir=/mnt/w none TOP")
	m, contents, err := backup.Save(t.Context(), l.Dir, l.Layout, "r1", edits(f), backup.Saving{})
	if err != nil {
		t.Fatal(err)
	}
	if string(contents[0]) != "a line of the file\n" || m.Items[0].Before.Mode != "0640" {
		t.Errorf("%+v, %q", m.Items[0], contents[0])
	}
	t.Logf("the inode is kept: %v", m.Items[0].Kept)
}

// TestACL holds that a file whose ACL the run's folder cannot take is refused, and that one whose inode is kept is not.
func TestACL(t *testing.T) {
	// acl(5) as Linux stores it: version 2, then tag, permissions and id of each entry; account 4242 may read.
	acl := []byte{2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0x92, 0x10, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255,
		16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255}
	for name, c := range map[string]struct{ setup, says string }{
		"same file system": {"", ""},
		"takes ACLs":       {"mount --bind LIB /mnt && mount -t tmpfs -o size=64m none LIB && cp -a /mnt/. LIB", ""},
		"takes none":       {"mount --bind LIB /mnt && mount -t ramfs none LIB && chmod 700 LIB && cp -a /mnt/. LIB", "could not be put back"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, nil)
			f := l.file(t, "main.cf", "x\n", 0o640)
			if err := unix.Setxattr(f, "system.posix_acl_access", acl, 0); err != nil {
				t.Fatal(err)
			}
			l.mounted(t, c.setup)
			_, _, err := backup.Save(t.Context(), l.Dir, l.Layout, "r1", edits(f), backup.Saving{})
			if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, backup.ErrUnsafe) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

// TestRaces has the file become another one at a step of its saving.
func TestRaces(t *testing.T) {
	for name, tool := range map[string][2]string{
		"link at ln":    {"ln", "rm -f \"$1\"; /bin/ln -s SECRET \"$1\""},
		"link at cp":    {"cp", "case $* in */r1/keep/1*) rm -f FILE; /bin/ln -s SECRET FILE ;; esac"},
		"content at cp": {"cp", "case $* in */r1/keep/1*) echo more >>FILE ;; esac"},
		"mode at cp":    {"cp", "case $* in */r1/keep/1*) chmod 4755 FILE ;; esac"},
		"gone at cp":    {"cp", "case $* in */r1/keep/1*) rm -f FILE ;; esac"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, nil)
			f := l.file(t, "main.cf", "x\n", 0o640)
			secret := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(secret, []byte("secret\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			text := strings.NewReplacer("FILE", f, "SECRET", secret).Replace(tool[1])
			stub(tool[0], "#!/bin/sh\n"+text+"\nexec /bin/"+tool[0]+" \"$@\"\n")(t, l)
			_, contents, err := backup.Save(t.Context(), l.Dir, l.Layout, "r1", edits(f), backup.Saving{})
			if !errors.Is(err, backup.ErrUnsafe) || !strings.Contains(err.Error(), "changed while it was saved") || contents != nil {
				t.Errorf("%v", err)
			}
			if left, _ := filepath.Glob(l.Layout.Run("r1") + "/*"); len(left) != 1 {
				t.Errorf("left in the run's folder: %v", left)
			}
		})
	}
}

// TestCut has the link cut, and the answer changed, at many places: an error, never half a save.
func TestCut(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	f := l.file(t, "main.cf", "a line of the file\n", 0o640)
	_, _, err := backup.Save(t.Context(), l.Dir, l.Layout, "r1", edits(f), backup.Saving{})
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for n := 1; n < 1000; n += 97 {
		l := newLab(t, nil)
		f := l.file(t, "main.cf", "a line of the file\n", 0o640)
		l.Fault = func(int) *remotetest.Fault { return &remotetest.Fault{CutAfter: n, Kill: n%2 == 0} }
		m, contents, err := backup.Save(t.Context(), l.Dir, l.Layout, "r1", edits(f), backup.Saving{})
		if err == nil && m != nil && m.Items[0].Before.Holds(contents[0]) {
			break // the cut is behind the end
		}
		if !errors.Is(err, remote.ErrCut) || m != nil || contents != nil {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
		tried++
	}
	if tried < 5 {
		t.Errorf("only %d cuts were tried", tried)
	}
}
