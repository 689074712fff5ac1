package plan

import (
	"net/netip"
	"strconv"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// Client is a vantage as a host may see it.
type Client struct {
	// Addrs is every address that the vantage may show to the host: its own, and the one that the host says it sees. A vantage is a
	// stranger only where all of them are.
	Addrs []netip.Addr
	// Itself says that the vantage is the host: its connections come from there.
	Itself bool
}

// Standing is what a vantage is to a host: whom its questions about relaying are about.
type Standing struct {
	// Remote says that the vantage is another machine: what does not depend on the client may be asked from it.
	Remote bool
	// Class and Entry are those of its questions about relaying: outside for a stranger, with Entry where an entry that the rules find too
	// wide holds its address; inside with Entry where its address lies in one that is outside the declared networks and of usual width. An
	// empty Class says that nothing about relaying may be asked from there: Why says why.
	Class judge.Class
	Entry string
	Why   string // English, for evidence
	// Perhaps says by what the host may trust the vantage all the same. That it relays for it then shows nothing; that it refuses does.
	Perhaps string
}

// Stand works out from what was collected of a host whether a vantage is a stranger to it. It is not where it is the host itself, on a
// network that the host is connected to, in one of relay_networks, or in a trusted entry that the rules find sound; an entry found too
// wide disqualifies nobody: that it lets strangers relay is what is to be shown. c is nil for a listener that no known installation owns.
func Stand(s *facts.Snapshot, intent Intent, c *mta.Config, v Client) Standing {
	if v.Itself {
		return Standing{Why: "it is the host itself"}
	}
	if len(v.Addrs) == 0 {
		return Standing{Remote: true, Why: "the address that the host sees of it is not known"}
	}
	if len(s.Addrs) == 0 {
		return Standing{Remote: true, Why: "the host's own addresses are not known"}
	}
	st := Standing{Remote: true, Class: judge.Outside}
	for _, a := range v.Addrs {
		if st.Why = familiar(s, intent, a.Unmap().WithZone("")); st.Why != "" {
			st.Remote = !strings.Contains(st.Why, "the host itself")
			st.Class = ""
			return st
		}
	}
	if c == nil {
		return st
	}
	for _, a := range v.Addrs {
		if st.trusted(intent, c, a.Unmap().WithZone("")); st.Class == "" {
			return st
		}
	}
	st.Perhaps = perhaps(c)
	return st
}

// familiar says why an address is no stranger's whatever the mail server trusts, or nothing.
func familiar(s *facts.Snapshot, intent Intent, a netip.Addr) string {
	if a.IsLoopback() || a.IsUnspecified() {
		return a.String() + " is the host itself"
	}
	for _, own := range s.Addrs {
		p, err := netip.ParsePrefix(own)
		switch {
		case err != nil:
		case p.Addr().Unmap() == a:
			return a.String() + " is the host itself"
		case unmap(p).Contains(a):
			return a.String() + " is on the host's network " + unmap(p).String()
		}
	}
	for _, p := range intent.RelayNetworks {
		if unmap(p).Contains(a) {
			return a.String() + " is in relay_networks (" + p.String() + ")"
		}
	}
	return ""
}

// trusted looks the address up in the entries by network.
func (st *Standing) trusted(intent Intent, c *mta.Config, a netip.Addr) {
	for _, t := range c.Trusted {
		if t.Kind != "client-net" || !t.Net.IsValid() || !unmap(t.Net).Contains(a) {
			continue
		}
		usual, _ := tooWide(t.Net, nil)
		declared, _ := tooWide(t.Net, intent.RelayNetworks)
		switch {
		case declared.empty():
			st.Class, st.Entry = "", t.ID
			st.Why = a.String() + " is in the trusted entry " + shownTrust(t).en + origin(t.Origin)
			return
		case usual.empty():
			st.Class, st.Entry = judge.Inside, t.ID
		case st.Entry == "" && t.Net.Bits() > 0: // an entry that holds everyone makes nobody special
			st.Entry = t.ID
		}
	}
}

func origin(o mta.Origin) string {
	if o.File == "" {
		return ""
	}
	return " (" + at(o.File, o.Line) + ")"
}

// at is a place in a file: FILE:LINE, or the file alone where it has no line.
func at(file string, line int) string {
	if line <= 0 {
		return file
	}
	return file + ":" + strconv.Itoa(line)
}

// perhaps says by which entry that cannot be matched against an address the host may trust the client. By which name the host knows it, the
// host's own DNS decides, which may say something else than any other.
func perhaps(c *mta.Config) string {
	for _, t := range c.Trusted {
		switch {
		case t.Kind == "client-name" && tooManyNames(t.Value).empty():
			return "it trusts clients by name, " + shownTrust(t).en + origin(t.Origin)
		case t.Kind == "table" && !t.Net.IsValid():
			return "it trusts what " + shownTrust(t).en + " holds" + origin(t.Origin) + ", which was not read"
		}
	}
	if len(c.Unread) > 0 {
		return c.Unread[0].What + " was not read: " + c.Unread[0].Why
	}
	return ""
}
