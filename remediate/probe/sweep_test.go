package probe

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// network is loopback addresses with a port that some of them have open, and what was done there.
type network struct {
	mu     sync.Mutex
	dials  map[string]int
	most   int // connections open at a time, of the host with most
	byHost map[string]int
	behind Dial // what answers; nil is silence
}

func (n *network) dial(ctx context.Context, nw, addr string) (net.Conn, error) {
	n.mu.Lock()
	n.dials[addr]++
	host, _, _ := net.SplitHostPort(addr)
	n.byHost[host]++
	n.most = max(n.most, n.byHost[host])
	n.mu.Unlock()
	near, far := net.Pipe()
	if n.behind != nil {
		near, _ = n.behind(ctx, nw, addr)
	} else {
		go func() { far.Read(make([]byte, 1)); far.Close() }()
	}
	return &counted{Conn: near, closed: func() { n.mu.Lock(); n.byHost[host]--; n.mu.Unlock() }}, nil
}

type counted struct {
	net.Conn
	once   sync.Once
	closed func()
}

func (c *counted) Close() error {
	c.once.Do(c.closed)
	return c.Conn.Close()
}

func newNetwork() *network { return &network{dials: map[string]int{}, byHost: map[string]int{}} }

func hosts(cidr string, ports ...uint16) iter.Seq[Host] {
	target, err := ParseTarget(cidr)
	if err != nil {
		panic(err)
	}
	return func(yield func(Host) bool) {
		for a := range target.Addrs() {
			h := Host{Target: cidr, Addr: a}
			for _, p := range ports {
				h.Ports = append(h.Ports, Port{Number: p})
			}
			if !yield(h) {
				return
			}
		}
	}
}

// TestSweep: every port is asked once, over one connection a host at a time; the connection that found the port open is the one that it is asked over.
func TestSweep(t *testing.T) {
	n := newNetwork()
	var asked atomic.Int64
	c := SweepConfig{Hosts: 4, Config: Config{Dial: n.dial, Relay: true}}
	c.Ask = func(ctx context.Context, l Listener, c Config) *Report {
		asked.Add(1)
		for range 2 { // a dialogue after the other
			conn, err := c.Dial(ctx, "tcp", l.Addr.String())
			if err != nil {
				t.Error(err)
			}
			conn.Close()
		}
		return &Report{Listener: l, Banner: "220 x", Cases: []Case{{Form: "plain", Verdict: Refused}}}
	}
	var got []string
	err := Sweep(t.Context(), hosts("127.0.77.0/28", 25, 587), c, func(h HostResult) error {
		got = append(got, fmt.Sprint(h.Addr, len(h.Listeners), h.Verdict()))
		return nil
	})
	slices.Sort(got)
	if err != nil || len(got) != 14 || len(slices.Compact(got)) != 14 || asked.Load() != 28 {
		t.Fatalf("%v, %d asked: %v", err, asked.Load(), got)
	}
	for addr, times := range n.dials {
		if times != 2 {
			t.Errorf("%s was dialled %d times", addr, times)
		}
	}
	if n.most != 1 {
		t.Errorf("a host had %d connections at a time", n.most)
	}
}

// TestSweepStates: a closed port, a silent one and one without a way are told apart, here and through another host's words.
func TestSweepStates(t *testing.T) {
	for says, want := range map[string]PortState{
		"cannot open a connection to 192.0.2.1:25 from outside: Connection refused":                 Closed,
		"cannot open a connection to 192.0.2.1:25 from outside: Connection timed out":               Silent,
		"cannot open a connection to 192.0.2.1:25 from outside: dial tcp 192.0.2.1:25: i/o timeout": Silent,
		"cannot open a connection to 192.0.2.1:25 from outside: no answer within 10s":               Silent,
		"cannot open a connection to 192.0.2.1:25 from outside: No route to host":                   Silent,
		"cannot open a connection to 192.0.2.1:25 from outside: Network is unreachable":             Unreachable,
		"cannot open a connection to 192.0.2.1:25 from outside: administratively prohibited":        Unreachable,
	} {
		c := SweepConfig{Config: Config{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New(says) }}}
		var got HostResult
		if err := Sweep(t.Context(), hosts("192.0.2.1", 25), c, func(h HostResult) error { got = h; return nil }); err != nil {
			t.Fatal(err)
		}
		if l := got.Listeners[0]; l.State != want || l.Error == "" || got.Verdict() != NotOpen {
			t.Errorf("%q: %+v", says, l)
		}
	}
	c := SweepConfig{Connect: 20 * time.Millisecond, Config: Config{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }}}
	Sweep(t.Context(), hosts("192.0.2.1", 25), c, func(h HostResult) error {
		if h.Listeners[0].State != Silent {
			t.Errorf("%+v", h)
		}
		return nil
	})
	c.Dial = new(net.Dialer).DialContext
	c.Connect = time.Minute
	Sweep(t.Context(), hosts("127.0.0.1", 1), c, func(h HostResult) error {
		if h.Listeners[0].State != Closed {
			t.Errorf("%+v", h)
		}
		return nil
	})
}

// TestSweepStops: an interrupted sweep hands on no half-asked host, and what it cannot write ends it.
func TestSweepStops(t *testing.T) {
	n := newNetwork()
	ctx, cancel := context.WithCancelCause(t.Context())
	c := SweepConfig{Hosts: 3, Config: Config{Dial: n.dial}}
	enough := errors.New("enough")
	var count atomic.Int64
	c.Ask = func(ctx context.Context, l Listener, _ Config) *Report {
		if count.Add(1) == 5 {
			cancel(enough)
		}
		if ctx.Err() != nil {
			return &Report{Err: ctx.Err()}
		}
		return &Report{Listener: l, Cases: []Case{{Form: "plain", Verdict: Refused}}}
	}
	done := 0
	err := Sweep(ctx, hosts("127.0.77.0/24", 25), c, func(h HostResult) error {
		done++
		if h.Verdict() != Refused {
			t.Errorf("%+v", h)
		}
		return nil
	})
	if err != enough || done == 0 || done > 5 {
		t.Errorf("%v after %d", err, done)
	}
	full := errors.New("disk full")
	c.Ask = func(_ context.Context, l Listener, _ Config) *Report { return &Report{Listener: l} }
	if err := Sweep(t.Context(), hosts("127.0.77.0/24", 25), c, func(HostResult) error { return full }); err != full {
		t.Errorf("%v", err)
	}
}

// TestPace: turns come no closer than asked for, whoever waits, and an end is heard.
func TestPace(t *testing.T) {
	p := &pace{every: 5 * time.Millisecond}
	begun := time.Now()
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			for range 4 {
				p.wait(t.Context())
			}
		})
	}
	all.Wait()
	if took := time.Since(begun); took < 19*5*time.Millisecond {
		t.Errorf("20 turns 5 ms apart took %s", took)
	}
	p = &pace{every: time.Hour}
	ctx, cancel := context.WithCancel(t.Context())
	if err := p.wait(ctx); err != nil {
		t.Error(err)
	}
	cancel()
	if err := p.wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		own   bool
		cases string
		want  Verdict
	}{
		{false, "plain:refused refused not-tested local:taken", Refused},
		{false, "plain:not-tested refused refused", Unsure},
		{false, "plain:refused plain:not-tested refused", Unsure},
		{false, "refused refused", Unsure},
		{false, "plain:refused unproven", Unsure},
		{false, "plain:refused unproven relays", Relays},
		{false, "plain:refused refused not-asked", Unsure},
		{false, "plain:refused local:deferred", Refused},
		{false, "refused relays", Relays},
		{false, "relays accepts-all", Relays},
		{false, "accepts-all proven relays", Proven},
		{true, "relays", OwnRelays},
		{true, "plain:refused", Refused},
		{false, "taken", Unsure},
		{false, "not-tested not-asked", Unsure},
		{false, "plain:refused deferred", Unsure},
		{false, "plain:refused broken", Unsure},
		{false, "", Unsure},
	} {
		l := ListenerResult{State: Open, Report: &Report{}}
		for _, v := range strings.Fields(c.cases) {
			form, verdict, ok := strings.Cut(v, ":")
			if !ok {
				form, verdict = "form-"+v, v
			}
			l.Report.Cases = append(l.Report.Cases, Case{Form: form, Verdict: Verdict(verdict)})
		}
		if got := l.Verdict(c.own); got != c.want {
			t.Errorf("%q, own %t: %s, want %s", c.cases, c.own, got, c.want)
		}
		for _, f := range l.Forms() {
			if !Verdict(strings.TrimPrefix(f, "form-")).Open() {
				t.Errorf("%q: form %s", c.cases, f)
			}
		}
	}
	dead := ListenerResult{State: Open, Report: &Report{Dead: "the banner: 554 no"}}
	if got := dead.Verdict(false); got != NoService {
		t.Errorf("%s", got)
	}
	h := HostResult{Listeners: []ListenerResult{{State: Closed}, {State: Open, Report: &Report{Cases: []Case{{Form: "plain", Verdict: Refused}}}}, dead}}
	if got := h.Verdict(); got != Refused {
		t.Errorf("%s", got)
	}
}
