package postfix

import (
	"fmt"
	"net/netip"
	"strings"
)

// parseNet reads an address or network as Postfix's cidr_match(3) does: IPv6 in brackets or bare, no host bits beyond the mask.
func parseNet(text string) (netip.Prefix, error) {
	host, bits, masked := strings.Cut(text, "/")
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	} else if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") && masked {
		host, bits = host[1:], strings.TrimSuffix(bits, "]")
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("bad address pattern %q", text)
	}
	if !masked {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if !allDigits(bits) || len(bits) > 3 {
		return netip.Prefix{}, fmt.Errorf("bad mask value in %q", text)
	}
	var n int
	fmt.Sscanf(bits, "%d", &n)
	if n > addr.BitLen() {
		return netip.Prefix{}, fmt.Errorf("bad mask value in %q", text)
	}
	p := netip.PrefixFrom(addr, n)
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("non-null host address bits in %q, perhaps you should use %q instead", text, p.Masked())
	}
	return p, nil
}

// looksLikeNet reports whether Postfix tries to read the pattern as a network for a client of that family (match_hostaddr(3)); only then
// is a bad one an error. Everything else is compared as text.
func looksLikeNet(pattern string, v6 bool) bool {
	if strings.Contains(pattern, ":") != v6 || !strings.ContainsAny(pattern, ":/") {
		return false
	}
	if strings.Trim(pattern, "0123456789.") == "" {
		return false
	}
	return strings.Trim(pattern, "0123456789abcdefABCDEF:.[]/") == ""
}
