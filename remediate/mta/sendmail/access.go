package sendmail

import (
	"net/netip"
	"strconv"
	"strings"
)

// entry is one line of a map's text: a key, blanks, a value (makemap(8)).
type entry struct {
	key, value string
	span
}

// parseEntries reads a map's text. Lines that begin with "#" and empty ones are no entries; a line without a value is
// in bad: makemap refuses the whole file for it.
func parseEntries(data []byte) (entries []entry, bad []span) {
	for _, s := range physical(data) {
		line := strings.TrimRight(string(data[s.start:s.end]), "\r\n")
		if line == "" || line[0] == '#' || strings.TrimSpace(line) == "" {
			continue
		}
		i := strings.IndexAny(line, " \t")
		if i <= 0 || strings.TrimSpace(line[i:]) == "" {
			bad = append(bad, s)
			continue
		}
		entries = append(entries, entry{line[:i], strings.TrimSpace(line[i:]), s})
	}
	return entries, bad
}

// parseWords reads a file of class members: the first word of each line, as "%[^\#]" and plain "%s" read it.
func parseWords(data []byte) []entry {
	var words []entry
	for _, s := range physical(data) {
		line, _, _ := strings.Cut(string(data[s.start:s.end]), "#")
		if w := firstWord(line); w != "" {
			words = append(words, entry{key: w, span: s})
		}
	}
	return words
}

// parseMembers reads a file of class members by the scanf format of its F line: "%[^\#]" takes every word before a "#", "%s" the
// first word whatever it is.
func parseMembers(data []byte, format string) []entry {
	var words []entry
	for _, s := range physical(data) {
		line := string(data[s.start:s.end])
		if strings.HasPrefix(format, "%[") {
			line, _, _ = strings.Cut(line, "#")
		} else {
			line = firstWord(line)
		}
		for _, w := range strings.Fields(line) {
			words = append(words, entry{key: w, span: s})
		}
	}
	return words
}

// accessKey is a key of the access database, taken apart.
type accessKey struct {
	tag  string // connect, to, from, srv_features …; "" is untagged
	what string // what follows the tag
}

// tags are the words before the first colon that the rulesets look up (cf/README, "ANTI-SPAM CONFIGURATION CONTROL").
var tags = []string{
	"connect", "to", "from", "spam", "srv_features", "try_tls", "tls_srv", "tls_clt", "tls_rcpt", "authinfo", "greetpause",
	"clientrate", "clientconn", "cert", "certissuer", "certsubject", "delay", "quarantine", "tls_srv_features", "tls_clt_features",
}

// splitKey parts tag and key; an IPv6 address without a tag keeps its colons.
func splitKey(key string) accessKey {
	key = strings.ToLower(key)
	head, tail, ok := strings.Cut(key, ":")
	if ok && index(tags, head) >= 0 {
		return accessKey{head, tail}
	}
	return accessKey{"", key}
}

// relays reports whether a value lets its client relay: only RELAY does; OK never does (cf/README).
func relays(value string) bool {
	word, _, _ := strings.Cut(strings.TrimSpace(value), " ")
	return strings.EqualFold(word, "RELAY")
}

// keyKind says what a key of the access database, or a word of class R, can match.
type keyKind int

const (
	keyNet         keyKind = iota // an address or its leading octets
	keyName                       // a host or domain name
	keyMailbox                    // user@domain or user@
	keyIneffective                // nothing: sendmail looks up neither prefix lengths nor empty keys
)

// classify reads the part of a key behind its tag. Networks are octets and what they begin: "198.51.100" is a /24, "198" a
// /8. A prefix length is never looked up (ruleset A of proto.m4 strips octets from the right), nor is octet 0 a client's.
func classify(what string) (keyKind, netip.Prefix) {
	bare := strings.TrimSuffix(strings.TrimPrefix(what, "["), "]")
	switch {
	case bare == "" || strings.Contains(bare, "/"):
		return keyIneffective, netip.Prefix{}
	case strings.HasPrefix(bare, "ipv6:"):
		return classify6(strings.TrimPrefix(bare, "ipv6:"))
	case strings.Contains(bare, "@"):
		return keyMailbox, netip.Prefix{}
	}
	octets := strings.Split(bare, ".")
	var addr [4]byte
	for i, o := range octets {
		n, err := strconv.ParseUint(o, 10, 8)
		if err != nil || i > 3 {
			return keyName, netip.Prefix{}
		}
		addr[i] = byte(n)
	}
	if addr[0] == 0 {
		return keyIneffective, netip.Prefix{}
	}
	return keyNet, netip.PrefixFrom(netip.AddrFrom4(addr), 8*len(octets))
}

// classify6 reads "2001:db8", leading groups of an IPv6 address, or a whole one.
func classify6(groups string) (keyKind, netip.Prefix) {
	if a, err := netip.ParseAddr(groups); err == nil {
		return keyNet, netip.PrefixFrom(a, 128)
	}
	n := strings.Count(groups, ":") + 1
	if a, err := netip.ParseAddr(groups + "::"); err == nil && n < 8 {
		return keyNet, netip.PrefixFrom(a, 16*n)
	}
	return keyIneffective, netip.Prefix{}
}

// staleKeys compares a map's text with what its compiled form holds: keys that only one has, or with another value.
func staleKeys(text, compiled []entry) []string {
	want := map[string]string{}
	for _, e := range text {
		want[strings.ToLower(e.key)] = e.value
	}
	have := map[string]string{}
	for _, e := range compiled {
		have[strings.ToLower(e.key)] = e.value
	}
	var stale []string
	for _, e := range text {
		k := strings.ToLower(e.key)
		if v, ok := have[k]; !ok || strings.TrimSpace(v) != strings.TrimSpace(want[k]) {
			stale = append(stale, k)
		}
	}
	for _, e := range compiled {
		if _, ok := want[strings.ToLower(e.key)]; !ok {
			stale = append(stale, strings.ToLower(e.key))
		}
	}
	return stale
}
