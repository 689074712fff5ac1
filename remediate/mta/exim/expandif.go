package exim

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// condition reads one condition of ${if} (specification §11.7). One that is not known here is passed over with its arguments.
func (x *expansion) condition(depth int) truth {
	x.space()
	if depth > maxDepth {
		x.broken = true
		return maybe
	}
	if x.take("!") {
		return x.condition(depth + 1).not()
	}
	for _, op := range []string{"==", ">=", "<=", "=", ">", "<"} {
		if x.take(op) {
			return x.compare(op, depth)
		}
	}
	name := x.word()
	if name == "def" && x.take(":") {
		return x.defined()
	}
	switch name {
	case "and", "or":
		return x.junction(name == "and", depth)
	case "forany", "forall":
		return x.each(name == "forall", depth)
	case "exists", "bool", "bool_lax", "isip", "isip4", "isip6":
		v, found := x.braced(depth)
		if !found {
			x.broken = true
		}
		if !v.known {
			return maybe
		}
		return x.single(name, v.text)
	case "first_delivery", "queue_running":
		return sure(name == "first_delivery")
	}
	if comparisons[name] {
		return x.compare(name, depth)
	}
	return x.unknown(name)
}

// unknown passes over the arguments of a condition that asks something outside: one in braces, two of inbound_srs.
func (x *expansion) unknown(name string) truth {
	n := 1
	if name == "inbound_srs" {
		n = 2
	}
	for ; n > 0; n-- {
		x.space()
		if !x.take("{") || !x.skipBraces() {
			x.broken = true
		}
	}
	return maybe
}

var comparisons = map[string]bool{
	"eq": true, "eqi": true, "lt": true, "lti": true, "le": true, "lei": true, "gt": true, "gti": true, "ge": true, "gei": true,
	"match": true, "match_domain": true, "match_ip": true, "match_local_part": true, "match_address": true, "inlist": true, "inlisti": true,
	"crypteq": true,
}

// defined: a variable that has a value which is not empty. Headers are not there before DATA.
func (x *expansion) defined() truth {
	name := x.word()
	if strings.HasPrefix(name, "h_") || strings.HasPrefix(name, "header_") {
		x.take(":") // a header's name ends with a colon; there are none before DATA, and Exim may say so
		return maybe
	}
	v := x.variable(name)
	if !v.known {
		return maybe
	}
	return sure(v.text != "")
}

func (x *expansion) single(name, v string) truth {
	switch name {
	case "exists":
		t := x.e.cfg.exists(v)
		if t == maybe && x.e.unread != nil {
			x.e.unread[v] = true
		}
		return t
	case "bool", "bool_lax":
		t := truthOf(v)
		if t == maybe && name == "bool_lax" {
			return yes
		}
		return t
	}
	a, err := netip.ParseAddr(v)
	return sure(err == nil && (name == "isip" || a.Is4() == (name == "isip4")))
}

// junction reads {{condition}{condition}…}.
func (x *expansion) junction(and bool, depth int) truth {
	x.space()
	if !x.take("{") {
		x.broken = true
		return maybe
	}
	all := sure(and)
	for !x.broken {
		x.space()
		if x.take("}") {
			return all
		}
		if !x.take("{") {
			x.broken = true
			return maybe
		}
		t := x.condition(depth + 1)
		x.space()
		if !x.take("}") {
			x.broken = true
			return maybe
		}
		switch {
		case t == sure(!and):
			all = sure(!and)
		case t != sure(and) && all == sure(and):
			all = maybe
		}
	}
	return maybe
}

// each reads forany{LIST}{condition} and forall.
func (x *expansion) each(every bool, depth int) truth {
	list, found := x.braced(depth)
	x.space()
	if !found || !x.take("{") {
		x.broken = true
		return maybe
	}
	from := x.i
	if !list.known {
		x.skipBraces()
		return maybe
	}
	all, end := sure(every), 0
	for _, item := range append(splitList(list.text), "\x00") {
		x.i = from
		last := item == "\x00"
		x.dead += dead(sure(last), yes)
		undo := x.with(map[string]string{"item": item})
		t := x.condition(depth + 1)
		undo()
		x.dead -= dead(sure(last), yes)
		x.space()
		if !x.take("}") {
			x.broken = true
			return maybe
		}
		end = x.i
		switch {
		case last:
		case t == sure(!every):
			all = sure(!every)
		case t != sure(every) && all == sure(every):
			all = maybe
		}
	}
	x.i = end
	return all
}

// compare reads the two arguments of a comparison.
func (x *expansion) compare(op string, depth int) truth {
	a, found := x.braced(depth)
	b, also := x.braced(depth)
	if !found || !also {
		x.broken = true
		return maybe
	}
	if !a.known || !b.known {
		return maybe
	}
	if x.e.left--; x.e.left < 0 {
		return maybe
	}
	switch op {
	case "eq":
		return sure(a.text == b.text)
	case "eqi":
		return sure(strings.EqualFold(a.text, b.text))
	case "lt", "le", "gt", "ge":
		return ordered(op, strings.Compare(a.text, b.text))
	case "lti", "lei", "gti", "gei":
		return ordered(op[:2], strings.Compare(strings.ToLower(a.text), strings.ToLower(b.text)))
	case "match":
		return x.match(a.text, b.text)
	case "crypteq":
		return maybe
	case "inlist", "inlisti":
		return inList(a.text, b.text, op == "inlisti")
	case "match_domain":
		return x.e.matchWords(b.text, "domainlist", depth, domainMatcher(strings.ToLower(a.text)))
	case "match_local_part":
		return x.e.matchWords(b.text, "localpartlist", depth, plainMatcher(a.text))
	case "match_address":
		return x.e.matchWords(b.text, "addresslist", depth, addressMatcher(a.text))
	case "match_ip":
		return x.matchIP(a.text, b.text, depth)
	}
	return compareNumbers(op, a.text, b.text)
}

// matchWords walks a list that has been expanded already.
func (e *evaluator) matchWords(list, kind string, depth int, match matchItem) truth {
	if strings.ContainsAny(list, `$\`) {
		return maybe
	}
	return e.matchList(list, kind, depth, match)
}

func (x *expansion) matchIP(addr, list string, depth int) truth {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return maybe
	}
	other := *x.e
	other.client = a.Unmap()
	t := other.matchWords(list, "hostlist", depth, matchHost)
	x.e.left, x.e.why = other.left, other.why
	return t & maybe
}

// match compares with an expression, by letter case, and sets the variables of its groups.
func (x *expansion) match(subject, expression string) truth {
	re, err := regexp.Compile(expression)
	if err != nil {
		return maybe
	}
	if !re.MatchString(subject) {
		return no
	}
	x.groups(re, subject)
	return yes
}

func inList(word, list string, caseless bool) truth {
	for _, item := range splitList(list) {
		if item == word || caseless && strings.EqualFold(item, word) {
			return yes
		}
	}
	return no
}

func ordered(op string, cmp int) truth {
	switch op {
	case "lt":
		return sure(cmp < 0)
	case "le":
		return sure(cmp <= 0)
	case "gt":
		return sure(cmp > 0)
	}
	return sure(cmp >= 0)
}

// compareNumbers: the empty string is 0, K, M and G multiply by 1024 (§11.7).
func compareNumbers(op, a, b string) truth {
	n, ok := number(a)
	m, fine := number(b)
	if !ok || !fine {
		return maybe
	}
	switch op {
	case "=", "==":
		return sure(n == m)
	case ">":
		return sure(n > m)
	case "<":
		return sure(n < m)
	case ">=":
		return sure(n >= m)
	case "<=":
		return sure(n <= m)
	}
	return maybe
}

func number(s string) (int64, bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, true
	}
	shift := 0
	switch s[len(s)-1] {
	case 'k', 'K':
		shift = 10
	case 'm', 'M':
		shift = 20
	case 'g', 'G':
		shift = 30
	}
	if shift > 0 {
		s = s[:len(s)-1]
	}
	n, err := strconv.ParseInt(s, 10, 32)
	return n << shift, err == nil
}

// truthOf is the meaning of an ACL condition's value: a number but 0, "yes" and "true" hold; "no", "false" and the empty string do not.
func truthOf(s string) truth {
	switch s = strings.ToLower(strings.TrimSpace(s)); s {
	case "", "no", "false":
		return no
	case "yes", "true":
		return yes
	}
	if strings.Trim(s, "0123456789") == "" {
		return sure(strings.Trim(s, "0") != "")
	}
	return maybe
}
