package probe

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// asker asks one listener.
type asker struct {
	l      Listener
	c      Config
	tables *tables
	report *Report

	mu      sync.Mutex
	helo    string
	wantTLS bool // the server takes nothing without TLS
	failed  int  // connections in a row that came to no banner
	opened  int
	perConn int // dialogues a connection; more than 1 where its greeting is slow
}

// slowGreeting is a pause before the banner that is a policy (greet_pause, postscreen), so that a connection a dialogue would take too long.
const slowGreeting = 2 * time.Second

// maxFailed is how many connections in a row may come to nothing before the server is left alone.
const maxFailed = 3

// dial opens a connection, under TLS where the listener begins with it. No banner was read yet.
func (a *asker) dial(ctx context.Context) (*client, error) {
	c, err := connect(ctx, a.c.Dial, a.l.Addr, a.c.Timeout)
	if err != nil {
		return nil, err
	}
	if !a.l.TLS {
		return c, nil
	}
	if err := c.handshake(ctx, tlsConfig(a.serverName(), tls.VersionTLS10, 0)); err != nil {
		c.close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return c, nil
}

// introduce waits for the banner and greets.
func (a *asker) introduce(c *client, helo string) (Reply, error) {
	banner, err := c.greet()
	if err != nil || !banner.good() {
		return banner, err
	}
	return c.hello(helo)
}

// meet makes the first connection: it finds out who is there and what is offered, and whether anything more can be asked.
func (a *asker) meet(ctx context.Context) bool {
	r := a.report
	c, err := a.dial(ctx)
	if err != nil {
		r.Err = fmt.Errorf("cannot connect to %s: %w", a.l.Addr, err)
		return false
	}
	defer c.quit()
	if from, ok := c.from(); ok && a.c.Vantage == "" {
		r.From = from
	}
	a.helo = a.ownHelo()
	start := time.Now()
	banner, err := c.greet()
	r.Greeting = time.Since(start).Round(time.Millisecond)
	r.Banner = banner.String()
	a.perConn = 1
	if r.Greeting >= slowGreeting {
		a.perConn = 6
	}
	if why := a.unserved("BANNER", banner, err, c); why != "" {
		r.Dead = why
		return false
	}
	reply, err := c.hello(a.helo)
	if rule := a.tables.rule("EHLO", reply, false); err == nil && rule.Again == otherHelo {
		a.helo = a.otherHelo()
		reply, err = c.hello(a.helo)
	}
	if why := a.unserved("EHLO", reply, err, c); why != "" {
		r.Dead = why
		return false
	}
	a.offers(ctx, c)
	return true
}

// unserved says why a first reply is no service, "" where it is one.
func (a *asker) unserved(at string, reply Reply, err error, c *client) string {
	where := "the banner"
	if at != "BANNER" {
		where = at
	}
	if err != nil {
		return where + ": " + plainError(err, c.timeout)
	}
	if rule := a.tables.rule(at, reply, false); rule.Verdict != taken {
		a.report.Refusal = rule.Verdict
		return fmt.Sprintf("%s: %s: %s", where, rule.Why, reply)
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
		r.TLS = &TLS{Error: plainError(err, c.timeout)}
	case c.secure == nil:
		r.TLS = &TLS{Error: "STARTTLS: " + reply.String()}
	default:
		r.TLS = tlsOf(c.secure, a.dnsName(r.Plain))
		if reply.good() {
			r.Secure = c.session
		} else {
			r.TLS.Error = "EHLO after STARTTLS: " + reply.String()
		}
	}
}

// canTLS says whether TLS can be had by STARTTLS.
func (a *asker) canTLS() bool { return a.report.TLS != nil && a.report.TLS.Error == "" && !a.l.TLS }

// ownHelo is how this side calls itself: a client without a name of its own gives its address (RFC 5321, 4.1.3).
func (a *asker) ownHelo() string {
	switch {
	case a.c.Helo != "":
		return a.c.Helo
	case a.report.From.IsValid():
		return literal(a.report.From)
	}
	return a.otherHelo()
}

// otherHelo is a name, for servers that take no address.
func (a *asker) otherHelo() string { return "probe.example.net" }

// literal is an address as a domain literal.
func literal(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		return "[IPv6:" + a.String() + "]"
	}
	return "[" + a.String() + "]"
}

// serverName is the server's own name as far as it is known, "" where it is not.
func (a *asker) serverName() string {
	if a.l.Name != "" {
		return a.l.Name
	}
	for _, s := range []string{a.report.Plain.Greeting, a.report.Secure.Greeting, strings.TrimPrefix(a.report.Banner, "220 ")} {
		word, _, _ := strings.Cut(strings.TrimSpace(s), " ")
		if isDomain(word) {
			return word
		}
	}
	return ""
}

// dnsName is whom the certificate should be for.
func (a *asker) dnsName(s Session) string {
	if a.l.Name != "" {
		return a.l.Name
	}
	if word, _, _ := strings.Cut(s.Greeting, " "); isDomain(word) {
		return word
	}
	return a.serverName()
}

// isDomain says whether a word that a server sent is a name that can be put into an address.
func isDomain(s string) bool {
	if len(s) > 253 || !strings.Contains(s, ".") || strings.Contains(s, "..") || strings.HasPrefix(s, ".") {
		return false
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return false
	}
	return strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" && s[0] != '-'
}

// names are the server's own domains, its name first, without those that are the foreign ones of the questions.
func (a *asker) names() []string {
	var out []string
	for _, d := range append([]string{a.serverName()}, a.l.Domains...) {
		known := !isDomain(d)
		for _, have := range out {
			known = known || strings.EqualFold(have, d)
		}
		if !known && len(out) < maxNames {
			out = append(out, d)
		}
	}
	return out
}

// maxNames bounds the domains of a server's own that are used as pivots.
const maxNames = 8

// pause waits, and says whether there is still time.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
