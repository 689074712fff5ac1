package apply

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// systemdRun stands for systemd-run: it starts what it is given in a session of its own.
const systemdRun = `#!/bin/sh
while [ "$1" != /bin/sh ]; do
  case $1 in --unit=*) echo "${1#*=}" >"$SITE/unit" ;; esac
  shift
done
setsid "$@" &
`

// unguarded is a ready site of which the guard is not yet armed.
func unguarded(t *testing.T, host map[string]string) *site {
	t.Helper()
	s := small(t, scratch(t)).ready()
	s.must(os.RemoveAll(filepath.Join(s.rundir(), "guard")))
	s.faulty()
	s.write(filepath.Join(s.dir, "bin/systemd-run"), systemdRun)
	s.must(os.Chmod(filepath.Join(s.dir, "bin/systemd-run"), 0o755))
	for name, data := range host {
		p := filepath.Join(s.pace.root, name)
		s.mkdir(filepath.Dir(p))
		if data != "" {
			s.write(p, data)
		}
	}
	t.Cleanup(s.alone)
	return s
}

// guards are the processes of the site's guard.
func (s *site) guards() []int {
	var pids []int
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range all {
		data, err := os.ReadFile(p)
		pid, _ := strconv.Atoi(strings.Split(p, "/")[2])
		if err == nil && strings.Contains(string(data), s.rundir()+"/guard.sh\x00") && !s.dead(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// alone ends what a failed test left of a guard.
func (s *site) alone() {
	for _, pid := range s.guards() {
		syscall.Kill(-pid, syscall.SIGKILL)
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// checkGuardGone holds that no process of the guard is left. One that was just started sees that there is nothing to wait for.
func (s *site) checkGuardGone() {
	s.t.Helper()
	for range 300 {
		if len(s.guards()) == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, pid := range s.guards() {
		s.t.Errorf("at %q: the guard is left: %s", s.hit(), s.autopsy(pid))
	}
}

// autopsy is what a process that should be gone is at, and how the run stands.
func (s *site) autopsy(pid int) string {
	var b strings.Builder
	for _, f := range []string{"cmdline", "stat", "wchan", "stack"} {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, f))
		fmt.Fprintf(&b, "\n%s: %q %v", f, data, err)
	}
	for name, text := range tree(s.t, s.rundir()) {
		if !strings.HasSuffix(name, ".sh") && !strings.HasPrefix(name, "room.") {
			fmt.Fprintf(&b, "\n%s: %s", name, text)
		}
	}
	return b.String()
}

// hookHosts are what hosts look like to the guard, and the hook that it makes there.
var hookHosts = map[string]struct {
	host  map[string]string
	hooks []string
}{
	"systemd":  {map[string]string{"run/systemd/system/x": "", "etc/systemd/system/x": ""}, []string{"etc/systemd/system/mtaharden-restore-r1.service", "etc/systemd/system/sysinit.target.wants/mtaharden-restore-r1.service"}},
	"wants":    {map[string]string{"run/systemd/system/x": "", "etc/systemd/system/sysinit.target.wants/x": ""}, []string{"etc/systemd/system/mtaharden-restore-r1.service", "etc/systemd/system/sysinit.target.wants/mtaharden-restore-r1.service"}},
	"openrc":   {map[string]string{"etc/runlevels/boot/x": "", "etc/init.d/x": ""}, []string{"etc/init.d/mtaharden-restore-r1", "etc/runlevels/boot/mtaharden-restore-r1"}},
	"rcS":      {map[string]string{"etc/rcS.d/x": "", "etc/init.d/x": ""}, []string{"etc/rcS.d/S99mtaharden-restore-r1"}},
	"startpar": {map[string]string{"etc/rcS.d/x": "", "etc/init.d/.depend.boot": "TARGETS = x\n"}, []string{"etc/init.d/.legacy-bootordering", "etc/rcS.d/S99mtaharden-restore-r1"}},
	"legacy":   {map[string]string{"etc/rcS.d/x": "", "etc/init.d/.depend.boot": "TARGETS = x\n", "etc/init.d/.legacy-bootordering": "theirs\n"}, []string{"etc/rcS.d/S99mtaharden-restore-r1"}},
	"rc":       {map[string]string{"etc/rc.d/rc3.d/x": "", "etc/rc.d/rc5.d/x": ""}, []string{"etc/rc.d/rc3.d/S00mtaharden-restore-r1", "etc/rc.d/rc5.d/S00mtaharden-restore-r1"}},
	"hpux":     {map[string]string{"sbin/rc2.d/x": ""}, []string{"sbin/rc2.d/S00mtaharden-restore-r1"}},
}

// TestHooks holds that what restores at boot is made where each kind of host looks for it, restores when it is run, and goes with it.
func TestHooks(t *testing.T) {
	for name, c := range hookHosts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := unguarded(t, c.host)
			before, host := s.before(), tree(t, s.pace.root)
			if r := s.armed("1000"); r.status != 0 {
				t.Fatalf("arm: %+v", r)
			}
			var got []string
			for p := range tree(t, s.pace.root) {
				if _, was := host[p]; !was && (strings.Contains(p, "mtaharden") || strings.HasPrefix(filepath.Base(p), ".")) {
					got = append(got, p)
				}
			}
			slices.Sort(got)
			if d := cmp.Diff(c.hooks, got); d != "" {
				t.Errorf("hooks: %s", d)
			}
			if r := s.do("swap.sh"); r.status != 0 {
				t.Fatalf("swap: %+v", r)
			}
			s.alone() // the machine goes down
			s.boot(c.hooks[0])
			if d := cmp.Diff(before, tree(t, s.live)); d != "" {
				t.Errorf("after the boot: %s", d)
			}
			s.checkOver("restored")
			if d := cmp.Diff(host, tree(t, s.pace.root)); d != "" {
				t.Errorf("the host: %s", d)
			}
			if told, _ := os.ReadFile(filepath.Join(s.dir, "reloads")); strings.Count(string(told), "told") != 1 {
				t.Errorf("daemons that do not run yet were told: %q", told)
			}
		})
	}
}

// armed arms the guard.
func (s *site) armed(seconds string) result {
	s.t.Helper()
	c := s.command("guard.sh", "--arm", seconds)
	c.WaitDelay = 20 * time.Second
	out, err := c.Output()
	if c.ProcessState == nil {
		s.t.Fatal(err)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return result{status: exit.ExitCode(), stderr: string(exit.Stderr)}
	}
	if !strings.HasPrefix(string(out), "armed") {
		s.t.Errorf("arm: %q", out)
	}
	return result{status: c.ProcessState.ExitCode()}
}

// boot runs what a hook holds for a boot.
func (s *site) boot(hook string) {
	s.t.Helper()
	p := filepath.Join(s.pace.root, hook)
	if strings.HasSuffix(hook, ".legacy-bootordering") {
		p = filepath.Join(s.pace.root, "etc/rcS.d/S99mtaharden-restore-r1")
	}
	data, err := os.ReadFile(p)
	s.must(err)
	var words []string
	for line := range strings.Lines(string(data)) {
		if _, command, ok := strings.Cut(line, "/bin/sh "); ok && strings.Contains(command, "guard.sh") {
			words = strings.Fields(command)
		}
	}
	if len(words) != 2 {
		s.t.Fatalf("%s: %q", hook, data)
	}
	c := exec.Command("/bin/sh", words...)
	c.Env = append([]string{}, s.env...)
	if out, err := c.CombinedOutput(); err != nil {
		s.t.Errorf("boot: %v %s", err, out)
	}
}

// TestUnguarded holds that a host where nothing can run at boot, or a disk without room, refuses the guard by name and keeps nothing of it.
func TestUnguarded(t *testing.T) {
	t.Parallel()
	s := unguarded(t, nil)
	r := s.armed("1000")
	if r.status != 5 || !strings.Contains(r.stderr, "nothing here is known that runs a script at boot") {
		t.Errorf("arm: %+v", r)
	}
	if r := s.do("swap.sh"); r.status != 5 {
		t.Errorf("swap: %+v", r)
	}
	s.checkOver("restored")
	s.checkGuardGone()
}

// TestInMemory holds that a folder which the next boot empties, on a disk that it does not, refuses the guard and keeps nothing of it.
func TestInMemory(t *testing.T) {
	for name, c := range map[string]struct {
		mounts string // lines of /proc/self/mountinfo, BASE being the folder of the runs
		says   string
	}{
		"tmpfs":            {"21 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n30 21 0:40 / BASE rw,nosuid shared:9 master:2 - tmpfs none rw\n", "in memory alone (tmpfs)"},
		"above it":         {"21 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 21 0:40 / ABOVE rw - ramfs none rw\n", "in memory alone (ramfs)"},
		"a disk over it":   {"21 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 21 0:40 / ABOVE rw - tmpfs none rw\n31 30 8:2 / BASE rw - xfs /dev/sda2 rw\n", ""},
		"a neighbour":      {"21 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 21 0:40 / BASE2 rw - tmpfs none rw\n", ""},
		"all is in memory": {"21 1 0:2 / / rw - tmpfs none rw\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := unguarded(t, map[string]string{"run/systemd/system/x": "", "etc/systemd/system/x": "", "proc/self/x": ""})
			base, err := filepath.EvalSymlinks(filepath.Dir(s.rundir()))
			s.must(err)
			text := strings.NewReplacer("BASE", base, "ABOVE", filepath.Dir(base)).Replace(c.mounts)
			s.write(filepath.Join(s.pace.root, "proc/self/mountinfo"), text)
			s.write(filepath.Join(s.pace.root, "proc/uptime"), "1.00 1.00\n")
			host := tree(t, s.pace.root)
			r := s.armed("1000")
			if c.says == "" {
				if r.status != 0 {
					t.Fatalf("arm: %+v", r)
				}
				return
			}
			if r.status != 5 || !strings.Contains(r.stderr, c.says) {
				t.Errorf("arm: %+v", r)
			}
			if d := cmp.Diff(host, tree(t, s.pace.root)); d != "" {
				t.Errorf("the host: %s", d)
			}
			s.checkGuardGone()
		})
	}
}

// TestDeadline holds under every shell that the guard restores when its time is over, counts once more from the reload's end, whatever the
// clock on the wall says and whether or not the host counts its uptime, and ends when the run is confirmed.
func TestDeadline(t *testing.T) {
	for i, shell := range shells {
		t.Run(shell[0], func(t *testing.T) {
			t.Parallel()
			s := unguarded(t, nil)
			s.shell = shell
			before := s.before()
			if i%2 == 0 {
				s.must(os.Symlink("/proc", filepath.Join(s.pace.root, "proc")))
			}
			// The clock on the wall stands still.
			s.write(filepath.Join(s.dir, "bin/date"), "#!/bin/sh\necho 1000000000\n")
			s.must(os.Chmod(filepath.Join(s.dir, "bin/date"), 0o755))
			s.mkdir(filepath.Join(s.rundir(), "guard"))
			c := s.command("guard.sh", "--wait", "2")
			s.must(c.Start())
			defer c.Wait()
			defer syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
			s.await("disk/runs/r1/guard/pid", func() bool { return s.dead(c.Process.Pid) })
			swapped := s.do("swap.sh") // it may be over before the swap begins: a machine may be slow
			s.await("disk/runs/r1/end", func() bool { return false })
			if err := c.Wait(); err != nil {
				t.Errorf("the guard ended with %v", err)
			}
			if d := cmp.Diff(before, tree(t, s.live)); d != "" {
				t.Errorf("after the deadline (swap: %+v): %s", swapped, d)
			}
			s.checkOver("restored")
		})
	}
}

// TestRace lets a confirmation and the guard race, each with a head start of any number of calls: one of them wins, what it says is so, and
// each has won where it was far ahead.
func TestRace(t *testing.T) {
	t.Parallel()
	var cases []faultCase
	for _, script := range []string{"confirm.sh", "restore.sh"} {
		var all []faultCase
		for n := range raceCalls(t, script) {
			all = append(all, faultCase{script, "guard", n + 1})
		}
		last := len(all) - 1
		cases = append(cases, append(sampled(t, all[:last], 7), all[last])...)
	}
	var mu sync.Mutex
	won := map[string]int{}
	t.Cleanup(func() {
		t.Logf("won by: %v", won)
		if len(won) < 2 {
			t.Errorf("who wins does not go by who is ahead: %v", won)
		}
	})
	each(t, cases, func(t *testing.T, c faultCase) {
		winner := race(t, c)
		mu.Lock()
		defer mu.Unlock()
		won[winner]++
	})
}

// raceCalls is how many tools a script calls that races with nobody.
func raceCalls(t *testing.T, script string) int {
	t.Helper()
	s := small(t, scratch(t)).ready()
	s.faulty()
	if r := s.do("swap.sh"); r.status != 0 {
		t.Fatalf("swap: %+v", r)
	}
	if err := s.begin("none", 0, script, "--guard").Wait(); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return s.calls()
}

// race holds the script up at its n-th call, begins the other one, and lets the first go on as soon as that has begun.
func race(t *testing.T, c faultCase) (winner string) {
	t.Helper()
	s := small(t, scratch(t)).ready()
	s.faulty()
	before := s.before()
	if r := s.do("swap.sh"); r.status != 0 {
		t.Fatalf("swap: %+v", r)
	}
	other := map[string]string{"confirm.sh": "restore.sh", "restore.sh": "confirm.sh"}[c.script]
	first := s.begin(c.fault, c.n, c.script, "--guard")
	s.await("stopped", func() bool { return s.dead(first.Process.Pid) })
	second := make(chan result, 1)
	go func() { second <- s.do(other, "--guard") }()
	s.write(filepath.Join(s.dir, "go"), "")
	first.Wait()
	status := map[string]int{c.script: first.ProcessState.ExitCode(), other: (<-second).status}
	switch {
	case status["confirm.sh"] == 0 && status["restore.sh"] == 4:
		s.checkSwapped()
		s.checkOver("confirmed")
		return "confirm.sh"
	case status["confirm.sh"] != 0 && status["restore.sh"] == 0:
		if d := cmp.Diff(before, tree(t, s.live)); d != "" {
			t.Errorf("at %q it was put back: %s", s.hit(), d)
		}
		s.checkOver("restored")
		return "restore.sh"
	}
	t.Errorf("at %q they ended with %v", s.hit(), status)
	return "nobody"
}
