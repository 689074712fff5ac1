package remediate

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/probe"
	"mtaharden/remediate/remote"
)

// offersLimit bounds what is asked of one listener, greeting pause and TLS included.
const offersLimit = 90 * time.Second

// offers asks every mail listener what it offers whoever connects: from the host itself, through its own connection, since that depends on no
// route and no client; where its sshd opens no connections, from this machine.
func offers(ctx context.Context, h remote.Host, t Target, installs []plan.Judged) []apply.Offer {
	var listeners []string
	for _, i := range installs {
		for _, l := range i.Install.Listen {
			if !slices.Contains(listeners, l) {
				listeners = append(listeners, l)
			}
		}
	}
	out := make([]apply.Offer, len(listeners))
	slots := make(chan struct{}, listenersLimit)
	var all sync.WaitGroup
	for i, l := range listeners {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			out[i] = offer(ctx, h, t, l)
		})
	}
	all.Wait()
	return out
}

func offer(ctx context.Context, h remote.Host, t Target, listener string) apply.Offer {
	at, err := netip.ParseAddrPort(listener)
	if err != nil {
		return apply.Offer{Listener: listener, Error: "it is no address"}
	}
	inside := at
	if at.Addr().IsUnspecified() {
		inside = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at.Port())
		if at.Addr().Is6() && !at.Addr().Is4In6() {
			inside = netip.AddrPortFrom(netip.IPv6Loopback(), at.Port())
		}
	}
	d, ok := h.(remote.Dialer)
	if !ok {
		return apply.Offer{Listener: listener, Error: "the host opens no connections"}
	}
	r := met(ctx, d.Dial, inside)
	if errors.Is(r.Err, remote.ErrForbidden) && !at.Addr().IsLoopback() {
		if addrs, err := resolve(ctx, t.Address); err == nil && len(addrs) > 0 {
			r = met(ctx, here{}.Dial, netip.AddrPortFrom(addrs[0], at.Port()))
		}
	}
	o := apply.Offer{Listener: listener, Greeting: r.Greeting, Alive: r.Dead == "" && r.Err == nil, StartTLS: r.Plain.StartTLS}
	o.Auth = append(append(o.Auth, r.Plain.Auth...), r.Secure.Auth...)
	switch {
	case errors.Is(r.Err, remote.ErrForbidden):
		o.Error = facts.Printable(r.Err.Error())
	case ctx.Err() != nil:
		o.Error = "the time was over"
	}
	return o
}

// met is what one connection shows.
func met(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), at netip.AddrPort) *probe.Report {
	return probe.Ask(ctx, probe.Listener{Addr: at, TLS: at.Port() == 465}, probe.Config{Dial: dial, Vantage: "the host itself", Brief: true, Helo: "probe.example.net", Budget: offersLimit})
}
