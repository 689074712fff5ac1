package exim

import (
	"net/netip"
	"strings"

	"mtaharden/remediate/judge"
)

// claims answers for the strangers that no dialogue of `exim -bh` was: one that speaks TLS, one that logs in where any password
// will do, and one that says of itself whatever serves it (greeting, sender, local part) and stands on every list of good clients.
// The first of them whose answer differs from the plain stranger's is returned.
func (m *model) claims() []judge.Answer {
	q, found := m.stranger()
	if !found || m.broken != "" || m.cfg.strange != "" {
		return nil
	}
	if !m.agrees {
		q.Form = "claims"
		return []judge.Answer{m.fromConfig(q)}
	}
	plain, _ := m.cfg.recipient(q)
	if plain == judge.Relayed {
		return nil
	}
	if a, other := m.byIPv6(q, plain); other {
		return []judge.Answer{a}
	}
	free := m.anyPassword()
	for _, try := range []struct {
		form string
		set  func(*evaluator)
		skip bool
	}{
		{"tls", func(e *evaluator) { e.q.TLS = true }, false},
		{"any-password", func(e *evaluator) { e.q.TLS, e.loggedIn = true, true }, !free},
		{"claims", func(e *evaluator) { e.q.TLS, e.loggedIn, e.free = true, free, true }, false},
	} {
		e := newEvaluator(m.cfg, q)
		try.set(e)
		a := judge.Answer{Question: e.q, Judge: judge.Config}
		a.Question.Form = try.form
		if !try.skip {
			f := m.cfg.forecast(e)
			if a.Outcome, a.Because = f.outcome(); !f.relays() && a.Outcome != judge.Dead {
				a.Outcome = judge.Refused // or delivered here: nothing is relayed
			}
			a.Text = textOf(a.Because)
		}
		switch {
		case try.skip, a.Outcome == plain && !e.free:
		case a.Outcome == judge.Relayed, a.Outcome == judge.CannotTell:
			return []judge.Answer{a}
		}
	}
	return nil
}

// strangerIPv6 is an address for documentation (RFC 3849).
var strangerIPv6 = netip.MustParseAddr("2001:db8::7")

// byIPv6 answers for a stranger who comes by IPv6, and says whether he fares otherwise than the one by IPv4: the dialogues of `exim -bh`
// hold none. One whose address lies in an entry of usual width is no stranger.
func (m *model) byIPv6(q judge.Question, plain judge.Outcome) (judge.Answer, bool) {
	for _, t := range m.trusted {
		if t.Kind == "client-net" && t.Net.Contains(strangerIPv6) && t.Net.Bits() >= 8 {
			return judge.Answer{}, false
		}
	}
	q.Form, q.ClientAddr = "ipv6", strangerIPv6.String()
	a := m.fromConfig(q)
	return a, a.Outcome != plain && (a.Outcome == judge.Relayed || a.Outcome == judge.CannotTell)
}

// stranger is the plain question of a client from outside that no entry names.
func (m *model) stranger() (judge.Question, bool) {
	for _, addr := range strangers {
		q := m.standard()[0]
		q.ClientAddr = addr
		if q = m.classed(q); q.Class == judge.Outside {
			return q, true
		}
	}
	return judge.Question{}, false
}

// anyPassword says whether a server's authenticator lets everybody in: plaintext with a server_condition that is true whatever
// is sent (specification §34.1).
func (m *model) anyPassword() bool {
	for _, r := range m.cfg.authers {
		condition := r.Options["server_condition"]
		if r.Options["driver"] != "plaintext" || condition == "" || r.Options["public_name"] == "" {
			continue
		}
		if value, known := newEvaluator(m.cfg, judge.Question{}).expand(condition); known && truthOf(value) == yes {
			return true
		}
	}
	return false
}

// claimable says of a condition whether a stranger who may say and be what serves him meets it.
func (e *evaluator) claimable(c *cond, depth int) (truth, bool) {
	switch c.Name {
	case "senders", "sender_domains", "local_parts", "dnslists", "ratelimit", "seen", "malware", "spam", "spf", "spf_guess", "verify":
		return maybe, true
	case "recipients":
		_, domain, _ := strings.Cut(strings.ToLower(e.q.Recipient), "@")
		return e.matchList(c.Value, "addresslist", depth, func(e *evaluator, item string, depth int) truth {
			local, d, at := strings.Cut(item, "@")
			if !at || local == "" || strings.ContainsAny(item, ";/^") {
				return maybe
			}
			if t := e.matchDomainItem(d, domain, depth); t == no || local == "*" {
				return t
			}
			return maybe
		}), true
	}
	return no, false
}
