package apply

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
)

// shells are those that the host's scripts must do the same under.
var shells = [][]string{{"dash"}, {"bash"}, {"mksh"}, {"ksh93"}, {"busybox", "sh"}, {"yash"}, {"posh"}}

// A site is a directory that stands for a host: live files, a run's folder that is ready for the swap, and a lock and a guard for it.
type site struct {
	t      testing.TB
	dir    string // everything
	live   string // live files
	layout journal.Layout
	run    string
	m      backup.Manifest
	shell  []string
	pace   pace
	env    []string
	sleep  *exec.Cmd // the guard's process, for swap.sh to find
}

// newSite makes a site without items.
func newSite(t testing.TB, shell ...string) *site {
	t.Helper()
	return siteIn(t, scratch(t), shell...)
}

func siteIn(t testing.TB, dir string, shell ...string) *site {
	t.Helper()
	if len(shell) == 0 {
		shell = []string{"dash"}
	}
	s := &site{
		t: t, dir: dir, live: filepath.Join(dir, "disk/live"), layout: journal.Layout{Dir: filepath.Join(dir, "disk/runs")}, run: "r1", shell: shell,
		pace: pace{grace: 1, patience: 20, root: filepath.Join(dir, "root")},
	}
	s.mkdir(s.live, filepath.Join(s.rundir(), "keep"), filepath.Join(s.rundir(), "copy"), filepath.Join(s.rundir(), "new"), filepath.Join(dir, "root"))
	s.m = backup.Manifest{Run: s.run, Reload: []plan.Command{{Argv: []string{"sh", "-c", "cat >>" + dir + "/reloads; echo >>" + dir + "/reloads"}, Stdin: []byte("told\x01'\\ ü\n")}}}
	return s
}

func (s *site) rundir() string { return s.layout.Run(s.run) }

func (s *site) mkdir(dirs ...string) {
	s.t.Helper()
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *site) write(name, data string) {
	s.t.Helper()
	if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func hashOf(data string) string {
	h := sha256.Sum256([]byte(data))
	return "sha256:" + hex.EncodeToString(h[:])
}

// A want is one change of a site, with what stands there before.
type want struct {
	name   string // below live
	before string // content; absent says that there is none
	after  string
	mode   fs.FileMode // 0: 0644
	uid    int
	unkept bool // the run's folder holds no hard link
	last   bool
}

const absent = "\x00absent"

// plant makes the live file of a change, its copies, and its item.
func (s *site) plant(w want) {
	s.t.Helper()
	n := strconv.Itoa(len(s.m.Items) + 1)
	it := backup.Item{Path: filepath.Join(s.live, w.name), Kind: plan.EditFile, Last: w.last, Before: backup.State{Absent: true}, After: backup.State{Absent: true}}
	mode := cmp.Or(w.mode, 0o644)
	of := func(data string) backup.State {
		return backup.State{Hash: hashOf(data), Size: int64(len(data)), UID: w.uid, GID: w.uid, Mode: fmt.Sprintf("%04o", mode)}
	}
	s.mkdir(filepath.Dir(it.Path))
	if w.before != absent {
		it.Before = of(w.before)
		s.write(it.Path, w.before)
		s.must(os.Chown(it.Path, w.uid, w.uid))
		s.must(syscall.Chmod(it.Path, uint32(mode)))
		if err := unix.Setxattr(it.Path, "user.note", []byte("of "+n), 0); err != nil {
			s.t.Fatalf("this file system keeps no extended attributes: %v", err)
		}
		old := time.Date(2020, 1, 2, 3, 4, len(s.m.Items), 123456789, time.UTC)
		s.must(os.Chtimes(it.Path, old, old))
		copied := exec.Command("cp", "-a", it.Path, filepath.Join(s.rundir(), "copy", n))
		s.must(copied.Run())
		if it.Kept = !w.unkept; it.Kept {
			s.must(os.Link(it.Path, filepath.Join(s.rundir(), "keep", n)))
		}
	}
	if w.after != absent {
		it.After = of(w.after)
		s.write(filepath.Join(s.rundir(), "new", n), w.after)
	}
	switch {
	case w.before == absent:
		it.Kind = plan.CreateFile
	case w.after == absent:
		it.Kind = plan.DeleteFile
	}
	s.m.Items = append(s.m.Items, it)
}

// plantMode makes a change of a mode.
func (s *site) plantMode(name string, before, after fs.FileMode) {
	s.t.Helper()
	p := filepath.Join(s.live, name)
	s.mkdir(filepath.Dir(p))
	s.write(p, name)
	s.must(syscall.Chmod(p, uint32(before)))
	of := func(m fs.FileMode) backup.State { return backup.State{Mode: fmt.Sprintf("0%o", m)} }
	s.m.Items = append(s.m.Items, backup.Item{Kind: plan.ModeChange, Path: p, Before: of(before), After: of(after)})
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// ready writes the scripts, the host's lock, and a guard that never fires.
func (s *site) ready() *site {
	s.t.Helper()
	scripts, err := write(s.m, s.layout, s.pace)
	s.must(err)
	for name, text := range map[string]string{"swap.sh": scripts.Swap, "restore.sh": scripts.Restore, "guard.sh": scripts.Guard, "confirm.sh": scripts.Confirm} {
		s.write(filepath.Join(s.rundir(), name), text)
	}
	s.lock()
	if s.sleep == nil {
		s.sleep = exec.Command("sleep", "1000")
		s.must(s.sleep.Start())
		s.t.Cleanup(func() { s.sleep.Process.Kill(); s.sleep.Wait() })
	}
	for n := range 8 { // as the guard keeps it
		s.write(filepath.Join(s.rundir(), "room."+strconv.Itoa(n+1)), strings.Repeat("\x00", 16384))
	}
	s.mkdir(filepath.Join(s.rundir(), "guard"), filepath.Join(s.rundir(), "stage/etc"))
	s.write(filepath.Join(s.rundir(), "guard/pid"), strconv.Itoa(s.sleep.Process.Pid)+"\n")
	s.write(filepath.Join(s.rundir(), "guard/start"), s.born(s.sleep.Process.Pid)+"\n")
	return s
}

func (s *site) lock() {
	s.t.Helper()
	s.mkdir(s.layout.Lock())
	s.write(filepath.Join(s.layout.Lock(), "run"), s.run+"\n")
}

// born is what mh_birth says of a process.
func (s *site) born(pid int) string {
	s.t.Helper()
	out, err := exec.Command("dash", "-c", journal.Script()+"mh_setup; mh_birth "+strconv.Itoa(pid)+"; printf %s \"$mh_born\"").Output()
	s.must(err)
	return string(out)
}

// command is one of the run's scripts, not yet started.
func (s *site) command(script string, args ...string) *exec.Cmd {
	argv := append(append(slices.Clone(s.shell), filepath.Join(s.rundir(), script)), args...)
	ctx, stop := context.WithTimeout(s.t.Context(), 5*time.Minute) // one that hangs is ended
	s.t.Cleanup(stop)
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Dir = s.dir
	c.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"}, s.env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c
}

// result is what a script came to.
type result struct {
	status int
	lines  []Line
	stderr string
}

// do runs a script to its end.
func (s *site) do(script string, args ...string) result {
	s.t.Helper()
	c := s.command(script, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	c.WaitDelay = 20 * time.Second
	err := c.Run()
	if c.ProcessState == nil {
		s.t.Fatalf("%s: %v", script, err)
	}
	lines, err := ReadLines(out.Bytes())
	if err != nil {
		s.t.Errorf("%s: %v\n%s", script, err, out.Bytes())
	}
	return result{c.ProcessState.ExitCode(), lines, errs.String()}
}

// said returns the states of the items, in the order of their numbers; those of the run follow as they came.
func (r result) said() string {
	items := map[int]string{}
	var run []string
	for _, l := range r.lines {
		if l.N == 0 {
			run = append(run, l.State)
		} else {
			items[l.N] = l.State
		}
	}
	var words []string
	for _, n := range slices.Sorted(maps.Keys(items)) {
		words = append(words, items[n])
	}
	return strings.Join(append(words, run...), " ")
}

// tree is everything below a directory: type, mode, owner, time, content, attributes, names. Times of directories are left out.
func tree(t testing.TB, top string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(p, &st); err != nil {
			return err
		}
		text := fmt.Sprintf("%v %o %d:%d", d.Type(), st.Mode&0o7777, st.Uid, st.Gid)
		switch {
		case d.Type().IsRegular():
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			var note [64]byte
			n, _ := unix.Lgetxattr(p, "user.note", note[:])
			text += fmt.Sprintf(" links %d mtime %d.%d note %q %q", st.Nlink, st.Mtim.Sec, st.Mtim.Nsec, note[:max(n, 0)], data)
		case d.Type()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(p)
			text += fmt.Sprintf(" -> %q mtime %d.%d inode %d", to, st.Mtim.Sec, st.Mtim.Nsec, st.Ino)
		}
		name, err := filepath.Rel(top, p)
		out[name] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// stat is what stands at a path, as a manifest holds it, without its content.
func (s *site) stat(p string) backup.State {
	s.t.Helper()
	var st syscall.Stat_t
	s.must(syscall.Lstat(p, &st))
	return backup.State{UID: int(st.Uid), GID: int(st.Gid), Mode: fmt.Sprintf("%04o", st.Mode&0o7777)}
}

func sameMode(a, b string) bool {
	x, _ := octal(a)
	y, _ := octal(b)
	return x == y
}
