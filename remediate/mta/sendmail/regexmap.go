package sendmail

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"mtaharden/remediate/judge"
)

// regexLine is a K line of type regex, taken apart as map.c does (regex_map_init).
type regexLine struct {
	not, caseful, basic, parts, matchOnly, keepQuote bool
	tag                                              string
	pattern                                          string
}

// parseRegex reads "-n -f -b -s… -d… -a… -m -q -S… -D pattern": the pattern is what follows the flags, blanks in it kept.
func parseRegex(args string) regexLine {
	var l regexLine
	rest := strings.TrimLeft(args, " \t\n")
	for strings.HasPrefix(rest, "-") {
		end := strings.IndexAny(rest, " \t\n")
		if end < 0 {
			end = len(rest)
		}
		word := rest[1:end]
		rest = strings.TrimLeft(rest[end:], " \t\n")
		if word == "" {
			continue
		}
		switch word[0] {
		case 'n':
			l.not = true
		case 'f':
			l.caseful = true
		case 'b':
			l.basic = true
		case 's':
			l.parts = true
		case 'a':
			l.tag = word[1:]
		case 'm':
			l.matchOnly = true
		case 'q':
			l.keepQuote = true
		}
	}
	l.pattern = rest
	return l
}

// regexMap is a map of type regex (op.me 5.8): a key that the expression matches (with -n: does not match) is answered with the tag
// of -a. What the parts of -s come to depends on how the library shares a key out among them: it is not told.
func (p *program) regexMap(path, text string, l cfLine) lookup {
	var args strings.Builder
	for _, u := range p.expand(text, 0) {
		if u.sym != "" {
			return unknownMap(l.text, "a rule asks a regex map whose expression holds a metasymbol")
		}
		args.WriteByte(u.char)
	}
	rest := args.String()
	name := firstWord(rest)
	for range 2 { // the name, and the word regex
		rest = strings.TrimLeft(rest, " \t\n")
		rest = strings.TrimPrefix(rest, firstWord(rest))
	}
	line := parseRegex(rest)
	re, err := posix(line)
	if err != nil {
		return unknownMap(name, fmt.Sprintf("a rule asks map %s: %v", name, err))
	}
	at := judge.Line{File: path, Line: l.line, Text: "regex " + line.pattern}
	parts := unknownAnswer(fmt.Sprintf("a rule asks map %s for parts of what it matches", name))
	return func(r *run, key string, args []string) found {
		if !line.keepQuote {
			key = unquote(key)
		}
		if strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) {
			return found{unknown: "a rule asks map " + name + " for what is not ASCII"}
		}
		switch {
		case re.MatchString(key) == line.not:
			return found{}
		case line.matchOnly:
			return found{value: key + line.tag, ok: true, at: at}
		case line.parts && !line.not:
			return parts(r)
		}
		return found{value: line.tag, ok: true, at: at}
	}
}

// posix makes Go's expression of an extended regular expression as regcomp(3) reads it, or says why it cannot: what the C libraries
// read in ways of their own is left to sendmail.
func posix(l regexLine) (*regexp.Regexp, error) {
	if l.basic {
		return nil, fmt.Errorf("its expression is a basic one (-b)")
	}
	var b strings.Builder
	for i := 0; i < len(l.pattern); {
		n, text, err := posixItem(l.pattern[i:], !l.caseful)
		if err != nil {
			return nil, err
		}
		b.WriteString(text)
		i += n
		if (text == "^" || text == "$") && i < len(l.pattern) && strings.IndexByte("*+?{", l.pattern[i]) >= 0 {
			return nil, fmt.Errorf("its expression repeats an anchor") // glibc refuses it
		}
	}
	flags := syntax.POSIX
	if !l.caseful {
		flags |= syntax.FoldCase
	}
	tree, err := syntax.Parse(b.String(), flags)
	if err != nil {
		return nil, fmt.Errorf("its expression is one that this program does not read: %v", err)
	}
	return regexp.Compile(tree.String())
}

// posixItem reads one piece of an expression, and says how long it is and what it is in Go's.
func posixItem(text string, folds bool) (n int, item string, err error) {
	switch c := text[0]; {
	case c < ' ' || c > '~':
		return 0, "", fmt.Errorf("its expression holds a character that is not ASCII")
	case c == '\\':
		if len(text) == 1 || strings.IndexByte(`.[]()*+?{}|^$\/@-`, text[1]) < 0 {
			return 0, "", fmt.Errorf("its expression has an escape that libraries read in ways of their own")
		}
		return 2, regexp.QuoteMeta(text[1:2]), nil
	case c == '{':
		if !interval.MatchString(text) {
			return 0, "", fmt.Errorf("its expression has a brace that libraries read in ways of their own")
		}
	case c == '[':
		return posixClass(text, folds)
	}
	return 1, text[:1], nil
}

var (
	interval  = regexp.MustCompile(`^\{[0-9]{1,3}(,[0-9]{0,3})?\}`)
	className = regexp.MustCompile(`^\[:(alnum|alpha|blank|cntrl|digit|graph|lower|print|punct|space|upper|xdigit):\]`)
)

// posixClass reads a bracket expression: in it a backslash is a character like any other. Where case is folded, glibc reads the expression as if
// it stood in capitals, other libraries do not: a range from or to a small letter alone is not the same to them.
func posixClass(text string, folds bool) (n int, item string, err error) {
	var b strings.Builder
	b.WriteByte('[')
	i := 1
	if strings.HasPrefix(text[i:], "^") {
		b.WriteByte('^')
		i++
	}
	for first := true; i < len(text); first = false {
		c := text[i]
		name := className.FindString(text[i:])
		if ends := text[i:min(i+3, len(text))]; folds && len(ends) == 3 && ends[1] == '-' && ends[2] != ']' && isSmall(ends[0]) != isSmall(ends[2]) {
			return 0, "", fmt.Errorf("its expression has a range of upper and lower case together")
		}
		switch {
		case c == ']' && !first:
			b.WriteByte(']')
			return i + 1, b.String(), nil
		case name != "":
			b.WriteString(name)
			i += len(name)
			continue
		case c < ' ' || c > '~', strings.HasPrefix(text[i:], "[:"), strings.HasPrefix(text[i:], "[."), strings.HasPrefix(text[i:], "[="):
			return 0, "", fmt.Errorf("its expression has a bracket expression that this program does not read")
		case strings.IndexByte(`\[]^`, c) >= 0:
			b.WriteString(`\` + string(c))
		default:
			b.WriteByte(c)
		}
		i++
	}
	return 0, "", fmt.Errorf("its expression has a bracket that does not end")
}

func isSmall(c byte) bool { return 'a' <= c && c <= 'z' }
