package probe

import (
	"net/netip"
	"slices"

	"mtaharden/remediate/judge"
)

// PortState says whether a port could be spoken to.
type PortState string

const (
	Open        PortState = "open"
	Closed      PortState = "closed"      // the connection was refused
	Silent      PortState = "silent"      // nothing answered in time, or no machine has the address
	Unreachable PortState = "unreachable" // there is no way to it, or the host dialled through allows none
)

// HostResult is what became of one Host. It is data: it can be written as JSON and read back.
type HostResult struct {
	Target    string           `json:"target"`
	Addr      netip.Addr       `json:"address"`
	Own       bool             `json:"own,omitempty"`   // the address is of the very machine that asked
	Error     string           `json:"error,omitempty"` // why there is no address to ask
	Listeners []ListenerResult `json:"listeners"`
	Proxies   []ProxyResult    `json:"proxies,omitempty"`
	DNSBL     []Listing        `json:"dnsbl,omitempty"`
}

// ListenerResult is what became of one SMTP port.
type ListenerResult struct {
	Addr   netip.AddrPort `json:"addr"`
	TLS    bool           `json:"tls,omitempty"`
	State  PortState      `json:"state"`
	Error  string         `json:"error,omitempty"`
	Report *Report        `json:"report,omitempty"` // only where the port is open
}

// ProxyResult is what became of one port that might be a proxy's.
type ProxyResult struct {
	Addr    netip.AddrPort `json:"addr"`
	State   PortState      `json:"state"`
	Error   string         `json:"error,omitempty"`
	Answers []ProxyAnswer  `json:"answers,omitempty"`
}

// What a whole port came to, beside the verdicts of single dialogues. All of them are about the client that asked and say nothing of others.
const (
	OwnRelays Verdict = "own"         // a foreign recipient was taken from the very machine: nearly every mail server trusts that
	Unsure    Verdict = "cannot-tell" // it serves, and what would decide was not answered
	NoService Verdict = "no-service"  // the port is open, and no mail service is to be had there
	NotOpen   Verdict = "not-open"    // no connection
)

// Verdicts are all that a port can come to, the gravest first.
func Verdicts() []Verdict {
	return []Verdict{Proven, Relays, AcceptsAll, Unsure, OwnRelays, Refused, NoService, NotOpen}
}

// LocalForm is the form of the question for a recipient of the server's own, which shows whether it takes mail at all.
const LocalForm = "local"

// PlainForm is the form of the question for an ordinary foreign recipient. A server refuses strangers only if it refused this one: where another form alone
// was refused, it may have been for its sender or its syntax.
const PlainForm = "plain"

// graver is the graver of two verdicts.
func graver(a, b Verdict) Verdict {
	if slices.Index(Verdicts(), a) < slices.Index(Verdicts(), b) {
		return a
	}
	return b
}

// Open says whether any port took a connection.
func (h *HostResult) Open() bool {
	return slices.ContainsFunc(h.Listeners, func(l ListenerResult) bool { return l.State == Open }) ||
		slices.ContainsFunc(h.Proxies, func(p ProxyResult) bool { return p.State == Open })
}

// Verdict is that of the gravest port.
func (h *HostResult) Verdict() Verdict {
	worst := NotOpen
	for i := range h.Listeners {
		worst = graver(worst, h.Listeners[i].Verdict(h.Own))
	}
	return worst
}

// Verdict sums up the port; own says that it was asked from the very machine. A form that the server does not read is no way in; one that was not asked,
// or taken as any account is, may be.
func (l *ListenerResult) Verdict(own bool) Verdict {
	if l.State != Open || l.Report == nil {
		return NotOpen
	}
	if l.Error != "" || l.Report.Dead != "" {
		return NoService
	}
	out, refused, unsure := Verdict(""), false, false
	for _, c := range l.Report.Cases {
		switch {
		case c.Form == LocalForm:
		case c.Verdict.Open() && out == "":
			out = c.Verdict
		case c.Verdict.Open():
			out = graver(out, c.Verdict)
		case c.Verdict == Refused:
			refused = refused || c.Form == PlainForm
		case c.Verdict != NotTested, c.Form == PlainForm:
			unsure = true
		}
	}
	switch {
	case out != "" && own:
		return OwnRelays
	case out != "":
		return out
	case unsure || !refused:
		return Unsure
	}
	return Refused
}

// Forms are the forms of address in which a foreign recipient was taken, in the order of asking.
func (l *ListenerResult) Forms() []string {
	var out []string
	if l.Report == nil {
		return nil
	}
	for _, c := range l.Report.Cases {
		if c.Verdict.Open() && !slices.Contains(out, c.Form) {
			out = append(out, c.Form)
		}
	}
	return out
}

// OpenProxy is the first way in which the host was proved an open proxy; nil where it was not.
func (h *HostResult) OpenProxy() (*ProxyResult, *ProxyAnswer) {
	for i := range h.Proxies {
		for j := range h.Proxies[i].Answers {
			if a := &h.Proxies[i].Answers[j]; a.Outcome == judge.Relayed {
				return &h.Proxies[i], a
			}
		}
	}
	return nil, nil
}

// Listed are the lists that hold the host's address.
func (h *HostResult) Listed() []string {
	var out []string
	for _, l := range h.DNSBL {
		if l.Status == Listed {
			out = append(out, l.Zone)
		}
	}
	return out
}
