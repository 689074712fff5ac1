package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/spf13/cobra"

	"mtaharden/inventory"
	"mtaharden/remediate"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/report"
)

// vantage is where the questions come from: this machine, or a host that is dialled through.
type vantage struct {
	name  string // "" is this machine
	addrs []netip.Addr
	host  remote.Host
}

func (v *vantage) close() {
	if v.host != nil {
		v.host.Close()
	}
}

// own says whether an address is of the vantage's own machine.
func (v *vantage) own(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if a.IsLoopback() {
		return true
	}
	for _, mine := range v.addrs {
		if mine == a {
			return true
		}
	}
	return false
}

// vantage makes ready to ask from where --from says.
func (r *probeRun) vantage(c *cobra.Command, inv *inventory.Inventory) error {
	if !r.p.stranger {
		r.config.OwnMachine = r.from.own
	}
	if r.p.from == "" {
		r.config.Dial = new(net.Dialer).DialContext
		r.from.addrs = interfaceAddrs()
		return nil
	}
	h, err := fromHost(r.p.from, inv)
	if err != nil {
		return badInput(err)
	}
	r.from.name, r.config.Vantage = h.Name, h.Name
	return r.through(c, h, inv)
}

// fromHost finds the host of --from: any of the inventory, or a word of its vantages.
func fromHost(name string, inv *inventory.Inventory) (*inventory.Host, error) {
	if inv == nil {
		return nil, errors.New("--from names a host of an inventory: give it with -i")
	}
	words := []string{}
	for _, w := range inv.Vantages {
		_, host, _, ok := inventory.SplitJump(w)
		if ok && (w == name || host == name) {
			return vantageHost(inv, w), nil
		}
		words = append(words, host)
	}
	if h, ok := inv.Host(name); ok {
		return vantageHost(inv, h.Name), nil
	}
	for _, h := range append(inv.Passed(), inv.Hosts...) {
		words = append(words, h.Name)
	}
	return nil, fmt.Errorf("--from %q is no host and no vantage of the inventory%s", name, nearest(name, words))
}

// through logs in to the vantage.
func (r *probeRun) through(c *cobra.Command, h *inventory.Host, inv *inventory.Inventory) error {
	d, err := newDialer(c, &r.p.reach)
	if err != nil {
		return err
	}
	host, err := d.dial(c.Context(), h)
	if err != nil {
		return loginError(err)
	}
	r.from.host = host
	onward, ok := host.(remote.Dialer)
	if !ok {
		return fmt.Errorf("cannot connect onward from %s", h.Name)
	}
	r.config.Dial = onward.Dial
	r.from.addrs = r.sources(c.Context(), host, h, inv)
	r.config.Sources = r.from.addrs
	return nil
}

// sources are the vantage's own addresses towards the targets, one of each family: as it says itself, else as the inventory has it.
func (r *probeRun) sources(ctx context.Context, host remote.Host, h *inventory.Host, inv *inventory.Inventory) (out []netip.Addr) {
	families := map[bool]bool{}
	for t := range r.all() {
		if v6 := t.Addr.Is6(); !families[v6] {
			families[v6] = true
			limited, cancel := context.WithTimeout(ctx, nameLimit)
			out = append(out, remediate.Source(limited, host, t.Addr)...)
			cancel()
		}
		if len(families) == 2 {
			break
		}
	}
	if len(out) == 0 {
		out, _ = r.addresses(ctx, inv, h.Name)
	}
	return out
}

// loginError is a vantage that was not entered: nothing can be asked.
func loginError(err error) error {
	s := &status{code: exitUnreachable, err: err}
	for _, h := range checkHints {
		if h.state == stateOf(err) {
			s.hint = h.text
		}
	}
	if stateOf(err) == report.Failed {
		s.code = exitInternal
	}
	return s
}

// interfaceAddrs are this machine's own addresses.
func interfaceAddrs() []netip.Addr {
	addrs, _ := net.InterfaceAddrs()
	var out []netip.Addr
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if own, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, own.Unmap())
			}
		}
	}
	return out
}
