package probe

import (
	"fmt"
	"iter"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Target is one thing to probe, as a person names it: an address, a network, or a name.
type Target struct {
	Text   string       // as written
	At     string       // "FILE:LINE:COL" where a list named it, "" where the command line did
	Name   string       // a host's name, without a trailing dot; "" for an address or a network
	Addr   netip.Addr   // one address
	Prefix netip.Prefix // a network, masked
	Port   uint16       // 0 where it was not said
}

// Count is how many addresses the target holds; a name counts as one. It stops at the largest number there is.
func (t Target) Count() uint64 {
	if !t.Prefix.IsValid() {
		return 1
	}
	spare := t.Prefix.Addr().BitLen() - t.Prefix.Bits()
	switch {
	case spare >= 64:
		return math.MaxUint64
	case t.Prefix.Addr().Is4() && spare > 1:
		return 1<<spare - 2
	}
	return 1 << spare
}

// Addrs are the target's addresses, none for a name. An IPv4 network's own and broadcast address are left out: no host has them, except in a /31 (RFC 3021).
func (t Target) Addrs() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		if t.Addr.IsValid() {
			yield(t.Addr)
			return
		}
		if !t.Prefix.IsValid() {
			return
		}
		a := t.Prefix.Addr()
		if a.Is4() && t.Prefix.Bits() < 31 {
			a = a.Next()
		}
		for n := t.Count(); n > 0 && a.IsValid(); n-- {
			if !yield(a) {
				return
			}
			a = a.Next()
		}
	}
}

// mistake is what is wrong with a target, and at which character of it (from 0).
type mistake struct {
	at   int
	text string
}

func (m *mistake) Error() string { return m.text }

func wrong(at int, format string, args ...any) error {
	return &mistake{at, fmt.Sprintf(format, args...)}
}

// ParseTarget reads a name, an address, [ADDRESS]:PORT, NAME:PORT or NETWORK/BITS. The error names the nearest right writing where there is one.
func ParseTarget(text string) (Target, error) {
	t := Target{Text: text}
	if text == "" {
		return t, wrong(0, "it names no target")
	}
	if len(text) > 300 {
		return t, wrong(0, "%.20q… is too long for a target", text)
	}
	for i, r := range []rune(text) {
		if r <= ' ' || r == 0x7f || r == utf8.RuneError {
			return t, wrong(i, "%q: a target holds no %q", text, r)
		}
	}
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		return t, wrong(0, "%q: a target has no scheme: did you mean %q?", text, strings.TrimRight(rest, "/")+schemePort(scheme, rest))
	}
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		return t, wrong(utf8.RuneCountInString(text[:i]), "%q is a mail address, and the target is a server: did you mean %q?", text, text[i+1:])
	}
	if strings.Contains(text, "/") {
		return t, t.network()
	}
	return t, t.host()
}

// schemePort keeps the port that smtps:// stands for.
func schemePort(scheme, rest string) string {
	if strings.EqualFold(scheme, "smtps") && !strings.Contains(rest, ":") {
		return ":465"
	}
	return ""
}

func (t *Target) network() error {
	addr, bits, _ := strings.Cut(t.Text, "/")
	at := len(addr) + 1
	a, err := netip.ParseAddr(strings.Trim(addr, "[]"))
	if err != nil {
		return wrong(0, "%q: %q is no address%s", t.Text, addr, dotted(addr, bits))
	}
	if a.Zone() != "" {
		return wrong(0, "%q: a network has no zone", t.Text)
	}
	if n, port, ok := strings.Cut(bits, ":"); ok {
		return wrong(at+len(n), "%q: a network has no port: did you mean %q with --port %s?", t.Text, addr+"/"+n, port)
	}
	n, err := strconv.Atoi(bits)
	switch {
	case strings.Contains(bits, "."):
		return wrong(at, "%q: a network's size is a number of bits%s", t.Text, maskBits(addr, bits))
	case err != nil || bits != strconv.Itoa(n) || n > a.BitLen():
		return wrong(at, "%q: the bits of an %s network are a number from 0 to %d", t.Text, family(a), a.BitLen())
	}
	if a.Is4In6() { // such an address is equal to none of IPv4: it would be asked twice, and its own machine not be known
		if n < 96 {
			return wrong(at, "%q is no network of IPv4", t.Text)
		}
		return wrong(0, "%q is IPv4: did you mean \"%s/%d\"?", t.Text, a.Unmap(), n-96)
	}
	t.Prefix = netip.PrefixFrom(a, n).Masked()
	if t.Prefix.Addr() != a {
		return wrong(0, "%q has bits beyond its first %d: did you mean %q or %q?", t.Text, n, t.Prefix, a)
	}
	return usable(t.Text, t.Prefix.Addr(), t.Prefix)
}

// dotted guesses what an address of fewer than four numbers was to be.
func dotted(addr, bits string) string {
	parts := strings.Split(strings.TrimRight(addr, "."), ".")
	for _, p := range parts {
		if n, err := strconv.Atoi(p); err != nil || n < 0 || n > 255 {
			return ""
		}
	}
	if len(parts) >= 4 {
		return ""
	}
	if bits == "" {
		bits = strconv.Itoa(8 * len(parts))
	}
	whole := strings.Join(parts, ".") + strings.Repeat(".0", 4-len(parts)) + "/" + bits
	if p, err := netip.ParsePrefix(whole); err != nil || p.Masked() != p {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", whole)
}

// maskBits reads a netmask.
func maskBits(addr, mask string) string {
	m, err := netip.ParseAddr(mask)
	if err != nil || !m.Is4() {
		return ""
	}
	for n := 0; n <= 32; n++ {
		if p, _ := netip.AddrFrom4([4]byte{255, 255, 255, 255}).Prefix(n); p.Addr() == m {
			return fmt.Sprintf(": did you mean \"%s/%d\"?", addr, n)
		}
	}
	return ""
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// usable refuses what is no single host's address.
func usable(text string, a netip.Addr, p netip.Prefix) error {
	switch {
	case a.IsMulticast():
		return wrong(0, "%q is multicast: no mail server listens there", text)
	case a.IsUnspecified() && (!p.IsValid() || p.Bits() >= 8), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return wrong(0, "%q is no host's address", text)
	}
	return nil
}

func (t *Target) host() error {
	name, port := t.Text, ""
	at := 0 // where the port stands
	switch colons := strings.Count(t.Text, ":"); {
	case strings.HasPrefix(t.Text, "["):
		end := strings.IndexByte(t.Text, ']')
		if end < 0 {
			return wrong(0, "%q: the bracket is not closed: did you mean %q?", t.Text, t.Text+"]")
		}
		name, port, at = t.Text[1:end], t.Text[end+1:], end+2
		if port != "" && port[0] != ':' {
			return wrong(end+1, "%q: after the bracket comes :PORT or nothing", t.Text)
		}
		if a, err := netip.ParseAddr(name); err != nil || port == ":" {
			return wrong(1, "%q is not of the form [ADDRESS]:PORT", t.Text)
		} else if err := t.address(a); err != nil {
			return err
		}
		return t.port(strings.TrimPrefix(port, ":"), at)
	case colons == 1:
		name, port, _ = strings.Cut(t.Text, ":")
		at = utf8.RuneCountInString(name) + 1
		if port == "" {
			return wrong(at, "%q: the port is missing: did you mean %q?", t.Text, name)
		}
	}
	if a, err := netip.ParseAddr(name); err == nil {
		if err := t.address(a); err != nil {
			return err
		}
		return t.port(port, at)
	}
	if strings.Contains(name, ":") {
		return wrong(0, "%q is neither an address nor a name: an IPv6 address with a port is written [ADDRESS]:PORT", t.Text)
	}
	if err := t.named(name); err != nil {
		return err
	}
	return t.port(port, at)
}

func (t *Target) address(a netip.Addr) error {
	t.Addr = a.Unmap()
	return usable(t.Text, t.Addr, netip.Prefix{})
}

func (t *Target) port(s string, at int) error {
	if s == "" {
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s != strconv.FormatUint(n, 10) {
		return wrong(at, "%q: %q is no port: a port is a number from 1 to 65535", t.Text, s)
	}
	t.Port = uint16(n)
	return nil
}

// named checks a host's name: letters, digits, hyphens and underscores in labels of at most 63 (RFC 1123, 2.1; underscores are met in private names).
func (t *Target) named(name string) error {
	t.Name = strings.TrimSuffix(name, ".")
	labels := strings.Split(t.Name, ".")
	if last := labels[len(labels)-1]; last != "" && strings.Trim(last, "0123456789") == "" {
		return wrong(0, "%q is neither an address nor a name%s", name, dotted(name, ""))
	}
	if len(t.Name) > 253 {
		return wrong(0, "%.20q… is longer than a name may be (253 characters)", name)
	}
	for i, r := range []rune(t.Name) {
		if r >= 0x80 {
			return wrong(i, "%q is not written as DNS has it%s", name, punycode(name))
		}
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", r) {
			return wrong(i, "%q: a name holds no %q", name, r)
		}
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return wrong(0, "%q is no name: %q is no label of 1 to 63 letters, digits and inner hyphens", name, l)
		}
	}
	return nil
}

func punycode(name string) string {
	ascii, err := idna.Lookup.ToASCII(name)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", ascii)
}
