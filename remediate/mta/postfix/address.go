package postfix

import (
	"net/netip"
	"strings"
)

// class is trivial-rewrite's address class.
type class string

const (
	classLocal   class = "mydestination"
	classAlias   class = "virtual_alias_domains"
	classVirtual class = "virtual_mailbox_domains"
	classRelay   class = "relay_domains"
	classDefault class = "elsewhere"
)

// target is an address as trivial-rewrite resolves it.
type target struct {
	addr   string
	class  class
	routed bool   // the local part names a further destination (RESOLVE_FLAG_ROUTED)
	failed string // a list could not be used
	wide   bool   // mydestination, relay_domains or virtual_mailbox_domains covers it by an entry that no one domain's owner would write: a top level domain, or any name
	entry  string // that entry

	channel string // the transport that takes it on: smtp, relay, local, error …
	unsure  string // why the transport is not known
}

// final reports whether Postfix itself is the destination (RESOLVE_CLASS_FINAL).
func (t target) final() bool {
	return t.class == classLocal || t.class == classAlias || t.class == classVirtual
}

// address is local part and domain without quotes; quoted says that operators of the local part were inside quotes.
type address struct {
	local, domain string
	hasDomain     bool
	quoted        bool
}

// rewrite brings an address of the envelope (dequoted, as smtpd holds it) into the form user@domain, as the rewrite service does:
// source routes go, site!user and user%site become user@site, what has no domain gets $myorigin (trivial-rewrite(8)).
func (r *run) rewrite(text string) address {
	if strings.HasPrefix(text, "@") {
		if i := strings.IndexByte(text, ':'); i >= 0 && i+1 < len(text) {
			text = text[i+1:]
		}
	}
	i := strings.LastIndexByte(text, '@')
	if i < 0 {
		return r.promote(text)
	}
	a := address{local: text[:i], domain: text[i+1:], hasDomain: true}
	a.quoted = strings.Contains(a.local, "@") // quote_822_local(3) puts quotes around such a local part
	a.domain = r.qualify(a.domain)
	return a
}

// promote turns the operators of an address without @ into an @.
func (r *run) promote(text string) address {
	if i := strings.IndexByte(text, '!'); i >= 0 && r.m.yes("swap_bangpath", r.rw) {
		return address{local: text[i+1:], domain: r.qualify(text[:i]), hasDomain: true}
	}
	if i := strings.LastIndexByte(text, '%'); i >= 0 && r.m.yes("allow_percent_hack", r.rw) {
		return address{local: text[:i], domain: r.qualify(text[i+1:]), hasDomain: true}
	}
	origin := r.m.value("myorigin", r.rw)
	if strings.HasPrefix(origin, "/") || !r.m.yes("append_at_myorigin", r.rw) {
		origin = r.m.value("myhostname", r.rw) // myorigin in a file: the name is not read, and it is one of the host's own
	}
	return address{local: text, domain: r.qualify(origin), hasDomain: true}
}

// qualify adds $mydomain to a name without dots, and takes a trailing dot off.
func (r *run) qualify(domain string) string {
	if strings.HasSuffix(domain, ".") && len(domain) > 1 && !strings.HasSuffix(domain, "..") {
		return domain[:len(domain)-1]
	}
	if domain != "" && !strings.ContainsAny(domain, ".[") && r.m.yes("append_dot_mydomain", r.rw) {
		return domain + "." + r.m.value("mydomain", r.rw)
	}
	return domain
}

// resolve finds the class of an address and how it leaves.
func (r *run) resolve(text string) target {
	t := r.locate(text)
	if t.failed == "" {
		r.route(&t)
	}
	return t
}

// locate finds the class of an address: the host's own domain is stripped and what is left looked at again, until a domain is left
// that is not the host's own (resolve_addr in trivial-rewrite).
func (r *run) locate(text string) target {
	r.ofRecipient = text == r.rcpt
	a := r.rewrite(text)
	full := a.local + "@" + a.domain
	for range len(text) + 100 {
		local, failed := r.localDomain(a.domain)
		if failed != "" {
			return target{addr: full, failed: failed}
		}
		if !local {
			return r.classify(a)
		}
		if !r.hasOperator(a) {
			return r.own(target{addr: full, class: classLocal, routed: routed(a.local)}, a.domain)
		}
		a = r.rewrite(a.local)
		full = a.local + "@" + a.domain
	}
	return target{addr: full, class: classLocal}
}

// own says of a domain of the host's own which table calls it so, where that names no domain.
func (r *run) own(t target, domain string) target {
	if h := r.inDomains("mydestination", domain); h.ok && h.pattern.table != nil {
		t.entry, t.wide = h.pattern.text, r.m.wide(h.pattern, domain)
	}
	return t
}

// hasOperator reports whether the local part holds a routing operator that this configuration acts on.
func (r *run) hasOperator(a address) bool {
	if a.quoted && !r.m.yes("resolve_dequoted_address", r.rw) {
		return false
	}
	return strings.Contains(a.local, "@") || strings.Contains(a.local, "!") && r.m.yes("swap_bangpath", r.rw) ||
		strings.Contains(a.local, "%") && r.m.yes("allow_percent_hack", r.rw)
}

// routed reports routing operators in a local part, also those that this configuration does not act on: the next host may
// (RESOLVE_FLAG_ROUTED).
func routed(local string) bool { return strings.ContainsAny(local, "@!%") }

// localDomain reports whether the domain is the host's own: in mydestination, or a literal of one of its addresses (resolve_local(3)).
func (r *run) localDomain(domain string) (bool, string) {
	if domain == "" {
		return true, ""
	}
	if h := r.inDomains("mydestination", domain); h.ok || h.failed != "" {
		return h.ok, h.failed
	}
	if !strings.HasPrefix(domain, "[") || !strings.HasSuffix(domain, "]") {
		return false, ""
	}
	text := strings.Trim(domain, "[]")
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		text = text[5:]
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return false, ""
	}
	for _, own := range r.m.ownAddrs(r.rw) {
		if own.Addr() == ip {
			return true, ""
		}
	}
	for _, w := range r.m.list("proxy_interfaces", r.rw) {
		if other, err := netip.ParseAddr(strings.Trim(w, "[]")); err == nil && other == ip {
			return true, ""
		}
	}
	return len(r.m.snap.Addrs) == 0 && r.maybe("own "+text, "the host's own addresses were not collected"), ""
}

// classify finds the class of an address whose domain is not in mydestination.
func (r *run) classify(a address) target {
	t := target{addr: a.local + "@" + a.domain, class: classDefault, routed: routed(a.local)}
	for _, c := range []class{classAlias, classVirtual, classRelay} {
		h := r.inDomains(string(c), strings.ToLower(a.domain))
		if h.failed != "" {
			t.failed = h.failed
			return t
		}
		if !h.ok {
			continue
		}
		t.class = c
		if c != classAlias {
			t.entry, t.wide = h.pattern.text, r.m.wide(h.pattern, a.domain)
		}
		if c == classRelay && r.ofRecipient {
			r.note(h.origin, "relay_domains holds "+h.pattern.text)
		}
		return t
	}
	return t
}

// wide reports whether an entry of relay_domains covers names of many owners: it has no dot, or its table says yes
// to anything, or was not read and may.
func (m *model) wide(p *pattern, domain string) bool {
	switch {
	case p.unread != "":
		return true
	case p.table == nil:
		return !strings.Contains(strings.Trim(p.text, "."), ".")
	}
	for _, key := range domainKeys(p.table, domain, true) {
		if strings.Contains(strings.Trim(key, "."), ".") && p.table.keys != nil {
			if _, ok := p.table.keys[strings.ToLower(key)]; ok {
				return false
			}
		}
	}
	return true
}
