package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"
)

// How long a banner is waited for where it is likely that none comes: greeting pauses are of five or six seconds. A listener that waits for a
// proxy's header greets once it has that.
const (
	silentWait = 10 * time.Second
	headerWait = 20 * time.Second
)

// meet makes the first connection: it finds out who is there and what is offered, and whether anything more can be asked.
func (a *asker) meet(ctx context.Context) bool {
	r := a.report
	c, banner, err := a.greeted(ctx)
	if c == nil {
		r.Err = fmt.Errorf("cannot connect to %s: %w", a.l.Addr, err)
		return false
	}
	defer c.quit()
	a.helo = a.ownHelo()
	r.Banner = banner.String()
	a.slow = r.Greeting >= slowGreeting
	if a.unmet(c, err) {
		return false
	}
	if r.Dead = a.unserved("BANNER", banner, err, c); r.Dead != "" {
		return false
	}
	reply, err := c.hello(a.helo)
	if rule := a.tables.rule("EHLO", reply, false); err == nil && rule.Again == otherHelo {
		a.helo = a.otherHelo()
		reply, err = c.hello(a.helo)
	}
	if a.unmet(c, err) {
		return false
	}
	if r.Dead = a.unserved("EHLO", reply, err, c); r.Dead != "" {
		return false
	}
	a.offers(ctx, c)
	return true
}

// unmet says that the time was over before the server had told whether it serves this client: that is no word of the server's.
func (a *asker) unmet(c *client, err error) bool {
	if err == nil || !c.over.Load() {
		return false
	}
	a.report.Err = errors.New(timeIsOver)
	return true
}

// greeted opens the first connection and waits for its banner. A server that asks for patience is tried again; one that stays silent may wait
// for the header of a proxy before it (the PROXY protocol), and is tried once with that: one that names this client, where it is no stranger.
func (a *asker) greeted(ctx context.Context) (*client, Reply, error) {
	for n := 0; ; n++ {
		c, err := a.dial(ctx, "")
		if err != nil {
			return nil, Reply{}, err
		}
		if from, ok := c.from(); ok && a.c.Vantage == "" {
			a.report.From = from
		}
		start := time.Now()
		if a.c.Silent {
			c.timeout = min(c.timeout, silentWait)
		}
		banner, err := c.greet()
		if err == nil {
			c.timeout = a.c.Timeout
		}
		a.report.Greeting = time.Since(start).Round(time.Millisecond)
		rule := a.tables.rule("BANNER", banner, false)
		silent := err != nil && len(banner.Lines) == 0
		if (silent || err == nil && rule.Verdict == broken) && n == 0 && !a.c.Silent && (a.c.Relay || a.report.From.IsValid()) {
			c.close() // before another is opened
			if a.behindProxy(ctx) {
				continue
			}
			a.report.Mute = silent
		}
		if err != nil || rule.Again != later && rule.Verdict != broken || n == maxWaits {
			return c, banner, err
		}
		c.quit()
		if !pause(ctx, time.Duration(5<<n)*time.Second) {
			return c, banner, err
		}
	}
}

// behindProxy finds out whether the listener greets once it was told a client's address: then it believes anybody about that. A server that
// does not read such headers takes one for a command, and answers EHLO only after it.
func (a *asker) behindProxy(ctx context.Context) bool {
	a.proxied = true
	if c, err := a.dial(ctx, ""); err == nil {
		defer c.quit()
		c.timeout = min(c.timeout, headerWait)
		reply, err := a.introduce(c, a.otherHelo())
		if err == nil && reply.good() && c.session.Greeting != "" {
			a.report.Notes = append(a.report.Notes, "the listener takes the client's address from a PROXY header, from anybody: who sends one may be any client")
			return true
		}
	}
	a.proxied = false
	return false
}

// proxyHeader is the first line of a connection that a proxy passes on (PROXY protocol, version 1).
func (a *asker) proxyHeader(client string) string {
	to, kind := a.l.Addr.Addr().Unmap(), "TCP4"
	if to.Is6() {
		kind = "TCP6"
	}
	switch {
	case client != "" && to.Is6():
		client = "::1"
	case client != "":
	case a.report.From.IsValid() && a.report.From.Is4() == to.Is4():
		client = a.report.From.String()
	case to.Is6():
		client = "2001:db8::25"
	default:
		client = "192.0.2.25"
	}
	return fmt.Sprintf("PROXY %s %s %s 51234 %d\r\n", kind, client, to, a.l.Addr.Port())
}

// unserved says why a first reply is no service, "" where it is one.
func (a *asker) unserved(at string, reply Reply, err error, c *client) string {
	where := at
	if at == "BANNER" {
		where = "no banner"
	}
	if err != nil {
		return where + ": " + c.explain(err)
	}
	if rule := a.tables.rule(at, reply, false); rule.Verdict != taken {
		a.report.Refusal = rule.Verdict
		return fmt.Sprintf("%s: %s", rule.Why, reply)
	}
	return ""
}

// offers records what is offered, before and after STARTTLS.
func (a *asker) offers(ctx context.Context, c *client) {
	r := a.report
	if c.secure != nil {
		r.Secure, r.TLS = c.session, tlsOf(c.secure, a.dnsName(c.session))
		return
	}
	r.Plain = c.session
	if !r.Plain.StartTLS {
		return
	}
	reply, err := c.startTLS(ctx, tlsConfig(a.serverName(), tls.VersionTLS10, 0), a.helo)
	switch {
	case err != nil:
		r.TLS = &TLS{Error: c.explain(err)}
	case c.secure == nil:
		r.TLS = &TLS{Error: "STARTTLS: " + reply.String()}
	default:
		r.TLS = tlsOf(c.secure, a.dnsName(r.Plain))
		if reply.good() {
			r.Secure = c.session
			a.plainUnderTLS(c)
		} else {
			r.TLS.Error = "EHLO after STARTTLS: " + reply.String()
		}
	}
}

// plainUnderTLS asks the plain question on the first connection, where that is under TLS: nothing was asked on it before, so that it serves as
// the one of that question's own. What another attempt may change is not kept.
func (a *asker) plainUnderTLS(c *client) {
	m := a.matrix()
	q := m.first()[0]
	if !a.c.Relay || len(a.c.Done) > 0 || a.c.Forms != nil && !slices.Contains(a.c.Forms, q.form) {
		return
	}
	out := asked{question: q, Case: Case{Form: q.form, Sender: q.senders[0], Recipient: q.sent(rcptUser, m.domain), Helo: a.helo, TLS: true, Dialogue: slices.Clone(c.log)}}
	mark := len(c.log)
	a.transact(c, q, m, &out)
	out.Dialogue = append(out.Dialogue, c.log[mark:]...)
	if out.again == "" && out.Verdict != NotAsked {
		a.met = &out
	}
}
