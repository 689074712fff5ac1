// Package probe is the network judge: what a mail server says and does in real SMTP dialogues, and which ports pass connections on.
package probe

import (
	"context"
	"net"
	"net/netip"
	"time"

	"mtaharden/remediate/judge"
)

// Dial opens a connection from where the questions are asked: this machine's network, or another host through SSH.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// Listener is one listening socket of a mail server, and what is known of the server beforehand.
type Listener struct {
	Addr    netip.AddrPort `json:"addr"`
	TLS     bool           `json:"tls,omitempty"`     // TLS from the first byte (RFC 8314, port 465)
	Name    string         `json:"name,omitempty"`    // the server's own name; "" is taken from its EHLO reply, else its banner
	Domains []string       `json:"domains,omitempty"` // domains that it takes mail for: pivots of the routed forms
	Local   string         `json:"local,omitempty"`   // an account of its own, USER or USER@DOMAIN; "" is postmaster
}

// Config is how a listener is asked.
type Config struct {
	Dial     Dial
	Vantage  string        // "" is this machine, else the inventory's name of the host that is dialled through
	From     netip.Addr    // the vantage's own address, where the connections do not tell it
	Relay    bool          // whether questions about relaying are asked: only from a vantage that is outside for this server
	Domain   string        // the foreign domain that recipients are in; default example.org
	Helo     string        // the name to greet with; default the vantage's address as a domain literal
	Forms    []string      // which forms of the relay matrix to ask; nil is all
	Brief    bool          // relaying, and what its first connection shows, alone: no HELP, VRFY, EXPN, no search for TLS versions
	Done     []Case        // what an earlier run found out about this listener; it is not asked again
	Deliver  string        // "" stops before DATA; else the address that one message is sent to in each form that was taken
	Timeout  time.Duration // bound of one reply, greeting pauses included; default 60 s
	Silent   bool          // somebody else found that the listener does not greet: its banner is waited for 10 s, and no PROXY header is tried
	Budget   time.Duration // bound of the whole listener; default 10 min
	Parallel int           // connections at a time; default 1
	Versions func() bool   // asked once TLS is agreed on: whether to search for the older TLS versions that the server takes too; nil is yes

	// Arrived says whether the message that holds token has come to Deliver. nil: nobody looks, and delivery stays unproven.
	Arrived func(ctx context.Context, token string) (bool, error)
	Wait    time.Duration // how long arrival is waited for; default 2 min
}

// Report is all that was learnt of a listener.
type Report struct {
	Listener Listener       `json:"listener"`
	Vantage  string         `json:"vantage,omitempty"`
	From     netip.Addr     `json:"from"`
	Banner   string         `json:"banner"`
	Greeting time.Duration  `json:"greeting"` // how long the banner was waited for
	Product  string         `json:"product,omitempty"`
	Version  string         `json:"version,omitempty"`
	Plain    Session        `json:"plain"`  // as offered without TLS
	Secure   Session        `json:"secure"` // as offered under TLS
	TLS      *TLS           `json:"tls_state,omitempty"`
	Dead     string         `json:"dead,omitempty"`    // why the listener serves this client nothing at all
	Refusal  ruling         `json:"refusal,omitempty"` // what the reply that ended it means
	Services []Service      `json:"services"`
	Cases    []Case         `json:"cases"`
	Notes    []string       `json:"notes,omitempty"`
	Answers  []judge.Answer `json:"answers"`
	Err      error          `json:"-"` // why the listener could not be asked at all
	Mute     bool           `json:"-"` // the port took connections and nothing was said there, with a PROXY header or without
}

// Session is what a server offers after EHLO (RFC 5321, 4.1.1.1).
type Session struct {
	Greeting   string   `json:"greeting,omitempty"`   // the first line of the reply to EHLO
	Extensions []string `json:"extensions,omitempty"` // the other lines, as sent
	Auth       []string `json:"auth,omitempty"`       // SASL mechanisms (RFC 4954)
	StartTLS   bool     `json:"starttls,omitempty"`
	Spoof      []string `json:"spoof,omitempty"` // offers to take another client's address for this one's: XCLIENT, XFORWARD
}

// Verdict is what a dialogue of the relay matrix came to.
type Verdict string

const (
	Relays     Verdict = "relays"      // taken for a foreign destination, by a server that refuses others; delivery is unproven
	AcceptsAll Verdict = "accepts-all" // whatever was asked was taken, also what exists nowhere: an open relay, or a sink
	Unproven   Verdict = "unproven"    // taken as any account of the server's own is, or its message refused for what it holds; whether it is sent on is not known
	Proven     Verdict = "proven"      // a message arrived
	Taken      Verdict = "taken"       // a recipient of the server's own was taken
	Refused    Verdict = "refused"
	NotTested  Verdict = "not-tested" // the reply is about something else than the recipient: syntax, the sender, this client
	Deferred   Verdict = "deferred"   // a temporary no that is no policy
	Broken     Verdict = "broken"     // the server answers with a fault of its own, or not at all
	NotAsked   Verdict = "not-asked"
)

// Open says whether the verdict is that a foreign recipient was taken.
func (v Verdict) Open() bool { return v == Relays || v == AcceptsAll || v == Proven }

// Exchange is a command and its reply. The first of a dialogue has no command: its reply is the banner.
type Exchange struct {
	Sent  string `json:"sent"`
	Reply Reply  `json:"reply"`
	Error string `json:"error,omitempty"` // why there was no reply
}

// Case is one dialogue of the relay matrix.
type Case struct {
	Form      string     `json:"form"`
	Sender    string     `json:"sender"`    // as sent, without brackets
	Recipient string     `json:"recipient"` // as sent, without brackets
	Helo      string     `json:"helo,omitempty"`
	TLS       bool       `json:"tls,omitempty"`
	Verdict   Verdict    `json:"verdict"`
	Why       string     `json:"why"`
	Dialogue  []Exchange `json:"dialogue,omitempty"`
	Token     string     `json:"token,omitempty"` // what the message that was sent holds, in subject and body

}

// Service is one dialogue about what is not relaying.
type Service struct {
	Verb     judge.Verb    `json:"verb"`
	TLS      bool          `json:"tls,omitempty"`
	Outcome  judge.Outcome `json:"outcome"`
	Text     string        `json:"text"`
	Dialogue []Exchange    `json:"dialogue,omitempty"`
}

// Ask asks a listener everything, the questions that decide most first, and stops where the time is out. It never talks before the
// server does, waits for each reply before the next command, and stops before DATA unless c.Deliver is set.
func Ask(ctx context.Context, l Listener, c Config) *Report {
	c = c.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, c.Budget)
	defer cancel()
	r := &Report{Listener: l, Vantage: c.Vantage, From: c.From}
	t, err := givenTables()
	if err != nil {
		r.Err = err
		return r
	}
	a := &asker{l: l, c: c, tables: t, report: r}
	if a.meet(ctx) {
		a.decide(ctx)
		a.services(ctx)
		a.matrixForms(ctx)
		a.deliver(ctx)
	}
	for _, k := range a.cases {
		r.Cases = append(r.Cases, k.Case)
	}
	a.identify()
	r.Answers = answers(r, c)
	return r
}

func (c Config) withDefaults() Config {
	if c.Domain == "" {
		c.Domain = "example.org"
	}
	if c.Timeout <= 0 {
		c.Timeout = 60 * time.Second
	}
	if c.Budget <= 0 {
		c.Budget = 10 * time.Minute
	}
	if c.Wait <= 0 {
		c.Wait = 2 * time.Minute
	}
	if c.Parallel <= 0 {
		c.Parallel = 1
	}
	return c
}
