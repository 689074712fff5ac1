package ssh

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"mtaharden/remediate/remote"
)

// handshakes is how many logins of a run may be under way at a time at one address, and through one jump host: sshd begins to turn away at random from ten on
// (sshd_config(5), MaxStartups 10:30:100), and others log in there too.
const handshakes = 8

// Logins under way that sshd turned away because it had too many are tried again: so often, and the first time after about so long, twice as long each time.
const (
	startupTries = 4
	startupPause = 500 * time.Millisecond
)

// errStartups marks a login that the host turned away before a word was said, as it does where too many are under way.
var errStartups = errors.New("too many logins under way")

// Doors counts the logins of a run that are under way. The zero value is ready, for several goroutines too.
type Doors struct {
	mu    sync.Mutex
	slots map[string]chan struct{}
}

// enter waits until a login may begin at each of the places, and takes them in their order: every login takes a jump host's before its own.
func (d *Doors) enter(ctx context.Context, places ...string) (leave func(), err error) {
	var taken []func()
	leave = func() {
		for _, f := range taken {
			f()
		}
	}
	for _, place := range places {
		d.mu.Lock()
		if d.slots == nil {
			d.slots = map[string]chan struct{}{}
		}
		slot := d.slots[place]
		if slot == nil {
			slot = make(chan struct{}, handshakes)
			d.slots[place] = slot
		}
		d.mu.Unlock()
		select {
		case slot <- struct{}{}:
			taken = append(taken, func() { <-slot })
		case <-ctx.Done():
			leave()
			return nil, context.Cause(ctx)
		}
	}
	return leave, nil
}

// places are where a login to t counts: at its address, and at the jump host nearest to it. What a ProxyCommand goes through nobody knows: mostly
// one bastion for all.
func (t Target) places() []string {
	if t.Through != "" {
		return []string{"through " + t.Through, t.Through + " > " + t.endpoint()}
	}
	if t.Jump != nil {
		return []string{"through " + t.Jump.way, t.Jump.way + " > " + t.endpoint()}
	}
	return []string{t.endpoint()}
}

// persist connects and logs in, and tries again where the host turned the connection away because too many were under way, after a pause of its own: nothing
// else is tried twice.
func (t Target) persist(ctx context.Context, once func(context.Context) (remote.Host, error)) (remote.Host, error) {
	waited := false
	for try := 1; ; try++ {
		leave, err := t.Doors.enter(ctx, t.places()...)
		if err != nil {
			return nil, remote.Wrap(opConnect, t.Name, remote.ErrUnreachable, err)
		}
		h, err := once(ctx)
		leave()
		if errors.Is(err, errTurn) {
			if err := t.turn(ctx, waited); err != nil {
				return nil, err
			}
			waited = true
			try--
			continue
		}
		if err == nil || !errors.Is(err, errStartups) || try == startupTries {
			return h, err
		}
		pause := startupPause << (try - 1)
		pause += rand.N(pause)
		t.tracef("%v; once more in %s", err, pause.Round(time.Millisecond))
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		}
	}
}

// startups is what is said of such a login.
type startups struct{ why string }

func (s startups) Error() string { return s.why }
func (s startups) Unwrap() error { return errStartups }
