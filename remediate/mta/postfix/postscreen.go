package postfix

import (
	"net/netip"
	"slices"
	"strings"

	"mtaharden/remediate/judge"
)

// Postscreen in front of smtpd hands a client on or turns it away (postscreen(8)): it permits nothing that smtpd's lists refuse. The
// clients of the questions wait for the greeting, end their lines as they should and come back after "try again later", so that its tests
// of behaviour let them pass.

// screenActions are what postscreen does with a client that fails a test; it does not start with another word.
var screenActions = []string{"ignore", "enforce", "drop"}

// screenTests are the parameters that hold one of them.
var screenTests = []string{
	"postscreen_greet_action", "postscreen_dnsbl_action", "postscreen_pipelining_action", "postscreen_non_smtp_command_action",
	"postscreen_bare_newline_action", "postscreen_blacklist_action", "postscreen_denylist_action",
}

// screened is what postscreen says to the client of the question, nothing where none stands in front.
func (r *run) screened() verdict {
	front := r.at.front
	if front == nil || front.command != "postscreen" {
		return verdict{}
	}
	switch says, _ := r.screenList(r.m.members("postscreen_access_list", front), 0); says {
	case permit:
		return verdict{}
	case refuse:
		name := r.m.renamed("postscreen_denylist_action", "postscreen_blacklist_action")
		if code := screenCode(r.m.value(name, front)); code != 0 {
			_, o, _ := r.m.raw("postscreen_access_list", front)
			r.note(o, "postscreen_access_list refuses "+r.addr)
			return denied(code, "5.3.2 Service currently unavailable (postscreen_access_list, "+name+")")
		}
	}
	if r.vetoed() {
		return verdict{kind: refuse, code: 450, text: "450 4.3.2 Service currently unavailable (postscreen takes no new client at this address)", policy: true}
	}
	sites := r.m.value("postscreen_dnsbl_sites", front)
	if code := screenCode(r.m.value("postscreen_dnsbl_action", front)); code != 0 && sites != "" &&
		r.hinders("postscreen_dnsbl_sites", "postscreen_dnsbl_sites: DNS lists may name the client") {
		return denied(code, "5.7.1 Service unavailable; blocked using a list of postscreen_dnsbl_sites")
	}
	return verdict{}
}

// screenCode is the reply code of a refusal by an action, 0 where it refuses nobody.
func screenCode(action string) int {
	switch strings.ToLower(action) {
	case "enforce":
		return 550
	case "drop":
		return 521
	}
	return 0
}

// renamed is the name of a parameter in this release: Postfix 3.6 gave several of postscreen's new ones, whose defaults are the old.
func (m *model) renamed(name, before string) string {
	m.meet(before)
	if _, ok := m.defaults[name]; ok {
		return name
	}
	return before
}

// screenList walks an access list of postscreen's: its words, and what its tables say of the client's address (server_acl.c). An unknown
// word, or a lookup that fails, ends the whole list, also where it stands in a table's value; "dunno" ends a value alone.
func (r *run) screenList(items []member, depth int) (says kind, ended bool) {
	for _, it := range items {
		switch word := strings.ToLower(it.text); {
		case word == "permit":
			return permit, true
		case word == "reject":
			return refuse, true
		case word == "dunno":
			return dunno, false
		case word == "permit_mynetworks":
			if ok, failed := r.addrIn("mynetworks", r.addr); ok || failed != "" {
				return map[bool]kind{true: permit}[ok], true
			}
		case isTable(it.text) && depth < 20:
			if says, ended = r.screenTable(it, depth); ended {
				return says, true
			}
		default:
			return dunno, true
		}
	}
	return dunno, false
}

func (r *run) screenTable(it member, depth int) (says kind, ended bool) {
	switch f := r.look(r.m.table(it.text), r.addr); {
	case f.failed != "":
		return dunno, true
	case f.unread != "":
		return []kind{permit, refuse}[r.fork("postscreen "+it.text, f.unread, 2)], true
	case f.ok:
		return r.screenList(actionItems(f.value), depth+1)
	}
	return dunno, false
}

// vetoed reports whether postscreen takes new clients at none of the addresses at which the question's may have come, now or before: it
// keeps in mind whom it took, for all its listeners. At which address a proxy was reached is the proxy's to say, and whom other hosts took
// that share its memory is theirs.
func (r *run) vetoed() bool {
	param := r.m.renamed("postscreen_allowlist_interfaces", "postscreen_whitelist_interfaces")
	if name, _ := r.m.upstream(r.at); name != "" || r.m.value(param, r.at.front) == "" || r.m.sharesCache(r.at.front) {
		return false
	}
	var own []string
	for _, l := range append([]listener{r.at}, r.m.listeners...) {
		if l.front.command == "postscreen" {
			own = append(own, r.arrivals(l)...)
		}
	}
	for _, addr := range own {
		if ok, failed := r.addrIn(param, addr); ok || failed != "" {
			return false
		}
	}
	return len(own) > 0
}

// sharesCache reports whether postscreen may keep in mind whom it took together with other hosts or instances: a memcache, a table behind
// proxymap, or one of a type that several may write (POSTSCREEN_README).
func (m *model) sharesCache(front *service) bool {
	_, o, _ := m.raw("postscreen_cache_map", front)
	kind, _, _ := strings.Cut(m.value("postscreen_cache_map", front), ":")
	return o.How != "default" && !slices.Contains([]string{"", "btree", "hash", "dbm", "sdbm"}, kind)
}

// arrivals are the host's addresses of the client's protocol at which the client of the question may come to a listener: the listener's own, or
// all; those of the loopback interface where there are no others.
func (r *run) arrivals(l listener) []string {
	client, _ := netip.ParseAddr(r.addr)
	host, _ := splitService(l.addr)
	if ip, err := netip.ParseAddr(host); err == nil && !ip.IsUnspecified() && !ip.IsLoopback() {
		if ip.Is4() != client.Is4() {
			return nil
		}
		return []string{host}
	}
	var own, loop []string
	for _, p := range r.m.ownAddrs(l.front) {
		switch a := p.Addr(); {
		case a.Is4() != client.Is4():
		case a.IsLoopback():
			loop = append(loop, a.String())
		default:
			own = append(own, a.String())
		}
	}
	if len(own) == 0 {
		return loop
	}
	return own
}

// addrIn looks an address up in a list of postscreen's own; names it has none (addr_match_list(3)).
func (r *run) addrIn(param, addr string) (ok bool, failed string) {
	patterns := r.m.patterns(param, r.at.front)
	for i := range patterns {
		p := &patterns[i]
		switch {
		case p.failed != "":
			return false, p.failed
		case p.unread != "":
			ok = r.maybe(p.unread, p.unread)
		case p.table != nil:
			f := r.look(p.table, addr)
			ok, failed = f.ok, f.failed
		default:
			ok, failed = addrMatches(addr, p.text)
		}
		if failed != "" {
			return false, failed
		}
		if ok {
			return !p.negate, ""
		}
	}
	return false, ""
}

// deadScreen is a value that postscreen does not start with.
func (m *model) deadScreen(front *service) (string, []judge.Line) {
	if front.command != "postscreen" {
		return "", nil
	}
	good := func(v string) bool {
		for _, a := range screenActions {
			if strings.EqualFold(v, a) {
				return true
			}
		}
		return false
	}
	for _, name := range screenTests {
		if _, known := m.defaults[name]; !known {
			continue
		}
		if at, bad := m.misfits(name, front, good); bad {
			return "postscreen does not start: bad action: " + at.Text, []judge.Line{at}
		}
	}
	return "", nil
}
