package remediate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/remote"
)

// read of a line of verdicts: w waiting, t trying, a accepted, r refused, u unable, n neither.
func verdicts(s string) []verdict {
	var out []verdict
	for _, c := range s {
		out = append(out, map[rune]verdict{'w': waiting, 't': trying, 'a': accepted, 'r': refused, 'u': unable, 'n': neither}[c])
	}
	return out
}

func TestBreakerOpens(t *testing.T) {
	for _, c := range []struct {
		trials string
		open   bool
	}{
		{"", false}, {"rr", false}, {"rrr", true}, {"rnrnnr", true}, {"rrwr", true}, {"nnnnn", false},
		{"arr", false}, {"rra", false}, {"rrarr", false}, {"rrrra", false}, {"arrrr", false}, {"arrrrr", true},
		{"arrnrrr", true}, {"arrtrrr", false}, {"arrwrrr", false}, {"arrarrr", false}, {"ararararararar", false}, {"rrrrra", true},
		{"rraarrrrar", false}, {"uuu", true}, {"ununu", true}, {"rur", true}, {"auuuu", false}, {"aururu", true}, {"auuauuu", false},
	} {
		if got := opened(verdicts(c.trials)) != nil; got != c.open {
			t.Errorf("%s: open is %v", c.trials, got)
		}
	}
}

func TestBreakerHolds(t *testing.T) {
	for _, c := range []struct {
		trials string
		place  int
		may    bool
	}{
		{"w", 0, true}, {"ww", 1, false}, {"ttw", 2, true}, {"tttw", 3, false}, {"rtw", 2, true}, {"rttw", 3, false}, {"nttw", 3, true},
		{"attttttttw", 9, true}, {"arttttw", 6, false}, {"artttw", 5, true}, {"arrrrw", 5, true}, {"arrrrtw", 6, false}, {"tttaw", 4, true}, {"awtw", 3, false}, {"uttw", 3, false}, {"autttw", 5, true}, {"auttttw", 6, false},
	} {
		if got := may(verdicts(c.trials), c.place); got != c.may {
			t.Errorf("%s: host %d may be tried: %v", c.trials, c.place, got)
		}
	}
}

// fleetOf is hosts of which each refuses, takes or never answers a login, after a while of its own; tried counts the logins at each that were come to, and
// the connections to those that are dead or have a wrong key.
func fleetOf(b *Breaker, answers string, tried []atomic.Int32) []Target {
	var out []Target
	for i, a := range answers {
		t := Target{Name: fmt.Sprintf("h%03d", i), Login: Credential{"key", "the login of ops"}}
		t.Dial = func(ctx context.Context) (remote.Host, error) {
			if gate := remote.Gate(ctx); strings.ContainsRune("rau", a) {
				if err := gate(ctx); err != nil {
					return nil, err
				}
			}
			tried[i].Add(1)
			time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
			kind := map[rune]error{'r': remote.ErrAuth, 'd': remote.ErrUnreachable, 'k': remote.ErrHostKey, 'a': errTest}[a]
			switch a {
			case 'a':
				return nothingThere{}, nil
			case 'u':
				return nil, remote.Wrap("log in to", t.Name, remote.ErrAuth, remote.Unable(errors.New("no device")))
			}
			return nil, &remote.Error{Op: "log in to", Host: t.Name, Kind: kind, Err: errTest}
		}
		out = append(out, b.Guard(t))
	}
	return out
}

var errTest = errors.New("no")

type nothingThere struct{ remote.Host }

func (nothingThere) Transport() remote.Transport { return remote.Transport{Name: "test"} }
func (nothingThere) Close() error                { return nil }
func (nothingThere) Run(context.Context, remote.Cmd, int) (remote.Result, error) {
	return remote.Result{}, &remote.Error{Op: "run", Host: "x", Kind: remote.ErrCut, Err: errTest}
}

// TestBreakerRun: at twenty hosts a time, a credential that all refuse is tried on three, whatever the order in which the answers come; what fails here
// and there stops nothing.
func TestBreakerRun(t *testing.T) {
	scattered := []byte(strings.Repeat("a", 1000))
	for i := 7; i < 1000; i += 20 {
		scattered[i] = "rrdk"[i/20%4]
	}
	late := "aaaa" + strings.Repeat("r", 96)
	for _, c := range []struct {
		name, answers string
		most          int // logins
		breaker       bool
	}{
		{"wrong", strings.Repeat("r", 100), 3, true},
		{"wrong, and some are dead", "dkrd" + strings.Repeat("rd", 50), 3, true},
		{"scattered", string(scattered), 1000, false},
		{"right, and then wrong", late, 4 + 20, true},
		{"all dead", strings.Repeat("d", 100), 0, false},
		{"cannot be used", strings.Repeat("u", 100), 3, true},
		{"cannot be used here and there", strings.Repeat("auaa", 25), 100, false},
		{"the first two refuse", "rr" + strings.Repeat("a", 98), 100, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, tried := &Breaker{}, make([]atomic.Int32, len(c.answers))
			conf := Config{Targets: fleetOf(b, c.answers, tried), Forks: 20, Breaker: b, Now: time.Now}
			var mu sync.Mutex
			held := 0
			CollectAll(t.Context(), conf, func(o Outcome) {
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(o.Err, ErrBreaker) {
					held++
					says := "refused the login of ops: h0"
					if strings.Contains(c.answers, "u") {
						says = "this machine could not use the login of ops for the first 3 hosts that were tried: h0"
					}
					if !errors.Is(o.Err, ErrNotBegun) || !strings.Contains(o.Err.Error(), "not begun: breaker: ") || !strings.Contains(o.Err.Error(), says) {
						t.Errorf("%v", o.Err)
					}
				}
			})
			logins, dead := 0, 0
			for i, a := range c.answers {
				if n := int(tried[i].Load()); strings.ContainsRune("rau", a) {
					logins += n
				} else {
					dead += n
				}
			}
			t.Logf("%d logins, %d hosts not tried, %d dead", logins, held, dead)
			if logins > c.most || (held > 0) != c.breaker || logins+held+dead != len(c.answers) {
				t.Errorf("%d logins, at most %d are allowed; %d hosts were not tried, %d are dead", logins, c.most, held, dead)
			}
		})
	}
}

// TestBreakerRoll: apply's hosts that were not tried are not begun, and no failure of the run's.
func TestBreakerRoll(t *testing.T) {
	b, tried := &Breaker{}, make([]atomic.Int32, 10)
	targets := map[string]Target{}
	var names []string
	for _, x := range fleetOf(b, strings.Repeat("r", 10), tried) {
		targets[x.Name] = x
		names = append(names, x.Name)
	}
	fleet := Fleet{Forks: 10, Now: time.Now, Rolling: Rolling{MaxFail: Amount{N: 100, Percent: true, Set: true}}, Begin: func(h string) func() { return b.Begin(targets[h]) }}
	one := func(ctx context.Context, name string) apply.Outcome {
		_, err := targets[name].Dial(ctx)
		return apply.Outcome{Host: name, Ending: apply.Unchanged, Err: err, Reason: err.Error()}
	}
	endings := map[apply.Ending]int{}
	Roll(t.Context(), fleet, names, one, func(o apply.Outcome) {
		endings[o.Ending]++
		if o.Ending == apply.NotBegun && !strings.HasPrefix(o.Sentence("en"), "not begun: breaker: the first 3 hosts that were tried refused the login of ops") {
			t.Error(o.Sentence("en"))
		}
	})
	if endings[apply.NotBegun] != 7 || endings[apply.Unchanged] != 3 {
		t.Errorf("%v", endings)
	}
}

// TestBreakerLetsAgain: a host that let us in is dialled again, whatever became of the others meanwhile: its change is confirmed so.
func TestBreakerLetsAgain(t *testing.T) {
	b, tried := &Breaker{}, make([]atomic.Int32, 6)
	targets := fleetOf(b, "arrrrr", tried)
	for _, x := range targets {
		defer b.Begin(x)()
	}
	for i, x := range targets {
		if _, err := x.Dial(t.Context()); (err == nil) != (i == 0) {
			t.Fatal(err)
		}
	}
	if _, err := targets[0].Dial(t.Context()); err != nil {
		t.Error(err)
	}
	next := b.Guard(Target{Name: "next", Login: Credential{"key", "the login of ops"}, Dial: targets[0].Dial})
	defer b.Begin(next)()
	if _, err := next.Dial(t.Context()); !errors.Is(err, ErrBreaker) || !strings.Contains(err.Error(), "5 hosts in a row refused") {
		t.Error(err)
	}
}

// TestBreakerTarpits: hosts that never come to their login hold nobody up, and one that has nothing to be offered says nothing of the credential. Only those
// that are come to wait for each other.
func TestBreakerTarpits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Breaker{}
		var under atomic.Int32
		begin := func(name string, comes bool, kind error) Target {
			x := b.Guard(Target{Name: name, Login: Credential{"key", "the login of ops"}, Dial: func(ctx context.Context) (remote.Host, error) {
				if comes {
					if err := remote.Gate(ctx)(ctx); err != nil {
						return nil, err
					}
					under.Add(1)
					defer under.Add(-1)
				}
				if kind == nil {
					<-ctx.Done()
					return nil, context.Cause(ctx)
				}
				return nil, &remote.Error{Op: "log in to", Host: name, Kind: kind, Err: errTest}
			}})
			t.Cleanup(b.Begin(x))
			return x
		}
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 20 {
			go begin(fmt.Sprintf("tarpit%02d", i), false, nil).Dial(ctx)
		}
		synctest.Wait()
		for i := range 5 {
			if _, err := begin(fmt.Sprintf("keyless%d", i), false, remote.ErrAuth).Dial(ctx); errors.Is(err, ErrBreaker) {
				t.Error(err)
			}
		}
		for i := range 6 {
			go begin(fmt.Sprintf("slow%d", i), true, nil).Dial(ctx)
		}
		synctest.Wait()
		if got := under.Load(); got != firstRefused {
			t.Errorf("%d logins are under way, want %d", got, firstRefused)
		}
		cancel()
		synctest.Wait()
		for i := range firstRefused + 2 {
			_, err := begin(fmt.Sprintf("wrong%d", i), true, remote.ErrAuth).Dial(t.Context())
			if errors.Is(err, ErrBreaker) != (i >= firstRefused) {
				t.Errorf("host %d: %v", i, err)
			}
		}
	})
}

// TestBreakerOrder: those who wait have their turns in the order in which they came.
func TestBreakerOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Breaker{}
		var order []string
		ends := make(chan struct{})
		for i := range 9 {
			name := fmt.Sprintf("h%d", i)
			x := b.Guard(Target{Name: name, Login: Credential{"key", "ops"}, Dial: func(ctx context.Context) (remote.Host, error) {
				if err := remote.Gate(ctx)(ctx); err != nil {
					return nil, err
				}
				order = append(order, name)
				<-ends
				return nil, errTest
			}})
			defer b.Begin(x)()
			go x.Dial(t.Context())
			synctest.Wait()
		}
		for range 9 {
			ends <- struct{}{}
			synctest.Wait()
		}
		if got := strings.Join(order, " "); got != "h0 h1 h2 h3 h4 h5 h6 h7 h8" {
			t.Errorf("their turns came as %s", got)
		}
	})
}

// TestBreakerRoot: the password of the way to root has turns of its own, whoever made the connection, and a host that gets none is let go.
func TestBreakerRoot(t *testing.T) {
	b := &Breaker{}
	for i := range firstRefused + 2 {
		there := &leaving{}
		x := b.Guard(Target{Name: fmt.Sprint(i), Login: Credential{"l", "the login"}, Root: Credential{"r", "the password of sudo"}, Dial: func(context.Context) (remote.Host, error) {
			return there, nil // over another program's connection: nothing was offered
		}})
		end := b.Begin(x)
		h, err := x.Dial(t.Context())
		if errors.Is(err, ErrBreaker) != (i >= firstRefused) {
			t.Errorf("host %d: %v", i, err)
		}
		if err == nil {
			h.(*rooted).tell(refused)
		}
		end()
	}
	// One that has let us in, and whose turn at the password comes to nothing, is not kept.
	b, there := &Breaker{}, &leaving{}
	var others []*rooted
	begin := func(name string, h remote.Host) Target {
		x := b.Guard(Target{Name: name, Root: Credential{"r", "sudo"}, Dial: func(context.Context) (remote.Host, error) { return h, nil }})
		t.Cleanup(b.Begin(x))
		return x
	}
	for i := range firstRefused {
		h, err := begin(fmt.Sprint(i), &leaving{}).Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, h.(*rooted))
	}
	last := begin("last", there)
	ended := make(chan error)
	go func() {
		_, err := last.Dial(t.Context())
		ended <- err
	}()
	for _, h := range others {
		h.tell(refused)
	}
	if err := <-ended; !errors.Is(err, ErrBreaker) {
		t.Errorf("the last host: %v", err)
	}
	if tried := len(b.circuits["r"].trials) > firstRefused; there.closed != tried {
		t.Errorf("its connection is closed: %v, and it was come to: %v", there.closed, tried)
	}
}

// leaving is a host that notes that it was let go.
type leaving struct {
	nothingThere
	closed bool
}

func (l *leaving) Close() error {
	l.closed = true
	return nil
}
