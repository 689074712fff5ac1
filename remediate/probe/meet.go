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
	r, start := a.report, time.Now()
	c, banner, err := a.greeted(ctx)
	if c == nil {
		r.Err = fmt.Errorf("cannot connect to %s: %w", a.l.Addr, err)
		return false
	}
	defer func() {
		if a.first == nil {
			c.quit()
		}
	}()
	a.helo = a.ownHelo()
	r.Banner = banner.String()
	a.slow = r.Greeting >= slowGreeting
	if a.unmet(c, err) {
		return false
	}
	if r.Dead = a.unserved("BANNER", banner, err, c); r.Dead != "" {
		return err == nil && a.wanted(ctx, c, "BANNER", banner)
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
		return err == nil && a.wanted(ctx, c, "EHLO", reply)
	}
	pace := time.Since(start)
	if a.slow {
		pace = 0
	}
	a.offers(ctx, c, pace)
	return true
}

// wanted meets a listener once more, with a PROXY header, where its reply was that it wants one (Exim's hosts_proxy: after three seconds it greets
// whoever sends none, and then serves nothing).
func (a *asker) wanted(ctx context.Context, c *client, at string, reply Reply) bool {
	if a.tables.rule(at, reply, false).Again != tellProxy {
		return false
	}
	if a.mayTell() {
		c.quit() // before another is opened
		if a.behindProxy(ctx) {
			a.report.Dead, a.report.Refusal = "", ""
			return a.meet(ctx)
		}
	}
	a.report.Dead += "; no header of ours was taken: the listener cannot be asked from the network"
	return false
}

// mayTell says whether a PROXY header may be tried: none was yet, and it names a stranger, or this side itself.
func (a *asker) mayTell() bool {
	return a.proxied == 0 && !a.declined && !a.c.Silent && (a.c.Relay || a.report.From.IsValid())
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
// for the header of a proxy before it (the PROXY protocol), and is tried once with each version of that: one that names this client, where it
// is no stranger.
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
		if (silent || err == nil && (rule.Verdict == broken || rule.Again == tellProxy)) && n == 0 && a.mayTell() {
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

// unserved says why a first reply is no service, "" where it is one.
func (a *asker) unserved(at string, reply Reply, err error, c *client) string {
	where := at
	if at == "BANNER" {
		where = "no banner"
	}
	if err != nil && at == "BANNER" && a.declined {
		return where + ": " + c.explain(err) + "; nor is there one after a PROXY header, of either version"
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

// offers records what is offered, before and after STARTTLS. pace is how long the connection took to open.
func (a *asker) offers(ctx context.Context, c *client, pace time.Duration) {
	r, s := a.report, &slot{client: c, helo: a.helo, lasts: true, pace: pace}
	if c.secure != nil {
		r.Secure, r.TLS = c.session, tlsOf(c.secure, a.dnsName(c.session))
		a.descend(c.secure.Version)
		a.first = s
		return
	}
	r.Plain = c.session
	if !r.Plain.StartTLS {
		a.first = s
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
			a.descend(c.secure.Version)
			s.tls = true
			a.decideUnderTLS(ctx, s)
		} else {
			r.TLS.Error = "EHLO after STARTTLS: " + reply.String()
		}
	}
}

// decideUnderTLS asks the deciding questions on the first connection, where that is under TLS: the plain one first, for nothing was asked on the
// connection before, so that it serves as the one of that question's own; then, where that came to a final no and a recipient of the server's
// own is taken on it, the others, which share it as they share any. What another attempt may change is not kept.
func (a *asker) decideUnderTLS(ctx context.Context, s *slot) {
	m, c := a.matrix(), s.client
	questions := m.secured()
	plain := questions[0]
	if !a.c.Relay || len(a.c.Done) > 0 || a.c.Forms != nil && !slices.Contains(a.c.Forms, plain.form) {
		return
	}
	out := asked{question: plain, Case: Case{Form: plain.form, Sender: plain.senders[0], Recipient: plain.sent(rcptUser, m.domain), Helo: a.helo, TLS: true, Dialogue: slices.Clone(c.log)}}
	mark := len(c.log)
	c.used++
	a.transact(c, plain, m, &out)
	out.Dialogue = append(out.Dialogue, c.log[mark:]...)
	if out.again != "" || out.Verdict == NotAsked {
		return
	}
	a.met = append(a.met, out)
	if !out.settled() || !out.senderTaken {
		return
	}
	control := m.control(m.accounts()[0])
	control.senders, control.tls = []string{out.Sender}, true
	if own, late := a.shared(ctx, s, control); late || own.Verdict != Taken {
		return
	}
	a.localFrom = &control
	defer func() { a.localFrom = nil }() // what is taken without TLS is asked without
	rest := slices.DeleteFunc(questions[1:], func(q question) bool { return a.c.Forms != nil && !slices.Contains(a.c.Forms, q.form) })
	b := a.batchOf(rest, make([]asked, len(rest)))
	a.carry(ctx, s, b)
	a.met = append(a.met, slices.DeleteFunc(b.cases, func(k asked) bool { return k.Form == "" })...)
}
