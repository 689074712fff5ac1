package ssh

import (
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
