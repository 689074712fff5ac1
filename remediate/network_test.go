package remediate

import (
	"context"
	"net/netip"
	"testing"

	"mtaharden/remediate/facts"
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
