package sendmail

import "strings"

// A token is one word of an address or of a rule as sendmail's prescan cuts them: an operator, an atom, a quoted string. A token that
// begins with the byte meta is a metasymbol of the rewriting language: its kind, the character behind the dollar, and its argument
// (the name of a class or macro, the digit of a replacement).
type token = string

const meta = '\x01'

// symbol is the metasymbol of kind with its argument.
func symbol(kind byte, arg string) token { return string([]byte{meta, kind}) + arg }

// kind is the kind of a metasymbol, 0 of any other token.
func kind(t token) byte {
	if len(t) > 1 && t[0] == meta {
		return t[1]
	}
	return 0
}

// arg is the argument of a metasymbol.
func arg(t token) string { return t[2:] }

// A unit is one character of a text to be cut into tokens, or a metasymbol that stands in it.
type unit struct {
	char byte
	sym  token // "" for a character
}

// plain makes units of a text without metasymbols.
func plain(s string) []unit {
	units := make([]unit, len(s))
	for i := range len(s) {
		units[i].char = s[i]
	}
	return units
}

// A cutter cuts texts into tokens as a configuration's OperatorChars say (op.me 5.6, OperatorChars; parseaddr.c, prescan).
type cutter struct{ operators string }

// delimiters are operators whatever the configuration says.
const delimiters = "()<>,;\r\n"

type charType int

const (
	atom charType = iota
	operator
	quote
	space
)

// of is the type of a character. In an address comments in parentheses are taken out before; in a rule they are operators.
func (c cutter) of(b byte) charType {
	switch {
	case b == '"':
		return quote
	case b == ' ' || b >= '\t' && b <= '\r':
		return space
	case strings.IndexByte(c.operators, b) >= 0 || strings.IndexByte(delimiters, b) >= 0:
		return operator
	}
	return atom
}

// cut cuts a text into tokens; with comments true, what stands in parentheses is left out.
func (c cutter) cut(units []unit, comments bool) []token {
	k := cutting{cutter: c}
	depth := 0
	for _, u := range units {
		b := u.char
		switch {
		case k.escaped:
			k.escaped = false
			if depth == 0 {
				k.escape(u)
			}
		case b == '\\' && u.sym == "":
			k.escaped = true
			if depth == 0 && !k.quoted && k.last != atom {
				k.end()
				k.last = atom
			}
		case k.quoted:
			k.inQuotes(u)
		case comments && b == '(':
			depth++
		case comments && b == ')':
			depth = max(depth-1, 0)
			k.step(unit{char: ' '})
		case depth > 0:
		default:
			k.step(u)
		}
	}
	if k.quoted {
		k.word = append(k.word, '"') // as sendmail mends an unbalanced one
	}
	k.end()
	return k.tokens
}

// cutting is a cut under way.
type cutting struct {
	cutter
	tokens          []token
	word            []byte
	last            charType
	quoted, escaped bool
}

func (k *cutting) end() {
	if len(k.word) > 0 {
		k.tokens = append(k.tokens, string(k.word))
	}
	k.word = k.word[:0]
}

// escape takes a character behind a backslash: both stay, but for an exclamation mark outside quotes.
func (k *cutting) escape(u unit) {
	if u.char == '!' && !k.quoted {
		k.step(u)
		return
	}
	k.word = append(k.word, '\\', u.char)
}

func (k *cutting) inQuotes(u unit) {
	if u.sym != "" {
		k.word = append(k.word, written(u.sym)...)
		return
	}
	k.word = append(k.word, u.char)
	if u.char == '"' {
		k.quoted, k.last = false, operator
	}
}

// step takes a character outside quotes.
func (k *cutting) step(u unit) {
	if u.sym != "" {
		k.end()
		k.tokens = append(k.tokens, u.sym)
		k.last = operator
		return
	}
	t := k.of(u.char)
	if t != atom || k.last != atom {
		k.end()
	}
	k.last = t
	switch t {
	case space:
	case quote:
		k.quoted = true
		fallthrough
	default:
		k.word = append(k.word, u.char)
	}
}

// written is a metasymbol as a configuration spells it.
func written(t token) string {
	name := arg(t)
	if len(name) > 1 {
		name = "{" + name + "}"
	}
	return "$" + string(kind(t)) + name
}

// join puts tokens together to a text: between two atoms stands sub (parseaddr.c, cataddr).
func (c cutter) join(tokens []token, sub string) string {
	if len(tokens) == 1 && tokens[0] != "" && kind(tokens[0]) == 0 {
		return string(tokens[0])
	}
	var b strings.Builder
	was := false
	for _, t := range tokens {
		switch {
		case t == "":
		case kind(t) != 0:
			was = false
			b.WriteString(written(t))
		default:
			is := c.of(t[0]) == atom
			if was && is {
				b.WriteString(sub)
			}
			was = is
			b.WriteString(string(t))
		}
	}
	return b.String()
}

// joined is join with the metasymbols kept.
func (c cutter) joined(tokens []token, sub string) []unit {
	var units []unit
	was := false
	for _, t := range tokens {
		if t == "" {
			continue
		}
		if kind(t) != 0 {
			was = false
			units = append(units, unit{sym: t})
			continue
		}
		is := c.of(t[0]) == atom
		if was && is {
			units = append(units, plain(sub)...)
		}
		was = is
		units = append(units, plain(t)...)
	}
	return units
}

// show is a list of tokens as test mode prints it: each parted from the next by a space.
func show(tokens []token) string {
	words := make([]string, len(tokens))
	for i, t := range tokens {
		if words[i] = t; kind(t) != 0 {
			words[i] = written(t)
		}
	}
	return strings.Join(words, " ")
}

// unquote takes the quotes and the backslashes that protect out of a text (util.c, stripquotes).
func unquote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] != '"':
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
