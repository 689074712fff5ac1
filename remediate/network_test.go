package remediate

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// muteHost is a vantage whose shell never says anything.
type muteHost struct {
	remote.Host
	runs int
}

func (h *muteHost) Run(ctx context.Context, _ remote.Cmd, _ int) (remote.Result, error) {
	h.runs++
	<-ctx.Done()
	return remote.Result{}, context.Cause(ctx)
}

// TestMuteVantage: a vantage that does not say its address in time is asked for it once in a run, not once a listener.
func TestMuteVantage(t *testing.T) {
	h := &muteHost{}
	p := newPlace(Vantage{Name: "mute", Address: "198.51.100.2", Open: func(context.Context) (remote.Host, error) { return h, nil }}, nil)
	p.host = h
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		got, err := p.addresses(over, netip.MustParseAddrPort("192.0.2.11:25"))
		if err != nil || len(got) != 1 || got[0].String() != "198.51.100.2" {
			t.Fatalf("%v, %v", got, err)
		}
	}
	if h.runs != 1 {
		t.Errorf("asked %d times", h.runs)
	}
}

// TestStandAtLoopback: whoever dials a loopback address reaches himself, not the host.
func TestStandAtLoopback(t *testing.T) {
	n := newNetwork(t.Context(), &Probing{Vantages: []Vantage{{Name: "outside", Address: "198.51.100.2", Open: func(context.Context) (remote.Host, error) {
		t.Error("opened")
		return nil, remote.ErrUnreachable
	}}}})
	in := plan.Input{Snapshot: &facts.Snapshot{Addrs: []string{"192.0.2.11/24"}}}
	target := plan.Target{Listener: "0.0.0.0:25", Dial: netip.MustParseAddrPort("127.0.0.1:25"), Install: -1}
	st, _, err := n.stand(t.Context(), n.places[1], Target{Name: "mx1"}, in, target)
	if err != nil || st.Remote || st.Class != "" {
		t.Errorf("%+v, %v", st, err)
	}
}

// faulty is a connection whose reading is a fault of the program's.
type faulty struct{ remote.Host }

func (faulty) Dial(context.Context, string, string) (net.Conn, error) { panic("planted") }
func (faulty) Close() error                                           { return nil }
func (faulty) Run(context.Context, remote.Cmd, int) (remote.Result, error) {
	return remote.Result{}, remote.ErrCut
}

// TestProbeFault: a fault in the dialogues with one host is a problem of that host, and ends nothing else.
func TestProbeFault(t *testing.T) {
	n := newNetwork(t.Context(), &Probing{Vantages: []Vantage{{Name: "outside", Address: "198.51.100.2", Open: func(context.Context) (remote.Host, error) { return faulty{}, nil }}}})
	defer n.close()
	s := &facts.Snapshot{Addrs: []string{"192.0.2.11/24"}}
	installs := []plan.Judged{{Install: mta.Install{Listen: []string{"192.0.2.11:25"}}, Config: &mta.Config{}}}
	h := n.ask(t.Context(), Target{Name: "mx1", Here: true}, s, installs, time.Now())
	if len(h.problems) != 1 || !strings.Contains(h.problems[0], "192.0.2.11:25: a fault of this program: planted") {
		t.Errorf("%+v", h)
	}
}

// A listener that does not greet costs its time once: a stranger is asked from first, and what he met is enough; where a judge of the
// configuration calls it dead, he does not wait long.
func TestSilentListener(t *testing.T) {
	question := judge.Question{Listener: "0.0.0.0:25", Class: judge.Outside, Form: "plain", Verb: judge.Rcpt}
	for _, known := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork(t.Context(), &Probing{Vantages: []Vantage{silentVantage("one", "192.0.2.77"), silentVantage("two", "198.51.100.2"), silentVantage("three", "203.0.113.2")}})
			defer n.close()
			s := &facts.Snapshot{Addrs: []string{"192.0.2.11/24"}}
			install := plan.Judged{Install: mta.Install{Listen: []string{"192.0.2.11:25"}}, Config: &mta.Config{}}
			if known {
				install.Answers = []judge.Answer{{Judge: judge.Config, Question: question, Outcome: judge.Dead}}
			}
			begun := time.Now()
			h := n.ask(t.Context(), Target{Name: "mx1", Here: true, Limit: 10 * time.Minute}, s, []plan.Judged{install}, begun)
			// The first answer is about the address by which the host reaches itself.
			waited := map[bool]string{false: "1m0s", true: "10s"}[known]
			if len(h.answers) != 2 || h.answers[1].Outcome != judge.Dead || !strings.Contains(h.answers[1].Text, "from two (198.51.100.2): no banner: no reply within "+waited) {
				t.Errorf("%+v", h)
			}
			want := map[bool]time.Duration{false: 80 * time.Second, true: 10 * time.Second}[known]
			if took := time.Since(begun); took != want {
				t.Errorf("it took %v, not %v", took, want)
			}
		})
	}
}

// A host's time is one for all that is done with it: what the login and the collector have taken is not the network judge's any more.
func TestHostTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t.Context(), &Probing{Limit: time.Minute, Vantages: []Vantage{silentVantage("one", "198.51.100.2")}})
		defer n.close()
		s := &facts.Snapshot{Addrs: []string{"192.0.2.11/24"}}
		installs := []plan.Judged{{Install: mta.Install{Listen: []string{"192.0.2.11:25"}}, Config: &mta.Config{}}}
		begun := time.Now()
		time.Sleep(45 * time.Second)
		h := n.ask(t.Context(), Target{Name: "mx1", Here: true, Limit: time.Minute}, s, installs, begun)
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("it took %v, not %v", took, time.Minute)
		}
		if len(h.answers) != 2 || h.answers[1].Outcome != judge.CannotTell || !strings.Contains(h.answers[1].Text, "time for this listener was over") {
			t.Errorf("%+v", h)
		}
	})
}

// silentVantage dials to where nobody speaks, and tells its address.
func silentVantage(name, addr string) Vantage {
	return Vantage{Name: name, Address: addr, Open: func(context.Context) (remote.Host, error) { return silentHost{addr: addr}, nil }}
}

type silentHost struct {
	remote.Host
	addr string
}

func (silentHost) Close() error { return nil }
func (h silentHost) Run(context.Context, remote.Cmd, int) (remote.Result, error) {
	return remote.Result{Stdout: []byte("src " + h.addr + "\n")}, nil
}
func (silentHost) Dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	go io.Copy(io.Discard, far)
	return near, nil
}

// TestOnceEach: of the addresses that a process serves at a port, one alone searches for TLS versions, whichever comes to it first; other processes'
// and ports, and a listener whose process is not known, search for themselves.
func TestOnceEach(t *testing.T) {
	s := &facts.Snapshot{Listeners: []facts.Listener{
		{Addr: "0.0.0.0:25", PID: 7}, {Addr: "[::]:25", PID: 7}, {Addr: "0.0.0.0:587", PID: 7}, {Addr: "127.0.0.1:2525", PID: 9}, {Addr: "0.0.0.0:465"},
	}}
	target := func(listener, dial string) plan.Target {
		return plan.Target{Listener: listener, Dial: netip.MustParseAddrPort(dial)}
	}
	out := onceEach(s, []plan.Target{
		target("0.0.0.0:25", "192.0.2.1:25"), target("[::]:25", "[2001:db8::1]:25"), target("0.0.0.0:587", "192.0.2.1:587"),
		target("127.0.0.1:2525", "127.0.0.1:2525"), target("0.0.0.0:465", "192.0.2.1:465"), target("192.0.2.9:25", "192.0.2.9:25"),
	})
	says := func(i int) string {
		if out[i] == nil {
			return "by itself"
		}
		return fmt.Sprint(out[i]())
	}
	for _, c := range []struct {
		target int
		want   string
	}{{1, "true"}, {0, "false"}, {1, "false"}, {2, "true"}, {3, "true"}, {4, "by itself"}, {5, "by itself"}} {
		if got := says(c.target); got != c.want {
			t.Errorf("target %d: %s, not %s", c.target, got, c.want)
		}
	}
}
