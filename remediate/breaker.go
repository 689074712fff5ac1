package remediate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"mtaharden/remediate/remote"
)

// ErrBreaker: the host was not tried, because too many others refused the same credential. A wrong one locks accounts and gets this machine banned.
var ErrBreaker = fmt.Errorf("%w: breaker", ErrNotBegun)

// A breaker opens when the first firstRefused hosts that answered to a credential refused it, or rowRefused in the order in which they were begun. A host whose login
// failed at this machine (remote.ErrUnable) counts as one: it refused nothing, but a key that does not sign would ask for a touch for each of a thousand.
const (
	firstRefused = 3
	rowRefused   = 5
)

// verdict is how far a credential is tried on a host, and how that went.
type verdict int

const (
	waiting  verdict = iota
	trying           // the host has not said yes or no
	accepted         // it took the credential
	refused          // it refused it
	unable           // this machine could not use it there
	neither          // it was not asked, or never answered: it says nothing of the credential
)

// opened reports whether the hosts refused a credential too often, given the verdicts in the order in which the hosts came to their login; it returns the places
// of those that show it. Refusals are in a row where no host between them took it, or may still.
func opened(trials []verdict) (row []int) {
	good := false
	var run, all []int
	for i, v := range trials {
		switch v {
		case refused, unable:
			run, all = append(run, i), append(all, i)
		case accepted, trying, waiting:
			good, run = good || v == accepted, nil
		}
		if len(run) == rowRefused {
			return run
		}
	}
	if !good && len(all) >= firstRefused {
		return all[:firstRefused]
	}
	return nil
}

// may reports whether the host at a place may be tried now. Hosts are tried in the order in which they came to their login. Until a host took the credential no more
// than firstRefused are asked whose answer is no or not known; once one has refused it since the last that took it, no more than rowRefused.
func may(trials []verdict, place int) bool {
	good, no, open := false, 0, 0
	for i, v := range trials {
		switch {
		case v == waiting && i < place:
			return false
		case v == accepted:
			good, no, open = true, 0, 0
		case v == refused || v == unable:
			no++
		case v == trying:
			open++
		}
	}
	if !good {
		return no+open < firstRefused
	}
	return no == 0 || no+open < rowRefused
}

// Breaker keeps a credential that hosts refuse from being tried on all the others. The nil *Breaker keeps nothing back. It is safe for concurrent use.
type Breaker struct {
	mu       sync.Mutex
	circuits map[string]*circuit
	trials   map[string][2]*trial // by host: of its login, and of its way to root; nil where there is none
}

// circuit is what is known of one credential.
type circuit struct {
	name    string // for people
	hosts   []string
	trials  []verdict
	failed  error         // of a trial, at this machine, the last
	changed chan struct{} // closed at each change
}

// trial is one host's place in a circuit. It has none before the host is come to with the credential: one that hangs, or that has nothing to be offered,
// holds nobody up and says nothing of it.
type trial struct {
	c     *circuit
	host  string
	place int // -1: none
}

// Credential is what a login is tried with; Key tells it from others and is never shown, Name says in a word or two whose it is. The zero value is none.
type Credential struct{ Key, Name string }

// Begin notes that a host is begun. end says that it is over.
func (b *Breaker) Begin(t Target) (end func()) {
	if b == nil {
		return func() {}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var mine [2]*trial
	for i, cred := range []Credential{t.Login, t.Root} {
		if cred.Key != "" {
			mine[i] = &trial{b.circuit(cred), t.Name, -1}
		}
	}
	if b.trials == nil {
		b.trials = map[string][2]*trial{}
	}
	b.trials[t.Name] = mine
	return func() {
		for _, tr := range mine {
			b.tell(tr, neither)
		}
	}
}

func (b *Breaker) circuit(cred Credential) *circuit {
	if b.circuits == nil {
		b.circuits = map[string]*circuit{}
	}
	c := b.circuits[cred.Key]
	if c == nil {
		c = &circuit{name: cred.Name, changed: make(chan struct{})}
		b.circuits[cred.Key] = c
	}
	return c
}

// tell notes how a trial went. What a host said first stands.
func (b *Breaker) tell(tr *trial, v verdict) {
	if tr == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if tr.place < 0 {
		return
	}
	if now := tr.c.trials[tr.place]; now == waiting || now == trying {
		tr.c.set(tr.place, v)
	}
}

// refusal is why a trial need not be begun: the breaker is open. One that was begun goes on.
func (b *Breaker) refusal(tr *trial) error {
	if tr == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if row := opened(tr.c.trials); row != nil && tr.place < 0 {
		return tr.c.why(row)
	}
	return nil
}

// set notes a verdict and wakes those who wait: one that is tried lets the next have its turn, as much as one that has answered.
func (c *circuit) set(place int, v verdict) {
	c.trials[place] = v
	close(c.changed)
	c.changed = make(chan struct{})
}

// enter gives a trial its place, and waits for its turn.
func (b *Breaker) enter(ctx context.Context, tr *trial) error {
	for tr != nil {
		b.mu.Lock()
		c, changed := tr.c, tr.c.changed
		if tr.place < 0 {
			tr.place = len(c.trials)
			c.hosts, c.trials = append(c.hosts, tr.host), append(c.trials, waiting)
		}
		if c.trials[tr.place] != waiting { // the host has said it already
			b.mu.Unlock()
			return nil
		}
		row := opened(c.trials)
		if row == nil && may(c.trials, tr.place) {
			c.set(tr.place, trying)
			b.mu.Unlock()
			return nil
		}
		why := c.why(row)
		b.mu.Unlock()
		if row != nil {
			b.tell(tr, neither)
			return why
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrNotBegun, context.Cause(ctx))
		}
	}
	return nil
}

// why says which hosts opened the breaker.
func (c *circuit) why(row []int) error {
	var names []string
	for _, i := range row {
		names = append(names, c.hosts[i])
	}
	which := fmt.Sprintf("the first %d hosts that were tried", len(row))
	if len(row) == rowRefused {
		which = fmt.Sprintf("%d hosts in a row", len(row))
	}
	at := strings.Join(names, ", ")
	switch own := slices.DeleteFunc(slices.Clone(row), func(i int) bool { return c.trials[i] != unable }); {
	case len(own) == len(row):
		return fmt.Errorf("%w: this machine could not use %s for %s: %s; the last time: %v", ErrBreaker, c.name, which, at, c.failed)
	case len(own) > 0:
		return fmt.Errorf("%w: %s refused %s, or this machine could not use it: %s; the last time: %v", ErrBreaker, which, c.name, at, c.failed)
	}
	return fmt.Errorf("%w: %s refused %s: %s", ErrBreaker, which, c.name, at)
}

// failed notes why this machine could not use a credential.
func (b *Breaker) failed(tr *trial, err error) {
	if tr == nil {
		return
	}
	var known *remote.Error
	if errors.As(err, &known) {
		err = known.Err // without the host's name: it is said of others
	}
	b.mu.Lock()
	tr.c.failed = err
	b.mu.Unlock()
	b.tell(tr, unable)
}

// Guard returns t with a Dial that waits for the host's turn before anything is offered to it, and tells how it went. Once the host has let us in, its
// further connections are nobody's business: a change is confirmed by one.
func (b *Breaker) Guard(t Target) Target {
	if b == nil || t.Dial == nil {
		return t
	}
	dial := t.Dial
	t.Dial = func(ctx context.Context) (remote.Host, error) {
		b.mu.Lock()
		mine := b.trials[t.Name]
		b.mu.Unlock()
		login, root := mine[0], mine[1]
		for _, tr := range mine {
			if err := b.refusal(tr); err != nil {
				return nil, err
			}
		}
		h, err := dial(remote.AtLogin(ctx, func(ctx context.Context) error { return b.enter(ctx, login) }))
		switch {
		case err == nil:
			b.tell(login, accepted)
		case errors.Is(err, remote.ErrUnable):
			b.failed(login, err)
		case errors.Is(err, remote.ErrAuth):
			b.tell(login, refused)
		default:
			b.tell(login, neither)
		}
		switch {
		case err != nil:
			return nil, err
		case root == nil:
			return h, nil
		}
		if err := b.enter(ctx, root); err != nil {
			h.Close()
			return nil, err
		}
		return &rooted{Host: h, tell: func(v verdict) { b.tell(root, v) }}, nil
	}
	return t
}

// rooted is a host that tells whether its way to root took the password.
type rooted struct {
	remote.Host
	tell func(verdict)
}

func (r *rooted) told(err error) {
	switch {
	case remote.PasswordRefused(err):
		r.tell(refused)
	case err == nil:
		r.tell(accepted)
	default:
		r.tell(neither)
	}
}

// Run is the host's.
func (r *rooted) Run(ctx context.Context, c remote.Cmd, limit int) (remote.Result, error) {
	res, err := r.Host.Run(ctx, c, limit)
	r.told(err)
	return res, err
}

// Keep is the host's: root is reached when the command is first heard.
func (r *rooted) Keep(ctx context.Context, c remote.Cmd, limit int, heard func([]byte)) (remote.Result, error) {
	k, ok := r.Host.(remote.Keeper)
	if !ok {
		return remote.Result{}, errors.New("this connection keeps no command going")
	}
	res, err := k.Keep(ctx, c, limit, func(p []byte) {
		r.tell(accepted)
		if heard != nil {
			heard(p)
		}
	})
	r.told(err)
	return res, err
}

// Dial is the host's.
func (r *rooted) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d, ok := r.Host.(remote.Dialer)
	if !ok {
		return nil, errors.New("this connection opens none onward")
	}
	return d.Dial(ctx, network, addr)
}

// Upload is the host's.
func (r *rooted) Upload(ctx context.Context, file string, data []byte) (bool, error) {
	u, ok := r.Host.(remote.Uploader)
	if !ok {
		return false, nil
	}
	done, err := u.Upload(ctx, file, data)
	if done || err != nil {
		r.told(err)
	}
	return done, err
}
