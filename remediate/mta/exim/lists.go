package exim

import (
	"net/netip"
	"regexp"
	"strings"
)

// truth is what is known of a condition. What needs DNS, a service or an unread table is maybe, and is followed both ways.
type truth uint8

const (
	no    truth = 1
	yes   truth = 2
	maybe truth = no | yes
)

func sure(b bool) truth {
	if b {
		return yes
	}
	return no
}

func (t truth) not() truth {
	if t == maybe {
		return maybe
	}
	return maybe ^ t
}

// separator returns the list's separator and the list without the words that choose it ("<;", specification §6.21).
func separator(s string) (byte, string) {
	t := strings.TrimLeft(s, " \t")
	if len(t) >= 2 && t[0] == '<' && strings.IndexByte("!#$%&'*+,-./:;<=>?@[]^_`{|}~\\", t[1]) >= 0 {
		return t[1], t[2:]
	}
	return ':', s
}

// splitList cuts a list into its items: the separator doubled is the character itself, space around items goes, and an empty
// item at the end is none.
func splitList(s string) []string {
	sep, s := separator(s)
	var items []string
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != sep {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == sep {
			b.WriteByte(sep)
			i++
			continue
		}
		items = append(items, strings.TrimSpace(b.String()))
		b.Reset()
	}
	if last := strings.TrimSpace(b.String()); last != "" {
		items = append(items, last)
	}
	return items
}

// namedList is a domainlist, hostlist, addresslist or localpartlist.
type namedList struct {
	Kind, Name string
	Value      string
	Statement  *statement
}

// matchItem says whether one item, its "!" taken off, matches.
type matchItem func(e *evaluator, item string, depth int) truth

// matchList walks a list as match.c does: the first item that matches decides, negated or not; at the end, a list whose last item
// is negated matches everything else.
func (e *evaluator) matchList(list, kind string, depth int, match matchItem) truth {
	if depth > maxDepth {
		return maybe
	}
	value, known, forced := e.expandOrFail(list)
	switch {
	case forced:
		return no
	case !known:
		return maybe
	}
	var seen truth
	negated := false
	for _, item := range splitList(value) {
		if strings.HasPrefix(item, "+ignore_") || strings.HasPrefix(item, "+include_") || strings.HasPrefix(item, "+caching") {
			continue
		}
		negated = strings.HasPrefix(item, "!")
		item = strings.TrimSpace(strings.TrimPrefix(item, "!"))
		var t truth
		if name, ok := strings.CutPrefix(item, "+"); ok {
			t = maybe
			if l := e.cfg.lists[kind+" "+name]; l != nil {
				t = e.matchList(l.Value, kind, depth+1, match)
			}
		} else {
			t = match(e, item, depth)
		}
		if t&yes != 0 {
			seen |= sure(!negated)
		}
		if t == yes {
			return seen
		}
	}
	return seen | sure(negated)
}

// tableLine is a line of a list file or of an lsearch table.
type tableLine struct {
	place
	Key string // as it stands
}

// table returns the keys of a file of the host: for a plain list file whole lines, for lsearch tables the first word.
func (c *config) table(path string, whole bool) ([]tableLine, bool) {
	data, exists, known := c.open(path)
	if !known || !exists {
		return nil, false
	}
	var out []tableLine
	for _, l := range splitLines(path, data) {
		text := l.Text
		if i := strings.Index(text, "#"); i == 0 || whole && i > 0 && strings.ContainsAny(text[i-1:i], " \t") {
			text = text[:i]
		}
		if !whole && (strings.HasPrefix(text, " ") || strings.HasPrefix(text, "\t")) {
			continue
		}
		text = strings.TrimSpace(text)
		if !whole {
			text = firstKey(text)
		}
		if text != "" {
			out = append(out, tableLine{l.place, text})
		}
	}
	return out, true
}

// firstKey is the key of an lsearch line: a quoted string, or what stands before a colon or white space. The keys of iplsearch
// may hold colons when they are quoted.
func firstKey(s string) string {
	if rest, ok := strings.CutPrefix(s, `"`); ok {
		key, _, _ := strings.Cut(rest, `"`)
		return key
	}
	if i := strings.IndexAny(s, ": \t"); i >= 0 {
		return s[:i]
	}
	return s
}

// lookupItem cuts "partial-lsearch;/etc/x" into the search type and the file.
func lookupItem(item string) (kind, file string, ok bool) {
	kind, file, ok = strings.Cut(item, ";")
	kind = strings.TrimSpace(kind)
	if !ok || kind == "" || strings.ContainsAny(kind, " /.@^[]") {
		return "", "", false
	}
	return kind, strings.TrimSpace(file), true
}

// parseNet reads "10.0.0.0/8", "10.1.2.3" or an IPv6 network, in square brackets or not.
func parseNet(s string) (netip.Prefix, bool) {
	s = strings.NewReplacer("[", "", "]", "").Replace(s)
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), true
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	return netip.Prefix{}, false
}

// matchHost matches an item of a host list against the client.
func matchHost(e *evaluator, item string, depth int) truth {
	switch {
	case item == "":
		return no // matches a message that did not come over TCP
	case item == "*":
		return yes
	case item == "@[]":
		return sure(e.cfg.ownAddr(e.client))
	case strings.HasPrefix(item, "/"):
		lines, ok := e.cfg.table(item, true)
		if !ok {
			return maybe
		}
		return e.matchLines(lines, "hostlist", depth, matchHost)
	}
	if p, ok := parseNet(item); ok {
		return sure(p.Contains(e.client))
	}
	if kind, file, ok := lookupItem(item); ok {
		return e.matchHostTable(kind, file, depth)
	}
	// A name, a wildcard or an expression: it is compared with the names that DNS gives.
	return maybe
}

func (e *evaluator) matchHostTable(kind, file string, depth int) truth {
	switch kind {
	case "net-iplsearch", "iplsearch", "net-lsearch", "net32-lsearch":
		lines, ok := e.cfg.table(file, false)
		if !ok {
			return maybe
		}
		for _, l := range lines {
			if p, ok := parseNet(l.Key); ok && p.Contains(e.client) {
				return yes
			}
		}
		return no
	}
	return maybe
}

// matchLines walks the lines of a list file, each of which is an item of its own.
func (e *evaluator) matchLines(lines []tableLine, kind string, depth int, match matchItem) truth {
	var seen truth
	for _, l := range lines {
		item := l.Key
		negated := strings.HasPrefix(item, "!")
		item = strings.TrimSpace(strings.TrimPrefix(item, "!"))
		t := maybe
		if name, ok := strings.CutPrefix(item, "+"); ok {
			if n := e.cfg.lists[kind+" "+name]; n != nil {
				t = e.matchList(n.Value, kind, depth+1, match)
			}
		} else if !strings.HasPrefix(item, "/") {
			t = match(e, item, depth+1)
		}
		if t&yes != 0 {
			seen |= sure(!negated)
		}
		if t == yes {
			return seen
		}
	}
	return seen | no
}

// domainMatcher matches an item of a domain list against a domain in lower case.
func domainMatcher(domain string) matchItem {
	var match matchItem
	match = func(e *evaluator, item string, depth int) truth {
		low := strings.ToLower(item)
		switch {
		case low == "@":
			return sure(domain == strings.ToLower(e.cfg.primary))
		case low == "@[]":
			return sure(strings.HasPrefix(domain, "[")) & maybe
		case strings.HasPrefix(low, "@mx_"):
			return maybe
		case strings.HasPrefix(low, "^"):
			return matchRegexp(item, domain)
		case strings.HasPrefix(low, "*"):
			return sure(strings.HasSuffix(domain, low[1:]))
		case strings.HasPrefix(low, "/"):
			lines, ok := e.cfg.table(item, true)
			if !ok {
				return maybe
			}
			return e.matchLines(lines, "domainlist", depth, match)
		}
		if kind, file, ok := lookupItem(item); ok {
			return e.matchKey(kind, file, domain)
		}
		return sure(low == domain)
	}
	return match
}

// matchKey looks key up in a table; only lsearch, with or without partial-, is followed.
func (e *evaluator) matchKey(kind, file, key string) truth {
	partial := strings.HasPrefix(kind, "partial-")
	if strings.TrimPrefix(kind, "partial-") != "lsearch" {
		return maybe
	}
	lines, ok := e.cfg.table(file, false)
	if !ok {
		return maybe
	}
	for _, l := range lines {
		k := strings.ToLower(l.Key)
		if k == key {
			return yes
		}
		if partial && strings.HasPrefix(k, "*.") && strings.HasSuffix("."+key, k[1:]) && strings.Count(k, ".") >= 2 {
			return yes
		}
	}
	return no
}

// matchRegexp compares without regard to case, as Exim does for domains and addresses; an expression that Go does not read is maybe.
func matchRegexp(item, subject string) truth {
	re, err := regexp.Compile("(?i)" + item)
	if err != nil {
		return maybe
	}
	return sure(re.MatchString(subject))
}

// plainMatcher matches items of a list of local parts.
func plainMatcher(word string) matchItem {
	return func(e *evaluator, item string, _ int) truth {
		switch {
		case strings.HasPrefix(item, "^"):
			return matchRegexp(item, word)
		case strings.HasPrefix(item, "*"):
			return sure(strings.HasSuffix(strings.ToLower(word), strings.ToLower(item[1:])))
		case strings.ContainsAny(item, ";/"):
			if kind, file, ok := lookupItem(item); ok {
				return e.matchKey(kind, file, strings.ToLower(word))
			}
			return maybe
		}
		return sure(strings.EqualFold(item, word))
	}
}

// addressMatcher matches items of an address list against an address; "" is the null sender.
func addressMatcher(address string) matchItem {
	address = strings.ToLower(address)
	local, domain, _ := strings.Cut(address, "@")
	var match matchItem
	match = func(e *evaluator, item string, depth int) truth {
		switch {
		case item == "":
			return sure(address == "")
		case strings.HasPrefix(item, "^"):
			return matchRegexp(item, address)
		case strings.HasPrefix(item, "/"):
			lines, ok := e.cfg.table(item, true)
			if !ok {
				return maybe
			}
			return e.matchLines(lines, "addresslist", depth, match)
		}
		if kind, file, ok := lookupItem(item); ok {
			if kind == "lsearch" {
				return e.matchKey(kind, file, address)
			}
			return maybe
		}
		if strings.HasPrefix(item, "@@") {
			return maybe
		}
		if address == "" {
			return no
		}
		l, d, at := strings.Cut(item, "@")
		if !at {
			return e.matchDomainItem(item, domain, depth)
		}
		if !strings.EqualFold(l, local) && !(strings.HasPrefix(l, "*") && strings.HasSuffix(local, strings.ToLower(l[1:]))) {
			return no
		}
		return e.matchDomainItem(d, domain, depth)
	}
	return match
}

func (e *evaluator) matchDomainItem(item, domain string, depth int) truth {
	if name, ok := strings.CutPrefix(item, "+"); ok {
		if l := e.cfg.lists["domainlist "+name]; l != nil {
			return e.matchList(l.Value, "domainlist", depth+1, domainMatcher(domain))
		}
		return maybe
	}
	return domainMatcher(domain)(e, item, depth)
}
