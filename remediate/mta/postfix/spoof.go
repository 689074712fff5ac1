package postfix

import (
	"net/netip"

	"mtaharden/remediate/judge"
)

// maxNamed bounds the clients whose place one that may name another is tried in.
const maxNamed = 12

// spoofed answers for a client that may name another client: by XCLIENT, where it is one of smtpd_authorized_xclient_hosts, and by a
// PROXY header, which smtpd and postscreen take from whoever connects where they expect it (HAProxy's protocol has no password).
func (m *model) spoofed(q judge.Question, l listener, a judge.Answer) judge.Answer {
	if l.smtpd == nil || a.Outcome == judge.Relayed || a.Outcome == judge.Dead || !foreign(q) {
		return a
	}
	if h := m.mayNameClients(q, l.smtpd); h.ok {
		if b, ok := m.inAnothersPlace(q, l, m.yes("smtpd_sasl_auth_enable", l.smtpd)); ok {
			b.Text = "the client may call itself " + b.Question.ClientAddr + " (XCLIENT): " + b.Text
			b.Because = append([]judge.Line{{File: h.pattern.origin.File, Line: h.pattern.origin.Line, Text: "smtpd_authorized_xclient_hosts holds " + h.pattern.text}}, b.Because...)
			b.Question = q
			return b
		}
		return a
	}
	name, s := m.upstream(l)
	if name == "" || q.Class == judge.Localhost || m.onLoopback(l) {
		return a
	}
	b, ok := m.inAnothersPlace(q, l, false)
	if !ok {
		return a
	}
	at := append([]judge.Line{m.line(name, s)}, b.Because...)
	return judge.Answer{Question: q, Judge: judge.Config, Outcome: judge.CannotTell, Because: at,
		Text: "relayed or not: a proxy names the clients (" + name + "), and whoever reaches this port past the proxy may call itself " + b.Question.ClientAddr}
}

// mayNameClients reports whether a client is one of those that may use XCLIENT.
func (m *model) mayNameClients(q judge.Question, s *service) hit {
	if m.value("smtpd_authorized_xclient_hosts", s) == "" {
		return hit{}
	}
	r := newRun(m, s, q, nil)
	return r.networks("smtpd_authorized_xclient_hosts", r.name, r.addr)
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

// inAnothersPlace answers for the clients whom the configuration trusts by address, and with login as somebody who is logged in: the
// first that relays. The question of the answer says who that is.
func (m *model) inAnothersPlace(q judge.Question, l listener, login bool) (judge.Answer, bool) {
	as := q
	as.ClientAddr, as.ClientName = "127.0.0.1", "localhost"
	try := []judge.Question{as}
	for _, p := range m.patterns("mynetworks", l.smtpd) {
		if net, err := parseNet(p.text); err == nil && p.table == nil && !p.negate && len(try) < maxNamed {
			as.ClientAddr, as.ClientName = net.Addr().String(), ""
			try = append(try, as)
		}
	}
	if login {
		as = q
		as.User = "relaytest"
		try = append(try, as)
	}
	for _, as := range try {
		if b := m.answer(as, l); b.Outcome == judge.Relayed {
			return b, true
		}
	}
	return judge.Answer{}, false
}
