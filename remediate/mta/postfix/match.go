package postfix

import (
	"net/netip"
	"strings"

	"mtaharden/remediate/mta"
)

// hit is the result of looking for something in a match list.
type hit struct {
	ok      bool
	pattern *pattern // what decided
	origin  mta.Origin
	failed  string // the list cannot be used: Postfix answers 451
}

// inNetworks looks for the client's address and name in a list of networks, hosts and tables (namadr_list(3)).
func (r *run) inNetworks(param string) hit { return r.networks(param, r.name, r.addr) }

func (r *run) networks(param, name, addr string) hit {
	patterns := r.m.patterns(param, r.s)
	for i := range patterns {
		p := &patterns[i]
		ok, origin, failed := r.hostInTable(param, p, name, addr)
		if p.table == nil && p.unread == "" && p.failed == "" {
			ok = r.nameMatches(name, p.text, r.parent[param])
			if !ok {
				ok, failed = addrMatches(addr, p.text)
			}
		}
		if failed != "" {
			return hit{pattern: p, failed: failed}
		}
		if ok {
			return hit{ok: !p.negate, pattern: p, origin: origin}
		}
	}
	return hit{}
}

// hostInTable looks a client up in a list member that is a table: its name with its parents, then its address.
func (r *run) hostInTable(param string, p *pattern, name, addr string) (ok bool, o mta.Origin, failed string) {
	switch {
	case p.failed != "":
		return false, p.origin, p.failed
	case p.unread != "":
		return r.maybe(p.unread, p.unread), p.origin, ""
	case p.table == nil:
		return false, p.origin, ""
	}
	for _, key := range append(domainKeys(p.table, name, r.parent[param]), addr) {
		f := r.look(p.table, key)
		if f.failed != "" {
			return false, p.origin, f.failed
		}
		if f.ok {
			return true, tableOrigin(p, f), ""
		}
	}
	return false, p.origin, ""
}

// look looks a key up; what is not known is a fork between "not there" and "there with an unknown value".
func (r *run) look(t *table, key string) found {
	r.m.meet(t.kind)
	f := t.look(key)
	if f.unread != "" {
		if said, ok := r.m.told(t, key); ok {
			return said
		}
		r.m.want(t, key)
		if !r.maybe(t.spec+" "+key, f.unread) {
			return found{}
		}
		return found{ok: true, unread: f.unread}
	}
	return f
}

// nameMatches compares a host or domain name with a pattern: the same, or under it. With parents, "example.org" covers what is below
// it; without, only ".example.org" does (match_hostname(3)).
func (r *run) nameMatches(name, pattern string, parents bool) bool {
	name = strings.ToLower(name)
	switch {
	case name == pattern:
		return true
	case parents:
		return strings.HasSuffix(name, "."+pattern) && pattern != ""
	case strings.HasPrefix(pattern, "."):
		return strings.HasSuffix(name, pattern) && len(name) > len(pattern)
	}
	return false
}

// addrMatches compares an address with a pattern as match_hostaddr(3) does; a bad network is an error of the whole list.
func addrMatches(addr, pattern string) (ok bool, failed string) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return false, ""
	}
	if strings.EqualFold(addr, strings.Trim(pattern, "[]")) {
		return true, ""
	}
	if !looksLikeNet(pattern, a.Is6()) {
		return false, ""
	}
	net, err := parseNet(pattern)
	if err != nil {
		return false, err.Error()
	}
	return net.Contains(a), ""
}

// domainKeys are the keys under which a table is asked for a domain: itself and, in tables of fixed keys, its parents, written
// "example.org" with parent matching and ".example.org" without.
func domainKeys(t *table, domain string, parents bool) []string {
	keys := []string{domain}
	if !t.fixed() {
		return keys
	}
	for rest := domain; ; {
		i := strings.IndexByte(rest[min(1, len(rest)):], '.')
		if i < 0 {
			return keys
		}
		rest = rest[i+1:]
		if parents {
			rest = rest[1:]
			keys = append(keys, rest)
			rest = "." + rest
			continue
		}
		keys = append(keys, rest)
	}
}

// inDomains looks for a domain in a list of domains and tables, as the rewrite service has them. Lists of plain strings (mydestination) know no parents.
func (r *run) inDomains(param, domain string) hit { return r.inList(param, domain, r.rw) }

// inList is inDomains as service s has the list.
func (r *run) inList(param, domain string, s *service) hit {
	patterns := r.m.patterns(param, s)
	strict := param != "relay_domains"
	for i := range patterns {
		p := &patterns[i]
		ok, origin, failed := r.domainInTable(p, domain, strict)
		if p.table == nil && p.unread == "" && p.failed == "" {
			ok = strings.EqualFold(domain, p.text) || !strict && r.nameMatches(domain, p.text, r.parent[param])
		}
		if failed != "" {
			return hit{pattern: p, failed: failed}
		}
		if ok {
			return hit{ok: !p.negate, pattern: p, origin: origin}
		}
	}
	return hit{}
}

func (r *run) domainInTable(p *pattern, domain string, strict bool) (ok bool, o mta.Origin, failed string) {
	switch {
	case p.failed != "":
		return false, p.origin, p.failed
	case p.unread != "":
		return r.maybe(p.unread, p.unread), p.origin, ""
	case p.table == nil:
		return false, p.origin, ""
	}
	keys := []string{domain}
	if !strict {
		keys = domainKeys(p.table, domain, r.parent["relay_domains"])
	}
	for _, key := range keys {
		f := r.look(p.table, key)
		if f.failed != "" {
			return false, p.origin, f.failed
		}
		if f.ok {
			return true, tableOrigin(p, f), ""
		}
	}
	return false, p.origin, ""
}

func tableOrigin(p *pattern, f found) mta.Origin {
	if f.line > 0 && p.table.source() != "" {
		return mta.Origin{File: p.table.source(), Line: f.line, How: "include"}
	}
	return p.origin
}
