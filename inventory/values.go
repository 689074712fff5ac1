package inventory

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// kind names a value's TOML type for a message.
func kind(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case int64:
		return "a whole number"
	case float64:
		return "a fraction"
	case bool:
		return "true/false"
	case []any:
		return "a list"
	case []map[string]any:
		return "a list of tables"
	case map[string]any:
		return "a table"
	}
	return "a date or time"
}

func asString(n *node) (string, error) {
	s, ok := n.value.(string)
	if !ok {
		return "", fmt.Errorf("must be a string, not %s", kind(n.value))
	}
	if s == "" {
		return "", fmt.Errorf("must not be empty")
	}
	if strings.ContainsFunc(s, isControl) {
		return "", fmt.Errorf("must not hold control characters")
	}
	return s, nil
}

// asStrings takes a string or a list of strings.
func asStrings(n *node) ([]string, error) {
	if _, ok := n.value.(string); ok {
		s, err := asString(n)
		return []string{s}, err
	}
	if !n.array {
		return nil, fmt.Errorf("must be a string or a list of strings, not %s", kind(n.value))
	}
	out := make([]string, 0, len(n.list))
	for i, e := range n.list {
		s, err := asString(e)
		if err != nil {
			return nil, fmt.Errorf("element %d %v", i+1, err)
		}
		if slices.Contains(out, s) {
			return nil, fmt.Errorf("%q is there twice", s)
		}
		out = append(out, s)
	}
	return out, nil
}

func parseBool(_ *reader, n *node) (any, error) {
	b, ok := n.value.(bool)
	if !ok {
		return nil, fmt.Errorf("must be true or false, not %s", kind(n.value))
	}
	return b, nil
}

func asInt(n *node, low, high int64) (any, error) {
	v, ok := n.value.(int64)
	if !ok {
		return nil, fmt.Errorf("must be a whole number, not %s", kind(n.value))
	}
	if v < low || v > high {
		return nil, fmt.Errorf("must be from %d to %d, not %d", low, high, v)
	}
	return int(v), nil
}

func parsePort(_ *reader, n *node) (any, error)  { return asInt(n, 1, 65535) }
func parseCount(_ *reader, n *node) (any, error) { return asInt(n, 1, maxHosts) }

func oneOf(words ...string) func(*reader, *node) (any, error) {
	return func(_ *reader, n *node) (any, error) {
		s, err := asString(n)
		if err == nil && !slices.Contains(words, s) {
			err = fmt.Errorf("%q is not one of %s%s", s, strings.Join(words, ", "), hint(s, words))
		}
		return s, err
	}
}

// userName refuses what an SSH client or a shell would take for something else than an account's name.
var userName = regexp.MustCompile(`^[^\s@:/'"\\-][^\s:/'"\\]*$`)

func parseUser(_ *reader, n *node) (any, error) {
	s, err := asString(n)
	if err == nil && !userName.MatchString(s) {
		err = fmt.Errorf("%q is not an account's name", s)
	}
	return s, err
}

func parseAlias(_ *reader, n *node) (any, error) {
	s, err := asString(n)
	if err == nil && strings.ContainsAny(s, " \t,*?!|#") {
		err = fmt.Errorf("%q is not a name as known_hosts has it", s)
	}
	return s, err
}

func parseAddress(_ *reader, n *node) (any, error) {
	s, err := asString(n)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return s, nil
	}
	user, host, _, ok := SplitJump(s)
	if !ok || user != "" {
		return nil, fmt.Errorf("%q is neither an IP address nor a host name, with a port or without (192.0.2.1:22, [2001:db8::1]:22)", s)
	}
	if _, err := netip.ParseAddr(host); err != nil && strings.Trim(host, "0123456789.") == "" {
		return nil, fmt.Errorf("%q is not an IP address", host)
	}
	return s, nil
}

// splitAddress is an address without its port; 0 is none.
func splitAddress(s string) (host string, port int) {
	_, host, port, _ = SplitJump(s)
	return host, port
}

// path makes a path of the inventory absolute: ~ is the home directory, what is relative is relative to the inventory's own directory.
func (r *reader) path(n *node, s string) (string, error) {
	if s == "~" || strings.HasPrefix(s, "~/") {
		if r.home == "" {
			return "", fmt.Errorf("cannot expand %q: no home directory is known", s)
		}
		return filepath.Join(r.home, s[1:]), nil
	}
	if strings.HasPrefix(s, "~") {
		return "", fmt.Errorf("cannot expand %q: only ~/ is known", s)
	}
	if filepath.IsAbs(s) {
		return filepath.Clean(s), nil
	}
	return filepath.Abs(filepath.Join(filepath.Dir(n.file.name), s))
}

func parsePath(r *reader, n *node) (any, error) {
	s, err := asString(n)
	if err != nil {
		return nil, err
	}
	return r.path(n, s)
}

func parsePaths(r *reader, n *node) (any, error) {
	list, err := asStrings(n)
	for i := range list {
		if err == nil {
			list[i], err = r.path(n, list[i])
		}
	}
	return list, err
}

// parseCommand takes a list of words, or a string that is cut at blanks. What becomes root (sudo -n) may stand before the collector's path.
func parseCommand(_ *reader, n *node) (any, error) {
	var words []string
	var err error
	if s, ok := n.value.(string); ok {
		_, err = asString(n)
		words = strings.Fields(s)
	} else if words, err = asWords(n); err == nil && len(words) == 0 {
		err = fmt.Errorf("must not be empty")
	}
	if err == nil && !slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "/") }) {
		err = fmt.Errorf("must hold the collector's full path on the host (sudo -n /usr/local/libexec/mtaharden-collect)")
	}
	return words, err
}

// asWords takes a list of strings in which a word may come twice.
func asWords(n *node) (words []string, err error) {
	if !n.array {
		return nil, fmt.Errorf("must be a string or a list of words, not %s", kind(n.value))
	}
	for i, e := range n.list {
		s, err := asString(e)
		if err != nil {
			return nil, fmt.Errorf("word %d %v", i+1, err)
		}
		words = append(words, s)
	}
	return words, nil
}

// parseJump takes hosts as ssh's -J does: [user@]host[:port]. A user and a port are for hosts that have no stanza.
func parseJump(_ *reader, n *node) (any, error) {
	list, err := asStrings(n)
	for _, j := range list {
		if _, _, _, ok := SplitJump(j); err == nil && !ok {
			err = fmt.Errorf("%q is not [user@]host[:port]", j)
		}
	}
	return list, err
}

// SplitJump takes a word of jump apart: [user@]host[:port], an IPv6 address in brackets where a port follows. port is 0 where none is given.
func SplitJump(word string) (user, host string, port int, ok bool) {
	host = word
	if at := strings.LastIndexByte(word, '@'); at >= 0 {
		user, host = word[:at], word[at+1:]
		if !userName.MatchString(user) {
			return "", "", 0, false
		}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return user, a.String(), 0, true
	}
	if at := strings.LastIndexByte(host, ':'); at >= 0 && !strings.HasSuffix(host, "]") {
		p, err := strconv.ParseUint(host[at+1:], 10, 16)
		if err != nil || p == 0 {
			return "", "", 0, false
		}
		host, port = host[:at], int(p)
	}
	if inner, found := strings.CutPrefix(host, "["); found {
		a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return user, a.String(), port, err == nil && strings.HasSuffix(inner, "]")
	}
	return user, host, port, validName(host) && !strings.Contains(host, ":")
}

// parsePlaybooks takes names of built-in playbooks, and files: what holds a slash or ends in .toml.
func parsePlaybooks(r *reader, n *node) (any, error) {
	list, err := asStrings(n)
	for i, p := range list {
		if err == nil && (strings.Contains(p, "/") || strings.HasSuffix(p, ".toml")) {
			list[i], err = r.path(n, p)
		}
	}
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("must not be empty")
	}
	return list, err
}

func parseNetworks(_ *reader, n *node) (any, error) {
	list, err := asStrings(n)
	if err != nil {
		return nil, err
	}
	out := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		p, err := parseNetwork(s)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return p, fmt.Errorf("%q is not a network (write it as 192.0.2.0/24 or 2001:db8::/48)", s)
	}
	if p.Masked() != p {
		return p, fmt.Errorf("%q has bits set beyond /%d: did you mean %q?", s, p.Bits(), p.Masked())
	}
	return p, nil
}

func parseWindowKey(_ *reader, n *node) (any, error) {
	s, err := asString(n)
	if err != nil {
		return nil, err
	}
	return ParseWindow(s)
}
