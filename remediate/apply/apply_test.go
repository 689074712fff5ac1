package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// world is a host as a run's rooms see it: what they do to it, with faults between.
type world struct {
	live     string // "before", "after", or what somebody else wrote
	entries  []entry
	token    string
	lock     string // whose
	shell    bool   // the lock's shell lives
	armed    bool
	deadline time.Time
	stage    bool
	now      time.Time

	ops   int // how many operations were asked for
	fault func(op int) cut
	down  bool // no connection is possible, and those open are dead

	person string   // what a person does at each login
	dials  []string // what the host was at each login: "before" the swap or "after" it
	until  time.Time
}

// cut is what becomes of one operation.
type cut int

const (
	whole  cut = iota
	fail       // it fails with a status, nothing done
	before     // the link is lost before it began
	after      // the link is lost behind it: it was done
	half       // the link is lost in its midst: the host's own part goes on
	killed     // the controller dies before it
	paused     // the controller sleeps past every deadline, and goes on
)

var errCut = fmt.Errorf("%w: the connection was lost", remote.ErrCut)

type errKilled struct{}

// op is one operation on the host: do changes it.
func (w *world) op(do func() int) (int, error) {
	w.ops++
	w.guard()
	if w.down {
		if w.now.Before(w.until) {
			return 0, errCut
		}
		w.down = false
	}
	kind := whole
	if w.fault != nil {
		kind = w.fault(w.ops)
	}
	switch kind {
	case fail:
		return 1, nil
	case before:
		w.break_()
		return 0, errCut
	case killed:
		w.shell = false
		panic(errKilled{})
	case paused:
		w.now = w.now.Add(time.Hour)
		w.guard()
	}
	status := do()
	if kind == after || kind == half {
		w.break_()
		return 0, errCut
	}
	return status, nil
}

func (w *world) break_() {
	w.down, w.until, w.shell = true, w.now.Add(5*time.Second), false
}

// guard does what the host's guard does, when its time has come.
func (w *world) guard() {
	if w.armed && !w.now.Before(w.deadline) {
		w.restore()
	}
}

func (w *world) restore() int {
	if w.token != "" && w.token != tokenRestore {
		return scriptFenced
	}
	if w.token == tokenRestore && slices.Contains(w.entries, entry{restoring, Done, ""}) {
		return scriptDone
	}
	w.token = tokenRestore
	w.entries = append(w.entries, entry{restoring, Doing, ""})
	w.live, w.armed, w.stage, w.lock, w.shell = "before", false, false, "", false
	w.entries = append(w.entries, entry{restoring, Done, ""})
	return scriptDone
}

func (w *world) rooms(run string) *rooms {
	return &rooms{
		lock: func(ctx context.Context, h remote.Host, in Input) (*keeper, error) {
			var held *journal.Refused
			_, err := w.op(func() int {
				if w.lock != "" {
					held = &journal.Refused{Kind: journal.ErrPending, By: &journal.Record{Run: w.lock}}
					return 3
				}
				w.lock, w.shell, w.entries, w.token = in.Run, true, []entry{{Save, Doing, ""}}, ""
				return 0
			})
			switch {
			case held != nil:
				return nil, held
			case err != nil:
				return nil, err
			case w.lock != in.Run:
				return nil, errors.New("no lock")
			}
			return &keeper{func() { w.shell = false }}, nil
		},
		note: func(_ context.Context, _ remote.Host, _ string, entries []entry) error {
			status, err := w.op(func() int {
				if w.token != "" || w.lock != run {
					return scriptFenced
				}
				w.entries = append(w.entries, entries...)
				return 0
			})
			return statusError(status, err)
		},
		save: func(_ context.Context, _ remote.Host, run string, in plan.HostPlan) (*backup.Manifest, map[int][]byte, error) {
			m := &backup.Manifest{Run: run}
			contents := map[int][]byte{}
			status, err := w.op(func() int {
				for i, c := range in.Changes {
					m.Items = append(m.Items, backup.Item{Kind: c.Kind, Path: c.Path, Before: backup.State{Hash: "sha256:" + hash([]byte(w.live))}})
					contents[i] = []byte(w.live)
				}
				return 0
			})
			return m, contents, statusError(status, err)
		},
		stage: func(context.Context, remote.Host, Input, map[string][]byte) (candidate, error) {
			status, err := w.op(func() int { w.stage = true; return 0 })
			return &fakeStage{w}, statusError(status, err)
		},
		around: func(context.Context, remote.Host, string) (around, error) {
			return around{keeper: true}, statusError(w.op(func() int { return 0 }))
		},
		commit: func(context.Context, remote.Host, string, string) error {
			return statusError(w.op(func() int { return 0 }))
		},
		complete: func(context.Context, remote.Host, string, *backup.Manifest, []plan.Change, map[string][]byte, []plan.Command) error {
			return statusError(w.op(func() int { return 0 }))
		},
		arm: func(_ context.Context, _ remote.Host, _ string, d time.Duration) error {
			return statusError(w.op(func() int {
				if w.token != "" {
					return scriptFenced
				}
				w.armed, w.deadline = true, w.now.Add(d)
				w.entries = append(w.entries, entry{Guard, Done, ""})
				return 0
			}))
		},
		swap: func(context.Context, remote.Host, string) (int, error) {
			return w.op(func() int {
				if w.token != "" {
					return scriptFenced
				}
				w.entries = append(w.entries, entry{Swap, Doing, ""})
				w.live = "after"
				w.entries = append(w.entries, entry{Swap, Done, ""}, entry{Reload, Doing, ""}, entry{Reload, Done, ""})
				w.deadline = w.now.Add(DefaultTimeout)
				return 0
			})
		},
		abandon: func(context.Context, remote.Host, string) (int, error) { return w.op(w.restore) },
		restore: func(context.Context, remote.Host, string, string) (int, error) { return w.op(w.restore) },
		confirm: func(context.Context, remote.Host, string) (int, error) {
			return w.op(func() int {
				if w.token != "" && w.token != tokenConfirm {
					return scriptFenced
				}
				w.token = tokenConfirm
				w.armed, w.stage, w.lock, w.shell = false, false, "", false
				w.entries = append(w.entries, entry{Confirm, Doing, ""}, entry{Confirm, Done, ""})
				return 0
			})
		},
		read: func(context.Context, remote.Host, string) (*record, error) {
			r := &record{}
			status, err := w.op(func() int {
				*r = record{Entries: slices.Clone(w.entries), Token: w.token, Locked: w.lock != "", Holder: w.shell, Armed: w.armed, Deadline: w.deadline}
				return 0
			})
			return r, statusError(status, err)
		},
	}
}

func statusError(status int, err error) error {
	switch {
	case err != nil:
		return err
	case status == scriptFenced:
		return ErrFenced
	case status != 0:
		return fmt.Errorf("exit status %d", status)
	}
	return nil
}

type fakeStage struct{ w *world }

func (s *fakeStage) Regenerate(context.Context) ([]GeneratedFile, error) {
	return nil, statusError(s.w.op(func() int { return 0 }))
}
func (s *fakeStage) Validate(context.Context) error {
	return statusError(s.w.op(func() int { return 0 }))
}
func (s *fakeStage) Start(context.Context) error {
	return statusError(s.w.op(func() int { return 0 }))
}
func (s *fakeStage) Unproven() string  { return "" }
func (s *fakeStage) Host() remote.Host { return fakeHost{s.w} }

// fakeHost answers the two reads of the mail log.
type fakeHost struct{ w *world }

func (h fakeHost) Run(context.Context, remote.Cmd, int) (remote.Result, error) {
	status, err := h.w.op(func() int { return 0 })
	return remote.Result{Exit: status}, err
}
func (h fakeHost) Transport() remote.Transport { return remote.Transport{Person: h.w.person} }
func (h fakeHost) Close() error                { return nil }

var relays = judge.Question{Class: judge.Outside, Form: "plain", Verb: judge.Rcpt}
var local = judge.Question{Class: judge.Outside, Form: "local", Verb: judge.Rcpt}

// judged is what the judges make of the world: the hole is there before, and gone after.
func (w *world) judged(where Where, breaks bool) *Judgement {
	status, hole, mail := plan.Fail, judge.Relayed, judge.Delivered
	if where == InStage || w.live == "after" {
		status, hole = plan.Pass, judge.Refused
	}
	if where == Live && w.live == "after" && breaks {
		mail = judge.Refused
	}
	return &Judgement{
		Complete: true,
		Result: &plan.Result{
			Installs: []plan.Install{{MTA: "some", Active: true, Listen: []string{"0.0.0.0:25"}}},
			Findings: []plan.Finding{{Rule: "open", Status: status}},
		},
		Answers: [][]judge.Answer{{{Question: relays, Outcome: hole}, {Question: local, Outcome: mail}}},
		Offers:  []Offer{{Listener: "0.0.0.0:25", Alive: true}},
	}
}

func (w *world) input(breaks bool) Input {
	run := "20261122-020000.000"
	return Input{
		Host: plan.HostPlan{
			Name: "mx", Installs: []plan.Install{{MTA: "some"}},
			Changes: []plan.Change{{Kind: plan.EditFile, Path: "/etc/mail/x", Edits: []plan.Edit{{Start: 0, End: 6, OldHash: hash([]byte("before")), New: []byte("after")}}}},
			Expect:  []plan.Expectation{{Rule: "open", Before: plan.Fail, After: plan.Pass}},
		},
		Run: run,
		Dial: func(context.Context) (remote.Host, error) {
			_, err := w.op(func() int { w.dials = append(w.dials, w.live); return 0 })
			if err != nil {
				return nil, fmt.Errorf("%w: %w", remote.ErrUnreachable, err)
			}
			return fakeHost{w}, nil
		},
		Judge: func(_ context.Context, _ remote.Host, where Where) (*Judgement, error) {
			var j *Judgement
			status, err := w.op(func() int { j = w.judged(where, breaks); return 0 })
			return j, statusError(status, err)
		},
		rooms: w.rooms(run),
		clock: clock{now: func() time.Time { return w.now }, wait: func(_ context.Context, d time.Duration) error {
			w.now = w.now.Add(d)
			w.guard()
			return nil
		}},
	}
}

func newWorld() *world {
	return &world{live: "before", now: time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)}
}

// carry runs an apply, which a fault may kill.
func carry(in Input) (o Outcome, died bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(errKilled); !ok {
				panic(r)
			}
			died = true
		}
	}()
	return Apply(context.Background(), in), false
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

// TestNothing: a host with nothing to change says how it stands; it is judged where that is not known, and never changed.
func TestNothing(t *testing.T) {
	w := newWorld()
	in := w.input(false)
	in.Host.Changes = nil
	o := Apply(context.Background(), in)
	if !o.Nothing || o.Result == nil || o.Result.Findings[0].Status != plan.Fail || len(w.entries) > 0 || len(w.dials) != 1 {
		t.Errorf("%+v; journal %v, logins %v", o, w.entries, w.dials)
	}
	if got := o.Sentence("en"); got != "nothing was changed: there was nothing to do" {
		t.Errorf("it says %q", got)
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
