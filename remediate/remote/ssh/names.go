package ssh

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// asciiName is a host name as DNS has it (UTS #46, RFC 5891); addresses, and names that no such form exists for, stay as they are.
func asciiName(name string) string {
	if !strings.ContainsFunc(name, func(c rune) bool { return c > '~' }) {
		return name
	}
	if ascii, err := idna.Lookup.ToASCII(name); err == nil {
		return ascii
	}
	return name
}

// canonical is an IP address as it is usually written; other names stay as they are.
func canonical(name string) string {
	if a, err := netip.ParseAddr(name); err == nil {
		return a.String()
	}
	return name
}
