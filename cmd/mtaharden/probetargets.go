package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agext/levenshtein"
	"github.com/spf13/cobra"

	"mtaharden/inventory"
	"mtaharden/remediate/probe"
)

// targets reads the arguments. A host of the inventory is meant before a name of the DNS is.
func (p *probing) targets(c *cobra.Command, args []string, inv *inventory.Inventory, hosts []*inventory.Host) ([]probe.Target, error) {
	var out []probe.Target
	switch {
	case len(args) == 0 && inv == nil:
		return nil, usageError(c, errors.New("a TARGET is needed: a name, an address, a network, @FILE, or an inventory (-i)"))
	case len(args) == 0:
		for _, h := range hosts {
			out = append(out, probe.Target{Text: h.Name, Name: h.Name})
		}
		return out, nil
	case len(p.limit) > 0:
		return nil, usageError(c, errors.New("--limit chooses hosts of the inventory where no TARGET is named: leave one of them out"))
	}
	var bad probe.Mistakes
	for _, word := range args {
		more, err := p.argument(c, word, inv)
		if err != nil {
			bad = append(bad, err.Error())
		}
		out = append(out, more...)
	}
	if bad != nil {
		return nil, badInput(bad)
	}
	return out, nil
}

// argument reads one argument, which may name a list.
func (p *probing) argument(c *cobra.Command, word string, inv *inventory.Inventory) ([]probe.Target, error) {
	if file, ok := strings.CutPrefix(word, "@"); ok && file != "" {
		text, err := readList(c, file)
		if err != nil {
			return nil, err
		}
		return probe.ParseTargets(file, text)
	}
	if inv != nil {
		if _, ok := inv.Host(word); ok {
			return []probe.Target{{Text: word, Name: word}}, nil
		}
	}
	t, err := probe.ParseTarget(word)
	return []probe.Target{t}, err
}

// readList reads a list of targets; - is standard input.
func readList(c *cobra.Command, file string) (string, error) {
	in := c.InOrStdin()
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("cannot read the list of targets: %w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, probe.MaxList+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot read the list of targets: %w", err)
	case len(data) > probe.MaxList:
		return "", fmt.Errorf("%s is longer than a list may be (%d MiB)", file, probe.MaxList>>20)
	}
	return string(data), nil
}

// lookers is how many names are looked up at the same time; nameLimit bounds one, addrsOfName what is taken of its addresses.
const (
	lookers     = 8
	nameLimit   = 20 * time.Second
	addrsOfName = 16
)

// resolve finds the addresses of every target that is a name. One that has none is a target that was not reached, with the nearest name of the inventory.
func (r *probeRun) resolve(ctx context.Context, inv *inventory.Inventory) error {
	found := make([][]netip.Addr, len(r.targets))
	wrong := make([]error, len(r.targets))
	free := make(chan struct{}, lookers)
	var all sync.WaitGroup
	for i, t := range r.targets {
		switch {
		case t.Addr.IsValid():
			found[i] = []netip.Addr{t.Addr}
		case t.Name != "":
			free <- struct{}{}
			all.Go(func() {
				found[i], wrong[i] = r.addresses(ctx, inv, t.Name)
				<-free
			})
		}
	}
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for i, t := range r.targets {
		if wrong[i] != nil {
			why := fmt.Sprintf("cannot find the address of %s: %v%s", t.Name, wrong[i], nearHost(t.Name, inv))
			r.lost = append(r.lost, probe.HostResult{Target: t.Text, Error: why})
		}
		for _, a := range found[i] {
			r.add(t, a, inv)
		}
	}
	for range r.all() {
		r.total++
	}
	return nil
}

// addresses are those of a host of the inventory, by its address there, or of a name.
func (r *probeRun) addresses(ctx context.Context, inv *inventory.Inventory, name string) ([]netip.Addr, error) {
	if inv != nil {
		if h, ok := inv.Host(name); ok {
			name = cmp.Or(h.Address, h.Name)
		}
	}
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, nameLimit)
	defer cancel()
	found, err := r.p.names().LookupNetIP(ctx, "ip", name)
	var no *net.DNSError
	switch {
	case errors.As(err, &no):
		return nil, errors.New(no.Err)
	case err != nil:
		return nil, err
	}
	for i, a := range found {
		found[i] = a.Unmap()
	}
	slices.SortFunc(found, netip.Addr.Compare)
	found = slices.Compact(found)
	return found[:min(len(found), addrsOfName)], nil
}

// names is the resolver of names: that of --resolver, else the system's.
func (p *probing) names() *net.Resolver {
	if p.resolver == "" {
		return net.DefaultResolver
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, p.resolver)
	}}
}

func nearHost(name string, inv *inventory.Inventory) string {
	if inv == nil {
		return ""
	}
	var words []string
	for _, h := range append(inv.Passed(), inv.Hosts...) {
		words = append(words, h.Name)
	}
	return nearest(name, words)
}

// nearest is `: did you mean "word"?` with the word nearest to what was written, or "" where none is near.
func nearest(written string, words []string) string {
	best, least := "", 2+len(written)/4
	for _, w := range words {
		if d := levenshtein.Distance(strings.ToLower(written), strings.ToLower(w), nil); d < least {
			best, least = w, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// add puts an address on the list of what is asked. One that is there already gets the further port.
func (r *probeRun) add(t probe.Target, a netip.Addr, inv *inventory.Inventory) {
	ports := r.ports
	if t.Port != 0 {
		ports = []probe.Port{{Number: t.Port, TLS: t.Port == 465}}
	}
	for i := range r.named {
		if h := &r.named[i]; h.Addr == a {
			for _, p := range ports {
				if !slices.Contains(h.Ports, p) {
					h.Ports = append(slices.Clone(h.Ports), p)
				}
			}
			return
		}
	}
	h := probe.Host{Target: t.Text, Addr: a, Ports: ports, Domains: r.p.ownDomains, Local: r.p.recipient}
	if inv == nil {
		h.Name = t.Name
	} else if _, ok := inv.Host(t.Name); !ok {
		h.Name = t.Name // an inventory's name need not be the server's own
	}
	r.named = append(r.named, h)
}

// all are the hosts to be asked: those that were named, then the networks' addresses, each address once.
func (r *probeRun) all() iter.Seq[probe.Host] {
	return func(yield func(probe.Host) bool) {
		seen := map[netip.Addr]bool{}
		for _, h := range r.named {
			seen[h.Addr] = true
			if !yield(h) {
				return
			}
		}
		for _, t := range r.targets {
			if !t.Prefix.IsValid() {
				continue
			}
			for a := range t.Addrs() {
				if seen[a] {
					continue
				}
				seen[a] = true
				if !yield(probe.Host{Target: t.Text, Addr: a, Ports: r.ports, Domains: r.p.ownDomains, Local: r.p.recipient}) {
					return
				}
			}
		}
	}
}

// hosts are those that are still to be asked.
func (r *probeRun) hosts(skip map[netip.Addr]bool) iter.Seq[probe.Host] {
	return func(yield func(probe.Host) bool) {
		for h := range r.all() {
			if !skip[h.Addr] && !yield(h) {
				return
			}
		}
	}
}
