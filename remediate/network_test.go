package remediate

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"mtaharden/remediate/facts"
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
	p := &place{v: Vantage{Name: "mute", Address: "198.51.100.2", Open: func(context.Context) (remote.Host, error) { return h, nil }}, host: h}
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
	h := n.ask(t.Context(), Target{Name: "mx1", Here: true}, s, installs)
	if len(h.problems) != 1 || !strings.Contains(h.problems[0], "192.0.2.11:25: a fault of this program: planted") {
		t.Errorf("%+v", h)
	}
}
