package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// clock is time as a run needs it.
type clock struct {
	now  func() time.Time
	wait func(ctx context.Context, d time.Duration) error
}

func realClock() clock {
	return clock{time.Now, func(ctx context.Context, d time.Duration) error {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}}
}

// runner is one run on one host.
type runner struct {
	in       Input
	rooms    rooms
	clock    clock
	host     remote.Host // the connection of all that stands left of the bar, and of the swap
	second   remote.Host // the connection of verify and confirm
	keeper   *keeper
	steps    []StepReport
	manifest *backup.Manifest
	contents map[int][]byte
	files    map[string][]byte // what goes live of sources
	staged   candidate
	before   *Judgement
	after    *Judgement
	around   around
	mark     mark // how far the mail log was before the swap
	deadline time.Time
	doubts   []string // what the last look left for a person
	looked   bool     // verify is in the host's journal
	failing  *record  // the host as it was last read, where it could not be put back and its guard tries again
	out      Outcome

	// What a rollback does in its own way.
	lefts  []stepOf
	swap   func(context.Context) (int, error)
	judged func(*Judgement) error           // what verify makes of a host: an error says what is wrong with it
	called func(e Ending, why error) Ending // how an ending of the run's is called
}

// stepOf is a step and what it does.
type stepOf struct {
	step Step
	do   func(context.Context) error // nil: there is nothing to do
}

func newRunner(in Input) *runner {
	in.Timeout = cmp.Or(in.Timeout, DefaultTimeout)
	if in.Tell == nil {
		in.Tell = func(StepReport) {}
	}
	if in.Agree == nil {
		in.Agree = Explained
	}
	in.About.Run, in.About.Confirm = in.Run, in.Timeout
	theRooms := real(in.Layout)
	if in.rooms != nil {
		theRooms = *in.rooms
	}
	r := &runner{in: in, rooms: theRooms, clock: in.clock, out: Outcome{Host: in.Host.Name}}
	if r.clock.now == nil {
		r.clock = realClock()
	}
	r.lefts = []stepOf{{Save, r.save}, {Backup, r.backup}, {StageStep, r.stage}, {Regenerate, r.regenerate}, {Validate, r.validate}, {Prove, r.prove}, {Guard, r.arm}}
	r.swap = func(ctx context.Context) (int, error) { return r.rooms.swap(ctx, r.host, r.in.Run) }
	r.judged = r.expected
	r.called = func(e Ending, _ error) Ending { return e }
	for _, s := range Steps() {
		r.steps = append(r.steps, StepReport{Step: s, State: Pending})
	}
	return r
}

// told changes the state of a step, and tells of it.
func (r *runner) told(s Step, state StepState, err error) {
	i := slices.IndexFunc(r.steps, func(t StepReport) bool { return t.Step == s })
	r.steps[i].State = state
	if err != nil {
		r.steps[i].Error = err.Error()
	}
	r.in.Tell(r.steps[i])
}

// at is the step that was begun last.
func (r *runner) at() Step {
	last := Save
	for _, s := range r.steps {
		if s.State != Pending {
			last = s.Step
		}
	}
	return last
}

func (r *runner) end(e Ending, err error, nothing bool) Outcome {
	o := r.out
	o.Ending, o.Err, o.Nothing, o.Steps = e, err, nothing, r.steps
	if err != nil {
		o.Reason = err.Error()
	}
	if nothing {
		o.Stands = standing(o.Result)
	}
	return o
}

func (r *runner) close() {
	if r.keeper != nil {
		r.keeper.stop()
	}
	for _, h := range []remote.Host{r.second, r.host} {
		if h != nil {
			h.Close()
		}
	}
}

// left is everything before the bar: only the run's own folder is written. A step's "doing" is durable on the host before it begins; that of
// save is the folder itself.
func (r *runner) left(ctx context.Context) error {
	var behind []entry
	for i, s := range r.lefts {
		if s.do == nil {
			behind = append(behind, entry{s.step, Skipped, ""})
			r.told(s.step, Skipped, nil)
			continue
		}
		if i > 0 {
			if err := r.note(ctx, append(behind, entry{s.step, Doing, ""})...); err != nil {
				return err
			}
		}
		r.told(s.step, Doing, nil)
		if err := s.do(ctx); err != nil {
			return err
		}
		r.told(s.step, Done, nil)
		behind = []entry{{s.step, Done, ""}}
	}
	return ctx.Err()
}

// save reaches the host, takes its lock, and judges it as it is.
func (r *runner) save(ctx context.Context) error {
	var err error
	if r.host, err = r.in.Dial(ctx); err != nil {
		return err
	}
	if err := r.lock(ctx); err != nil {
		return err
	}
	if r.before, err = r.in.Judge(ctx, r.host, Live); err != nil {
		return fmt.Errorf("cannot judge it as it is: %w", err)
	}
	return tooShort(r.in.Timeout, cmp.Or(r.in.floor, FloorTimeout), r.before.Offers)
}

// backup saves what the plan changes, once every pre-image is seen to hold.
func (r *runner) backup(ctx context.Context) error {
	var err error
	if r.manifest, r.contents, err = r.rooms.save(ctx, r.host, r.in.Run, r.in.Host); err != nil {
		return err
	}
	if Applied(r.in.Host.Changes, *r.manifest, r.contents) {
		if unmet, _ := Unmet(r.in.Host, r.before, Live); len(unmet) > 0 {
			return fmt.Errorf("%w: all is as the plan leaves it, and yet %s: make the plan anew", ErrStale, sum(unmet))
		}
		return errNothing
	}
	if err := Holds(r.in.Host.Changes, *r.manifest, r.contents); err != nil {
		return err
	}
	if err := r.warn(ctx); err != nil {
		return err
	}
	if err := r.around.quiet(); err != nil {
		return err
	}
	return r.early(ctx)
}

// early opens the connection of verify and confirm before the bar where a login takes a person: behind it the host would wait for one who may
// have gone, and restore itself.
func (r *runner) early(ctx context.Context) error {
	how := r.host.Transport()
	if how.Person == "" && how.Master == "" || r.second != nil { // whether a ControlMaster's login took a person is not known
		return nil
	}
	var err error
	if r.second, err = r.in.Dial(remote.Afresh(ctx)); err != nil {
		return fmt.Errorf("the second login, by which the change is confirmed, is not open: %w", err)
	}
	return nil
}

func (r *runner) stage(ctx context.Context) error {
	var err error
	if r.files, err = Candidate(r.in.Host.Changes, *r.manifest, r.contents); err == nil {
		r.staged, err = r.rooms.stage(ctx, r.host, r.in, r.files)
	}
	return err
}

// regenerate has the host's own programs build, in the stage, what comes from the changed sources.
func (r *runner) regenerate(ctx context.Context) error {
	generated, err := r.staged.Regenerate(ctx)
	for _, g := range generated {
		c := plan.Change{Path: g.Path, Kind: plan.Generated, Diff: g.Diff}
		if err != nil {
			c.Diff = g.Pending
		}
		if i := slices.IndexFunc(r.in.Host.Changes, func(o plan.Change) bool { return o.Path == g.Path }); i >= 0 {
			c.Rules, c.Install = r.in.Host.Changes[i].Rules, r.in.Host.Changes[i].Install
		}
		if c.Diff != "" {
			r.out.Generated = append(r.out.Generated, c)
		}
	}
	if err != nil {
		return err
	}
	return r.in.Agree(generated)
}

// Explained refuses generated files with lines that the plan's changes do not bring about.
func Explained(generated []GeneratedFile) error {
	for _, g := range generated {
		if len(g.Unexplained) > 0 {
			return fmt.Errorf("%w: the plan does not explain how %s would change: %s", ErrRefused, g.Path, clip(remote.Clean(sum(g.Unexplained))))
		}
	}
	return nil
}

func (r *runner) validate(ctx context.Context) error { return r.staged.Validate(ctx) }

// prove judges the candidate where it lies over the live paths: every planned finding passes there, none that passed fails, and no way of
// legitimate mail is lost.
func (r *runner) prove(ctx context.Context) error {
	if why := r.staged.Unproven(); why != "" {
		if r.in.Unproven {
			r.out.Warnings = append(r.out.Warnings, "not proven before the bar: "+why)
			return nil
		}
		return fmt.Errorf("%w: %s", ErrUnproven, why)
	}
	if err := r.staged.Start(ctx); err != nil {
		return err
	}
	j, err := r.in.Judge(ctx, r.staged.Host(), InStage)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnproven, err)
	}
	unmet, doubt := Unmet(r.in.Host, j, InStage)
	lost := Lost(r.in.Host, r.before, j, InStage)
	if bad := append(unmet, lost...); len(bad) > 0 {
		return fmt.Errorf("%w: %s", ErrUnproven, sum(bad))
	}
	if len(doubt) > 0 && !r.in.Unproven {
		return fmt.Errorf("%w: %s", ErrUnproven, sum(doubt))
	}
	r.out.Warnings = append(r.out.Warnings, doubt...)
	return nil
}

// arm writes the run's scripts and manifest and the controller's copy, all durable, and arms the guard.
func (r *runner) arm(ctx context.Context) error {
	if err := r.rooms.complete(ctx, r.host, r.in.Run, r.manifest, r.in.Host.Changes, r.files, reloads(r.in.Host.Commands)); err != nil {
		return err
	}
	if err := r.unstage(ctx); err != nil {
		return err
	}
	if now, err := r.rooms.around(ctx, r.host, r.in.Run); err != nil {
		return err
	} else if err := now.quiet(); err != nil {
		return err
	}
	return r.guard(ctx)
}

// guard keeps the controller's copy, looks how far the mail log is, and arms the guard.
func (r *runner) guard(ctx context.Context) error {
	if r.in.Keep != nil {
		if err := r.in.Keep(*r.manifest, r.contents); err != nil {
			return fmt.Errorf("cannot keep the controller's copy: %w", err)
		}
	}
	var err error
	if r.mark, err = markLog(ctx, r.host); err != nil {
		return err
	}
	if err := r.committed(ctx, r.host, "before"); err != nil {
		return err
	}
	if !r.in.Bar.IsZero() && r.clock.now().After(r.in.Bar) {
		return fmt.Errorf("%w: it is too late to change anything: that might last beyond the time that it is allowed", ErrRefused)
	}
	r.deadline = r.clock.now().Add(r.in.Timeout)
	return r.rooms.arm(ctx, r.host, r.in.Run, r.in.Timeout)
}

// sum joins clauses, the first few of many.
func sum(s []string) string {
	const most = 5
	if len(s) <= most {
		return strings.Join(s, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(s[:most], "; "), len(s)-most)
}

// unstage ends what runs in the stage, where one stands.
func (r *runner) unstage(ctx context.Context) error {
	if s, ok := r.staged.(interface{ Close(context.Context) error }); ok {
		return s.Close(ctx)
	}
	return nil
}

// abandonLimit bounds what clears up behind a run that ended left of the bar.
const abandonLimit = time.Minute

// abandon ends a run left of the bar: no live file has changed. The run's own restore.sh, which has nothing to put back, removes the stage
// and the guard and gives the lock back; where the link is lost the next run does it (Recover).
func (r *runner) abandon(ctx context.Context, err error) Outcome {
	if errors.Is(err, errNothing) {
		if r.before != nil {
			r.out.Result = r.before.Result
		}
		r.told(r.at(), Done, nil)
	} else {
		r.told(r.at(), Broken, err)
	}
	if r.keeper == nil {
		return r.end(Unchanged, err, errors.Is(err, errNothing))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonLimit)
	defer cancel()
	cerr := r.unstage(ctx)
	status, rerr := r.rooms.abandon(ctx, r.host, r.in.Run)
	if rerr != nil {
		status, rerr = r.abandonAnew(ctx, rerr)
	} else if cerr != nil {
		r.out.Warnings = append(r.out.Warnings, cerr.Error())
	}
	if rerr != nil || status != scriptFenced && status != scriptDone {
		text := fmt.Sprintf("exit status %d", status)
		if rerr != nil {
			text = rerr.Error()
		}
		r.out.Warnings = append(r.out.Warnings, "the host's lock was left behind, the next run clears it: "+text)
	}
	return r.end(Unchanged, err, errors.Is(err, errNothing))
}

// abandonAnew clears up over another connection, where the run's own is dead: a command that is interrupted takes it along. No person is asked
// for a login that changes nothing.
func (r *runner) abandonAnew(ctx context.Context, why error) (int, error) {
	if r.second == nil {
		if r.host.Transport().Person != "" {
			return 0, why
		}
		var err error
		if r.second, err = r.in.Dial(remote.Afresh(ctx)); err != nil {
			return 0, errors.Join(why, err)
		}
	}
	return r.rooms.abandon(ctx, r.second, r.in.Run)
}

// errNothing: everything is as the run would leave it.
var errNothing = errors.New("nothing to do")
