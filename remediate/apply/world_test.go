package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	brief bool // a connection that is lost may be made anew at once

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
	if w.brief {
		w.down = false
	}
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
