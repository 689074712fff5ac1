package remediate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/remote"
)

// read of a line of verdicts: w waiting, t trying, a accepted, r refused, n neither.
func verdicts(s string) []verdict {
	var out []verdict
	for _, c := range s {
		out = append(out, map[rune]verdict{'w': waiting, 't': trying, 'a': accepted, 'r': refused, 'n': neither}[c])
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
		{"rraarrrrar", false},
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
		{"attttttttw", 9, true}, {"arttttw", 6, false}, {"artttw", 5, true}, {"arrrrw", 5, true}, {"arrrrtw", 6, false}, {"tttaw", 4, true}, {"awtw", 3, false},
	} {
		if got := may(verdicts(c.trials), c.place); got != c.may {
			t.Errorf("%s: host %d may be tried: %v", c.trials, c.place, got)
		}
	}
}

// fleetOf is hosts of which each refuses, takes or never answers a login, after a while of its own; tried counts the logins at each.
func fleetOf(b *Breaker, answers string, tried []atomic.Int32) []Target {
	var out []Target
	for i, a := range answers {
		t := Target{Name: fmt.Sprintf("h%03d", i), Login: Credential{"key", "the login of ops"}}
		t.Dial = func(context.Context) (remote.Host, error) {
			tried[i].Add(1)
			time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
			kind := map[rune]error{'r': remote.ErrAuth, 'd': remote.ErrUnreachable, 'k': remote.ErrHostKey, 'a': errTest}[a]
			if a == 'a' {
				return nothingThere{}, nil
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
		{"wrong, and some are dead", "dkrd" + strings.Repeat("rd", 50), 7, true},
		{"scattered", string(scattered), 1000, false},
		{"right, and then wrong", late, 4 + 20, true},
		{"all dead", strings.Repeat("d", 100), 100, false},
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
					if !errors.Is(o.Err, ErrNotBegun) || !strings.Contains(o.Err.Error(), "not begun: breaker: ") || !strings.Contains(o.Err.Error(), "refused the login of ops: h0") {
						t.Errorf("%v", o.Err)
					}
				}
			})
			logins := 0
			for i := range tried {
				logins += int(tried[i].Load())
			}
			t.Logf("%d logins, %d hosts not tried", logins, held)
			if logins > c.most || (held > 0) != c.breaker || logins+held != len(c.answers) {
				t.Errorf("%d logins, at most %d are allowed; %d hosts were not tried", logins, c.most, held)
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

// TestBreakerTurn: a host that waited for the turn of the one before it goes on once that one is tried, and does not wait for its answer.
func TestBreakerTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Breaker{}
		var under atomic.Int32
		hang := func(ctx context.Context) (remote.Host, error) {
			under.Add(1)
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		targets := []Target{{Name: "first", Login: Credential{"key", "ops"}, Dial: hang}, {Name: "second", Login: Credential{"key", "ops"}, Dial: hang}}
		for i := range targets {
			targets[i] = b.Guard(targets[i])
			defer b.Begin(targets[i])()
		}
		ctx, cancel := context.WithCancel(t.Context())
		for i, x := range slices.Backward(targets) {
			go x.Dial(ctx)
			synctest.Wait()
			if want := int32(2 * (1 - i)); under.Load() != want {
				t.Errorf("%s has come: %d logins are under way, want %d", x.Name, under.Load(), want)
			}
		}
		cancel()
		synctest.Wait()
	})
}
