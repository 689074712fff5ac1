package exim

import (
	"strconv"
	"strings"
)

// expand carries out the part of Exim's string expansion that configurations use where relay is decided: variables of the
// dialogue, ${if …}, ${lc:…}, and quoting. known is false for anything else: nothing is guessed.
func (e *evaluator) expand(s string) (value string, known bool) {
	value, known, _ = e.expandOrFail(s)
	return value, known
}

// expandOrFail also says whether the expansion is made to fail ("fail" in place of a value): a list is then matched by nothing.
func (e *evaluator) expandOrFail(s string) (value string, known, forced bool) {
	if !strings.ContainsAny(s, `$\`) {
		return s, true, false
	}
	x := &expansion{e: e, s: s}
	out, ok := x.text("", 0)
	return out, ok && x.i == len(x.s), x.forced
}

type expansion struct {
	e      *evaluator
	s      string
	i      int
	forced bool
}

// text reads up to one of the bytes in stop (not taken) or the end.
func (x *expansion) text(stop string, depth int) (string, bool) {
	if depth > maxDepth {
		return "", false
	}
	var b strings.Builder
	for x.i < len(x.s) {
		c := x.s[x.i]
		switch {
		case strings.IndexByte(stop, c) >= 0:
			return b.String(), true
		case strings.HasPrefix(x.s[x.i:], `\N`):
			rest := x.s[x.i+2:]
			end := strings.Index(rest, `\N`)
			if end < 0 {
				end = len(rest)
			}
			b.WriteString(rest[:end])
			x.i = min(x.i+2+end+2, len(x.s))
		case c == '\\' && x.i+1 < len(x.s):
			if strings.IndexByte("ntrx01234567", x.s[x.i+1]) >= 0 {
				return "", false
			}
			b.WriteByte(x.s[x.i+1])
			x.i += 2
		case c == '$':
			v, ok := x.dollar(depth)
			if !ok {
				return "", false
			}
			b.WriteString(v)
		default:
			b.WriteByte(c)
			x.i++
		}
	}
	return b.String(), stop == ""
}

func (x *expansion) dollar(depth int) (string, bool) {
	x.i++
	if !x.take("{") {
		return x.e.variable(x.word())
	}
	name := x.word()
	switch {
	case name == "if":
		return x.ifThenElse(depth)
	case x.take("}"):
		return x.e.variable(name)
	case x.take(":"):
		v, ok := x.text("}", depth+1)
		x.i++
		if !ok {
			return "", false
		}
		return operator(name, v)
	}
	return "", false
}

func operator(name, v string) (string, bool) {
	switch name {
	case "lc":
		return strings.ToLower(v), true
	case "uc":
		return strings.ToUpper(v), true
	case "domain":
		_, d, _ := strings.Cut(v, "@")
		return d, true
	case "local_part":
		l, _, _ := strings.Cut(v, "@")
		return l, true
	case "strlen":
		return strconv.Itoa(len(v)), true
	}
	return "", false
}

func (x *expansion) take(s string) bool {
	if strings.HasPrefix(x.s[x.i:], s) {
		x.i += len(s)
		return true
	}
	return false
}

func (x *expansion) space() {
	for x.i < len(x.s) && (x.s[x.i] == ' ' || x.s[x.i] == '\t' || x.s[x.i] == '\n') {
		x.i++
	}
}

func (x *expansion) word() string {
	from := x.i
	for x.i < len(x.s) && isWord(x.s[x.i]) {
		x.i++
	}
	return x.s[from:x.i]
}

// braced reads {text}; the text is passed over even where it is not known.
func (x *expansion) braced(depth int) (value string, known, found bool) {
	x.space()
	if !x.take("{") {
		return "", false, false
	}
	from := x.i
	value, known = x.text("}", depth+1)
	if !known {
		x.i = from
		if !x.skipBraces() {
			return "", false, false
		}
		return "", false, true
	}
	return value, true, x.take("}")
}

// skipBraces passes over the rest of a braced text, its closing brace included.
func (x *expansion) skipBraces() bool {
	for depth := 1; x.i < len(x.s); x.i++ {
		switch x.s[x.i] {
		case '\\':
			x.i++
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				x.i++
				return true
			}
		}
	}
	x.i = len(x.s)
	return false
}

func (x *expansion) ifThenElse(depth int) (string, bool) {
	x.space()
	t, ok := x.condition(depth + 1)
	if !ok {
		return "", false
	}
	then, thenKnown, found := x.braced(depth)
	if !found {
		x.space()
		then, thenKnown = "true", x.take("}")
		if t == no {
			then = ""
		}
		return then, thenKnown && t != maybe
	}
	other, otherKnown, _ := x.braced(depth)
	if !otherKnown {
		x.space()
		otherKnown = x.i < len(x.s) && x.s[x.i] == '}'
		if x.take("fail") && t == no {
			x.forced = true
		}
	}
	x.space()
	if !x.take("}") {
		return "", false
	}
	switch {
	case t == yes:
		return then, thenKnown
	case t == no:
		return other, otherKnown
	}
	return then, thenKnown && otherKnown && then == other
}

// condition reads one condition of ${if}. ok is false where its text could not even be passed over.
func (x *expansion) condition(depth int) (t truth, ok bool) {
	x.space()
	if depth > maxDepth {
		return maybe, false
	}
	if x.take("!") {
		t, ok = x.condition(depth + 1)
		return t.not(), ok
	}
	for _, op := range []string{"==", ">=", "<=", "=", ">", "<"} {
		if x.take(op) {
			return x.compare(op, depth)
		}
	}
	name := x.word()
	switch name {
	case "and", "or":
		return x.junction(name == "and", depth)
	case "def":
		if !x.take(":") {
			return maybe, false
		}
		v, known := x.e.variable(x.word())
		if !known {
			return maybe, true
		}
		return sure(v != ""), true
	case "exists":
		path, known, found := x.braced(depth)
		if !known {
			return maybe, found
		}
		return x.e.cfg.exists(path), found
	case "eq", "eqi", "match", "match_domain", "match_ip", "forany", "forall", "bool", "isip", "isip4", "isip6", "inlist", "inlisti":
		return x.compare(name, depth)
	}
	return maybe, false
}

// junction reads {{condition}{condition}…}.
func (x *expansion) junction(and bool, depth int) (truth, bool) {
	x.space()
	if !x.take("{") {
		return maybe, false
	}
	all := sure(and)
	for {
		x.space()
		if x.take("}") {
			return all, true
		}
		if !x.take("{") {
			return maybe, false
		}
		from := x.i
		t, ok := x.condition(depth + 1)
		x.space()
		if !ok || !x.take("}") {
			x.i = from
			if t = maybe; !x.skipBraces() {
				return maybe, false
			}
		}
		switch {
		case t == maybe && all == sure(and):
			all = maybe
		case t == sure(!and):
			all = sure(!and)
		}
	}
}

// compare reads the one or two arguments of a comparison.
func (x *expansion) compare(op string, depth int) (truth, bool) {
	a, aKnown, found := x.braced(depth)
	if !found {
		return maybe, false
	}
	if op == "bool" {
		if !aKnown {
			return maybe, true
		}
		return truthOf(a), true
	}
	if strings.HasPrefix(op, "isip") {
		return maybe, true
	}
	b, bKnown, found := x.braced(depth)
	if !found {
		return maybe, false
	}
	if !aKnown || !bKnown {
		return maybe, true
	}
	switch op {
	case "eq":
		return sure(a == b), true
	case "eqi":
		return sure(strings.EqualFold(a, b)), true
	case "match_domain":
		return x.e.matchList(b, "domainlist", depth, domainMatcher(strings.ToLower(a))), true
	}
	return compareNumbers(op, a, b), true
}

func compareNumbers(op, a, b string) truth {
	n, err1 := strconv.Atoi(strings.TrimSpace(a))
	m, err2 := strconv.Atoi(strings.TrimSpace(b))
	if err1 != nil || err2 != nil {
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

// truthOf is the meaning of an ACL condition's value: "0", "no", "false" and the empty string are false.
func truthOf(s string) truth {
	switch s = strings.ToLower(strings.TrimSpace(s)); s {
	case "", "0", "no", "false":
		return no
	case "yes", "true":
		return yes
	}
	if n, err := strconv.Atoi(s); err == nil {
		return sure(n != 0)
	}
	return maybe
}
