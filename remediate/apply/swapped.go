package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mtaharden/remediate/remote"
)

// The exit statuses of swap.sh, restore.sh, guard.sh and confirm.sh.
const (
	scriptDone     = 0
	scriptConflict = 3 // nothing was touched
	scriptFenced   = 4 // another has the run's token
	scriptRestored = 5 // it failed, and all is put back
	scriptFailed   = 6 // it failed, and a person is needed
)

// right is everything behind the bar: the host acts by its own scripts, and what this side knows of them it reads back.
func (r *runner) right(ctx context.Context) Outcome {
	r.told(Swap, Doing, nil)
	status, err := r.swap(ctx)
	switch {
	case err != nil:
		return r.lost(ctx, err)
	case status == scriptDone:
	case status == scriptRestored:
		return r.readBack(ctx, r.host, errors.New("the swap failed on the host, which put everything back"))
	case status == scriptFenced:
		return r.readBack(ctx, r.host, fmt.Errorf("%w: the time to confirm was over before the swap", ErrFenced))
	default:
		return r.restore(ctx, r.host, fmt.Errorf("the swap ended with status %d", status))
	}
	r.deadline = r.clock.now().Add(r.in.Timeout) // the host counts anew from "reload done"
	r.told(Swap, Done, nil)
	r.told(Reload, Done, nil)
	r.told(Verify, Doing, nil)
	if err := r.verify(ctx); err != nil {
		r.told(Verify, Broken, err)
		host := r.second
		if host == nil {
			host = r.host // no new login: that is the failure, and the old connection may still serve to put things back
		}
		// Whoever asks the host later is told why. That it cannot be written keeps nothing from being put back.
		_ = r.rooms.note(context.WithoutCancel(ctx), host, r.in.Run, []entry{{Verify, Broken, clip(remote.Clean(err.Error()))}})
		return r.restore(ctx, host, err)
	}
	if err := r.rooms.note(ctx, r.second, r.in.Run, []entry{{Verify, Done, ""}}); err != nil {
		return r.lost(ctx, err)
	}
	r.told(Verify, Done, nil)
	return r.confirm(ctx)
}

// verifyPause lies between two looks at a host that is not yet as the plan expects: services need a moment to come back.
const verifyPause = 2 * time.Second

// verify judges the host over a new connection until it is as the plan expects, within a budget that is shorter than the time to confirm.
func (r *runner) verify(ctx context.Context) error {
	until := r.deadline.Add(-r.in.Timeout / 3)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := time.AfterFunc(until.Sub(r.clock.now()), func() { cancel(errors.New("the time to verify is over")) })
	defer stop.Stop()
	var last error
	for {
		err := r.look(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err // of a look that was cut off, the one before says more
		}
		if errors.Is(err, remote.ErrAuth) && !errors.Is(err, remote.ErrUnable) {
			return err // tried again and again it would lock the account; the connection from before the bar still puts things back
		}
		if r.clock.now().Add(verifyPause).After(until) || ctx.Err() != nil || r.clock.wait(ctx, verifyPause) != nil {
			return last
		}
	}
}

// look judges the host once.
func (r *runner) look(ctx context.Context) error {
	if r.second == nil {
		var err error
		if r.second, err = r.in.Dial(remote.Afresh(ctx)); err != nil {
			return fmt.Errorf("no new login: %w", err)
		}
	}
	if !r.looked {
		if err := r.rooms.note(ctx, r.second, r.in.Run, []entry{{Verify, Doing, ""}}); err != nil {
			return err
		}
		r.looked = true
	}
	j, err := r.in.Judge(ctx, r.second, Live)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			r.second.Close() // a connection on which a command was cut may be dead: the next look has a new one
			r.second = nil
		}
		return fmt.Errorf("cannot judge it: %w", err)
	}
	r.after = j
	refused, err := refusedSince(ctx, r.second, r.mark)
	if err != nil {
		return err
	}
	if lost := refusals(r.in.Host, r.before.Seen, refused); len(lost) > 0 {
		return errors.New(sum(lost))
	}
	return r.judged(j)
}

// expected says what is not as the plan expects it.
func (r *runner) expected(j *Judgement) error {
	unmet, doubt := Unmet(r.in.Host, j, Live)
	r.doubts = doubt
	lost := Lost(r.in.Host, r.before, j, Live)
	if bad := append(unmet, lost...); len(bad) > 0 {
		return errors.New(sum(bad))
	}
	return nil
}

// confirm takes the run's token over the new connection, and reads back that the host took it.
func (r *runner) confirm(ctx context.Context) Outcome {
	r.told(Confirm, Doing, nil)
	status, err := r.rooms.confirm(ctx, r.second, r.in.Run)
	switch {
	case err != nil:
		return r.lost(ctx, err)
	case status == scriptFenced:
		return r.readBack(ctx, r.second, fmt.Errorf("%w: the time to confirm was over", ErrFenced))
	case status != scriptDone:
		return r.restore(ctx, r.second, fmt.Errorf("confirming ended with status %d", status))
	}
	o := r.readBack(ctx, r.second, nil)
	if o.Err == nil {
		r.out.Warnings = o.Warnings
		r.committed(context.WithoutCancel(ctx), r.second, "after")
		o.Warnings = r.out.Warnings
	}
	return o
}

// restoreLimit bounds a restore from the controller's side; the host's own guard does not know it.
const restoreLimit = 5 * time.Minute

// restore puts the host back as its guard would, and reads back what came of it.
func (r *runner) restore(ctx context.Context, h remote.Host, why error) Outcome {
	r.out.Reason = why.Error()
	inner, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreLimit)
	defer cancel()
	if _, err := r.rooms.restore(inner, h, r.in.Run, "--guard"); err != nil {
		return r.lost(ctx, why)
	}
	return r.readBack(inner, h, why)
}

// readBack ends the run with what the host's own journal says.
func (r *runner) readBack(ctx context.Context, h remote.Host, why error) Outcome {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreLimit)
	defer cancel()
	rec, err := r.rooms.read(ctx, h, r.in.Run)
	if err != nil {
		return r.lost(ctx, errors.Join(why, err))
	}
	o, over := r.ended(rec, why)
	if !over {
		return r.lost(ctx, why)
	}
	return o
}

// slack is how long past its deadline a host may take to put itself back.
const slack = 30 * time.Second

// lost is where the link was cut right of the bar: nothing is assumed. The host is reached anew and asked what became of the run. While it
// has not ended there, restore.sh is asked to end it (it takes the token: of it, the guard and a confirmation only one wins); past the guard's
// deadline and some slack the state is not known. A restore that failed is tried again as long, or until the host's guard has given up: a disk may be full or read-only for a while.
func (r *runner) lost(ctx context.Context, why error) Outcome {
	until := r.deadline.Add(r.in.Timeout + slack) // the host may have counted anew after this side's last word
	ctx = context.WithoutCancel(ctx)
	for pause := time.Second; ; pause = min(2*pause, 10*time.Second) {
		if o, over := r.again(ctx, why); over {
			return o
		}
		if r.clock.now().Add(pause).After(until) || r.clock.wait(ctx, pause) != nil {
			break
		}
	}
	if r.failing != nil {
		return r.unrestored(r.failing, why)
	}
	r.out.Until = until
	r.told(r.at(), Broken, why)
	return r.end(NotKnown, why, false)
}

// again reaches the host once more and reads the run back; a run that has not ended is put back.
func (r *runner) again(ctx context.Context, why error) (Outcome, bool) {
	ctx, cancel := context.WithTimeout(ctx, restoreLimit)
	defer cancel()
	h, err := r.in.Dial(remote.Afresh(ctx))
	if err != nil {
		return Outcome{}, false
	}
	defer h.Close()
	rec, err := r.rooms.read(ctx, h, r.in.Run)
	if err != nil {
		return Outcome{}, false
	}
	if o, over := r.ended(rec, why); over {
		return o, true
	}
	settle(ctx, r.rooms, h, r.in.Run, rec) // what came of it is read, not inferred
	if rec, err = r.rooms.read(ctx, h, r.in.Run); err != nil {
		return Outcome{}, false
	}
	return r.ended(rec, why)
}

// ended makes the outcome of what the host's journal says; over is false while the run has not ended there.
func (r *runner) ended(rec *record, why error) (o Outcome, over bool) {
	r.failing = nil
	e, over := rec.ending()
	if e == Failed && rec.Armed {
		r.failing, over = rec, false
	}
	if !over {
		return Outcome{}, false
	}
	r.steps = rec.steps(r.steps)
	switch e {
	case Changed:
		r.out.Warnings = append(r.out.Warnings, r.doubts...)
		if r.after != nil {
			r.out.Result = r.after.Result
		}
		return r.end(r.called(e, nil), nil, false), true
	case Failed:
		return r.unrestored(rec, why), true
	}
	if why == nil {
		why = errors.New("the host put itself back: " + rec.why())
	}
	return r.end(r.called(e, why), why, false), true
}

// unrestored is the end of a run whose host could not be put back.
func (r *runner) unrestored(rec *record, why error) Outcome {
	r.steps = rec.steps(r.steps)
	r.out.Command = "sh " + r.in.Layout.Run(r.in.Run) + "/restore.sh"
	return r.end(Failed, errors.Join(why, errors.New(rec.why())), false)
}
