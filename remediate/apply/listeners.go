package apply

import (
	"net/netip"
	"slices"
	"strings"

	"mtaharden/remediate/plan"
)

// lostListeners are those that nothing serves any more, but for those of a service that the plan stops.
func lostListeners(h plan.HostPlan, before, after *plan.Result) []string {
	var lost []string
	for _, i := range before.Installs {
		stops := stopped(h, i)
		for _, l := range i.Listen {
			if !stops && !listens(after, nowAt(after, l)) {
				lost = append(lost, "nothing listens on "+l+" any more")
			}
		}
		if i.Active && !stops && !active(after, keyOf(i)) {
			lost = append(lost, strings.TrimSpace(i.MTA+" "+i.Instance)+" does not run any more")
		}
	}
	return lost
}

func listens(r *plan.Result, l string) bool {
	return slices.ContainsFunc(r.Installs, func(i plan.Install) bool { return slices.Contains(i.Listen, l) })
}

// nowAt is the listener that answers now who called l: l itself, else the one on every address of its family and port.
func nowAt(r *plan.Result, l string) string {
	at, err := netip.ParseAddrPort(l)
	if err != nil || listens(r, l) {
		return l
	}
	every := netip.IPv4Unspecified()
	if at.Addr().Is6() {
		every = netip.IPv6Unspecified()
	}
	if all := netip.AddrPortFrom(every, at.Port()).String(); listens(r, all) {
		return all
	}
	return l
}

func active(r *plan.Result, key string) bool {
	return slices.ContainsFunc(r.Installs, func(i plan.Install) bool { return keyOf(i) == key && i.Active })
}

// stopped says whether the plan stops the service of an installation.
func stopped(h plan.HostPlan, i plan.Install) bool {
	return slices.ContainsFunc(h.Changes, func(c plan.Change) bool {
		return c.Kind == plan.Unit && c.Service != nil && c.Service.Before.Active && !c.Service.After.Active &&
			c.Install < len(h.Installs) && keyOf(h.Installs[c.Install]) == keyOf(i)
	})
}

// lostOffers are greetings, TLS and logins that were offered and are not.
func lostOffers(before, after []Offer, now *plan.Result) []string {
	var lost []string
	for _, b := range before {
		i := slices.IndexFunc(after, func(a Offer) bool { return a.Listener == nowAt(now, b.Listener) })
		if i < 0 || b.Error != "" {
			continue // a listener that is gone is told of as such
		}
		a := after[i]
		switch {
		case a.Error != "":
			lost = append(lost, b.Listener+" cannot be asked any more: "+a.Error)
		case b.Alive && !a.Alive:
			lost = append(lost, b.Listener+" does not greet any more")
		default:
			if b.StartTLS && !a.StartTLS {
				lost = append(lost, b.Listener+" does not offer STARTTLS any more")
			}
			if len(b.Auth) > 0 && len(a.Auth) == 0 {
				lost = append(lost, b.Listener+" does not offer AUTH any more")
			}
		}
	}
	return lost
}
