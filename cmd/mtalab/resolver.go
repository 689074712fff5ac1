package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// testZones are the domains of RFC 2606 in which every name exists: its address and its mail exchanger are the sink.
func testZones() []string { return []string{"example.com.", "example.net.", "example.org."} }

// zone is what the lab's resolver knows. Everything else does not exist.
type zone struct {
	names map[string][]netip.Addr // fully qualified, lower case
	ptr   map[string]string
	own   string // the lab's own domain, fully qualified
	sink  netip.Addr
	out   map[netip.Prefix]string // a client there that has no name of its own is called after its address, in this domain
}

func (l *Lab) zone() zone {
	n := l.Network
	z := zone{names: map[string][]netip.Addr{}, ptr: map[string]string{}, own: dns.Fqdn(n.Domain), sink: nth(n.Bridge4, n.Sink), out: map[netip.Prefix]string{}}
	add := func(name string, addrs ...netip.Addr) {
		name = dns.Fqdn(strings.ToLower(name))
		z.names[name] = append(z.names[name], addrs...)
		for _, a := range addrs {
			if reverse, err := dns.ReverseAddr(a.String()); err == nil {
				z.ptr[reverse] = name
			}
		}
	}
	for _, h := range l.Hosts() {
		add(h.Name+"."+n.Domain, h.Addr, h.Addr6)
	}
	for name, i := range map[string]int{"sink": n.Sink, "resolver": n.Resolver, "router": n.Router, "inside": n.Inside, "controller": n.Controller} {
		add(name+"."+n.Domain, nth(n.Bridge4, i), nth(n.Bridge6, i))
	}
	for name, v := range l.Vantages {
		add(l.vantageName(name), nth(v.Network4, n.Stranger), nth(v.Network6, n.Stranger))
		z.out[v.Network4] = v.Domain
	}
	return z
}

// answer is pure: the records for a question, and whether the name exists at all.
func (z zone) answer(q dns.Question) (records []dns.RR, exists bool) {
	name := strings.ToLower(dns.Fqdn(q.Name))
	head := func(t uint16) dns.RR_Header {
		return dns.RR_Header{Name: q.Name, Rrtype: t, Class: dns.ClassINET, Ttl: 300}
	}
	if target := z.pointer(name); target != "" {
		if q.Qtype == dns.TypePTR {
			records = append(records, &dns.PTR{Hdr: head(dns.TypePTR), Ptr: target})
		}
		return records, true
	}
	addrs, known := z.names[name]
	test := slices.ContainsFunc(testZones(), func(s string) bool { return dns.IsSubDomain(s, name) })
	if !known && test {
		addrs = []netip.Addr{z.sink}
	}
	for _, a := range addrs {
		switch {
		case q.Qtype == dns.TypeA && a.Is4():
			records = append(records, &dns.A{Hdr: head(dns.TypeA), A: a.AsSlice()})
		case q.Qtype == dns.TypeAAAA && a.Is6():
			records = append(records, &dns.AAAA{Hdr: head(dns.TypeAAAA), AAAA: a.AsSlice()})
		}
	}
	if q.Qtype == dns.TypeMX && test {
		records = append(records, &dns.MX{Hdr: head(dns.TypeMX), Preference: 10, Mx: "sink." + z.own})
	}
	return records, known || test || name == z.own
}

// pointer is the name of an address in reverse notation, empty where it has none.
func (z zone) pointer(name string) string {
	if p := z.ptr[name]; p != "" {
		return p
	}
	labels, ok := strings.CutSuffix(name, ".in-addr.arpa.")
	if !ok {
		return ""
	}
	f := strings.Split(labels, ".")
	slices.Reverse(f)
	a, err := netip.ParseAddr(strings.Join(f, "."))
	if err != nil {
		return ""
	}
	for network, domain := range z.out {
		if network.Contains(a) {
			return dns.Fqdn(clientName(int(a.As4()[3]), domain))
		}
	}
	return ""
}

func (z zone) ServeDNS(w dns.ResponseWriter, r *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(r)
	m.Authoritative, m.RecursionAvailable = true, true
	if len(r.Question) == 1 {
		records, exists := z.answer(r.Question[0])
		m.Answer = records
		if !exists {
			m.Rcode = dns.RcodeNameError
		}
	} else {
		m.Rcode = dns.RcodeFormatError
	}
	_ = w.WriteMsg(m)
}

// serveDNS answers on the resolver's address, over UDP and TCP.
func (l *Lab) serveDNS(ctx context.Context) error {
	done := make(chan error, 2)
	z := l.zone()
	for _, network := range []string{"udp", "tcp"} {
		s := &dns.Server{Addr: fmt.Sprintf("%s:53", nth(l.Network.Bridge4, l.Network.Resolver)), Net: network, Handler: z}
		context.AfterFunc(ctx, func() { _ = s.Shutdown() })
		go func() { done <- s.ListenAndServe() }()
	}
	return <-done
}
