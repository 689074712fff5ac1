package probe

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"strings"
	"time"
)

// once asks a question one time.
func (a *asker) once(ctx context.Context, s *slot, q question, t try) asked {
	m, before := a.matrix(), s.client
	out := asked{question: q, Case: Case{Form: q.form, Sender: q.senders[t.sender], Recipient: q.sent(rcptUser, m.domain), Helo: t.helo, TLS: t.tls || a.l.TLS}}
	c, ok := a.ready(ctx, s, q, t, &out)
	if !ok {
		return out
	}
	mark := len(c.log)
	out.shared = c == before
	c.used++
	clean := a.transact(c, q, m, &out)
	out.Dialogue = append(out.Dialogue, c.log[mark:]...)
	if !clean || t.as != "" || len(q.prelude) > 0 || !s.lasts {
		s.drop()
	}
	return out
}

// ready gives the slot a connection on which a transaction may begin. Where there is none, the case says why.
func (a *asker) ready(ctx context.Context, s *slot, q question, t try, out *asked) (*client, bool) {
	if s.client != nil && s.helo == t.helo && s.tls == t.tls && t.as == "" && len(q.prelude) == 0 {
		if s.client.used == 0 {
			out.Dialogue, s.client.log = s.client.log, nil // it was opened for whatever comes first
			return s.client, true
		}
		if reply, err := s.client.say("RSET"); err == nil && reply.good() {
			return s.client, true
		}
	}
	s.drop()
	start := time.Now()
	c, err := a.dial(ctx, t.as)
	if err != nil {
		a.count(false)
		out.Verdict, out.Why, out.again = Broken, "cannot connect: "+err.Error(), later
		return nil, false
	}
	banner, err := c.greet()
	if !a.follows(c, "BANNER", banner, err, out) {
		a.count(banner.Code != 0)
		return nil, false
	}
	a.count(true)
	reply, err := c.hello(t.helo)
	if !a.follows(c, "EHLO", reply, err, out) {
		return nil, false
	}
	if t.tls && c.secure == nil {
		reply, err := c.startTLS(ctx, tlsConfig(a.serverName(), tls.VersionTLS10, 0), t.helo)
		if err == nil && c.secure == nil {
			err = errors.New("STARTTLS: " + reply.String())
		}
		if !a.follows(c, "EHLO", reply, err, out) {
			return nil, false
		}
	}
	out.Dialogue = c.log
	c.log = nil
	s.client, s.helo, s.tls, s.pace = c, t.helo, t.tls, 0
	if !a.slow {
		s.pace = time.Since(start)
	}
	return c, true
}

// count keeps how many connections in a row came to nothing.
func (a *asker) count(served bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.opened++
	a.failed++
	if served {
		a.failed = 0
	}
}

// follows says whether the dialogue goes on after a reply; where not, the case gets its verdict and the connection is left.
func (a *asker) follows(c *client, at string, reply Reply, err error, out *asked) bool {
	if err == nil {
		rule := a.tables.rule(at, reply, false)
		if rule.Verdict == taken {
			return true
		}
		out.settle(rule, reply)
	} else {
		out.Verdict, out.Why, out.again = Broken, c.explain(err), alone
	}
	out.Dialogue = c.log
	c.quit()
	return false
}

// settle gives a case the verdict of a reply.
func (c *asked) settle(r replyRule, reply Reply) {
	c.again = r.Again
	c.Why = reply.String()
	if r.Why != "" {
		c.Why = r.Why + ": " + c.Why
	}
	switch r.Verdict {
	case refused:
		c.Verdict = Refused
	case notTested:
		c.Verdict = NotTested
	case deferred:
		c.Verdict = Deferred
	default:
		c.Verdict = Broken
	}
}

// transact does one transaction up to RCPT. It says whether the connection may be used again.
func (a *asker) transact(c *client, q question, m matrixFor, out *asked) bool {
	fail := func(err error) bool {
		out.Verdict, out.Why, out.again = Broken, c.explain(err), alone
		if errors.Is(err, errTurn) || errors.Is(err, errGarbled) {
			out.Verdict = NotTested
		}
		return false
	}
	for _, command := range q.prelude {
		reply, err := c.say(command)
		if err != nil {
			return fail(err)
		}
		if !reply.good() {
			out.Verdict, out.Why = Deferred, command+": "+reply.String()
			if reply.Code/100 == 5 {
				out.Verdict = Refused
			}
			return false
		}
	}
	reply, err := c.say("MAIL FROM:<" + out.Sender + ">")
	if err != nil {
		return fail(err)
	}
	if rule := a.tables.rule("MAIL", reply, false); rule.Verdict != taken {
		out.settle(rule, reply)
		return rule.Verdict == refused
	}
	out.senderTaken = true
	if q.before != "" {
		reply, err := c.say("RCPT TO:<" + q.before + ">")
		if err != nil {
			return fail(err)
		}
		if !reply.good() {
			out.Verdict, out.Why = NotTested, "the first recipient, one of the server's own, was not taken: "+reply.String()
			return true
		}
	}
	reply, err = c.say(q.rcptCommand(rcptUser, m.domain))
	if err != nil {
		return fail(err)
	}
	rule := a.tables.rule("RCPT", reply, q.foreign)
	if rule.Verdict != taken {
		out.settle(rule, reply)
		out.senderTaken = rule.Again != otherSender
		return rule.Verdict == refused && rule.Again == ""
	}
	if q.local {
		out.Verdict, out.Why = Taken, reply.String()
		return true
	}
	return a.confirm(c, q, m, reply, out)
}

// confirm asks, in the transaction where a foreign recipient was taken, for what tells an open relay from a server that takes everything: a
// recipient of the same form in another domain, one in a domain that exists nowhere (RFC 2606), and an account of its own that does not exist.
// The account comes last: where it is taken, no limit on recipients was what refused a hidden domain before it.
func (a *asker) confirm(c *client, q question, m matrixFor, first Reply, out *asked) bool {
	checks := []struct{ what, command string }{
		{"another domain", q.rcptCommand(rcptUser, m.second)},
		{"a domain that exists nowhere", q.rcptCommand(rcptUser, token()+".invalid")},
	}
	stranger := "an account that does not exist"
	switch {
	case !q.foreign:
		checks = append(checks, struct{ what, command string }{stranger, "RCPT TO:<" + token() + q.home + ">"})
	case len(m.names) > 0:
		checks = append(checks, struct{ what, command string }{stranger, "RCPT TO:<" + token() + "@" + m.names[0] + ">"})
	}
	said := []string{first.String()}
	also, swallows, looks := 0, !q.foreign, false
	for _, check := range checks {
		reply, err := c.say(check.command)
		switch {
		case err != nil:
			out.settleTaken(q, false, swallows, append(said, check.what+": "+c.explain(err)))
			return false
		case reply.good() && check.what == stranger && looks:
			swallows = false
			said = append(said, "takes "+check.what+", so it is the hidden domain that it looks at")
		case reply.good():
			also++
			said = append(said, "takes "+check.what+" too")
		default:
			said = append(said, "not "+check.what+": "+reply.String())
			swallows = swallows && (check.what != stranger || !a.unknown(reply))
			looks = looks || check.what != stranger && a.unknown(reply)
		}
	}
	out.settleTaken(q, also == len(checks), swallows, said)
	return true
}

// unknown says whether a reply is a no to an account, and not to one recipient more, or to all for a while: a temporary code is one only where the
// address's status says so (RFC 3463, 3.2).
func (a *asker) unknown(r Reply) bool {
	rule := a.tables.rule("RCPT", r, false)
	return rule.Verdict == refused || rule.Verdict == notTested || strings.HasPrefix(r.Enhanced, "4.1.")
}

// settleTaken gives the verdict on a recipient that was taken. Where any account at the server's own name is taken, whatever it hides, one
// that hides a foreign address may be no more than that: it proves nothing until a message comes through.
func (c *asked) settleTaken(q question, all, swallows bool, said []string) {
	c.Why = strings.Join(said, "; ")
	switch {
	case swallows && !q.foreign:
		c.Verdict = Unproven
	case all:
		c.Verdict = AcceptsAll
	default:
		c.Verdict = Relays
	}
}

// token is a word that nobody else uses.
func token() string {
	b := make([]byte, 6)
	rand.Read(b)
	return "mth" + hex.EncodeToString(b)
}
