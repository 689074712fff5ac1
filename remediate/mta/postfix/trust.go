package postfix

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"mtaharden/remediate/mta"
)

// maxTrusted bounds the entries of one listener that are listed and asked about.
const maxTrusted = 300

// trusted lists every entry by which a client, sender, recipient or HELO may relay, in the order in which Postfix reads them. Where the
// values of all listeners are the same, the entries stand once, for no listener in particular.
func (m *model) trusted() (out []mta.Trust, cut bool) {
	var groups [][]mta.Trust
	for _, l := range m.listeners {
		if l.smtpd == nil {
			continue
		}
		g := m.trustedAt(l.smtpd)
		if len(g) > maxTrusted {
			g, cut = g[:maxTrusted], true
		}
		groups = append(groups, g)
	}
	if len(m.listeners) == 0 {
		return m.trustedAt(nil), false
	}
	same := true
	for _, g := range groups {
		same = same && slices.EqualFunc(g, groups[0], func(a, b mta.Trust) bool { return a.ID == b.ID && a.Origin == b.Origin })
	}
	seen := map[string]bool{}
	i := -1
	for _, l := range m.listeners {
		if l.smtpd == nil {
			continue
		}
		i++
		for _, t := range groups[i] {
			if !same {
				t.Listener = l.addr
				t.ID = l.addr + " " + t.ID
				for k := range t.Fix {
					t.Fix[k].Listener = fixListener(t.Origin, l.addr)
				}
			}
			if !seen[t.ID] {
				seen[t.ID] = true
				out = append(out, t)
			}
		}
	}
	return out, cut
}

// fixListener is the listener a removal must name: only an override stands at one listener.
func fixListener(o mta.Origin, addr string) string {
	if o.How == "override" {
		return addr
	}
	return ""
}

// collectTrust gathers the entries of one smtpd service.
type collectTrust struct {
	m    *model
	s    *service
	out  []mta.Trust
	seen map[string]bool
}

func (m *model) trustedAt(s *service) []mta.Trust {
	c := &collectTrust{m: m, s: s, seen: map[string]bool{}}
	// What the relay list does not refuse is decided by the recipient list.
	relay := atLeast(m.version, "2.10") && m.value("smtpd_relay_restrictions", s) != ""
	if !relay || !c.list(m.members("smtpd_relay_restrictions", s), "smtpd_relay_restrictions", 0) {
		c.list(m.members("smtpd_recipient_restrictions", s), "smtpd_recipient_restrictions", 0)
	}
	c.domains()
	c.rewrites()
	for _, p := range m.patterns("smtpd_authorized_xclient_hosts", s) {
		c.client(p, "smtpd_authorized_xclient_hosts")
	}
	return c.out
}

func (c *collectTrust) add(kind, value, name string, net netip.Prefix, o mta.Origin, param string) {
	id := kind + ":" + name + ":" + value
	if c.seen[id] || len(c.out) > maxTrusted {
		return
	}
	c.seen[id] = true
	t := mta.Trust{ID: id, Kind: kind, Value: value, Net: net, Name: name, Origin: o}
	if param != "" || o.How == "include" && o.File != "" {
		t.Fix = []mta.Fix{{Name: param, Op: mta.Remove, Value: value, File: o.File, Line: o.Line}}
	}
	c.out = append(c.out, t)
}

// list follows a restriction list up to what ends it; it reports whether that refuses strangers.
func (c *collectTrust) list(items []member, name string, depth int) bool {
	if depth > 20 {
		return false
	}
	for i := 0; i < len(items); i++ {
		it := items[i]
		word := strings.ToLower(it.text)
		switch {
		case word == "permit_mynetworks":
			for _, p := range c.m.patterns("mynetworks", c.s) {
				c.client(p, "mynetworks")
			}
		case word == "permit", word == "permit_tls_all_clientcerts", word == "permit_mx_backup", word == "permit_naked_ip_address", word == "check_relay_domains":
			if !c.m.knows(word) {
				continue
			}
			c.add("any", it.text, name, netip.Prefix{}, it.origin, it.param)
			if word == "permit" {
				return false
			}
		case slices.Contains(c.m.required(), word) && (i == 0 || items[i-1].text != "warn_if_reject"):
			return true
		case takesArgument(word) && i+1 < len(items):
			i++
			c.access(word, it, items[i], name)
		case isTable(it.text):
			c.access("check_recipient_access", it, it, name)
		case slices.Contains(c.m.list("smtpd_restriction_classes", c.s), it.text):
			c.list(c.m.members(it.text, c.s), it.text, depth+1)
		}
	}
	return false
}

// client adds an entry of a list of clients.
func (c *collectTrust) client(p pattern, name string) {
	if p.negate {
		return
	}
	if p.table != nil {
		c.clientTable(p, name)
		return
	}
	if net, err := parseNet(p.text); err == nil {
		c.add("client-net", p.text, name, net, p.origin, paramOf(p.member, name))
		return
	}
	if p.unread != "" || p.failed != "" {
		c.add("table", p.text, name, netip.Prefix{}, p.origin, paramOf(p.member, name))
		return
	}
	if badNetwork(p) == "" {
		c.add("client-name", p.text, name, netip.Prefix{}, p.origin, paramOf(p.member, name))
	}
}

// paramOf is the parameter to edit: the one whose value holds the word, or the list's own name for a word in a file.
func paramOf(w member, name string) string {
	if w.param != "" {
		return w.param
	}
	return name
}

func (c *collectTrust) clientTable(p pattern, name string) {
	t := p.table
	switch {
	case t.kind == "static":
		c.add("any", p.text, name, netip.Prefix{}, p.origin, paramOf(p.member, name))
	case t.kind == "cidr" && t.unread == "" && t.missing == "":
		for _, r := range t.rules {
			if !r.opens && !r.shuts && !r.negate {
				c.add("client-net", r.net.String(), name, r.net, c.rowOrigin(t, r.line, p.member), "")
			}
		}
	case t.keys != nil:
		for _, k := range sortedKeys(t) {
			c.clientKey(k, name, c.rowOrigin(t, t.keys[k].line, p.member))
		}
	default:
		c.add("table", p.text, name, netip.Prefix{}, p.origin, paramOf(p.member, name))
	}
}

func (c *collectTrust) clientKey(key, name string, o mta.Origin) {
	if addr, err := netip.ParseAddr(key); err == nil {
		c.add("client-net", key, name, netip.PrefixFrom(addr, addr.BitLen()), o, "")
		return
	}
	c.add("client-name", key, name, netip.Prefix{}, o, "")
}

func (c *collectTrust) rowOrigin(t *table, line int, w member) mta.Origin {
	if line > 0 && t.source() != "" {
		return mta.Origin{File: t.source(), Line: line, How: "include"}
	}
	return w.origin
}

func sortedKeys(t *table) []string {
	var keys []string
	for k := range t.keys {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if d := t.keys[a].line - t.keys[b].line; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return keys
}

// domains adds the entries of relay_domains.
func (c *collectTrust) domains() {
	for _, p := range c.m.patterns("relay_domains", c.m.rewriter(c.s)) {
		switch {
		case p.negate:
		case p.table == nil:
			c.add("recipient", p.text, "relay_domains", netip.Prefix{}, p.origin, paramOf(p.member, "relay_domains"))
		case p.table.keys != nil:
			for _, k := range sortedKeys(p.table) {
				c.add("recipient", k, "relay_domains", netip.Prefix{}, c.rowOrigin(p.table, p.table.keys[k].line, p.member), "")
			}
		case p.table.kind == "static":
			c.add("any", p.text, "relay_domains", netip.Prefix{}, p.origin, paramOf(p.member, "relay_domains"))
		default:
			c.add("table", p.text, "relay_domains", netip.Prefix{}, p.origin, paramOf(p.member, "relay_domains"))
		}
	}
}

// accessKinds says what an access restriction looks up.
var accessKinds = map[string]string{
	"check_client_access": "client", "check_helo_access": "helo", "check_sender_access": "sender", "check_recipient_access": "recipient",
	"check_reverse_client_hostname_access": "client-name", "check_sasl_access": "",
}

// access adds the entries of an access table that may say yes.
func (c *collectTrust) access(word string, it, arg member, name string) {
	kind, known := accessKinds[word]
	if !known {
		if word == "check_policy_service" {
			c.add("table", word+" "+arg.text, name, netip.Prefix{}, it.origin, it.param)
		}
		return
	}
	if kind == "" || !isTable(arg.text) {
		return
	}
	t := c.m.table(arg.text)
	switch {
	case t.missing != "":
	case t.unread != "":
		c.add("table", arg.text, name, netip.Prefix{}, arg.origin, arg.param)
	case t.kind == "static":
		if c.mayPermit(t.every) {
			c.add("any", word+" "+arg.text, name, netip.Prefix{}, it.origin, it.param)
		}
	case t.parts != nil:
		c.accessParts(kind, t, arg)
	case t.keys != nil:
		for _, k := range sortedKeys(t) {
			if c.mayPermit(t.keys[k].value) {
				c.accessKey(kind, k, c.rowOrigin(t, t.keys[k].line, arg))
			}
		}
	default:
		c.accessRules(kind, t, arg)
	}
}

// accessParts adds the keys for which a table that is made of others may say yes. Where one of these is no list of keys, nobody can list
// whom the whole covers.
func (c *collectTrust) accessParts(kind string, t *table, arg member) {
	sources, keyed := t.sources()
	for _, p := range sources {
		for _, k := range sortedKeys(p) {
			if f := t.look(k); f.ok && c.mayPermit(f.value) {
				c.accessKey(kind, k, c.rowOrigin(p, p.keys[k].line, arg))
			}
		}
	}
	if !keyed && (t.opaque() || slices.ContainsFunc(t.said(), c.mayPermit)) {
		c.add(patternKind(kind), arg.text, "access", netip.Prefix{}, arg.origin, arg.param)
	}
}

// patternKind is the kind of an entry of patterns: what anyone can claim stays that, whatever the patterns cover.
func patternKind(kind string) string {
	if kind == "sender" || kind == "helo" {
		return kind
	}
	return "table"
}

func (c *collectTrust) accessRules(kind string, t *table, arg member) {
	for _, r := range t.rules {
		if r.opens || r.shuts || !c.mayPermit(r.value) {
			continue
		}
		o := c.rowOrigin(t, r.line, arg)
		if t.kind == "cidr" && kind == "client" && !r.negate {
			c.add("client-net", r.net.String(), "access", r.net, o, "")
			continue
		}
		c.add(patternKind(kind), fmt.Sprintf("%s line %d", arg.text, r.line), "access", netip.Prefix{}, o, "")
	}
}

func (c *collectTrust) accessKey(kind, key string, o mta.Origin) {
	if kind != "client" {
		c.add(kind, key, "access", netip.Prefix{}, o, "")
		return
	}
	if net, ok := partialNet(key); ok {
		c.add("client-net", key, "access", net, o, "")
		return
	}
	c.add("client-name", key, "access", netip.Prefix{}, o, "")
}

// partialNet reads an access key "1.2.3" as 1.2.3.0/24 (access(5), host name/address patterns).
func partialNet(key string) (netip.Prefix, bool) {
	if addr, err := netip.ParseAddr(key); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	dots := strings.Count(key, ".")
	if dots > 2 || strings.Trim(key, "0123456789.") != "" {
		return netip.Prefix{}, false
	}
	addr, err := netip.ParseAddr(key + strings.Repeat(".0", 3-dots))
	return netip.PrefixFrom(addr, 8*(dots+1)), err == nil
}

// mayPermit reports whether an access value can say yes: OK, RELAY, digits, or restrictions and classes that hold a permit.
func (c *collectTrust) mayPermit(value string) bool {
	word, _ := splitKey(value)
	switch strings.ToUpper(word) {
	case "OK", "RELAY":
		return true
	case "DUNNO", "WARN", "INFO", "HOLD", "FILTER", "PREPEND", "BCC", "REJECT", "DEFER", "DISCARD", "REDIRECT", "DEFER_IF_PERMIT", "DEFER_IF_REJECT":
		return false
	}
	if _, reply := replyCode(value); reply {
		return false
	}
	return true // digits, or restrictions: the evaluator says what they do
}
