package postfix

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// rewrites adds the rules by which an address of the host's own becomes one of a domain that its sender chooses: cleanup(8) rewrites a recipient after
// smtpd has taken it, so no restriction sees where the mail goes ("/^(.+)=(.+)@example\.com$/ $1@$2").
func (c *collectTrust) rewrites() {
	for _, param := range []string{"canonical_maps", "recipient_canonical_maps", "virtual_alias_maps"} {
		for _, w := range c.m.members(param, c.s) {
			if !isTable(w.text) {
				continue
			}
			t := c.m.table(w.text)
			for _, r := range t.rules {
				if t.kind == "cidr" || r.opens || r.shuts || r.negate || !r.choosesDomain() {
					continue
				}
				value := fmt.Sprintf("%s line %d, which takes the domain from the local part", w.text, r.line)
				c.add("table", value, param, netip.Prefix{}, c.rowOrigin(t, r.line, w), "")
			}
		}
	}
}

// groupRef is what stands for a group of the pattern: $1, ${1} or $(1) (regexp_table(5), pcre_table(5)).
var groupRef = regexp.MustCompile(`\$(?:([0-9]+)|\{([0-9]+)\}|\(([0-9]+)\))`)

// choosesDomain reports whether the last labels of an address that the rule gives come from the local part of the one that it is given.
func (r rule) choosesDomain() bool {
	pattern := ""
	if r.re != nil {
		pattern = r.re.String()
	}
	for addr := range strings.FieldsFuncSeq(r.value, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' }) {
		_, domain, ok := cutLast(addr)
		if !ok {
			continue
		}
		last := domain[strings.LastIndexByte(domain, '.')+1:]
		for _, ref := range groupRef.FindAllStringSubmatch(last, -1) {
			n, err := strconv.Atoi(ref[1] + ref[2] + ref[3])
			if err == nil && (r.re == nil || slices.Contains(localGroups(pattern), n)) {
				return true
			}
		}
	}
	return false
}

// localGroups are the groups of a pattern of addresses that begin left of its last "@".
func localGroups(pattern string) (groups []int) {
	var opened []int // where each group begins
	at, class := -1, false
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\':
			i++
			if i < len(pattern) && pattern[i] == '@' {
				at = i
			}
		case class:
			class = c != ']'
		case c == '[':
			class = true
			if rest := strings.TrimPrefix(pattern[i+1:], "^"); strings.HasPrefix(rest, "]") {
				i = len(pattern) - len(rest)
			}
		case c == '(' && !strings.HasPrefix(pattern[i+1:], "?"):
			opened = append(opened, i)
		case c == '@':
			at = i
		}
	}
	for n, from := range opened {
		if from < at {
			groups = append(groups, n+1)
		}
	}
	return groups
}
