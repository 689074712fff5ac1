package probe

import (
	"context"
	"crypto/tls"
	"io"
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
	cases  []asked
	help   string // what HELP showed

	first     *slot     // the first connection, where nothing was asked on it yet: it serves as the plain question's own
	met       []asked   // what became of the deciding questions under TLS, on the first connection, as far as they came to an end there
	localFrom *question // how a recipient of the server's own was taken; nil where none was

	mu       sync.Mutex
	helo     string
	local    string // a recipient of the server's own that it took
	counts   bool   // the server holds against a connection what it carried before
	proxied  int    // the version of the PROXY header that the listener waits for; 0 where it waits for none
	declined bool   // it was sent both versions of that, and took neither
	wantTLS  bool   // the server takes nothing without TLS
	failed   int    // connections in a row that came to no banner
	opened   int
	late     int // shared connections in a row that an answer held back ended early
	below    descent
	searches bool // for the TLS versions below the one agreed on
	slow     bool // its greeting is: a connection a dialogue would take too long
}

// asked is a case while it is being asked.
type asked struct {
	Case
	question    question
	again       remedy // what another attempt has to do differently
	shared      bool   // the connection had been used before
	senderTaken bool
}

// slowGreeting is a pause before the banner that is a policy (greet_pause, postscreen).
const slowGreeting = 2 * time.Second

// maxFailed is how many connections in a row may come to nothing before the server is left alone.
const maxFailed = 3

// dial opens a connection, under TLS where the listener begins with it. No banner was read yet. Where the listener wants to be told who the
// client is, as says that; "" is this side's own address.
func (a *asker) dial(ctx context.Context, as string) (*client, error) {
	return a.dialTLS(ctx, as, tlsConfig(a.serverName(), tls.VersionTLS10, 0))
}

func (a *asker) dialTLS(ctx context.Context, as string, offer *tls.Config) (*client, error) {
	c, err := connect(ctx, a.c.Dial, a.l.Addr, a.c.Timeout)
	if err != nil {
		return nil, err
	}
	if a.proxied > 0 {
		c.conn.SetDeadline(time.Now().Add(c.timeout))
		if _, err := io.WriteString(c.conn, a.proxyHeader(as)); err != nil {
			c.close()
			return nil, err
		}
	}
	if !a.l.TLS {
		return c, nil
	}
	if err := c.handshake(ctx, offer); err != nil {
		c.close()
		return nil, err
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
