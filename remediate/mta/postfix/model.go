package postfix

import (
	"net/netip"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// model is the driver's own reading of one instance.
type model struct {
	snap      *facts.Snapshot
	dir       string
	version   [3]int
	main      *mainFile
	master    *masterFile
	defaults  map[string]string
	computed  map[string]string // myhostname, mydomain and mynetworks where main.cf does not set them
	tables    map[string]*table // tables that were opened, by "type:name"
	lists     map[cacheKey][]pattern
	words     map[cacheKey][]member
	values    map[cacheKey]string
	unasked   map[string]string   // by table: why postmap is not run on it, "" where it is
	wanted    map[string][]string // by table: keys that an answer needed of tables that were not read
	asked     map[string][]string // the same, of answers that stayed open for it
	listeners []listener
	visit     func(word string) // told each restriction, table type and parameter that an evaluation meets; nil: nobody asks
}

// cacheKey is a parameter as a service sees it; the model is read often, from one goroutine, and never changed.
type cacheKey struct {
	name string
	s    *service
}

// listener is an address and port at which SMTP clients arrive.
type listener struct {
	addr  string   // "ADDR:PORT"
	front *service // what listens: smtpd or postscreen
	smtpd *service // what talks: the same, or the "smtpd pass" service behind postscreen

	evades bool // of a question: its client spells commands as smtpd_command_filter does not know them
}

// find returns the listener with that address.
func (m *model) find(addr string) (listener, bool) {
	for _, l := range m.listeners {
		if l.addr == addr {
			return l, true
		}
	}
	return listener{}, false
}

// raw returns the value of name as it stands for a service (nil: for none), and where it stands.
func (m *model) raw(name string, s *service) (string, mta.Origin, bool) {
	if s != nil {
		if o, ok := s.override(name); ok {
			return o.value, mta.Origin{File: m.master.path, Line: o.line, How: "override"}, true
		}
	}
	if e, ok := m.main.get(name); ok {
		return e.value, mta.Origin{File: m.main.path, Line: e.line, How: "file"}, true
	}
	if v, ok := m.computed[name]; ok {
		return v, mta.Origin{How: "default"}, true
	}
	v, ok := m.defaults[name]
	return v, mta.Origin{How: "default"}, ok
}

// expand resolves the references of text as the service sees them.
func (m *model) expand(text string, s *service) (string, error) {
	return expander{get: func(name string) (string, bool) {
		switch {
		case name == "mynetworks" && m.networksComputed(s):
			return m.ownNetworks(s), true
		case name == "service_name" && s != nil:
			return s.name, true
		case name == "process_name" && s != nil:
			return s.command, true
		}
		v, _, ok := m.raw(name, s)
		return v, ok
	}}.expand(text)
}

func (m *model) meet(word string) {
	if m.visit != nil {
		m.visit(word)
	}
}

// value is the effective value of name for a service. What cannot be expanded stops every Postfix program; it is empty here and
// reported by broken.
func (m *model) value(name string, s *service) string {
	m.meet(name)
	key := cacheKey{name, s}
	v, ok := m.values[key]
	if !ok {
		v = m.evaluate(name, s)
		m.values[key] = v
	}
	return v
}

func (m *model) evaluate(name string, s *service) string {
	if name == "mynetworks" && m.networksComputed(s) {
		return m.ownNetworks(s)
	}
	text, _, _ := m.raw(name, s)
	v, err := m.expand(text, s)
	if err != nil {
		return ""
	}
	return v
}

// yes reports whether a yes/no parameter is on.
func (m *model) yes(name string, s *service) bool { return strings.EqualFold(m.value(name, s), "yes") }

// list is the value of name as a list, as it is after its references were expanded.
func (m *model) list(name string, s *service) []string {
	var out []string
	for _, w := range splitList(m.value(name, s), true) {
		out = append(out, w.text)
	}
	return out
}

func (m *model) networksComputed(s *service) bool {
	_, origin, _ := m.raw("mynetworks", s)
	return origin.How == "default"
}

// ownNetworks is what mynetworks is where nothing sets it: the host's own addresses, widened by mynetworks_style (postconf(5)).
func (m *model) ownNetworks(s *service) string {
	style := m.value("mynetworks_style", s)
	var nets []string
	seen := map[string]bool{}
	for _, own := range m.ownAddrs(s) {
		bits := own.Addr().BitLen()
		switch {
		case style == "subnet":
			bits = own.Bits()
		case style == "class" && own.Addr().Is4():
			bits = classBits(own.Addr())
		case style == "class":
			bits = own.Bits()
		}
		if own.Addr().Is4() && own.Addr().IsLoopback() {
			bits = 8 // every style names 127.0.0.0/8: it is the loopback interface's own net, and its class
			if style == "host" {
				bits = 32
			}
		}
		if net := bracketed(netip.PrefixFrom(own.Addr(), bits).Masked()); !seen[net] {
			seen[net] = true
			nets = append(nets, net)
		}
	}
	if len(nets) == 0 {
		return m.computed["mynetworks"]
	}
	return strings.Join(nets, " ")
}

// ownAddrs are the host's addresses at which this Postfix listens (inet_interfaces, inet_protocols).
func (m *model) ownAddrs(s *service) []netip.Prefix {
	var out []netip.Prefix
	v4, v6 := m.protocols(s)
	for _, text := range m.snap.Addrs {
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Addr().Is4() && !v4 || p.Addr().Is6() && !v6 || !m.interfaceUsed(p.Addr(), s) {
			continue
		}
		out = append(out, p)
	}
	return out
}

func (m *model) protocols(s *service) (v4, v6 bool) {
	for _, p := range m.list("inet_protocols", s) {
		switch strings.ToLower(p) {
		case "all":
			v4, v6 = true, true
		case "ipv4":
			v4 = true
		case "ipv6":
			v6 = true
		}
	}
	return v4, v6
}

func (m *model) interfaceUsed(a netip.Addr, s *service) bool {
	for _, name := range m.list("inet_interfaces", s) {
		name = strings.Trim(name, "[]")
		switch strings.ToLower(name) {
		case "all":
			return true
		case "loopback-only", "localhost":
			if a.IsLoopback() {
				return true
			}
		}
		if ip, err := netip.ParseAddr(name); err == nil && ip == a.WithZone("") {
			return true
		}
	}
	return false
}

// classBits is the length of the network part of an address by its class (RFC 791).
func classBits(a netip.Addr) int {
	switch first := a.As4()[0]; {
	case first < 128:
		return 8
	case first < 192:
		return 16
	case first < 224:
		return 24
	}
	return 32
}

// bracketed is a network as Postfix writes it: IPv6 addresses in brackets.
func bracketed(p netip.Prefix) string {
	if p.Addr().Is4() {
		return p.String()
	}
	addr, bits, _ := strings.Cut(p.String(), "/")
	return "[" + addr + "]/" + bits
}
