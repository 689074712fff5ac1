package postfix

import (
	"net/netip"
	"slices"
	"strings"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// outsiders are addresses that no host should trust: the documentation networks (RFC 5737, RFC 3849) and three of other kinds, so that
// half of the address space in one entry (128.0.0.0/1) is met by one of them.
var outsiders = []string{"198.51.100.7", "203.0.113.9", "192.0.2.33", "100.24.3.9", "45.33.7.2", "2001:db8:7::9"}

// outsideName is the verified name of outsiders; the top level domain exists nowhere (RFC 2606).
const outsideName = "client.probe.invalid"

// asker makes the questions for one listener.
type asker struct {
	m        *model
	l        listener
	foreign  string   // a domain that the configuration does not name
	third    string   // another one
	names    []string // the host's own domains
	literals []string // its addresses as domain literals
	stranger string   // the outsider who asks most; found when first asked for
	out      []judge.Question
}

func (m *model) asker(l listener) *asker {
	a := &asker{m: m, l: l, names: m.ownNames(l.smtpd)}
	a.foreign, a.third = m.foreignDomains()
	for _, own := range m.ownAddrs(l.smtpd) {
		if !own.Addr().IsLoopback() && len(a.literals) < 2 {
			text := own.Addr().String()
			if own.Addr().Is6() {
				text = "IPv6:" + text
			}
			a.literals = append(a.literals, "["+text+"]")
		}
	}
	if len(a.literals) == 0 {
		a.literals = []string{"[127.0.0.1]"}
	}
	return a
}

// foreignDomains are two domains that neither a parameter, a service nor a table of this configuration names.
func (m *model) foreignDomains() (string, string) {
	var free []string
	for _, d := range []string{"example.org", "example.net", "example.com", "relaytest.invalid", "thirdparty.invalid"} {
		if !m.mentions(d) {
			free = append(free, d)
		}
	}
	if len(free) < 2 {
		return "relaytest.invalid", "thirdparty.invalid"
	}
	return free[0], free[1]
}

func (m *model) mentions(text string) bool {
	for _, e := range m.main.entries {
		if strings.Contains(strings.ToLower(e.value), text) {
			return true
		}
	}
	for i := range m.master.services {
		if strings.Contains(strings.ToLower(m.master.services[i].text), text) {
			return true
		}
	}
	for _, name := range m.tableFiles() {
		if f, ok := m.snap.File(name); ok && strings.Contains(strings.ToLower(string(f.Data)), text) {
			return true
		}
	}
	return false
}

// ownNames are the domains that this host calls its own, its own name first.
func (m *model) ownNames(s *service) []string {
	names := []string{m.value("myhostname", s), m.value("mydomain", s)}
	if o := m.value("myorigin", s); !strings.HasPrefix(o, "/") {
		names = append(names, o)
	}
	for _, param := range []string{"mydestination", "virtual_alias_domains", "virtual_mailbox_domains"} {
		for _, p := range m.patterns(param, s) {
			if p.table == nil && !p.negate && strings.Contains(p.text, ".") {
				names = append(names, p.text)
			}
		}
	}
	var out []string
	for _, n := range names {
		if n != "" && !slices.Contains(out, n) && len(out) < 6 {
			out = append(out, n)
		}
	}
	return out
}

// reach reports whether clients of other hosts can arrive at the listener: also at one on the loopback address, where a proxy names them.
func (a *asker) reach() bool {
	if name, _ := a.m.upstream(a.l); name != "" && a.l.smtpd != nil {
		return true
	}
	host, _ := splitService(a.l.addr)
	ip, err := netip.ParseAddr(host)
	return err != nil || !ip.IsLoopback()
}

// tls reports whether the questions are asked under TLS: where without it they would say nothing, and where a list asks for it, since
// whoever wants to relay encrypts.
func (a *asker) tls() bool {
	return a.mustTLS() || a.m.offersTLS(a.l.smtpd) && a.m.looksAtTLS(a.l.smtpd)
}

// mustTLS reports whether nothing is taken without TLS.
func (a *asker) mustTLS() bool {
	return a.m.yes("smtpd_tls_wrappermode", a.l.front) || a.m.wantsTLS(a.l.smtpd)
}

func (a *asker) ask(class judge.Class, entry, form, addr, name, sender, rcpt string) {
	a.out = append(a.out, a.about(class, entry, form, addr, name, sender, rcpt))
}

func (a *asker) about(class judge.Class, entry, form, addr, name, sender, rcpt string) judge.Question {
	return judge.Question{
		Listener: a.l.addr, Class: class, Entry: entry, Form: form, ClientAddr: addr, ClientName: name, Helo: "[" + literal(addr) + "]",
		TLS: a.tls(), Verb: judge.Rcpt, Sender: sender, Recipient: rcpt,
	}
}

// literal is an address as it stands in a domain literal (RFC 5321 4.1.3).
func literal(addr string) string {
	if strings.Contains(addr, ":") {
		return "IPv6:" + addr
	}
	return addr
}

// questions are all that is asked of one listener.
func (a *asker) questions(trusted []mta.Trust) []judge.Question {
	outside := a.outsider()
	if !a.reach() {
		a.ask(judge.Outside, "", "plain", outside, outsideName, "antispam@"+a.third, "relaytest@"+a.foreign)
		a.service(outside)
	} else {
		a.matrix(judge.Outside, outside)
		for i, addr := range outsiders {
			if addr != outside {
				a.ask(judge.Outside, "", "plain", addr, outsideName, "antispam@"+a.third, "relaytest@"+a.foreign)
			}
			if i > 2 { // a HELO by name: a list that refuses literals must not hide an open relay
				a.ask(judge.Outside, "", "plain", addr, outsideName, "antispam@"+a.third, "relaytest@"+a.foreign)
				a.out[len(a.out)-1].Helo = outsideName
			}
		}
		a.strange(outside)
		a.own()
		a.entries(trusted)
		a.sessions(outside)
		a.service(outside)
	}
	a.ask(judge.Localhost, "", "plain", "127.0.0.1", "localhost", "antispam@"+a.third, "relaytest@"+a.foreign)
	return a.out
}

// strange asks the plain form to a domain of another top level, and of strangers of other kinds: without a name, and with a bare address
// for a HELO, which old versions may permit.
func (a *asker) strange(addr string) {
	a.ask(judge.Outside, "", "plain", addr, outsideName, "antispam@"+a.foreign, "relaytest@"+a.third)
	a.ask(judge.Outside, "", "plain", addr, "", "antispam@"+a.third, "relaytest@"+a.foreign)
	if a.m.knows("permit_naked_ip_address") {
		a.ask(judge.Outside, "", "plain", addr, outsideName, "antispam@"+a.third, "relaytest@"+a.foreign)
		a.out[len(a.out)-1].Helo = addr
	}
}

// sessions asks the plain form again in the other kinds of session that the listener offers: under TLS, and logged in; and whether mail for
// this host itself comes in.
func (a *asker) sessions(addr string) {
	a.ask(judge.Outside, "", "local", addr, outsideName, "antispam@"+a.third, "postmaster@"+a.names[0])
	secure := a.m.offersTLS(a.l.smtpd)
	if secure && !a.mustTLS() {
		a.ask(judge.Outside, "", "plain", addr, outsideName, "antispam@"+a.third, "relaytest@"+a.foreign)
		a.out[len(a.out)-1].TLS = !a.tls()
	}
	if a.m.yes("smtpd_sasl_auth_enable", a.l.smtpd) {
		a.ask(judge.Outside, "", "plain", addr, outsideName, "antispam@"+a.third, "relaytest@"+a.foreign)
		last := &a.out[len(a.out)-1]
		last.TLS, last.User = secure, "relaytest"
	}
}

// outsider is the first outsider that no narrow entry names and from whom mail for the host itself is taken: a list that
// refuses the documentation networks, which nobody has, must not answer for all the rest, and what one trusted client may says nothing of strangers.
func (a *asker) outsider() string {
	if a.stranger != "" {
		return a.stranger
	}
	trusted := a.m.trustedAt(a.l.smtpd)
	for _, addr := range outsiders {
		ip := netip.MustParseAddr(addr)
		named := slices.ContainsFunc(a.m.patterns("mynetworks", a.l.smtpd), func(p pattern) bool {
			net, err := parseNet(p.text)
			return err == nil && p.table == nil && net.Contains(ip) && p.negate
		}) || slices.ContainsFunc(trusted, func(t mta.Trust) bool {
			return t.Kind == "client-net" && t.Net.IsValid() && t.Net.Bits() >= 16 && t.Net.Contains(ip)
		})
		switch {
		case named:
			continue
		case a.stranger == "":
			a.stranger = addr
		}
		home := a.about(judge.Outside, "", "local", addr, outsideName, "antispam@"+a.third, "postmaster@"+a.names[0])
		if a.m.answer(home, a.l).Outcome != judge.Refused {
			a.stranger = addr
			return addr
		}
	}
	if a.stranger == "" {
		a.stranger = outsiders[0]
	}
	return a.stranger
}

// matrix asks every form of the relay matrix.
func (a *asker) matrix(class judge.Class, addr string) {
	d, host, lit := a.foreign, a.m.value("myhostname", a.l.smtpd), a.literals[0]
	third, fromLit := "antispam@"+a.third, "antispam@"+lit
	ask := func(form, sender, rcpt string) { a.ask(class, "", form, addr, outsideName, sender, rcpt) }
	ask("null-sender", "", "relaytest@"+d)
	ask("plain", third, "relaytest@"+d)
	for _, name := range a.names {
		ask("own-sender", "antispam@"+name, "relaytest@"+d)
	}
	ask("literal-sender", fromLit, "relaytest@"+d)
	ask("percent-literal", fromLit, "relaytest%"+d+"@"+lit)
	ask("percent-name", fromLit, "relaytest%"+d+"@"+host)
	ask("quoted", fromLit, "relaytest@"+d)
	ask("quoted-percent", fromLit, "relaytest%"+d)
	ask("double-at-literal", fromLit, "relaytest@"+d+"@"+lit)
	ask("quoted-literal", fromLit, "relaytest@"+d+"@"+lit)
	ask("double-at-name", fromLit, "relaytest@"+d+"@"+host)
	ask("route-literal", fromLit, "@"+lit+":relaytest@"+d)
	ask("route-name", fromLit, "@"+host+":relaytest@"+d)
	ask("bang", fromLit, d+"!relaytest")
	ask("bang-literal", fromLit, d+"!relaytest@"+lit)
	ask("bang-name", fromLit, d+"!relaytest@"+host)
	for _, pivot := range a.pivots() {
		ask("percent-name", third, "relaytest%"+d+"@"+pivot)
		ask("bang-name", third, d+"!relaytest@"+pivot)
		ask("double-at-name", third, "relaytest@"+d+"@"+pivot)
	}
}

// pivots are declared relay domains, behind which a routed address could go on.
func (a *asker) pivots() []string {
	var out []string
	for _, p := range a.m.patterns("relay_domains", a.m.rewriter(a.l.smtpd)) {
		if p.table == nil && !p.negate && strings.Contains(p.text, ".") && len(out) < 3 {
			out = append(out, strings.TrimPrefix(p.text, "."))
		}
	}
	return out
}

// own asks for the host's own addresses and the neighbours on its connected networks.
func (a *asker) own() {
	n := 0
	for _, own := range a.m.ownAddrs(a.l.smtpd) {
		if own.Addr().IsLoopback() || n == 4 {
			continue
		}
		n++
		addr := own.Addr()
		if next := addr.Next(); own.Contains(next) {
			addr = next
		}
		a.ask(judge.Own, "", "plain", addr.String(), outsideName, "antispam@"+a.third, "relaytest@"+a.foreign)
	}
}

// service asks for what is not relaying: VRFY, EXPN, the banner, HELP and AUTH in the clear.
func (a *asker) service(addr string) {
	local := "postmaster@" + a.names[0]
	for _, verb := range []judge.Verb{judge.Vrfy, judge.Expn, judge.Banner, judge.Help, judge.Auth} {
		q := judge.Question{Listener: a.l.addr, Class: judge.Outside, ClientAddr: addr, ClientName: outsideName, Helo: "[" + literal(addr) + "]", Verb: verb}
		if verb == judge.Vrfy || verb == judge.Expn {
			q.Recipient = local
		}
		a.out = append(a.out, q)
	}
}
