package apply

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// carry runs an apply, which a fault may kill.
func carry(in Input) (o Outcome, died bool) {
	return try(func() Outcome { return Apply(context.Background(), in) })
}

func try(do func() Outcome) (o Outcome, died bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(errKilled); !ok {
				panic(r)
			}
			died = true
		}
	}()
	return do(), false
}

func TestApply(t *testing.T) {
	w := newWorld()
	o := Apply(context.Background(), w.input(false))
	if o.Ending != Changed || w.live != "after" || w.lock != "" || w.armed || w.stage {
		t.Fatalf("got %s (%s), host %q, lock %q", o.Ending, o.Reason, w.live, w.lock)
	}
	for _, s := range o.Steps {
		if s.State != Done {
			t.Errorf("step %s is %s", s.Step, s.State)
		}
	}
	if got := o.Sentence(""); got != "changed and confirmed" {
		t.Errorf("it says %q", got)
	}
}

// TestRefusedLogin: a login behind the bar that the host refuses is not tried again: the connection from before it puts everything back.
func TestRefusedLogin(t *testing.T) {
	w := newWorld()
	in := w.input(false)
	dials, dial := 0, in.Dial
	in.Dial = func(ctx context.Context) (remote.Host, error) {
		if dials++; dials > 1 {
			return nil, &remote.Error{Op: "log in to", Host: "mx", Kind: remote.ErrAuth, Err: errors.New("the host refused the password")}
		}
		return dial(ctx)
	}
	o := Apply(context.Background(), in)
	if o.Ending != RolledBack || w.live != "before" || dials != 2 || !strings.Contains(o.Reason, "no new login: cannot log in to mx: the host refused the password") {
		t.Errorf("it ended %s (%s), the host is %q, %d logins", o.Ending, o.Reason, w.live, dials)
	}
}

// TestLoginUnableOnce: a login behind the bar that fails at this machine (a touch that was missed) is tried again while there is time.
func TestLoginUnableOnce(t *testing.T) {
	w := newWorld()
	in := w.input(false)
	dials, dial := 0, in.Dial
	in.Dial = func(ctx context.Context) (remote.Host, error) {
		if dials++; dials == 2 {
			return nil, remote.Wrap("log in to", "mx", remote.ErrAuth, remote.Unable(errors.New("the key could not sign")))
		}
		return dial(ctx)
	}
	if o := Apply(context.Background(), in); o.Ending != Changed || dials != 3 {
		t.Errorf("it ended %s (%s), %d logins", o.Ending, o.Reason, dials)
	}
}

// TestPerson: where a login takes a person, the one that confirms is asked for before a live file changes; else it is a new one after it.
func TestPerson(t *testing.T) {
	for person, want := range map[string]string{"": "[before after]", "answer \"Verification code:\"": "[before before]"} {
		w := newWorld()
		w.person = person
		if o := Apply(context.Background(), w.input(false)); o.Ending != Changed || fmt.Sprint(w.dials) != want {
			t.Errorf("%q: it ended %s (%s), logins while the host was %v, want %s", person, o.Ending, o.Reason, w.dials, want)
		}
	}
	w := newWorld()
	w.person = "touch the key"
	in := w.input(false)
	once, dial := 0, in.Dial
	in.Dial = func(ctx context.Context) (remote.Host, error) {
		if once++; once > 1 {
			return nil, fmt.Errorf("%w: nobody answered", remote.ErrAuth)
		}
		return dial(ctx)
	}
	if o := Apply(context.Background(), in); o.Ending != Unchanged || w.live != "before" || w.lock != "" || !strings.Contains(o.Reason, "nobody answered") {
		t.Errorf("without the second login it ended %s (%s), host %q, lock %q", o.Ending, o.Reason, w.live, w.lock)
	}
}

// TestTooLate: a run that comes to the bar when it may no longer cross it leaves the host as it is.
func TestTooLate(t *testing.T) {
	w := newWorld()
	in := w.input(false)
	in.Bar = w.now.Add(time.Minute)
	in.Agree = func([]GeneratedFile) error { w.now = w.now.Add(2 * time.Minute); return nil } // a person took that long
	o := Apply(context.Background(), in)
	if o.Ending != Unchanged || !errors.Is(o.Err, ErrRefused) || w.live != "before" || w.armed || w.lock != "" {
		t.Errorf("it ended %s (%s), host %q, lock %q, guard %v", o.Ending, o.Reason, w.live, w.lock, w.armed)
	}
	w = newWorld()
	in = w.input(false)
	in.Bar = w.now.Add(time.Minute)
	if o := Apply(context.Background(), in); o.Ending != Changed {
		t.Errorf("in time it ended %s (%s)", o.Ending, o.Reason)
	}
}

// TestNothing: a host with nothing to change says how it stands; it is judged where that is not known, and never changed.
func TestNothing(t *testing.T) {
	w := newWorld()
	in := w.input(false)
	in.Host.Changes = nil
	o := Apply(context.Background(), in)
	if !o.Nothing || o.Result == nil || o.Result.Findings[0].Status != plan.Fail || len(w.entries) > 0 || len(w.dials) != 1 {
		t.Errorf("%+v; journal %v, logins %v", o, w.entries, w.dials)
	}
	if got := o.Sentence("en"); got != "nothing was changed: the plan has nothing to do here, and mends nothing of what stands (findings: 1)" {
		t.Errorf("it says %q", got)
	}
	o.Result.Findings[0].Status = plan.Review
	if got := Apply(context.Background(), Input{Host: in.Host, Result: o.Result, rooms: in.rooms, clock: in.clock}).Sentence("en"); got != "nothing was changed: there was nothing to do" {
		t.Errorf("of a host where nothing is known to be wrong it says %q", got)
	}
	in.Result = o.Result
	if o := Apply(context.Background(), in); !o.Nothing || o.Result != in.Result || len(w.dials) != 1 {
		t.Errorf("what is known already: %+v, logins %v", o, w.dials)
	}
	in.Result, in.Dial = nil, func(context.Context) (remote.Host, error) { return nil, remote.ErrUnreachable }
	if o := Apply(context.Background(), in); o.Nothing || !errors.Is(o.Err, remote.ErrUnreachable) {
		t.Errorf("not reached: %+v", o)
	}
}

// TestLoss: legitimate mail that the change breaks is restored by itself.
func TestLoss(t *testing.T) {
	w := newWorld()
	o := Apply(context.Background(), w.input(true))
	if o.Ending != RolledBack || w.live != "before" || !strings.Contains(o.Reason, "delivery to its own recipients from a client from outside is lost") {
		t.Fatalf("got %s: %s; host %q", o.Ending, o.Reason, w.live)
	}
}

// TestCutLeft: a run that loses its connection left of the bar, as where a person interrupts it, clears up over another one.
func TestCutLeft(t *testing.T) {
	clean, cases := newWorld(), 0
	Apply(context.Background(), clean.input(false))
	for op := 1; op <= clean.ops; op++ {
		for _, kind := range []cut{before, after} {
			w := newWorld()
			w.brief = true
			w.fault = func(n int) cut {
				if n == op {
					return kind
				}
				return whole
			}
			o := Apply(context.Background(), w.input(false))
			if o.Ending != Unchanged || o.Run == "" {
				continue
			}
			cases++
			if w.lock != "" || w.stage || w.armed || len(o.Warnings) > 0 {
				t.Errorf("operation %d, fault %d (%s): lock %q, stage %v, guard %v; it warns of %q", op, kind, o.Reason, w.lock, w.stage, w.armed, o.Warnings)
			}
		}
	}
	if cases < 20 {
		t.Errorf("only %d cases ended left of the bar", cases)
	}
}

// TestFaults steps through every operation of an apply with every fault: the host is as it was or confirmed, what the run says is what is, and
// the next run finds nothing in its way.
func TestFaults(t *testing.T) {
	clean := newWorld()
	Apply(context.Background(), clean.input(false))
	cases := 0
	for op := 1; op <= clean.ops; op++ {
		for kind := fail; kind <= paused; kind++ {
			cases++
			w := newWorld()
			w.fault = func(n int) cut {
				if n == op {
					return kind
				}
				return whole
			}
			o, died := carry(w.input(false))
			w.fault = nil
			where := fmt.Sprintf("operation %d, fault %d: %s (%s)", op, kind, o.Ending, o.Reason)
			if !died {
				check(t, w, o, where)
			}
			w.now = w.now.Add(time.Hour) // the guard's deadline passes
			w.guard()
			if w.live == "after" && w.token != tokenConfirm {
				t.Errorf("%s: the host is neither as it was nor confirmed", where)
			}
			was := w.live
			again := Apply(context.Background(), w.input(false))
			if w.lock != "" || w.armed || w.stage {
				t.Errorf("%s: the next run leaves lock %q, guard %v, stage %v", where, w.lock, w.armed, w.stage)
			}
			if was == "before" && again.Ending != Changed {
				t.Errorf("%s: the next run ends %s (%s)", where, again.Ending, again.Reason)
			}
		}
	}
	t.Logf("%d operations, %d cases", clean.ops, cases)
}

// check compares what a run says with what the host is.
func check(t *testing.T, w *world, o Outcome, where string) {
	t.Helper()
	want := map[Ending]string{Unchanged: "before", Changed: "after", RolledBack: "before"}
	if live, sure := want[o.Ending]; sure && w.live != live {
		t.Errorf("%s: the host is %q", where, w.live)
	} else if !sure {
		t.Errorf("%s: no fault of one operation may end so", where)
	}
	if o.Ending == Changed && o.Reason != "" || o.Ending != Changed && o.Reason == "" {
		t.Errorf("%s: the reason does not fit", where)
	}
}
