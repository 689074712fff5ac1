package plan

import (
	"net/netip"
	"slices"

	"mtaharden/remediate/facts"
)

// Target is an address at which the network judge may speak to a listener of the host.
type Target struct {
	Listener string // as the host says that it is bound
	Dial     netip.AddrPort
	Install  int // of Input.Installs; -1 for a listener that no known installation owns
}

// Name is what answers about the target call their listener: the address that was dialled, unless translation lies between.
func (t Target) Name() string {
	if d := t.Dial.String(); serves(t.Listener, d) {
		return d
	}
	return t.Listener
}

// Is says whether an answer about a listener, as a judge of the host names it, is about the target; "" is about each.
func (t Target) Is(listener string) bool {
	return listener == "" || sameListener(listener, t.Listener) || serves(listener, t.Dial.String())
}

// maxTargets bounds the listeners of one host that are dialled.
const maxTargets = 24

// Targets lists where a host's mail listeners can be spoken to: each of its installations' listeners that is not bound to loopback, and
// those on mail ports that no known installation owns, at the addresses by which the inventory reaches the host, and at the host's other
// addresses where a stranger could use them. An address of the host's that is private is dialled only on the network of one that the
// inventory reaches: elsewhere it may be another machine's. skipped says what is not dialled, and why; passed says it of every listener that
// is not, those that nobody else reaches too.
func Targets(in Input, reached []netip.Addr) (targets []Target, skipped []string, passed map[string]string) {
	passed = map[string]string{}
	add := func(listener string, install int) {
		at, ok := parseListener(listener)
		switch {
		case ok && at.Addr().Unmap().IsLoopback():
			passed[listener] = "only the host itself reaches " + listener
			return
		case !ok:
			return
		}
		dials := dialled(in.Snapshot, at, reached)
		if len(dials) == 0 {
			passed[listener] = listener + " is bound to an address that cannot be told to be this host's from elsewhere"
			skipped = append(skipped, passed[listener])
		}
		for _, d := range dials {
			known := slices.ContainsFunc(targets, func(t Target) bool { return t.Dial == d })
			if known || !taken(in.Snapshot, d, at) {
				continue
			}
			if len(targets) == maxTargets {
				skipped = append(skipped, d.String()+" is one too many")
				continue
			}
			targets = append(targets, Target{listener, d, install})
		}
	}
	for i, j := range in.Installs {
		for _, l := range j.Install.Listen {
			add(l, i)
		}
	}
	for _, st := range strangers(in) {
		for _, l := range st.install.Listen {
			add(l, -1)
		}
	}
	return targets, skipped, passed
}

// dialled returns the addresses at which what is bound to at can be spoken to.
func dialled(s *facts.Snapshot, at netip.AddrPort, reached []netip.Addr) []netip.AddrPort {
	bound := at.Addr().Unmap().WithZone("")
	var own []netip.Prefix
	for _, text := range s.Addrs {
		if p, err := netip.ParsePrefix(text); err == nil {
			own = append(own, p)
		}
	}
	theirs := func(a netip.Addr) bool {
		return slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Addr().Unmap() == a })
	}
	var out []netip.AddrPort
	add := func(a netip.Addr) {
		if d := netip.AddrPortFrom(a, at.Port()); !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	takes := func(a netip.Addr) bool {
		return bound == a || bound.IsUnspecified() && (bound.Is6() || a.Is4())
	}
	for _, a := range reached {
		switch a = a.Unmap().WithZone(""); {
		case takes(a), !bound.IsUnspecified() && !theirs(a) && bound.Is4() == a.Is4() && !slices.Contains(reached, bound):
			add(a) // the second: the address is a translator's or a gateway's, which leads to whatever the host is bound to
		}
	}
	for _, p := range own {
		if a := p.Addr().Unmap(); takes(a) && reachable(a, own, reached) && (!bound.IsUnspecified() || !family(out, a)) {
			add(a)
		}
	}
	return out
}

// family says whether one of the addresses is of a's family.
func family(dials []netip.AddrPort, a netip.Addr) bool {
	return slices.ContainsFunc(dials, func(d netip.AddrPort) bool { return d.Addr().Is4() == a.Is4() })
}

// reachable says whether an address of the host's means this host elsewhere too: it is public, or on the network of one that is reached.
func reachable(a netip.Addr, own []netip.Prefix, reached []netip.Addr) bool {
	switch {
	case a.IsLoopback(), a.IsLinkLocalUnicast(), a.IsMulticast(), a.IsUnspecified():
		return false
	case a.Is6(), !a.IsPrivate() && !netip.MustParsePrefix("100.64.0.0/10").Contains(a):
		return true // a private address of IPv6 is nobody else's (RFC 4193, 3.2.2)
	}
	return slices.ContainsFunc(own, func(p netip.Prefix) bool {
		return p.Bits() < p.Addr().BitLen() && unmap(p).Contains(a) && slices.ContainsFunc(reached, func(r netip.Addr) bool { return unmap(p).Contains(r.Unmap()) })
	})
}

// taken says whether what is bound to at takes the connections to an address: nothing else is bound to that very address, nor to all of IPv4
// beside what is bound to all of IPv6.
func taken(s *facts.Snapshot, d, at netip.AddrPort) bool {
	same := func(b netip.AddrPort) bool { return b.Addr().Unmap() == d.Addr() && b.Port() == d.Port() }
	return same(at) || !slices.ContainsFunc(s.Listeners, func(l facts.Listener) bool {
		b, ok := parseListener(l.Addr)
		v4 := d.Addr().Is4() && at.Addr() == netip.IPv6Unspecified() && b.Addr() == netip.IPv4Unspecified() && b.Port() == d.Port()
		return ok && (same(b) || v4)
	})
}
