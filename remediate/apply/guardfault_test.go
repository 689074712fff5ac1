package apply

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGuardFaults fails and kills guard.sh --arm and confirm.sh at every call of a tool: what is left of a guard goes with the restore, and a
// run is confirmed or put back, never half.
func TestGuardFaults(t *testing.T) {
	t.Parallel()
	host := hookHosts["startpar"].host
	probe := unguarded(t, host)
	if err := probe.begin("none", 0, "guard.sh", "--arm", "1000").Wait(); err != nil {
		t.Fatal(err)
	}
	arm := probe.calls()
	if r := probe.do("swap.sh"); r.status != 0 {
		t.Fatalf("swap: %+v", r)
	}
	if err := probe.begin("none", 0, "confirm.sh").Wait(); err != nil {
		t.Fatal(err)
	}
	probe.checkGuardGone()
	var all []faultCase
	for script, calls := range map[string]int{"guard.sh": arm, "confirm.sh": probe.calls()} {
		t.Logf("%s calls %d tools", script, calls)
		for _, f := range []string{"fail", "kill", "orphan", "after", "stop"} {
			for n := 1; n <= calls; n++ {
				if script == "confirm.sh" || f != "stop" {
					all = append(all, faultCase{script, f, n})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b faultCase) int { return strings.Compare(a.script+a.fault, b.script+b.fault)*1000 + a.n - b.n })
	each(t, sampled(t, all, 16), func(t *testing.T, c faultCase) {
		if c.script == "guard.sh" {
			armFault(t, host, c)
		} else {
			confirmFault(t, host, c)
		}
	})
}

// TestGuardStopped holds that a guard that was stopped to be ended, by a confirmation or a restore that was killed there, is ended by who comes next.
func TestGuardStopped(t *testing.T) {
	for _, script := range []string{"confirm.sh", "restore.sh"} {
		for _, next := range [][]string{{script, "--guard"}, {"guard.sh", "--late"}} {
			t.Run(script+", then "+next[0], func(t *testing.T) {
				t.Parallel()
				s := unguarded(t, hookHosts["startpar"].host)
				if r := s.armed("1000"); r.status != 0 {
					t.Fatalf("arm: %+v", r)
				}
				if r := s.do("swap.sh"); r.status != 0 {
					t.Fatalf("swap: %+v", r)
				}
				for _, pid := range s.guards() {
					syscall.Kill(pid, syscall.SIGSTOP) // or it sees the run's end, and ends by itself
				}
				s.env = append(s.env, "FAULT_TOOL=ps") // who descends from the guard is asked when it is stopped
				s.begin("kill", 0, script, "--guard").Wait()
				if !strings.HasPrefix(s.hit(), "ps ") || len(s.guards()) != 1 {
					t.Fatalf("killed at %q, guards %v", s.hit(), s.guards())
				}
				if out, err := s.command(next[0], next[1:]...).CombinedOutput(); err != nil {
					t.Errorf("%v: %v %s", next, err, out)
				}
				s.checkGuardGone()
				s.checkOver(map[string]string{"confirm.sh": "confirmed", "restore.sh": "restored"}[script])
			})
		}
	}
}

func armFault(t *testing.T, host map[string]string, c faultCase) {
	t.Helper()
	s := unguarded(t, host)
	before, was := s.before(), tree(t, s.pace.root)
	cmd := s.begin(c.fault, c.n, "guard.sh", "--arm", "1000")
	cmd.Wait()
	s.checkKilled(c, cmd)
	if cmd.ProcessState.ExitCode() == 0 && len(s.guards()) != 1 {
		t.Errorf("at %q: armed, and there are %d guards", s.hit(), len(s.guards()))
	}
	if r := s.do("restore.sh", "--guard"); r.status != 0 {
		t.Errorf("at %q: restore: %+v", s.hit(), r)
	}
	if d := cmp.Diff(before, tree(t, s.live)); d != "" {
		t.Errorf("at %q: %s", s.hit(), d)
	}
	s.checkGuardGone()
	s.checkOver("restored")
	if d := cmp.Diff(was, tree(t, s.pace.root)); d != "" {
		t.Errorf("at %q: the host: %s", s.hit(), d)
	}
}

func confirmFault(t *testing.T, host map[string]string, c faultCase) {
	t.Helper()
	s := unguarded(t, host)
	before := s.before()
	if r := s.armed("1000"); r.status != 0 {
		t.Fatalf("arm: %+v", r)
	}
	if r := s.do("swap.sh"); r.status != 0 {
		t.Fatalf("swap: %+v", r)
	}
	cmd := s.begin(c.fault, c.n, "confirm.sh")
	if c.fault == "stop" && s.await("stopped", func() bool { return s.dead(cmd.Process.Pid) }) {
		s.fire()
		syscall.Kill(cmd.Process.Pid, syscall.SIGCONT)
	}
	cmd.Wait()
	s.checkKilled(c, cmd)
	status, hit := cmd.ProcessState.ExitCode(), s.hit()
	s.fire() // the guard's time is over
	end, _ := os.ReadFile(filepath.Join(s.rundir(), "end"))
	switch strings.TrimSpace(string(end)) {
	case "confirmed":
		s.checkSwapped()
		s.checkOver("confirmed")
	default:
		if status == 0 {
			t.Errorf("at %q: it said that it is confirmed, and it was put back", hit)
		}
		if d := cmp.Diff(before, tree(t, s.live)); d != "" {
			t.Errorf("at %q: %s", hit, d)
		}
		s.checkOver("restored")
	}
	s.checkGuardGone()
}

// fire does what the guard does at its deadline.
func (s *site) fire() {
	s.t.Helper()
	cmd := s.command("guard.sh", "--late")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Errorf("at %q: the guard: %v %s", s.hit(), err, out)
	}
}
