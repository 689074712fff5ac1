package exim

import (
	"regexp"
	"strings"
)

// expand carries out the part of Exim's string expansion that depends on the dialogue and on files alone (specification chapter 11):
// variables, ${if …}, look-ups in files, and what is made of strings. known is false for anything else: nothing is guessed.
func (e *evaluator) expand(s string) (value string, known bool) {
	value, known, _ = e.expandOrFail(s)
	return value, known
}

// expandOrFail also says whether the expansion is made to fail ("fail" in place of a value): a list is then matched by nothing.
func (e *evaluator) expandOrFail(s string) (value string, known, forced bool) {
	value, known, forced, _ = e.expandList(s)
	return value, known, forced
}

// expandList also says whether the string is one that Exim surely cannot expand: a list then ends the ACL with an error.
func (e *evaluator) expandList(s string) (value string, known, forced, failed bool) {
	if !strings.ContainsAny(s, `$\`) {
		return s, true, false, false
	}
	x := &expansion{e: e, s: s}
	out := x.text("", 0)
	return out.text, out.known && !x.broken && x.i == len(x.s), x.forced && !x.broken, x.failed
}

// maxExpanded bounds a value, in bytes.
const maxExpanded = 1 << 18

// expansion reads a string once from left to right. What cannot be known is passed over, so that what stands behind it is read.
type expansion struct {
	e      *evaluator
	s      string
	i      int
	forced bool
	broken bool              // the string is not well formed, or beyond what is read here
	failed bool              // it is surely not well formed
	local  map[string]string // $value, $item and $0 to $9 where an item set them
	dead   int               // within a branch that is not taken
}

// text reads up to one of the bytes in stop (not taken) or the end.
func (x *expansion) text(stop string, depth int) value {
	out := value{known: true}
	var b strings.Builder
	if x.e.left--; depth > maxDepth || x.e.left < 0 {
		x.broken = true
		return value{}
	}
	for x.i < len(x.s) && !x.broken {
		if b.Len() > maxExpanded { // "set acl_m0 = $acl_m0$acl_m0" again and again
			x.broken = true
			return value{}
		}
		c := x.s[x.i]
		switch {
		case strings.IndexByte(stop, c) >= 0:
			out.text = b.String()
			return out
		case strings.HasPrefix(x.s[x.i:], `\N`):
			rest := x.s[x.i+2:]
			end := strings.Index(rest, `\N`)
			if end < 0 {
				end = len(rest)
			}
			b.WriteString(rest[:end])
			x.i = min(x.i+2+end+2, len(x.s))
		case c == '\\' && x.i+1 < len(x.s):
			x.escape(&b)
		case c == '$':
			v := x.dollar(depth)
			out.known = out.known && v.known
			b.WriteString(v.text)
		default:
			b.WriteByte(c)
			x.i++
		}
	}
	if stop != "" {
		x.broken = true
	}
	out.text = b.String()
	return out
}

// escape reads a backslash and what it means (§11.1).
func (x *expansion) escape(b *strings.Builder) {
	c := x.s[x.i+1]
	x.i += 2
	switch {
	case c == 'n':
		b.WriteByte('\n')
	case c == 't':
		b.WriteByte('\t')
	case c == 'r':
		b.WriteByte('\r')
	case c == 'x' || c >= '0' && c <= '7':
		x.broken = true
	default:
		b.WriteByte(c)
	}
}

// dollar reads $name, ${name}, ${operator:…} or ${item …}.
func (x *expansion) dollar(depth int) value {
	x.i++
	if !x.take("{") {
		name := x.word()
		if name == "" || '0' <= name[0] && name[0] <= '9' && len(name) > 1 {
			// "$ not followed by letter, digit, or {" (expand.c): the end of a regular expression that nobody wrapped in \N
			x.broken, x.failed = true, name == ""
			return value{}
		}
		return x.variable(name)
	}
	from := x.i
	name := x.word()
	switch {
	case name == "if":
		return x.ifThenElse(depth)
	case x.take("}"):
		return x.variable(name)
	case x.take(":"):
		v := x.text("}", depth+1)
		x.take("}")
		if !v.known {
			return value{}
		}
		return operator(name, v.text)
	case name == "lookup":
		return x.lookup(depth)
	case items[name] != nil:
		return x.item(name, depth)
	}
	x.i = from
	x.skipBraces()
	return value{}
}

// variable is the value of a variable: one that an item has set, or one of the dialogue.
func (x *expansion) variable(name string) value {
	if text, ok := x.local[name]; ok {
		return value{text, true}
	}
	if len(name) == 1 && name[0] >= '0' && name[0] <= '9' {
		return value{"", true}
	}
	text, known := x.e.variable(name)
	return value{text, known}
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

// braced reads {text}.
func (x *expansion) braced(depth int) (v value, found bool) {
	x.space()
	if !x.take("{") {
		return value{}, false
	}
	v = x.text("}", depth+1)
	if !x.take("}") {
		x.broken = true
	}
	return v, true
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
	x.i, x.broken = len(x.s), true
	return false
}

// ifThenElse reads the condition and both strings of ${if …}.
func (x *expansion) ifThenElse(depth int) value {
	t := x.condition(depth + 1)
	return x.branches(t, "true", depth)
}

// branches reads {yes}{no} or what may stand in their place, and the closing brace. other is what a yes is where no string stands.
func (x *expansion) branches(t truth, other string, depth int) value {
	x.space()
	if x.take("}") {
		switch t {
		case yes:
			return value{other, true}
		case no:
			return value{"", true}
		}
		return value{}
	}
	var then, otherwise value
	switch {
	case x.take("fail"):
		then = value{}
		x.forced = x.forced || t == yes && x.dead == 0
	default:
		x.dead += dead(t, no)
		then, _ = x.braced(depth)
		x.dead -= dead(t, no)
	}
	x.space()
	otherwise = value{"", true}
	switch {
	case x.take("fail"):
		otherwise = value{}
		x.forced = x.forced || t == no && x.dead == 0
	case x.i < len(x.s) && x.s[x.i] == '{':
		x.dead += dead(t, yes)
		otherwise, _ = x.braced(depth)
		x.dead -= dead(t, yes)
	}
	x.space()
	if !x.take("}") {
		x.broken = true
	}
	switch {
	case t == yes:
		return then
	case t == no:
		return otherwise
	case then.known && otherwise.known && then.text == otherwise.text && t == maybe:
		return then
	}
	return value{}
}

// dead is 1 where a branch is surely not taken.
func dead(t, when truth) int {
	if t == when {
		return 1
	}
	return 0
}

// lookup reads ${lookup{KEY} TYPE {FILE} {FOUND} {NOT FOUND}}; look-ups by a query are passed over (§9.2).
func (x *expansion) lookup(depth int) value {
	key, single := x.braced(depth)
	x.space()
	from := x.i
	for x.i < len(x.s) && x.s[x.i] != '{' && x.s[x.i] != ' ' && x.s[x.i] != '}' {
		x.i++
	}
	kind := x.s[from:x.i]
	file, found := x.braced(depth)
	if !found {
		x.broken = true
		return value{}
	}
	t := maybe
	text := ""
	if single && key.known && file.known && !strings.ContainsAny(kind, "(),") {
		text, t = x.e.lookup(kind, file.text, key.text)
	}
	if t == yes {
		defer x.with(map[string]string{"value": text})()
	}
	return x.branches(t, text, depth)
}

// with sets variables until the function it returns is called.
func (x *expansion) with(vars map[string]string) func() {
	old := x.local
	x.local = map[string]string{}
	for k, v := range old {
		x.local[k] = v
	}
	for k, v := range vars {
		x.local[k] = v
	}
	return func() { x.local = old }
}

// groups sets $0 to $9 from a match.
func (x *expansion) groups(re *regexp.Regexp, subject string) {
	vars := map[string]string{}
	for i, g := range re.FindStringSubmatch(subject) {
		if i < 10 {
			vars[string(rune('0'+i))] = g
		}
	}
	x.with(vars)
}
