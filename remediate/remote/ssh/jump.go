package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"mtaharden/remediate/remote"
)

// Jumps holds the connections to jump hosts that the targets of a run share: one for each distinct way. The zero value is ready, for several goroutines too.
type Jumps struct {
	mu    sync.Mutex
	known map[string]*Jump
	order []*Jump // as they were first named: each after the one it is reached through
}

// Jump is one jump host, reached through those before it.
type Jump struct {
	t   Target
	way string // names it apart from all others of a run

	unable atomic.Int32 // logins that failed at this machine

	mu   sync.Mutex
	last *attempt
}

// maxUnable is how often a run tries a jump host whose login fails at this machine: the next touch may come, and nobody is asked for ever.
const maxUnable = 3

// attempt is one login to a jump host, for all that wait for it.
type attempt struct {
	cancel  context.CancelFunc
	waiting int
	done    chan struct{}
	host    *host // these three are read once done is closed
	err     error
	ended   time.Time
}

// again is how long an unreachable jump host is left alone before it is tried anew: every target of a fleet asks for it.
const again = 15 * time.Second

// Through returns the jump host t; t.Jump is the one before it. The same host, account and way is the same connection.
func (j *Jumps) Through(t Target) *Jump {
	t = t.withDefaults()
	way := fmt.Sprintf("%q %q %q", t.Name, t.User, t.endpoint())
	if t.Jump != nil {
		way = t.Jump.way + " > " + way
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	hop := j.known[way]
	if hop == nil {
		hop = &Jump{t: t, way: way}
		if j.known == nil {
			j.known = map[string]*Jump{}
		}
		j.known[way] = hop
		j.order = append(j.order, hop)
	}
	return hop
}

// Close ends the connections, those that run through others first.
func (j *Jumps) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := len(j.order) - 1; i >= 0; i-- {
		j.order[i].close()
	}
	return nil
}

func (j *Jump) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if a := j.last; a != nil {
		a.cancel()
		<-a.done // a login that was cancelled ends at once
		if a.host != nil {
			a.host.Close()
		}
	}
}

// reach returns the connection to the jump host, and makes it where there is none. The error says which host of the way failed, and how.
func (j *Jump) reach(ctx context.Context) (*host, error) {
	j.mu.Lock()
	a := j.last
	if a == nil || a.over() {
		a = j.begin()
	}
	a.waiting++
	j.mu.Unlock()
	select {
	case <-a.done:
	case <-ctx.Done():
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	a.waiting--
	select {
	case <-a.done:
		return a.host, a.err
	default:
	}
	if a.waiting == 0 { // nobody is there for it any more
		a.cancel()
		j.last = nil
		go a.discard()
	}
	return nil, context.Cause(ctx)
}

// begin logs in, apart from the target that happens to be the first to ask.
func (j *Jump) begin() *attempt {
	ctx, cancel := context.WithCancel(context.Background())
	a := &attempt{cancel: cancel, done: make(chan struct{})}
	j.last = a
	go func() {
		defer close(a.done)
		h, err := Dial(ctx, j.t)
		if err != nil {
			a.err = j.failed(err)
		} else {
			a.host = h.(*host)
		}
		a.ended = time.Now()
	}()
	return a
}

// discard closes what came of a login that was given up.
func (a *attempt) discard() {
	if <-a.done; a.host != nil {
		a.host.Close()
	}
}

// refused is a jump host that will not let us in however often it is asked.
type refused struct{ error }

// failed says of an error which jump host it is of. Its kind is in the words: it is not the target's own. j.mu is held.
func (j *Jump) failed(err error) error {
	cause := err
	var known *remote.Error
	if errors.As(err, &known) {
		cause = known.Err
	}
	switch {
	case errors.Is(err, remote.ErrHostKey):
		return refused{fmt.Errorf("the key of its jump host %s is not right: %v", j.t.Name, cause)}
	case errors.Is(err, remote.ErrUnable):
		cause = fmt.Errorf("the login to its jump host %s failed here: %v", j.t.Name, cause)
		if j.unable.Add(1) < maxUnable {
			return cause
		}
		return refused{cause}
	case errors.Is(err, remote.ErrAuth):
		return refused{fmt.Errorf("its jump host %s does not let us in: %v", j.t.Name, cause)}
	}
	return fmt.Errorf("its jump host %s cannot be reached: %v", j.t.Name, cause)
}

// over says whether a further login is to be tried: the connection was lost, or the host may be back. One that refused us is not asked again in this run: it could
// turn everybody at this address away.
func (a *attempt) over() bool {
	select {
	case <-a.done:
	default:
		return false
	}
	var never refused
	if a.err != nil {
		return !errors.As(a.err, &never) && time.Since(a.ended) > again
	}
	return a.host.lost.Load() != nil || a.host.conn.over()
}

// dial opens a connection to address through the jump host, within ctx.
func (j *Jump) dial(ctx context.Context, h *host, address string) (net.Conn, error) {
	conn, err := h.Dial(ctx, "tcp", address)
	var known *remote.Error
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, remote.ErrForbidden):
		return nil, fmt.Errorf("its jump host %s forwards no connection to %s: its sshd forbids it (sshd_config(5): AllowTcpForwarding, PermitOpen); let it be allowed there for %s, or name another jump host", j.t.Name, address, j.t.User)
	case errors.As(err, &known):
		return nil, fmt.Errorf("its jump host %s cannot connect to %s: %v", j.t.Name, address, known.Err)
	}
	return nil, err
}
