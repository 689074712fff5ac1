package ssh

import (
	"context"
	"errors"
	"time"

	"mtaharden/remediate/remote"
)

// turnWait is how long a host is kept waiting, connected, for the turn of its login. sshd bears a login that does nothing for two minutes (sshd_config(5),
// LoginGraceTime), some are set to twenty seconds.
const turnWait = 10 * time.Second

// errTurn ends a login whose turn did not come while the host waited: it is connected to anew once it has come.
var errTurn = errors.New("its turn did not come in time")

// gate waits until something may be offered to the host. What the wait takes does not count as the host's.
func (l *login) gate() error {
	gate := remote.Gate(l.ctx)
	if gate == nil || l.admitted {
		return nil
	}
	l.clockMu.Lock()
	l.clock.Stop()
	left := time.Until(l.until)
	l.clockMu.Unlock()
	ctx, cancel := context.WithTimeoutCause(l.ctx, turnWait, errTurn)
	defer cancel()
	err := gate(ctx)
	switch {
	case err != nil && l.ctx.Err() == nil && context.Cause(ctx) == errTurn, err == nil && l.conn.over():
		err = errTurn
	case err == nil:
		l.admitted = true
	}
	l.denied = err
	l.clockMu.Lock()
	l.until = time.Now().Add(left)
	l.clock.Reset(left)
	l.clockMu.Unlock()
	return err
}

// turn waits for the turn of a login that the host no longer waits for; lost says that this is not the first time.
func (t Target) turn(ctx context.Context, lost bool) error {
	if lost {
		return remote.Wrap(opConnect, t.Name, remote.ErrUnreachable, errors.New("the host ended the connection before anything was offered to it"))
	}
	t.tracef("the login waits for its turn; it is connected anew then")
	return remote.Gate(ctx)(ctx)
}
