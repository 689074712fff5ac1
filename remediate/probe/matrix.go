package probe

import (
	"fmt"
	"slices"
	"strings"

	"mtaharden/remediate/judge"
)

// question is one dialogue of the relay matrix.
type question struct {
	form    string
	senders []string                         // tried in turn until one is taken; without brackets, "" is the null sender
	rcpt    func(user, domain string) string // the recipient for a foreign address, as it stands between the brackets
	wire    string                           // the argument of RCPT around the address; "" is TO:<%s>
	home    string                           // where the recipient is if nothing of it is undone, "@DOMAIN" or ""; where it is not foreign
	foreign bool                             // the recipient's domain is plainly foreign, nothing has to be undone to see it
	local   bool                             // a recipient of the server's own: the control
	before  string                           // a recipient of its own that is named first in the same transaction
	helo    string
	as      string   // the client that a PROXY header names, where the listener reads one
	prelude []string // what is said before MAIL, each to be granted
	tls     bool
}

// sent is the recipient as it is sent, without brackets.
func (q question) sent(user, domain string) string {
	wire := strings.TrimPrefix(q.rcptCommand(user, domain), "RCPT TO:")
	if strings.HasPrefix(wire, "<") && strings.HasSuffix(wire, ">") {
		return wire[1 : len(wire)-1]
	}
	return q.rcpt(user, domain)
}

func (q question) rcptCommand(user, domain string) string {
	wire := q.wire
	if wire == "" {
		wire = "TO:<%s>"
	}
	return "RCPT " + fmt.Sprintf(wire, q.rcpt(user, domain))
}

// The local parts of addresses that exist nowhere.
const (
	senderUser = "antispam"
	rcptUser   = judge.ProbeUser
)

// foreignDomains are three domains that are none of the server's own: the recipients', the senders' and one more. Those reserved for examples
// (RFC 2606) are real in the DNS and take no mail.
func foreignDomains(domain string, own []string) (first, third, second string) {
	var free []string
	for _, d := range []string{domain, "example.net", "example.com", "example.org", "first.invalid", "second.invalid", "third.invalid"} {
		if !slices.Contains(free, d) && !slices.ContainsFunc(own, func(o string) bool { return strings.EqualFold(o, d) }) {
			free = append(free, d)
		}
	}
	return free[0], free[1], free[2]
}

func plainRcpt(user, domain string) string { return user + "@" + domain }

// matrixFor says what is known of a server for its questions.
type matrixFor struct {
	domain  string   // the foreign domain of recipients
	third   string   // the foreign domain of senders
	second  string   // another foreign domain
	names   []string // the server's own domains, its own name first; may be empty
	literal string   // its address as a domain literal
	local   string   // a recipient of its own
	user    string   // a real account, "" where none is known
}

// first are the questions that decide most: who may send to a foreign domain at all.
func (m matrixFor) first() []question {
	out := []question{
		m.plain("plain", senderUser+"@"+m.third, senderUser+"@"+m.second),
		m.plain("null-sender", ""),
	}
	for _, n := range m.names {
		out = append(out, m.plain("own-sender", senderUser+"@"+n))
	}
	return out
}

// control asks whether a recipient of the server's own is taken: whether mail comes in at all.
func (m matrixFor) control(account string) question {
	return question{form: "local", senders: []string{senderUser + "@" + m.third, senderUser + "@" + m.second, ""}, local: true,
		rcpt: func(string, string) string { return account }}
}

// accounts are recipients that the server may know, the likeliest first.
func (m matrixFor) accounts() []string {
	out := []string{m.local}
	if len(m.names) > 0 && m.user == "" {
		out = append(out, "root@"+m.names[0])
	}
	return out
}

// plain is a question with an ordinary recipient.
func (m matrixFor) plain(form string, senders ...string) question {
	return question{form: form, senders: senders, rcpt: plainRcpt, foreign: true}
}

// routed are the recipients that hide the foreign domain behind one of the server's own names, or show it in a way of their own.
func (m matrixFor) routed(sender string) []question {
	var out []question
	add := func(form string, foreign bool, rcpt func(u, d string) string) {
		out = append(out, question{form: form, senders: []string{sender}, rcpt: rcpt, foreign: foreign})
	}
	if len(m.names) > 0 {
		out = append(out, m.pivot("name", sender, m.names[0])...)
	}
	add("quoted", false, func(u, d string) string { return `"` + u + "@" + d + `"` })
	add("quoted-percent", false, func(u, d string) string { return `"` + u + "%" + d + `"` })
	add("percent", false, func(u, d string) string { return u + "%" + d })
	add("bang", false, func(u, d string) string { return d + "!" + u })
	out = append(out, m.pivot("literal", sender, m.literal)...)
	return out
}

// pivot are the routed forms around one of the server's own names.
func (m matrixFor) pivot(kind, sender, pivot string) []question {
	var out []question
	add := func(form string, foreign bool, rcpt func(u, d string) string) {
		out = append(out, question{form: form + "-" + kind, senders: []string{sender}, rcpt: rcpt, home: "@" + pivot, foreign: foreign})
	}
	add("percent", false, func(u, d string) string { return u + "%" + d + "@" + pivot })
	add("bang", false, func(u, d string) string { return d + "!" + u + "@" + pivot })
	add("route", true, func(u, d string) string { return "@" + pivot + ":" + u + "@" + d })
	add("quoted", false, func(u, d string) string { return `"` + u + "@" + d + `"@` + pivot })
	add("double-at", false, func(u, d string) string { return u + "@" + d + "@" + pivot })
	return out
}

// oddSenders are senders that a server may take for its own.
func (m matrixFor) oddSenders() []question {
	var out []question
	if len(m.names) > 0 {
		out = append(out, m.plain("postmaster-sender", "postmaster@"+m.names[0]))
		if m.user != "" {
			out = append(out, m.plain("user-sender", m.user+"@"+m.names[0]))
		}
	}
	return append(out,
		m.plain("localhost-sender", senderUser+"@localhost"),
		m.plain("unqualified-sender", senderUser),
		m.plain("ipv6-literal-sender", senderUser+"@[IPv6:2001:db8::25]"))
}

// oddRecipients are other ways to write a foreign recipient.
func (m matrixFor) oddRecipients(sender string) []question {
	var out []question
	add := func(form string, foreign bool, rcpt func(u, d string) string) {
		out = append(out, question{form: form, senders: []string{sender}, rcpt: rcpt, foreign: foreign})
	}
	q := m.plain("after-local", sender)
	q.before = m.local
	out = append(out, q)
	add("percent-localhost", false, func(u, d string) string { return u + "%" + d + "@localhost" })
	out[len(out)-1].home = "@localhost"
	if len(m.names) > 0 {
		name := m.names[0]
		add("route-hops", true, func(u, d string) string { return "@" + name + ",@" + m.literal + ":" + u + "@" + d })
		add("mixed", false, func(u, d string) string { return d + "!" + u + "%" + d + "@" + name })
		out[len(out)-1].home = "@" + name
		add("percent-hops", false, func(u, d string) string { return u + "%" + d + "%" + name + "@" + name })
		out[len(out)-1].home = "@" + name
		q := m.plain("helo-own", sender)
		q.helo = name
		out = append(out, q)
	}
	q = m.plain("helo-localhost", sender)
	q.helo = "localhost"
	out = append(out, q)
	add("trailing-dot", true, func(u, d string) string { return plainRcpt(u, d) + "." })
	add("upper-case", true, func(u, d string) string { return strings.ToUpper(plainRcpt(u, d)) })
	for _, w := range [][2]string{{"space-before", "TO:< %s>"}, {"space-after", "TO:<%s >"}, {"space-colon", "TO: <%s>"}, {"no-brackets", "TO:%s"}} {
		q := m.plain(w[0], sender)
		q.wire = w[1]
		out = append(out, q)
	}
	return out
}

// rest are the questions that need a sender which the server takes: the routed forms by its name, odd senders and recipients, its other
// domains as pivots, and, where it takes a sender at its own address literal, the routed forms once more with that one.
func (m matrixFor) rest(sender string, literalTaken bool) []question {
	fromLiteral := senderUser + "@" + m.literal
	out := m.routed(sender)
	out = append(out, m.oddSenders()...)
	out = append(out, m.oddRecipients(sender)...)
	for _, n := range m.names[min(1, len(m.names)):] {
		out = append(out, m.pivot("name", sender, n)...)
	}
	if literalTaken && sender != fromLiteral {
		out = append(out, m.routed(fromLiteral)...)
	}
	return out
}

// spoofed are the deciding question by ways that no stranger should have: taking another client's address, or an empty login.
func (m matrixFor) spoofed(sender string, s Session) []question {
	var out []question
	add := func(form string, prelude ...string) {
		q := m.plain(form, sender)
		q.prelude = prelude
		out = append(out, q)
	}
	if slices.Contains(s.Spoof, "XCLIENT") {
		add("xclient", "XCLIENT ADDR=127.0.0.1 NAME=localhost", "EHLO localhost")
	}
	if slices.Contains(s.Auth, "ANONYMOUS") {
		add("anonymous-login", "AUTH ANONYMOUS cHJvYmU=") // "probe" (RFC 4505)
	}
	if slices.Contains(s.Auth, "PLAIN") {
		add("empty-login", "AUTH PLAIN AAA=") // neither name nor password (RFC 4616)
	}
	return out
}

// secured are the deciding questions again, under TLS.
func (m matrixFor) secured() []question {
	out := m.first()
	for i := range out {
		out[i].tls = true
	}
	return out
}
