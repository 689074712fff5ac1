package postfix

import (
	"net/netip"
	"slices"
	"strings"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// maxAsked bounds the entries of one listener about which questions are put.
const maxAsked = maxTrusted

// entries asks, for every trusted entry, for one client or domain inside it and the neighbour just outside.
func (a *asker) entries(trusted []mta.Trust) {
	n := 0
	for _, t := range trusted {
		if t.Listener != "" && t.Listener != a.l.addr || n >= maxAsked {
			continue
		}
		n++
		if ofPatterns(t) {
			a.plain(judge.Inside, t, a.outsider(), outsideName, "antispam@"+a.third, "relaytest@"+a.foreign)
			continue
		}
		switch t.Kind {
		case "client-net":
			a.network(t)
		case "client-name":
			name := strings.TrimPrefix(t.Value, ".")
			a.plain(judge.Inside, t, a.outsider(), inside(t.Value), "antispam@"+a.third, "relaytest@"+a.foreign)
			a.plain(judge.Beside, t, a.outsider(), "x"+name, "antispam@"+a.third, "relaytest@"+a.foreign)
		case "sender":
			a.plain(judge.Inside, t, a.outsider(), outsideName, mailbox(t.Value), "relaytest@"+a.foreign)
			a.plain(judge.Beside, t, a.outsider(), outsideName, beside(t.Value), "relaytest@"+a.foreign)
		case "recipient":
			a.plain(judge.Inside, t, a.outsider(), outsideName, "antispam@"+a.third, mailbox(t.Value))
			a.plain(judge.Beside, t, a.outsider(), outsideName, "antispam@"+a.third, beside(t.Value))
		case "helo":
			a.plain(judge.Inside, t, a.outsider(), outsideName, "antispam@"+a.third, "relaytest@"+a.foreign)
			a.out[len(a.out)-1].Helo = inside(t.Value)
		default:
			a.plain(judge.Inside, t, a.outsider(), outsideName, "antispam@"+a.third, "relaytest@"+a.foreign)
		}
	}
}

// ofPatterns reports entries that are regular expressions, or tables made of others: no client, sender or domain is at hand that they
// surely cover.
func ofPatterns(t mta.Trust) bool {
	if t.Kind != "table" && t.Kind != "sender" && t.Kind != "helo" {
		return false
	}
	kind, _, _ := strings.Cut(strings.TrimPrefix(t.Value, "proxy:"), ":")
	return slices.Contains([]string{"regexp", "pcre", "unionmap", "pipemap"}, kind)
}

func (a *asker) plain(class judge.Class, t mta.Trust, addr, name, sender, rcpt string) {
	a.ask(class, t.ID, "plain", addr, name, sender, rcpt)
}

// network asks for an address in the middle of the entry and the one just before or behind it.
func (a *asker) network(t mta.Trust) {
	in := within(t.Net)
	if in.Is4In6() {
		return // Postfix sees such clients by their IPv4 address
	}
	name := outsideName
	if in.IsLoopback() {
		name = "localhost"
	}
	a.plain(judge.Inside, t, in.String(), name, "antispam@"+a.third, "relaytest@"+a.foreign)
	if next, ok := behind(t.Net); ok {
		a.plain(judge.Beside, t, next.String(), outsideName, "antispam@"+a.third, "relaytest@"+a.foreign)
	}
}

// within is an address of a network, not its first where it has more than two.
func within(p netip.Prefix) netip.Addr {
	first := p.Masked().Addr()
	if p.Bits() < p.Addr().BitLen()-1 {
		return first.Next()
	}
	return first
}

// behind is the first address after a network, or the last before it where there is none.
func behind(p netip.Prefix) (netip.Addr, bool) {
	if p.Bits() == 0 {
		return netip.Addr{}, false
	}
	last := p.Masked().Addr().As16()
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	for i := bits; i < 128; i++ {
		last[i/8] |= 1 << (7 - i%8)
	}
	end := netip.AddrFrom16(last)
	if p.Addr().Is4() {
		end = end.Unmap()
	}
	if next := end.Next(); next.IsValid() {
		return next, true
	}
	prev := p.Masked().Addr().Prev()
	return prev, prev.IsValid()
}

// inside is a host name that an entry covers: the name itself, or one under ".example.net".
func inside(entry string) string {
	if strings.HasPrefix(entry, ".") {
		return "host" + entry
	}
	return entry
}

// mailbox is an address that an entry covers: a domain, ".domain", user@domain or user@.
func mailbox(entry string) string {
	switch i := strings.IndexByte(entry, '@'); {
	case entry == "<>":
		return ""
	case i == len(entry)-1:
		return entry + "mailbox.invalid"
	case i == 0:
		return "relaytest" + entry
	case i > 0:
		return entry
	case !strings.Contains(strings.Trim(entry, "."), "."):
		return "relaytest@probe-" + "domain." + strings.Trim(entry, ".")
	}
	return "relaytest@" + inside(entry)
}

// beside is an address that differs from what the entry covers by its first letter.
func beside(entry string) string {
	switch i := strings.IndexByte(entry, '@'); {
	case entry == "<>":
		return "relaytest@beside.invalid"
	case i == len(entry)-1:
		return "x" + entry + "mailbox.invalid"
	case i >= 0:
		return "x" + entry
	}
	return "relaytest@x" + strings.Trim(entry, ".")
}
