package exim

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// strangers are the clients from outside that are tried: one of each documentation network (RFC 5737), and one of a network that lists of
// bogus networks do not refuse.
var strangers = [...]string{"198.51.100.7", "203.0.113.7", "192.0.2.7", "8.20.30.7"}

// answers returns what Exim said when it was asked, and what its configuration says to the same questions. Where it was not asked,
// the standard questions are answered from the configuration, and the MTA's answer says why it was not asked.
func answers(s *facts.Snapshot, cfg *mta.Config) []judge.Answer {
	m, ok := cfg.Model.(*model)
	if !ok {
		return nil
	}
	var out []judge.Answer
	for _, ses := range m.sessions(s) {
		out = append(out, m.heard(ses)...)
	}
	asked := len(out) > 0
	if !asked {
		out = m.unasked(s)
	}
	var questions []judge.Question
	said := map[judge.Question]judge.Answer{}
	for _, a := range out {
		if _, again := said[a.Question]; !again {
			questions = append(questions, a.Question)
		}
		said[a.Question] = a
	}
	for _, q := range questions {
		out = append(out, m.explain(said[q]))
	}
	for _, q := range append(m.withinTLS(), m.uncovered(questions)...) {
		out = append(out, m.fromConfig(q))
	}
	return append(out, m.claims()...)
}

// withinTLS is the plain stranger's question at each listener that speaks TLS from the start, to which -bh cannot speak.
func (m *model) withinTLS() []judge.Question {
	var out []judge.Question
	q, found := m.stranger()
	for _, l := range m.in.Listen {
		if found && m.tlsAlone(l) {
			q.Listener, q.TLS = l, true
			out = append(out, q)
		}
	}
	return out
}

// tlsAlone says whether a listener is on one of the tls_on_connect_ports.
func (m *model) tlsAlone(listener string) bool {
	port := listener[strings.LastIndex(listener, ":")+1:]
	for _, p := range splitList(m.cfg.option("tls_on_connect_ports", "")) {
		if p == port || port == "465" && (p == "smtps" || p == "ssmtp" || p == "submissions") {
			return port != ""
		}
	}
	return false
}

// sessions are the dialogues that the collector put to this instance.
func (m *model) sessions(s *facts.Snapshot) []session {
	var out []session
	for i := 1; i <= 64; i++ {
		asked := s.Fact(fmt.Sprintf("%s:asked:%d", m.key, i))
		o, ok := s.Output(fmt.Sprintf("%s:said:%d", m.key, i))
		if asked == "" || !ok {
			continue
		}
		ses := parseSession(asked, o.Stdout, o.Stderr, m.cfg.stages())
		if o.State == facts.Timeout {
			ses.Failure = "it did not answer in time"
		}
		out = append(out, ses)
	}
	return out
}

// unasked are the standard questions with the reason why Exim was not asked them.
func (m *model) unasked(s *facts.Snapshot) []judge.Answer {
	why := s.Fact(m.key + ":not-asked")
	if why == "" {
		why = "Exim was not asked: the collector did not run as root, or not to its end"
	}
	var out []judge.Answer
	for _, q := range m.standard() {
		out = append(out, judge.Answer{Question: q, Judge: judge.MTA, Outcome: judge.CannotTell, Text: why})
	}
	return out
}

// standard are the questions that are answered for every installation, in the words that the collector would have used.
func (m *model) standard() []judge.Question {
	far, local := m.names["far"], m.names["local"]
	if far == "" {
		far = "example.org"
	}
	if local == "" {
		local = m.cfg.primary
	}
	from := m.names["from"]
	if from == "" {
		from = "example.com"
	}
	base := judge.Question{Class: judge.Outside, Form: "plain", ClientAddr: strangers[0], Helo: "probe." + from, Verb: judge.Rcpt, Sender: "probe@" + from, Recipient: "probe@" + far}
	ask := func(change func(*judge.Question)) judge.Question {
		q := base
		change(&q)
		return m.classed(q)
	}
	out := []judge.Question{
		ask(func(q *judge.Question) {}),
		ask(func(q *judge.Question) { q.Form, q.Sender = "null-sender", "" }),
		ask(func(q *judge.Question) { q.Form, q.Sender = "own-sender", "probe@"+local }),
		ask(func(q *judge.Question) { q.Form, q.Recipient = "route-name", "@"+local+":probe@"+far }),
		ask(func(q *judge.Question) { q.Form, q.Recipient = "percent-name", "probe%"+far+"@"+local }),
		ask(func(q *judge.Question) { q.Form, q.Recipient = "bang-name", far+"!probe@"+local }),
		ask(func(q *judge.Question) { q.ClientAddr = strangers[1] }),
		ask(func(q *judge.Question) { q.ClientAddr = strangers[2] }),
		ask(func(q *judge.Question) { q.ClientAddr = strangers[3] }),
		ask(func(q *judge.Question) { q.ClientAddr, q.Class = "127.0.0.1", judge.Localhost }),
	}
	for _, v := range []judge.Verb{judge.Vrfy, judge.Expn} {
		out = append(out, ask(func(q *judge.Question) { q.Form, q.Sender, q.Verb, q.Recipient = "", "", v, "root@"+local }))
	}
	for _, v := range []judge.Verb{judge.Banner, judge.Help, judge.Auth} {
		out = append(out, ask(func(q *judge.Question) { q.Form, q.Sender, q.Verb, q.Recipient = "", "", v, "" }))
	}
	return out
}

// uncovered are a question for each entry by which somebody may relay that no dialogue has tried, such as names and senders.
func (m *model) uncovered(have []judge.Question) []judge.Question {
	tried := map[string]bool{}
	for _, q := range have {
		if q.Class == judge.Inside {
			tried[q.Entry] = true
		}
	}
	var out []judge.Question
	for _, t := range m.trusted {
		if tried[t.ID] {
			continue
		}
		q := m.standard()[0]
		q.Class, q.Entry, q.Form = judge.Inside, t.ID, "plain"
		switch t.Kind {
		case "client-net":
			q.ClientAddr = inside(t.Net).String()
		case "sender":
			q.Sender = senderIn(t.Value)
		case "recipient":
			q.Recipient = "probe@" + domainIn(t.Value)
		case "any":
		default:
			q.ClientAddr = ""
		}
		out = append(out, q)
	}
	return out
}

// inside is an address within a network that is not its first.
func inside(p netip.Prefix) netip.Addr {
	if p.IsSingleIP() {
		return p.Addr()
	}
	return p.Addr().Next()
}

func senderIn(item string) string {
	local, domain, at := strings.Cut(item, "@")
	if !at {
		return "probe@" + domainIn(item)
	}
	if local == "" || strings.HasPrefix(local, "*") {
		local = "probe"
	}
	return local + "@" + domainIn(domain)
}

// domainIn is a domain that an item of a domain list matches.
func domainIn(item string) string {
	switch {
	case item == "*":
		return "example.org"
	case strings.HasPrefix(item, "*."):
		return "x" + item[1:]
	case strings.HasPrefix(item, "*"):
		return strings.TrimLeft(item[1:], ".")
	}
	return item
}

// classed gives a question about RCPT its class: a client within a narrow entry is inside it, one next to an entry is beside it.
func (m *model) classed(q judge.Question) judge.Question {
	addr, err := netip.ParseAddr(q.ClientAddr)
	if err != nil {
		return q
	}
	switch {
	case addr.IsLoopback():
		q.Class, q.Entry = judge.Localhost, ""
		return q
	case m.cfg.ownAddr(addr):
		q.Class, q.Entry = judge.Own, ""
		return q
	}
	if q.Verb != judge.Rcpt {
		return q
	}
	for _, t := range m.trusted {
		if t.Kind == "client-net" && t.Net.Contains(addr) && !(slices.Contains(strangers[:], q.ClientAddr) && t.Net.Bits() < 8) {
			q.Class, q.Entry = judge.Inside, t.ID
			return q
		}
	}
	if slices.Contains(strangers[:], q.ClientAddr) {
		q.Class, q.Entry = judge.Outside, ""
		return q
	}
	for _, t := range m.trusted {
		if t.Kind == "client-net" && addr == beside(t.Net) {
			q.Class, q.Entry = judge.Beside, t.ID
			return q
		}
	}
	q.Class, q.Entry = judge.Outside, ""
	return q
}

// beside is the address after the last one of a network, or before its first where there is none: as the collector takes it.
func beside(p netip.Prefix) netip.Addr {
	if p.Bits() == 0 {
		return netip.Addr{}
	}
	b := p.Masked().Addr().AsSlice()
	i, bit := (p.Bits()-1)/8, byte(1)<<(7-(p.Bits()-1)%8)
	up := slices.Clone(b)
	for carry := int(bit); carry != 0 && i >= 0; i-- {
		sum := int(up[i]) + carry
		up[i], carry = byte(sum), sum>>8
		if carry != 0 && i == 0 {
			first, _ := netip.AddrFromSlice(b)
			return first.Prev()
		}
	}
	a, _ := netip.AddrFromSlice(up)
	if p.Addr().Is6() && !p.IsSingleIP() {
		return a.Next()
	}
	return a
}

// domainClass says of a question about a recipient domain whether it is inside a relay domain's entry or just beside one.
func (m *model) domainClass(q judge.Question) judge.Question {
	_, domain, _ := strings.Cut(strings.ToLower(q.Recipient), "@")
	for _, t := range m.trusted {
		if t.Kind != "recipient" {
			continue
		}
		bare := strings.TrimLeft(strings.ToLower(t.Value), "*.")
		match := strings.EqualFold(t.Value, domain) || strings.HasPrefix(t.Value, "*") && strings.HasSuffix(domain, strings.ToLower(t.Value[1:]))
		if match {
			q.Class, q.Entry = judge.Inside, t.ID
			return q
		}
		if bare != "" && strings.HasSuffix(domain, bare) {
			q.Class, q.Entry = judge.Beside, t.ID
		}
	}
	return q
}
