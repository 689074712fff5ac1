package apply

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestDisk fills the disk, makes it read-only and makes the directory of live files immutable at calls of swap.sh: the host is put back by
// what the guard kept room for, or as soon as the disk lets it.
func TestDisk(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("it mounts a file system: only root may")
	}
	calls := countCalls(t, "swap.sh")
	var all []faultCase
	for _, fault := range []string{"full", "readonly", "immutable"} {
		for n := 1; n <= calls; n++ {
			all = append(all, faultCase{"swap.sh", fault, n})
		}
	}
	var mu sync.Mutex
	ends := map[string]int{}
	t.Cleanup(func() { t.Logf("exit statuses: %v", ends) })
	each(t, sampled(t, all, 12), func(t *testing.T, c faultCase) {
		status := diskFault(t, c)
		mu.Lock()
		defer mu.Unlock()
		ends[fmt.Sprint(c.fault, " ", status)]++
	})
}

func diskFault(t *testing.T, c faultCase) (status int) {
	t.Helper()
	dir, disk := smallDisk(t)
	s := small(t, dir).ready()
	defer s.asleep()
	s.faulty()
	before := s.before()
	cmd := s.begin(c.fault, c.n, "swap.sh")
	cmd.Wait()
	status, hit := cmd.ProcessState.ExitCode(), s.hit()
	swapped, after := status == 0, tree(t, s.live)
	s.repair(disk)
	switch {
	case swapped:
		s.checkSwapped()
	case status == 5:
		if d := cmp.Diff(before, after); d != "" {
			t.Errorf("at %q: it said that it is put back: %s", hit, d)
		}
	case status != 6 || c.fault == "full":
		t.Errorf("at %q: status %d", hit, status)
	}
	if r := s.do("restore.sh", "--guard"); r.status != 0 {
		t.Errorf("at %q: the next restore: %+v", hit, r)
	}
	if d := cmp.Diff(before, tree(t, s.live)); d != "" {
		t.Errorf("at %q: after the next restore: %s", hit, d)
	}
	s.checkOver("restored")
	return status
}

// smallDisk mounts a file system of 2 MiB, in a directory of its own.
func smallDisk(t *testing.T) (dir, disk string) {
	t.Helper()
	dir = scratch(t)
	disk = filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=2m,mode=755"); err != nil {
		t.Fatalf("cannot mount: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	return dir, disk
}

// repair takes away what made the disk refuse.
func (s *site) repair(disk string) {
	s.t.Helper()
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT, "size=2m"); err != nil {
		s.t.Fatal(err)
	}
	os.Remove(filepath.Join(disk, "fill"))
	f, err := os.Open(s.live)
	s.must(err)
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	s.must(err)
	const immutable = 0x10 // ioctl_iflags(2), FS_IMMUTABLE_FL
	if flags&immutable != 0 {
		s.must(unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags&^immutable))
	}
}

// TestSweep holds that a restore that cannot remove what a swap left beside a file says so, and does when it can.
func TestSweep(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("it makes a directory immutable: only root may")
	}
	s := small(t, scratch(t)).ready()
	s.faulty()
	before := s.before()
	s.write(filepath.Join(s.live, ".mtaharden-r1.2"), "half")
	if out, err := exec.Command("chattr", "+i", s.live).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	r := s.do("restore.sh", "--guard")
	if out, err := exec.Command("chattr", "-i", s.live).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if r.status != 6 || !strings.Contains(r.stderr, "cannot remove .mtaharden-r1.2 beside "+s.live+"/main.cf") {
		t.Errorf("restore: %+v", r)
	}
	if r := s.do("restore.sh", "--guard"); r.status != 0 {
		t.Errorf("restore: %+v", r)
	}
	if d := cmp.Diff(before, tree(t, s.live)); d != "" {
		t.Error(d)
	}
	s.checkOver("restored")
}

// TestAttack holds that who owns the directory of a live file has root write, own or remove nothing elsewhere: at calls of a swap and of a
// restore he puts a link to root's own directory in the place of what root has made in his.
func TestAttack(t *testing.T) {
	t.Parallel()
	var all []faultCase
	for _, script := range []string{"swap.sh", "restore.sh"} {
		for n := range countCalls(t, script) {
			all = append(all, faultCase{script, "attack", n + 1})
		}
	}
	var met atomic.Int64
	t.Cleanup(func() {
		t.Logf("in %d there was something to attack", met.Load())
		if met.Load() == 0 {
			t.Error("nothing was attacked")
		}
	})
	each(t, sampled(t, all, 12), func(t *testing.T, c faultCase) {
		s := small(t, scratch(t)).ready()
		s.faulty()
		victim := filepath.Join(s.dir, "victim")
		s.must(os.Mkdir(victim, 0o700))
		s.write(filepath.Join(victim, "new"), "root's own")
		before := tree(t, victim)
		if c.script == "restore.sh" {
			s.begin("none", 0, "swap.sh").Wait()
		}
		args := map[string][]string{"restore.sh": {"--guard"}}[c.script]
		s.begin(c.fault, c.n, c.script, args...).Wait()
		if d := cmp.Diff(before, tree(t, victim)); d != "" {
			t.Errorf("at %q: %s", s.hit(), d)
		}
		if s.hit() != "" {
			met.Add(1)
		}
	})
}

// TestFullLeavesNothing holds that a script that finds the disk full leaves nothing of the lock that it could not make.
func TestFullLeavesNothing(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("it mounts a file system: only root may")
	}
	dir, disk := smallDisk(t)
	s := small(t, dir).ready()
	defer s.asleep()
	fill, err := os.Create(filepath.Join(disk, "fill"))
	s.must(err)
	for block := make([]byte, 4096); err == nil; _, err = fill.Write(block) {
	}
	s.must(fill.Close())
	if r := s.do("swap.sh"); r.status == 0 {
		t.Errorf("a swap on a full disk: %+v", r)
	}
	if left, _ := filepath.Glob(filepath.Join(s.rundir(), "holding.*")); len(left) > 0 {
		t.Errorf("%s is left", left)
	}
	s.repair(disk)
	if r := s.do("restore.sh", "--guard"); r.status != 0 {
		t.Errorf("the next restore: %+v", r)
	}
	s.checkOver("restored")
}
