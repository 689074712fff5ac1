package postfix

import (
	"net/netip"
	"strings"

	"mtaharden/remediate/judge"
)

// maxNamed bounds the clients whose place one that may name another is tried in.
const maxNamed = 12

// spoofed answers for a client that may name another client: by XCLIENT, where it is one of smtpd_authorized_xclient_hosts, and by a
// PROXY header, which smtpd and postscreen take from whoever connects where they expect it (HAProxy's protocol has no password).
func (m *model) spoofed(q judge.Question, l listener, a judge.Answer) judge.Answer {
	if l.smtpd == nil || a.Outcome == judge.Relayed || a.Outcome == judge.Dead && !endsIt(a) || !foreign(q) {
		return a
	}
	if h, unknown := m.mayNameClients(q, l.smtpd); h.ok || unknown != "" {
		return m.byXclient(q, l, a, h, unknown)
	}
	name, s := m.upstream(l)
	if name == "" || q.Class == judge.Localhost || m.onLoopback(l) {
		return a
	}
	b, ok := m.inAnothersPlace(q, l, false)
	if !ok || a.Outcome == judge.CannotTell && b.Outcome == judge.CannotTell {
		return a
	}
	at := append([]judge.Line{m.line(name, s)}, b.Because...)
	return judge.Answer{Question: q, Judge: judge.Config, Outcome: judge.CannotTell, Because: at,
		Text: "relayed or not: a proxy names the clients (" + name + "), and whoever reaches this port past the proxy may call itself " + b.Question.ClientAddr}
}

// byXclient answers for a client that may use XCLIENT, or may be one that may.
func (m *model) byXclient(q judge.Question, l listener, a judge.Answer, h hit, unknown string) judge.Answer {
	b, ok := m.inAnothersPlace(q, l, true)
	if !ok || a.Outcome == judge.CannotTell && b.Outcome == judge.CannotTell {
		return a
	}
	b.Text = "the client may call itself " + strings.TrimPrefix(b.Question.ClientName+" ", outsideName+" ") + "[" + b.Question.ClientAddr + "] (XCLIENT): " + b.Text
	at := m.line("smtpd_authorized_xclient_hosts", l.smtpd)
	if h.ok {
		at = judge.Line{File: h.pattern.origin.File, Line: h.pattern.origin.Line, Text: "smtpd_authorized_xclient_hosts holds " + h.pattern.text}
	} else {
		b.Outcome, b.Text = judge.CannotTell, "relayed or not: who may use XCLIENT is not known ("+unknown+"); "+b.Text
	}
	b.Because, b.Question = append([]judge.Line{at}, b.Because...), q
	return b
}

// mayNameClients reports whether a client is one of those that may use XCLIENT, or why that is not known.
func (m *model) mayNameClients(q judge.Question, s *service) (h hit, unknown string) {
	if m.value("smtpd_authorized_xclient_hosts", s) == "" {
		return hit{}, ""
	}
	r := newRun(m, s, q, nil)
	h = r.networks("smtpd_authorized_xclient_hosts", r.name, r.addr)
	if !h.ok && len(r.reasons) > 0 {
		unknown = r.reasons[0]
		m.keepWanted()
	}
	return h, unknown
}

// upstream is the parameter by which a listener takes the client's address from a proxy, and the service it holds for; "" for none.
func (m *model) upstream(l listener) (string, *service) {
	if l.front.command == "postscreen" {
		if m.value("postscreen_upstream_proxy_protocol", l.front) != "" {
			return "postscreen_upstream_proxy_protocol", l.front
		}
		return "", nil
	}
	if m.value("smtpd_upstream_proxy_protocol", l.smtpd) != "" {
		return "smtpd_upstream_proxy_protocol", l.smtpd
	}
	return "", nil
}

func (m *model) onLoopback(l listener) bool {
	host, _ := splitService(l.addr)
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// inAnothersPlace answers for the clients whom the configuration trusts by address, and by XCLIENT also for those whom it trusts by name
// and for somebody who is logged in: the first that relays, else the first that may. The question of the answer says who that is.
func (m *model) inAnothersPlace(q judge.Question, l listener, xclient bool) (judge.Answer, bool) {
	as := q
	as.ClientAddr, as.ClientName = "127.0.0.1", "localhost"
	try := []judge.Question{as}
	for _, t := range m.trustedAt(l.smtpd) {
		as = q
		switch {
		case len(try) >= maxNamed:
			continue
		case t.Kind == "client-net":
			as.ClientAddr, as.ClientName = within(t.Net).String(), ""
		case t.Kind == "client-name" && xclient:
			as.ClientName = inside(t.Value)
		default:
			continue
		}
		try = append(try, as)
	}
	if as = q; xclient && m.yes("smtpd_sasl_auth_enable", l.smtpd) {
		as.User = "relaytest"
		try = append(try, as)
	}
	var perhaps judge.Answer
	for _, as := range try {
		switch b := m.answer(as, l); {
		case b.Outcome == judge.Relayed:
			return b, true
		case b.Outcome == judge.CannotTell && perhaps.Outcome == "":
			perhaps = b
		}
	}
	return perhaps, perhaps.Outcome != ""
}
