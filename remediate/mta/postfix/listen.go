package postfix

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"mtaharden/remediate/facts"
)

// ports are the service names that master.cf files use (/etc/services).
var ports = map[string]string{
	"smtp": "25", "submission": "587", "smtps": "465", "submissions": "465", "urd": "465", "ssmtp": "465", "msa": "587",
	"smtp-submission": "587", "amavis": "10024", "spamd": "783",
}

// findListeners pairs every inet service of master.cf with the addresses at which it listens: the sockets of the running master where
// they were seen, else what inet_interfaces says.
func (m *model) findListeners(pid int) []listener {
	at := make([][]listener, len(m.master.services))
	seen := map[string]bool{}
	for _, named := range []bool{true, false} { // a socket belongs to the service that names its address before one that names a port only
		for i := range m.master.services {
			s := &m.master.services[i]
			if host, _ := splitService(s.name); !s.listens() || (host != "") != named || m.service(s.name, s.kind) != s {
				continue
			}
			for _, addr := range m.addresses(s, pid) {
				if !seen[addr] {
					seen[addr] = true
					at[i] = append(at[i], listener{addr: addr, front: s, smtpd: m.behind(s)})
				}
			}
		}
	}
	return slices.Concat(at...)
}

// service is the service of that name and kind; of several the last holds (master: "duplicate entry … using the last entry").
func (m *model) service(name, kind string) *service {
	for i := len(m.master.services) - 1; i >= 0; i-- {
		if s := &m.master.services[i]; s.name == name && s.kind == kind {
			return s
		}
	}
	return nil
}

// rewriter is the service that a smtpd asks for the class of an address: trivial-rewrite with the overrides of its own.
func (m *model) rewriter(s *service) *service {
	name := m.value("rewrite_service_name", s)
	if name == "" {
		name = "rewrite"
	}
	return m.service(name, "unix")
}

// behind is the smtpd service that talks to the clients of s: postscreen hands them to the service "smtpd pass".
func (m *model) behind(s *service) *service {
	if s.command != "postscreen" {
		return s
	}
	name := m.value("smtpd_service_name", s)
	if name == "" {
		name = "smtpd"
	}
	return m.service(name, "pass")
}

// addresses lists where a service listens as "ADDR:PORT".
func (m *model) addresses(s *service, pid int) []string {
	host, port := splitService(s.name)
	if real := sockets(m.snap, pid, host, port); len(real) > 0 {
		return real
	}
	hosts := []string{host}
	if host == "" {
		hosts = m.interfaceAddrs(s)
	}
	var out []string
	for _, h := range hosts {
		switch {
		case strings.EqualFold(h, "localhost"):
			h = "127.0.0.1"
		}
		out = append(out, net.JoinHostPort(h, port))
	}
	return out
}

// splitService splits a service name "host:port", "[host]:port", "port" or "name" and makes the port a number where it is a known name.
func splitService(name string) (host, port string) {
	port = name
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		host, port = strings.Trim(name[:i], "[]"), name[i+1:]
	}
	if n, ok := ports[port]; ok {
		port = n
	}
	return host, port
}

// sockets are the listening sockets of process pid (0: of any) on port, and on host where one is named.
func sockets(s *facts.Snapshot, pid int, host, port string) []string {
	var out []string
	for _, l := range s.Listeners {
		addr, lport, err := net.SplitHostPort(l.Addr)
		if err != nil || lport != port || pid == 0 || l.PID != 0 && l.PID != pid {
			continue
		}
		if host != "" && !sameHost(host, addr) {
			continue
		}
		if !slices.Contains(out, l.Addr) {
			out = append(out, l.Addr)
		}
	}
	return out
}

func sameHost(name, addr string) bool {
	if strings.EqualFold(name, "localhost") {
		ip, err := netip.ParseAddr(addr)
		return err == nil && ip.IsLoopback()
	}
	a, errA := netip.ParseAddr(name)
	b, errB := netip.ParseAddr(addr)
	return errA == nil && errB == nil && a == b
}

// interfaceAddrs turns inet_interfaces and inet_protocols into the addresses of a service that names none.
func (m *model) interfaceAddrs(s *service) []string {
	v4, v6 := m.protocols(s)
	var out []string
	for _, name := range m.list("inet_interfaces", nil) {
		name = strings.Trim(name, "[]")
		switch strings.ToLower(name) {
		case "all":
			out = appendIf(out, v4, "0.0.0.0")
			out = appendIf(out, v6, "::")
		case "loopback-only", "localhost":
			out = appendIf(out, v4, "127.0.0.1")
			out = appendIf(out, v6, "::1")
		default:
			out = append(out, name)
		}
	}
	return out
}

func appendIf(list []string, cond bool, item string) []string {
	if !cond {
		return list
	}
	return append(list, item)
}
