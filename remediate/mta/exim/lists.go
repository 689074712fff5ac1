package exim

import (
	"net/netip"
	"regexp"
	"strings"
)

// truth is what is known of a condition: the set of ways it may end. What needs DNS, a service or an unread table is maybe, and is
// followed both ways.
type truth uint8

const (
	no    truth = 1
	yes   truth = 2
	maybe truth = no | yes
	later truth = 4 // a temporary error: the ACL ends with "defer"
	// stop is what an item of a host list may make of the whole list: a name that DNS does not know makes it match nothing,
	// whatever stands behind (specification §10.15).
	stop truth = 8
)

func sure(b bool) truth {
	if b {
		return yes
	}
	return no
}

func (t truth) not() truth {
	out := t &^ maybe
	if t&yes != 0 {
		out |= no
	}
	if t&no != 0 {
		out |= yes
	}
	return out
}

// separator returns the list's separator and the list without the words that choose it ("<;", specification §6.21).
func separator(s string) (byte, string) {
	t := strings.TrimLeft(s, " \t\n")
	if len(t) >= 2 && t[0] == '<' && (t[1] < ' ' || strings.IndexByte("!#$%&'*+,-./:;<=>?@[]^_`{|}~\\", t[1]) >= 0) {
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
	value, known, forced, failed := e.expandList(list)
	switch {
	case forced:
		return no
	case failed:
		e.mistake = `a list cannot be expanded: "$" not followed by letter, digit, or {`
		return later
	case !known:
		return maybe
	}
	var seen truth
	negated := false
	for _, item := range splitList(value) {
		if e.left--; e.left < 0 {
			return maybe
		}
		switch item {
		case "+ignore_defer", "+include_defer", "+ignore_unknown", "+include_unknown", "+caseful":
			continue
		}
		negated = strings.HasPrefix(item, "!")
		item = strings.TrimSpace(strings.TrimPrefix(item, "!"))
		var t truth
		switch {
		case strings.HasPrefix(item, "+"):
			t = e.matchNamed(item[1:], kind, depth, match)
		case strings.HasPrefix(item, "/"):
			t, negated = e.matchFile(item, kind, negated, depth, match)
			if t&(yes|stop) != 0 {
				e.matched(item, kind)
			}
			// A line of a file may be negated by itself: what it came to is the whole's.
			seen |= t & (maybe | later)
			if t&stop == 0 {
				return seen
			}
			seen |= t & stop
			continue
		default:
			t = match(e, item, depth)
		}
		seen |= t & later
		if t&stop != 0 {
			seen |= no
		}
		if t&yes != 0 {
			seen |= sure(!negated)
			e.matched(item, kind)
		}
		if t&(no|stop) == 0 {
			return seen &^ stop
		}
	}
	return seen&^stop | sure(negated)
}

// matchNamed walks a list by its name. A name that no list has is a mistake, which ends the ACL.
func (e *evaluator) matchNamed(name, kind string, depth int, match matchItem) truth {
	l := e.cfg.lists[kind+" "+name]
	if l == nil {
		e.mistake = "there is no " + kind + " named " + name
		return later
	}
	t := e.matchList(l.Value, kind, depth+1, match)
	if t&yes != 0 {
		e.matched("+"+name, kind)
	}
	return t
}

// matchFile walks the lines of a list file, each of which is an item of its own that may be negated; "+" is a letter there. What
// decided is yes or no; stop says that the end of the file may be reached, and negated is then how its last line stood.
func (e *evaluator) matchFile(path, kind string, negated bool, depth int, match matchItem) (truth, bool) {
	lines, ok := e.table(path, kind)
	if !ok {
		return maybe | stop, negated
	}
	var seen truth
	turned := negated
	for _, l := range lines {
		if e.left--; e.left < 0 {
			return maybe, negated
		}
		item := l.Key
		turned = negated
		if strings.HasPrefix(item, "!") {
			turned, item = !negated, strings.TrimSpace(item[1:])
		}
		t := match(e, item, depth+1)
		seen |= t & later
		if t&stop != 0 {
			seen |= no
		}
		if t&yes != 0 {
			seen |= sure(!turned)
			e.why = append(e.why, reason{line: l.place, text: path + " holds " + l.Key})
		}
		if t&(no|stop) == 0 {
			return seen, turned
		}
	}
	return seen | stop, turned
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

// byName is an item of a host list that is compared with names out of DNS: the client may have the name or not, and without an
// answer the whole list matches nothing.
const byName = maybe | stop | later

// matchHost matches an item of a host list against the client.
func matchHost(e *evaluator, item string, depth int) truth {
	switch {
	case item == "":
		return no // matches a message that did not come over TCP
	case item == "*":
		return yes
	case item == "@[]":
		return e.cfg.interfaceAddr(e.client)
	}
	if p, ok := parseNet(item); ok && !strings.ContainsAny(item, "[]") {
		return sure(p.Contains(e.client))
	}
	if kind, file, ok := lookupItem(item); ok {
		return e.matchHostTable(kind, file)
	}
	return byName
}

// matchHostTable looks the client's address up: "net-lsearch;FILE" by the address, "net24-lsearch;FILE" by its network.
func (e *evaluator) matchHostTable(kind, file string) truth {
	rest, ok := strings.CutPrefix(kind, "net")
	bits, search, dash := strings.Cut(rest, "-")
	if !ok || !dash || strings.Trim(bits, "0123456789") != "" {
		return byName // the key is a name
	}
	key := e.client.String()
	if bits != "" {
		p, err := e.client.Prefix(atoi(bits))
		if err != nil {
			return maybe
		}
		key = p.String()
	}
	if e.client.Is6() && search != "iplsearch" {
		return maybe // its colons become dots in the key, the groups written out
	}
	_, t := e.lookup(search, file, key)
	return t
}

// domainMatcher matches an item of a domain list against a domain in lower case.
func domainMatcher(domain string) matchItem {
	return func(e *evaluator, item string, _ int) truth {
		low := strings.ToLower(item)
		switch {
		case low == "@":
			return sure(domain == strings.ToLower(e.cfg.primary))
		case low == "@[]":
			if !strings.HasPrefix(domain, "[") {
				return no
			}
			a, err := netip.ParseAddr(strings.TrimPrefix(strings.Trim(domain, "[]"), "ipv6:"))
			return sure(err == nil && e.cfg.ownAddr(a))
		case strings.HasPrefix(low, "@mx_"):
			return maybe | later
		}
		return e.matchString(item, domain, true)
	}
}

// plainMatcher matches items of a list of local parts.
func plainMatcher(word string) matchItem {
	return func(e *evaluator, item string, _ int) truth { return e.matchString(item, strings.ToLower(word), true) }
}

// stringMatcher matches items of a list of words, such as the names of authenticators.
func stringMatcher(word string) matchItem {
	return func(e *evaluator, item string, _ int) truth { return e.matchString(item, word, false) }
}

// matchString compares one pattern as match.c's check_string does: an expression, a tail, a table, or the word itself.
func (e *evaluator) matchString(item, subject string, partial bool) truth {
	switch {
	case strings.HasPrefix(item, "^"):
		return matchRegexp(item, subject)
	case strings.HasPrefix(item, "*"):
		return sure(len(subject) >= len(item)-1 && strings.EqualFold(subject[len(subject)-len(item)+1:], item[1:]))
	case strings.Contains(item, ";"):
		kind, file, ok := lookupItem(item)
		if !ok {
			return maybe
		}
		if rest, is := strings.CutPrefix(kind, "partial-"); is && !partial {
			kind = rest
		}
		_, t := e.lookup(kind, file, subject)
		return t
	}
	return sure(strings.EqualFold(item, subject))
}

// matchRegexp compares without regard to case, as Exim does for domains and addresses; an expression that Go does not read is maybe.
func matchRegexp(item, subject string) truth {
	re, err := regexp.Compile("(?i)" + item)
	if err != nil {
		return maybe
	}
	return sure(re.MatchString(subject))
}

// addressMatcher matches items of an address list against an address; "" is the null sender, which only an empty item or an
// expression matches.
func addressMatcher(address string) matchItem {
	address = strings.ToLower(address)
	return func(e *evaluator, item string, depth int) truth {
		if strings.HasPrefix(item, "^") {
			return matchRegexp(item, address)
		}
		if address == "" || item == "" {
			return sure(address == item)
		}
		at := strings.LastIndex(address, "@")
		local, domain := address[:max(at, 0)], address[at+1:]
		if rest, ok := strings.CutPrefix(item, "@@"); ok {
			return e.matchSplit(rest, local, domain)
		}
		if kind, _, ok := strings.Cut(item, ";"); ok && strings.Trim(kind, "abcdefghijklmnopqrstuvwxyz0123456789-*@,=") == "" {
			return e.matchString(item, address, false)
		}
		i := strings.LastIndex(item, "@")
		if i < 0 {
			return e.matchDomainItem(item, domain, depth)
		}
		l, d := item[:i], item[i+1:]
		if strings.HasSuffix(l, "@") && (d == "" || d == "[]" || strings.HasPrefix(d, "mx_")) {
			l, d = l[:len(l)-1], "@"+d
		}
		switch tail, star := strings.CutPrefix(strings.ToLower(l), "*"); {
		case star && !strings.HasSuffix(local, tail), !star && !strings.EqualFold(l, local):
			return no
		}
		return e.matchDomainItem(d, domain, depth)
	}
}

// matchSplit looks the domain up in a table whose value is a list of local parts (specification §10.17).
func (e *evaluator) matchSplit(item, local, domain string) truth {
	kind, file, ok := lookupItem(item)
	if !ok {
		return maybe
	}
	value, t := e.lookup(kind, file, domain)
	if t != yes {
		return t
	}
	items := splitList(value)
	if n := len(items); n > 0 && strings.HasPrefix(items[n-1], ">") {
		return maybe // it goes on at another key
	}
	for _, one := range items {
		if m := e.matchString(strings.TrimSpace(strings.TrimPrefix(one, "!")), local, true); m != no {
			if strings.HasPrefix(one, "!") {
				return m.not()
			}
			return m
		}
	}
	return no
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
