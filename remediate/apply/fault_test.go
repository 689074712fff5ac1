package apply

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/plan"
)

// shim stands before every tool that the scripts call. It counts the calls; at one of them it does what the case asks for.
const shim = `#!/bin/dash
tool=${0##*/}
n=none
if [ -z "$OF_GUARD" ] && [ -n "$FAULT" ]; then
  # Calls in a pipe are at it together: a number is taken by who makes its file. That a count is too low or cut costs time alone.
  read -r n <"$SITE/count"
  set -C
  until n=$((n + 1)) && { echo "$tool $*" >"$SITE/calls/$n"; } 2>/dev/null; do [ "$n" -lt 9999 ] || exit 99; done
  set +C
  echo "$n" >"$SITE/count"
fi
path=$PATH
PATH=/usr/sbin:/usr/bin:/sbin:/bin
real=$(command -v "$tool")
case $n/$tool in none/*) ;; "$FAULT_AT"/* | */"$FAULT_TOOL") n=hit ;; esac
if [ "$n" = hit ] && [ "$FAULT" != attack ]; then
  echo "$tool $*" >"$SITE/hit"
  read -r main <"$SITE/main"
  case $FAULT in
  fail) exit 1 ;;
  half)
    [ "$tool" != cat ] || head -c 7 "$@"
    exit 1
    ;;
  kill) kill -s KILL -- "-$main" ;;
  orphan) kill -KILL "$main" ;;
  after)
    case $tool in
    setsid) # it ends with the guard: it has done its work when that waits
      OF_GUARD=1 "$tool" "$@" &
      for n in 1 2 3 4 5 6 7 8 9; do [ -e "$SITE/disk/runs/r1/guard/pid" ] || sleep 1; done
      ;;
    *) "$tool" "$@" ;;
    esac
    kill -s KILL -- "-$main"
    ;;
  full) dd if=/dev/zero of="$SITE/disk/fill" bs=4096 2>/dev/null ;;
  readonly) mount -o remount,ro "$SITE/disk" ;;
  immutable) chattr +i "$SITE/disk/live" ;;
  stop)
    kill -STOP "$main"
    true >"$SITE/stopped"
    ;;
  late | guard)
    true >"$SITE/stopped"
    until [ -e "$SITE/go" ]; do sleep 0.05; done
    ;;
  esac
fi
if [ "$FAULT" = attack ] && [ "$n" != none ] && { [ "$n" = hit ] || [ "$n" -ge "$FAULT_AT" ]; } && [ ! -e "$SITE/hit" ]; then
  for room in "$SITE"/disk/live/.mtaharden-*; do
    [ ! -d "$room" ] || { echo "$tool $*" >"$SITE/hit"; mv "$room" "$room.aside" && ln -s "$SITE/victim" "$room"; }
  done
fi
case $tool in
sync) [ "$*" != /nonexistent/name ]; exit ;;
systemctl) echo "$*" >>"$SITE/systemctl"; exit 0 ;;
setsid) export OF_GUARD=1 ;; # what the guard calls is none of the script's calls
esac
PATH=$path
exec "$real" "$@"
`

// shimmed are the tools that the scripts call.
var shimmed = []string{
	"awk", "cat", "chmod", "chown", "cmp", "cp", "cut", "date", "dd", "grep", "head", "ln", "ls", "mkdir", "mv", "ps", "rm", "rmdir",
	"sed", "setsid", "sha256sum", "sleep", "sort", "sync", "systemctl", "tail", "timeout", "touch", "tr", "wc",
}

// faulty makes ready for the shim: it stands before every tool in a script that begin starts, elsewhere before those that must not be the
// machine's own.
func (s *site) faulty() {
	s.t.Helper()
	bin, shims := filepath.Join(s.dir, "bin"), filepath.Join(s.dir, "shims")
	s.mkdir(bin, shims)
	s.write(filepath.Join(shims, "shim"), shim)
	s.must(os.Chmod(filepath.Join(shims, "shim"), 0o755))
	for _, tool := range shimmed {
		s.must(os.Symlink("shim", filepath.Join(shims, tool)))
	}
	for _, tool := range []string{"sync", "systemctl"} {
		s.must(os.Symlink("../shims/shim", filepath.Join(bin, tool)))
	}
	s.env = []string{"PATH=" + bin + ":/usr/sbin:/usr/bin:/sbin:/bin", "SITE=" + s.dir}
}

// begin starts a script with a fault at its n-th call of a tool, 0 for none. What it prints is dropped.
func (s *site) begin(fault string, n int, script string, args ...string) *exec.Cmd {
	s.t.Helper()
	for _, f := range []string{"hit", "stopped", "go"} {
		os.Remove(filepath.Join(s.dir, f))
	}
	s.must(os.RemoveAll(filepath.Join(s.dir, "calls")))
	s.mkdir(filepath.Join(s.dir, "calls"))
	s.write(filepath.Join(s.dir, "count"), "0\n")
	c := s.command(script, args...)
	c.Args = append([]string{"dash", "-c", `echo $$ >"$SITE/main"; exec "$@"`, "sh"}, c.Args...)
	c.Path, _ = exec.LookPath("dash")
	c.Env = append(c.Env, "PATH="+s.dir+"/shims:"+s.dir+"/bin:/usr/sbin:/usr/bin:/sbin:/bin", "FAULT="+fault, "FAULT_AT="+strconv.Itoa(n))
	c.WaitDelay = 30 * time.Second
	s.must(c.Start())
	return c
}

// calls is how often the script called a tool.
func (s *site) calls() int {
	s.t.Helper()
	calls, err := os.ReadDir(filepath.Join(s.dir, "calls"))
	s.must(err)
	return len(calls)
}

// hit is the call at which the fault was, "" where the script did not come that far.
func (s *site) hit() string {
	data, _ := os.ReadFile(filepath.Join(s.dir, "hit"))
	return strings.TrimSpace(string(data))
}

// await waits for a file of the site.
func (s *site) await(name string, over func() bool) bool {
	for range 3000 {
		if _, err := os.Stat(filepath.Join(s.dir, name)); err == nil {
			return true
		}
		if over() {
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("%s did not come in 30 s", name)
	return false
}

// small is a site with one change of each kind, and a service.
func small(t *testing.T, dir string) *site {
	s := siteIn(t, dir)
	s.plant(want{name: "map", before: absent, after: "a new map"})
	s.plant(want{name: "main.cf", before: "the old text", after: "the new text, longer", mode: 0o640, uid: 1000})
	s.plant(want{name: "unkept", before: "elsewhere", after: "changed", unkept: true})
	s.plantMode("queue", 0o755, 0o4711)
	s.plantService("mta.service")
	s.plant(want{name: "gone", before: "no longer needed", after: absent, last: true})
	return s
}

// plantService makes a service that the run disables and stops.
func (s *site) plantService(name string) {
	s.t.Helper()
	unit, wants := filepath.Join(s.live, name), filepath.Join(s.live, "multi-user.target.wants")
	s.mkdir(wants)
	s.write(unit, "[Service]\n")
	s.must(os.Symlink(unit, filepath.Join(wants, name)))
	s.m.Items = append(s.m.Items, backup.Item{Kind: plan.Unit, Path: unit, Service: &plan.Service{
		Manager: "systemd", Name: name,
		Before: plan.Running{Enabled: true, Active: true, Links: []string{filepath.Join(wants, name)}},
		After:  plan.Running{Links: []string{filepath.Join(s.live, "new-"+name)}},
	}})
}

// A faultCase is one fault at one call of a tool.
type faultCase struct {
	script, fault string
	n             int
}

// each runs every case as a test of its own, named after it.
func each(t *testing.T, cases []faultCase, run func(*testing.T, faultCase)) {
	t.Helper()
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s-%s-%d", strings.TrimSuffix(c.script, ".sh"), c.fault, c.n), func(t *testing.T) {
			t.Parallel()
			run(t, c)
		})
	}
}

// sampled are the cases of an ordinary run, all of them where MTALAB_FULL is set.
func sampled(t *testing.T, all []faultCase, most int) []faultCase {
	t.Helper()
	if os.Getenv("MTALAB_FULL") != "" || len(all) <= most {
		t.Logf("all %d cases", len(all))
		return all
	}
	t.Logf("%d of %d cases", most, len(all))
	r := rand.New(rand.NewPCG(4, 2026))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:most]
}

// TestScriptFaults fails, kills and stops swap.sh and restore.sh at every call of a tool, and fires the guard there: the host is as it was,
// or confirmed, or the next restore makes it so, and nothing is left.
func TestScriptFaults(t *testing.T) {
	t.Parallel()
	faults := []string{"fail", "half", "kill", "orphan", "after", "stop", "guard", "late"}
	var all []faultCase
	for _, script := range []string{"swap.sh", "restore.sh"} {
		calls := countCalls(t, script)
		for _, f := range faults {
			for n := 1; n <= calls; n++ {
				all = append(all, faultCase{script, f, n})
			}
		}
		t.Logf("%s calls %d tools", script, calls)
	}
	each(t, sampled(t, all, 36), runFault)
}

// countCalls is how many tools a script calls where nothing goes wrong.
func countCalls(t *testing.T, script string) int {
	t.Helper()
	s := small(t, scratch(t)).ready()
	s.faulty()
	if err := s.begin("none", 0, "swap.sh").Wait(); err != nil {
		t.Fatalf("swap: %v", err)
	}
	if script != "swap.sh" {
		if err := s.begin("none", 0, script, "--guard").Wait(); err != nil {
			t.Fatalf("%s: %v", script, err)
		}
	}
	return s.calls()
}

// scratch is an empty directory, in memory where that keeps extended attributes.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "mtaharden-test-")
	if err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		if syscall.Setxattr(dir, "user.note", []byte("x"), 0) == nil {
			return dir
		}
	}
	dir, err = filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func runFault(t *testing.T, c faultCase) {
	t.Helper()
	s := small(t, scratch(t)).ready()
	s.faulty()
	before := s.before()
	args := []string{}
	if c.script == "restore.sh" {
		args = []string{"--guard"}
		if err := s.begin("none", 0, "swap.sh").Wait(); err != nil {
			t.Fatalf("swap: %v", err)
		}
	}
	cmd := s.begin(c.fault, c.n, c.script, args...)
	switch c.fault {
	case "stop", "guard", "late":
		s.meddle(c, cmd)
	}
	cmd.Wait()
	s.checkKilled(c, cmd)
	status, hit := cmd.ProcessState.ExitCode(), s.hit()
	bad := func(format string, args ...any) {
		t.Errorf("at %q, status %d: "+format, append([]any{hit, status}, args...)...)
	}
	if c.script == "swap.sh" && status == 0 {
		s.checkSwapped()
	} else if status == 5 || c.fault == "stop" || c.fault == "guard" || c.fault == "late" && !begun(hit) {
		if d := cmp.Diff(before, tree(t, s.live)); d != "" {
			bad("it is not as it was: %s", d)
		}
	}
	if c.fault == "fail" && status != 0 && status != 5 && c.script == "swap.sh" {
		bad("a failed call was not undone")
	}
	if r := s.do("restore.sh", "--guard"); r.status != 0 {
		bad("the next restore: %+v", r)
	}
	if d := cmp.Diff(before, tree(t, s.live)); d != "" {
		bad("after the next restore: %s", d)
	}
	s.checkOver("restored")
}

// begun says whether a call, once it is made, changes the host by itself: no token stops that. (The guard ends the process that would make
// it; a rename has nothing left to rename.)
func begun(hit string) bool {
	tool, args, _ := strings.Cut(hit, " ")
	switch tool {
	case "chmod", "chown", "timeout", "systemctl":
		return true
	case "rm", "ln":
		return !strings.Contains(args, ".mtaharden-")
	case "mv":
		return strings.Contains(args, "/links/")
	}
	return false
}

// checkKilled holds that a fault that kills the script did.
func (s *site) checkKilled(c faultCase, cmd *exec.Cmd) {
	s.t.Helper()
	switch c.fault {
	case "kill", "orphan", "after":
		if s.hit() != "" && cmd.ProcessState.ExitCode() != -1 {
			s.t.Errorf("at %q: it was to be killed, and ended with %v", s.hit(), cmd.ProcessState)
		}
	}
}

// meddle waits until the script is held up at the fault, has the guard restore, and lets the script go on.
func (s *site) meddle(c faultCase, cmd *exec.Cmd) {
	s.t.Helper()
	if !s.await("stopped", func() bool { return s.dead(cmd.Process.Pid) }) {
		return
	}
	if c.fault == "late" {
		s.disown()
	}
	if r := s.do("restore.sh", "--guard"); r.status != 0 {
		s.t.Errorf("at %q: the guard's restore: %+v", s.hit(), r)
	}
	s.write(filepath.Join(s.dir, "go"), "")
	syscall.Kill(cmd.Process.Pid, syscall.SIGCONT)
}

// dead says whether a process has ended.
func (s *site) dead(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(data), ") Z ")
}

// disown makes the holders of the run's lock look dead: the guard ends nobody, and only the token is left to stop a swap that wakes up late.
func (s *site) disown() {
	s.t.Helper()
	holders, err := filepath.Glob(filepath.Join(s.rundir(), "busy.*/holder"))
	s.must(err)
	for _, h := range holders {
		s.write(h, "1 none swap\n")
	}
}

// asleep ends the process that stands for the guard.
func (s *site) asleep() {
	s.sleep.Process.Kill()
	s.sleep.Wait()
}
