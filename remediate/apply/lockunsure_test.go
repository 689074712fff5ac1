package apply

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLockUnsure holds that a script that made the run's lock, and could not make sure of it, does not wait for itself.
func TestLockUnsure(t *testing.T) {
	t.Parallel()
	probe := small(t, scratch(t)).ready()
	probe.faulty()
	probe.begin("none", 0, "swap.sh").Wait()
	s := small(t, scratch(t)).ready()
	s.faulty()
	before := s.before()
	cmd := s.begin("fail", probe.lockMade(), "swap.sh")
	cmd.Wait()
	if !makesLock(s, s.hit()) {
		t.Fatalf("it failed at %q", s.hit())
	}
	if r := s.do("restore.sh", "--guard"); r.status != 0 {
		t.Errorf("restore: %+v", r)
	}
	if d := cmp.Diff(before, tree(t, s.live)); d != "" {
		t.Error(d)
	}
}

// makesLock says whether a call makes the run's lock durable once it has its name.
func makesLock(s *site, call string) bool {
	return strings.HasPrefix(call, "sync "+s.rundir()) && !strings.Contains(call, "holding")
}

// lockMade is the number of the call that makes the lock durable.
func (s *site) lockMade() int {
	s.t.Helper()
	for n := 1; n <= s.calls(); n++ {
		call, err := os.ReadFile(filepath.Join(s.dir, "calls", strconv.Itoa(n)))
		s.must(err)
		if makesLock(s, string(call)) {
			return n
		}
	}
	s.t.Fatal("the lock is not made durable")
	return 0
}
