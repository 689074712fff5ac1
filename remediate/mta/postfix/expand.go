package postfix

import (
	"fmt"
	"strconv"
	"strings"
)

// maxDepth bounds references within references; Postfix stops at the same depth (MAC_EXP: "unreasonable macro call nesting").
const maxDepth = 100

// expander resolves $name references as mac_expand(3) does.
type expander struct {
	get   func(name string) (string, bool)
	depth int
}

// expand returns text with every $name, ${name}, $(name), ${name?text}, ${name:text}, ${name?{text}:{text}} and
// ${{text} op {text}?{text}:{text}} replaced (postconf(5), "main.cf file format"). An undefined name is empty.
func (x expander) expand(text string) (string, error) {
	if !strings.Contains(text, "$") {
		return text, nil
	}
	if x.depth++; x.depth > maxDepth {
		return "", fmt.Errorf("references nest more than %d deep", maxDepth)
	}
	var out strings.Builder
	for text != "" {
		literal, rest, ok := strings.Cut(text, "$")
		out.WriteString(literal)
		if !ok {
			break
		}
		value, after, err := x.reference(rest)
		if err != nil {
			return "", err
		}
		if out.WriteString(value); out.Len() > 1<<20 {
			return "", fmt.Errorf("the expanded value is larger than 1 MiB")
		}
		text = after
	}
	return out.String(), nil
}

// reference resolves what follows a dollar sign and returns the text after it.
func (x expander) reference(text string) (value, rest string, err error) {
	switch {
	case strings.HasPrefix(text, "$"):
		return "$", text[1:], nil
	case strings.HasPrefix(text, "{"):
		return x.enclosed(text, '{', '}')
	case strings.HasPrefix(text, "("):
		return x.enclosed(text, '(', ')')
	}
	n := nameLen(text)
	if n == 0 {
		return "", "", fmt.Errorf("empty macro name: %.20q", "$"+text)
	}
	value, err = x.named(text[:n])
	return value, text[n:], err
}

func (x expander) enclosed(text string, open, shut byte) (value, rest string, err error) {
	inner, rest, ok := balanced(text, open, shut)
	if !ok {
		return "", "", fmt.Errorf("truncated macro reference: %.20q", "$"+text)
	}
	value, err = x.conditional(inner)
	return value, rest, err
}

// balanced splits text, which begins with open, into what is enclosed and what follows.
func balanced(text string, open, shut byte) (inner, rest string, ok bool) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case open:
			depth++
		case shut:
			if depth--; depth == 0 {
				return text[1:i], text[i+1:], true
			}
		}
	}
	return "", "", false
}

// conditional resolves the inside of ${…}.
func (x expander) conditional(inner string) (string, error) {
	inner = strings.TrimLeft(inner, " \t\r\n")
	if strings.HasPrefix(inner, "{") {
		truth, rest, err := x.relation(inner)
		if err != nil {
			return "", err
		}
		return x.choose(truth, "", strings.TrimLeft(rest, " \t\r\n"))
	}
	n := nameLen(inner)
	name, rest := inner[:n], strings.TrimLeft(inner[n:], " \t\r\n")
	if n == 0 || rest != "" && rest[0] != '?' && rest[0] != ':' {
		return "", fmt.Errorf("attribute name syntax error at: %.20q", inner)
	}
	value, err := x.named(name)
	if err != nil {
		return "", err
	}
	return x.choose(value != "", value, rest)
}

// choose resolves the "?text" or ":text" part behind a condition; with neither, the condition's own value stands.
func (x expander) choose(truth bool, value, rest string) (string, error) {
	if rest == "" {
		if truth && value == "" {
			return "true", nil // a relation without alternatives
		}
		return value, nil
	}
	yes, no := "", ""
	var err error
	if rest[0] == '?' {
		yes, no, err = alternatives(rest[1:])
	} else {
		no, _, err = alternative(rest[1:])
	}
	if err != nil {
		return "", err
	}
	if truth {
		return x.expand(yes)
	}
	return x.expand(no)
}

// alternatives splits "{yes}:{no}", "{yes}:no", "{yes}" or "yes".
func alternatives(text string) (yes, no string, err error) {
	yes, rest, err := alternative(text)
	if err != nil || rest == "" {
		return yes, "", err
	}
	if rest[0] != ':' {
		return "", "", fmt.Errorf("unexpected input at: %.20q", rest)
	}
	no, _, err = alternative(rest[1:])
	return yes, no, err
}

func alternative(text string) (value, rest string, err error) {
	trimmed := strings.TrimLeft(text, " \t\r\n")
	if !strings.HasPrefix(trimmed, "{") {
		return text, "", nil
	}
	value, rest, ok := balanced(trimmed, '{', '}')
	if !ok {
		return "", "", fmt.Errorf("unbalanced {} in: %.20q", text)
	}
	return value, strings.TrimLeft(rest, " \t\r\n"), nil
}

// relation evaluates "{text} op {text}" at the start of inner.
func (x expander) relation(inner string) (truth bool, rest string, err error) {
	left, after, ok := balanced(inner, '{', '}')
	if !ok {
		return false, "", fmt.Errorf("unbalanced {} in: %.20q", inner)
	}
	after = strings.TrimLeft(after, " \t\r\n")
	brace := strings.IndexByte(after, '{')
	if brace < 0 {
		return false, "", fmt.Errorf("\"{expression}\" expected at: %.20q", after)
	}
	op := strings.TrimRight(after[:brace], " \t\r\n")
	right, rest, ok := balanced(after[brace:], '{', '}')
	if !ok {
		return false, "", fmt.Errorf("unbalanced {} in: %.20q", after)
	}
	if left, err = x.expand(left); err != nil {
		return false, "", err
	}
	if right, err = x.expand(right); err != nil {
		return false, "", err
	}
	truth, err = holds(left, op, right)
	return truth, rest, err
}

// holds compares as mac_expand(3): "<level" and its like compare compatibility levels, the others compare numbers where both sides
// are numbers and text elsewhere.
func holds(left, op, right string) (bool, error) {
	bare, level := strings.CutSuffix(op, "level")
	order := 0
	switch {
	case level:
		order = compareLevels(left, right)
	case allDigits(left) && allDigits(right):
		a, _ := strconv.Atoi(left)
		b, _ := strconv.Atoi(right)
		order = a - b
	default:
		order = strings.Compare(left, right)
	}
	switch bare {
	case "==":
		return order == 0, nil
	case "!=":
		return order != 0, nil
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case ">":
		return order > 0, nil
	case ">=":
		return order >= 0, nil
	}
	return false, fmt.Errorf("unknown operator %.20q", op)
}

// compareLevels orders compatibility levels "major[.minor[.patch]]" (Postfix 3.6 and later).
func compareLevels(a, b string) int {
	x, y := parseVersion(a), parseVersion(b)
	for i := range x {
		if x[i] != y[i] {
			return x[i] - y[i]
		}
	}
	return 0
}

// parseVersion reads up to three numbers parted by dots; what is not a number is 0.
func parseVersion(text string) (v [3]int) {
	for i, part := range strings.SplitN(text, ".", 3) {
		n := 0
		for n < len(part) && part[n] >= '0' && part[n] <= '9' {
			n++
		}
		v[i], _ = strconv.Atoi(part[:n])
	}
	return v
}

func (x expander) named(name string) (string, error) {
	value, ok := x.get(name)
	if !ok {
		return "", nil
	}
	return x.expand(value)
}

func nameLen(text string) int {
	n := 0
	for n < len(text) && (text[n] == '_' || text[n]|0x20 >= 'a' && text[n]|0x20 <= 'z' || text[n] >= '0' && text[n] <= '9') {
		n++
	}
	return n
}

func allDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}
