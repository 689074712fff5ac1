package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mtaharden/remediate/journal"
	"mtaharden/remediate/remote"
)

// keeper is the shell on the host that holds the lock: it ends with the connection that it was started on.
type keeper struct {
	stop func() // ends it; the lock is then given back by confirm or restore alone
}

// lockTries bounds how many runs are waited for or recovered before a host is given up.
const lockTries = 4

// waitLimit bounds how long another run's guard is waited for.
const waitLimit = 15 * time.Minute

// lock takes the host's lock. A lock whose shell is gone is recovered first; one whose guard is armed is waited for.
func (r *runner) lock(ctx context.Context) error {
	var held *journal.Refused
	for range lockTries {
		k, err := r.rooms.lock(ctx, r.host, r.in)
		if err == nil {
			r.keeper, r.out.Run = k, r.in.Run
			return nil
		}
		if !errors.As(err, &held) || held.By == nil {
			return err
		}
		if err := r.clear(ctx, held); err != nil {
			return err
		}
	}
	return held
}

// clear deals with another run's lock.
func (r *runner) clear(ctx context.Context, held *journal.Refused) error {
	until := r.clock.now().Add(waitLimit)
	for {
		rec, err := r.rooms.read(ctx, r.host, held.By.Run)
		if err != nil {
			return fmt.Errorf("%w; its state cannot be read: %w", held, err)
		}
		now := r.clock.now()
		switch {
		case !rec.Locked:
			return nil
		case rec.found() == nextRefuse, now.After(until):
			return held
		case rec.found() == nextRecover:
			if err := settle(ctx, r.rooms, r.host, held.By.Run, rec); err != nil {
				return fmt.Errorf("%w, and it cannot be recovered: %w", held, err)
			}
			r.out.Warnings = append(r.out.Warnings, "run "+held.By.Run+" was broken off: the host was put back first")
			return nil
		}
		pause := min(max(rec.Deadline.Sub(now), time.Second), until.Sub(now)+time.Second, 10*time.Second)
		if err := r.clock.wait(ctx, pause); err != nil {
			return err
		}
	}
}

// settle ends a run that has not ended on its host and that nobody is at: one that was confirmed is cleared up, every other is put back. The
// script takes the run's token, so that of several who try, the guard among them, one wins and the old controller is fenced.
func settle(ctx context.Context, rooms rooms, h remote.Host, run string, rec *record) error {
	if rec.Token == tokenConfirm {
		status, err := rooms.confirm(ctx, h, run)
		return settled(status, err)
	}
	status, err := rooms.restore(ctx, h, run, "--guard")
	return settled(status, err)
}

func settled(status int, err error) error {
	if err == nil && status != scriptDone && status != scriptRestored && status != scriptFenced {
		err = fmt.Errorf("exit status %d", status)
	}
	return err
}

// note adds lines to the run's journal on the host, durably. It fails with ErrFenced where the lock is no longer this run's.
func (r *runner) note(ctx context.Context, entries ...entry) error {
	return r.rooms.note(ctx, r.host, r.in.Run, entries)
}
