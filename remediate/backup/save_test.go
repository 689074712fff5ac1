package backup_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote/remotetest"
)

// shells are those under which every script must do the same.
var shells = [][]string{{"dash"}, {"bash"}, {"mksh"}, {"ksh93"}, {"busybox", "sh"}, {"yash"}, {"posh"}}

// lab is a host made of a directory, with a run begun on it.
type lab struct {
	*remotetest.Dir
	journal.Layout
	etc string // its configuration
}

func newLab(t *testing.T, shell []string) *lab {
	t.Helper()
	return newLabAt(t, shell, "")
}

func newLabAt(t *testing.T, shell []string, root string) *lab {
	t.Helper()
	h := remotetest.NewDir(t, root, nil)
	h.Shell = shell
	root, err := filepath.EvalSymlinks(h.Root)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{Dir: h, Layout: journal.Layout{Dir: root + "/lib/runs", Veto: root + "/veto"}, etc: root + "/etc"}
	if err := os.Mkdir(l.etc, 0o755); err != nil {
		t.Fatal(err)
	}
	l.begin(t, "r1")
	return l
}

// begin begins a run; its shell ends with the test.
func (l *lab) begin(t *testing.T, run string) *journal.Hold {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	k, err := journal.Begin(ctx, l.Dir, l.Layout, journal.Start{About: journal.About{Run: run, Command: "apply"}, Holder: "kim@jump1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); <-k.Done() })
	return k
}

// next gives the lock of a run back and begins another.
func (l *lab) next(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(l.Lock(), filepath.Join(l.Layout.Run(from), "unlocked")); err != nil {
		t.Fatal(err)
	}
	l.begin(t, to)
}

func (l *lab) file(t *testing.T, name, data string, mode os.FileMode) string {
	t.Helper()
	p := filepath.Join(l.etc, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p, mode); err != nil {
		t.Fatal(err)
	}
	return p
}

func (l *lab) link(t *testing.T, target, name string) string {
	t.Helper()
	p := filepath.Join(l.etc, name)
	if err := os.Symlink(target, p); err != nil {
		t.Fatal(err)
	}
	return p
}

func edits(paths ...string) []backup.Want {
	var out []backup.Want
	for _, p := range paths {
		out = append(out, backup.Want{Kind: plan.EditFile, Path: p})
	}
	return out
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

const oddName = `it's "odd" \ $(x) 한국 100%`

func TestSave(t *testing.T) {
	for _, shell := range shells {
		t.Run(shell[0], func(t *testing.T) {
			t.Parallel()
			l := newLab(t, shell)
			main := l.file(t, "main.cf", "myhostname = x\n", 0o644)
			db := l.file(t, "access.db", "\x00\x01\xff\r\n"+strings.Repeat("\x00", 5000)+"no end", 0o640)
			odd := l.file(t, oddName, "", 0o755|os.ModeSetuid)
			real := l.file(t, "sub/aliases", "root: kim\n", 0o644)
			aliases := l.link(t, "sub/../sub/./aliases", "aliases")
			l.link(t, l.etc+"/sub", "dir")
			through := filepath.Join(l.etc, "dir/new.cf")
			gone := filepath.Join(l.etc, "gone.cf")
			if err := os.Chown(db, 25, 26); err != nil {
				t.Fatal(err)
			}
			after := backup.State{Hash: backup.Hash([]byte("x")), Size: 1, Mode: "0644"}
			wants := []backup.Want{
				{Kind: plan.EditFile, Path: main, After: after}, {Kind: plan.Generated, Path: db}, {Kind: plan.DeleteFile, Path: odd, After: backup.State{Absent: true}, Last: true},
				{Kind: plan.EditFile, Path: aliases}, {Kind: plan.CreateFile, Path: gone}, {Kind: plan.CreateFile, Path: through},
				{Kind: plan.ModeChange, Path: filepath.Join(l.etc, "sub"), After: backup.State{Mode: "0700"}},
			}
			m, contents, err := backup.Save(t.Context(), l.Dir, l.Layout, "r1", wants, backup.Saving{Reload: []plan.Command{{Argv: []string{"postfix", "reload it's"}}}, Room: 5000})
			if err != nil {
				t.Fatal(err)
			}
			state := func(data, mode string, uid, gid int) backup.State {
				return backup.State{Hash: backup.Hash([]byte(data)), Size: int64(len(data)), UID: uid, GID: gid, Mode: mode}
			}
			dbData := "\x00\x01\xff\r\n" + strings.Repeat("\x00", 5000) + "no end"
			want := &backup.Manifest{Run: "r1", Reload: []plan.Command{{Argv: []string{"postfix", "reload it's"}}}, Items: []backup.Item{
				{Kind: plan.EditFile, Path: main, Before: state("myhostname = x\n", "0644", 0, 0), After: after, Kept: true},
				{Kind: plan.Generated, Path: db, Before: state(dbData, "0640", 25, 26), Kept: true},
				{Kind: plan.DeleteFile, Path: odd, Before: state("", "4755", 0, 0), After: backup.State{Absent: true}, Kept: true, Last: true},
				{Kind: plan.EditFile, Path: real, Named: aliases, Before: state("root: kim\n", "0644", 0, 0), Kept: true},
				{Kind: plan.CreateFile, Path: gone, Before: backup.State{Absent: true}},
				{Kind: plan.CreateFile, Path: l.etc + "/sub/new.cf", Named: through, Before: backup.State{Absent: true}},
				{Kind: plan.ModeChange, Path: l.etc + "/sub", Before: m.Items[6].Before, After: backup.State{Mode: "0700"}},
			}}
			if diff := cmp.Diff(want, m); diff != "" || m.Items[6].Before.Mode != "0755" || m.Items[6].Before.Absent {
				t.Errorf("manifest (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[int][]byte{0: []byte("myhostname = x\n"), 1: []byte(dbData), 2: {}, 3: []byte("root: kim\n")}, contents); diff != "" {
				t.Errorf("contents (-want +got):\n%s", diff)
			}
			for n, p := range map[string]string{"1": main, "2": db, "3": odd, "4": real} {
				keep, copied := filepath.Join(l.Layout.Run("r1"), "keep", n), filepath.Join(l.Layout.Run("r1"), "copy", n)
				if inode(t, keep) != inode(t, p) || inode(t, copied) == inode(t, p) {
					t.Errorf("%s is not the inode of %s, or its copy is", keep, p)
				}
			}
			rec, err := journal.Read(t.Context(), l.Dir, l.Layout, "r1")
			if err != nil {
				t.Fatal(err)
			}
			if again, err := backup.Decode(rec.Manifest); err != nil || !cmp.Equal(again, m) {
				t.Errorf("the manifest on the host: %v\n%s", err, cmp.Diff(m, again))
			}
			if _, _, err := backup.Save(t.Context(), l.Dir, l.Layout, "r1", wants, backup.Saving{}); err == nil || !strings.Contains(err.Error(), "saved already") {
				t.Errorf("saving twice: %v", err)
			}
			if _, _, err := backup.Save(t.Context(), l.Dir, l.Layout, "r2", wants, backup.Saving{}); !errors.Is(err, backup.ErrFenced) {
				t.Errorf("without the lock: %v", err)
			}
			// The names that a run has of a file do not make it one with several names for the next.
			l.next(t, "r1", "r2")
			if _, _, err := backup.Save(t.Context(), l.Dir, l.Layout, "r2", wants, backup.Saving{}); err != nil {
				t.Errorf("the next run: %v", err)
			}
		})
	}
}

// TestRefused holds that what is not safe is refused by name, and that nothing is left of a save that was.
func TestRefused(t *testing.T) {
	account := func(path string, uid int) func(*testing.T, *lab) {
		return func(t *testing.T, l *lab) {
			if err := os.Lchown(filepath.Join(l.etc, path), uid, -1); err != nil {
				t.Fatal(err)
			}
		}
	}
	mode := func(path string, m os.FileMode) func(*testing.T, *lab) {
		return func(t *testing.T, l *lab) {
			if err := os.Chmod(filepath.Join(l.etc, path), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	cases := map[string]struct {
		path  string
		says  string // "" where it is taken
		setup []func(*testing.T, *lab)
		in    backup.Saving
	}{
		"plain":                 {path: "d/f"},
		"stranger's directory":  {path: "d/f", says: "/etc/d belongs to the account 4242", setup: []func(*testing.T, *lab){account("d", 4242)}},
		"MTA's directory":       {path: "d/f", setup: []func(*testing.T, *lab){account("d", 8)}, in: backup.Saving{Owners: []string{"nosuchaccount", "mail"}}},
		"group's directory":     {path: "d/f", says: "/etc/d can be written to by others", setup: []func(*testing.T, *lab){mode("d", 0o775)}},
		"all's directory":       {path: "d/f", says: "/etc/d can be written to by others", setup: []func(*testing.T, *lab){mode("d", 0o757)}},
		"sticky last":           {path: "d/f", says: "/etc/d can be written to by others", setup: []func(*testing.T, *lab){mode("d", 0o777|os.ModeSticky)}},
		"sticky on the way":     {path: "d/e/f", setup: []func(*testing.T, *lab){mode("d", 0o777|os.ModeSticky)}},
		"stranger under sticky": {path: "d/e/f", says: "/etc/d/e belongs to the account 4242", setup: []func(*testing.T, *lab){mode("d", 0o777|os.ModeSticky), account("d/e", 4242)}},
		"setgid":                {path: "d/f", setup: []func(*testing.T, *lab){mode("d", 0o755|os.ModeSetgid)}},
		"dangling":              {path: "dangling", says: "dangling leads to nothing"},
		"loop":                  {path: "loop", says: "in a circle"},
		"two loops":             {path: "a/f", says: "in a circle"},
		"file as directory":     {path: "d/f/g", says: "/etc/d/f is no directory"},
		"no directory":          {path: "none/f", says: "/etc/none is no directory"},
		"fifo":                  {path: "fifo", says: "fifo is no plain file"},
		"directory":             {path: "d", says: "/etc/d is no plain file"},
		"hard link":             {path: "twice", says: "twice has 2 names"},
		"stranger's link":       {path: "out", says: "/etc/out belongs to the account 4242", setup: []func(*testing.T, *lab){account("out", 4242)}},
		"root's link out":       {path: "out"},
		"MTA's link out": {path: "out", says: "out belongs to the account 8 and leads out of the MTA's directories",
			setup: []func(*testing.T, *lab){account("out", 8)}, in: backup.Saving{Owners: []string{"mail"}, Roots: []string{"ETC/d"}}},
		"MTA's link inside": {path: "inside", setup: []func(*testing.T, *lab){account("inside", 8)}, in: backup.Saving{Owners: []string{"mail"}, Roots: []string{"ETC/x", "ETC/d"}}},
		"MTA's link under sticky": {path: "d/l", says: "/etc/d/l belongs to the account 8",
			setup: []func(*testing.T, *lab){mode("d", 0o777|os.ModeSticky), account("d/l", 8)}, in: backup.Saving{Owners: []string{"mail"}, Roots: []string{"ETC"}}},
		"immutable":           {path: "d/f", says: "d/f is immutable", setup: []func(*testing.T, *lab){chattr("+i", "d/f")}},
		"append-only":         {path: "d/f", says: "d/f is immutable or append-only", setup: []func(*testing.T, *lab){chattr("+a", "d/f")}},
		"immutable directory": {path: "d/f", says: "directory ETC/d is immutable", setup: []func(*testing.T, *lab){chattr("+i", "d")}},
		"no room":             {path: "d/f", says: "no room", in: backup.Saving{Room: 200 << 20}, setup: []func(*testing.T, *lab){stub("df", "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/x 100 90 4096 90% /a b\n")}},
		"no inodes":           {path: "d/f", says: "room for 3 files only", setup: []func(*testing.T, *lab){stub("df", "#!/bin/sh\ncase $1 in -Pi) echo /dev/x 100 97 3 97% / ;; *) echo /dev/x 1 1 99999 1% / ;; esac")}},
		"no inodes counted":   {path: "d/f", setup: []func(*testing.T, *lab){stub("df", "#!/bin/sh\ncase $1 in -Pi) echo /dev/x 0 0 0 - / ;; *) echo /dev/x 1 1 99999 1% / ;; esac")}},
		"no lsattr":           {path: "d/f", says: "takes no hard link, as one that is immutable", setup: []func(*testing.T, *lab){chattr("+i", "d/f"), stub("lsattr", "#!/bin/sh\nexit 1\n")}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, shells[len(name)%len(shells)])
			f := l.file(t, "d/f", "content\n", 0o644)
			l.file(t, "d/e/f", "content\n", 0o644)
			l.link(t, "nowhere", "dangling")
			l.link(t, "loop", "loop")
			l.link(t, "b", "a")
			l.link(t, "a", "b")
			l.link(t, "../etc/../elsewhere", "out")
			l.link(t, "d/f", "inside")
			l.link(t, "f", "d/l")
			if err := errors.Join(os.Link(l.file(t, "once", "", 0o644), l.etc+"/twice"), os.WriteFile(filepath.Dir(l.etc)+"/elsewhere", nil, 0o644), syscall.Mkfifo(l.etc+"/fifo", 0o600)); err != nil {
				t.Fatal(err)
			}
			for _, set := range c.setup {
				set(t, l)
			}
			for i := range c.in.Roots {
				c.in.Roots[i] = strings.Replace(c.in.Roots[i], "ETC", l.etc, 1)
			}
			before := inode(t, f)
			m, _, err := backup.Save(t.Context(), l.Dir, l.Layout, "r1", edits(l.etc+"/"+c.path), c.in)
			says := strings.Replace(c.says, "ETC", l.etc, 1)
			if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, backup.ErrUnsafe) || !strings.Contains(err.Error(), says) || m != nil) {
				t.Fatalf("%v, want %q", err, says)
			}
			if data, err := os.ReadFile(f); err != nil || string(data) != "content\n" || inode(t, f) != before {
				t.Errorf("the live file is not what it was: %q, %v", data, err)
			}
			if left, _ := filepath.Glob(l.Layout.Run("r1") + "/*"); c.says != "" && len(left) != 1 {
				t.Errorf("left in the run's folder: %v", left)
			}
		})
	}
}

// chattr sets an attribute until the test ends.
func chattr(how, path string) func(*testing.T, *lab) {
	return func(t *testing.T, l *lab) {
		t.Helper()
		p := filepath.Join(l.etc, path)
		if out, err := exec.Command("chattr", how, p).CombinedOutput(); err != nil {
			t.Fatalf("chattr: %v: %s", err, out)
		}
		t.Cleanup(func() { _ = exec.Command("chattr", strings.Replace(how, "+", "-", 1), p).Run() })
	}
}

// stub puts a tool of the test's own before the real one.
func stub(name, text string) func(*testing.T, *lab) {
	return func(t *testing.T, l *lab) {
		t.Helper()
		if !strings.HasPrefix(text, "#!") {
			text = "#!/bin/sh\ncat <<'END'\n" + text + "END\n"
		}
		bin := t.TempDir()
		if err := os.WriteFile(bin+"/"+name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		l.Env = append(l.Env, "PATH="+bin+":/usr/bin:/bin:/usr/sbin:/sbin")
	}
}
