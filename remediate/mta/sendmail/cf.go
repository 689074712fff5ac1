package sendmail

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// span is a stretch of bytes of a file and the line it begins on.
type span struct {
	start, end int // end is behind the line end
	line       int // from 1
}

// physical splits data into its lines; every byte belongs to exactly one.
func physical(data []byte) []span {
	var lines []span
	for start, n := 0, 1; start < len(data); n++ {
		end := len(data)
		if i := bytes.IndexByte(data[start:], '\n'); i >= 0 {
			end = start + i + 1
		}
		lines = append(lines, span{start, end, n})
		start = end
	}
	return lines
}

// lineEnd is the line end that most lines of data have.
func lineEnd(data []byte) string {
	if crlf := bytes.Count(data, []byte("\r\n")); crlf > 0 && crlf*2 > bytes.Count(data, []byte("\n")) {
		return "\r\n"
	}
	return "\n"
}

// cfLine is one logical line of a .cf: a line and those below it that begin with a space or a tab (op.me 5.1).
type cfLine struct {
	span
	kind byte   // the control character: O K D C F M R S V H P T E X Q; '#' for a comment, 0 for an empty line
	text string // behind the control character, continuation lines joined by one space, line ends gone
}

// cfOption is an O line.
type cfOption struct {
	name  string // long name as sendmail spells it; as written where it is none
	value string
	known bool
	line  cfLine
	at    int // offset of the value in the file, -1 where the line is folded
}

// cfMap is a K line.
type cfMap struct {
	name, kind, path string
	flags            []string
	line             cfLine
}

// cfMember is one word of a class, from a C line.
type cfMember struct {
	word string
	line cfLine
}

// cfClassFile is an F line.
type cfClassFile struct {
	class, path string
	format      string // of scanf, "" is "%s"
	optional    bool
	program     bool
	line        cfLine
}

// cfMailer is an M line.
type cfMailer struct {
	name   string
	fields map[string]string
	line   cfLine
}

// cfRule is an R line within its ruleset.
type cfRule struct {
	lhs, rhs string
	line     cfLine
}

// cf is a parsed configuration file.
type cf struct {
	path     string
	data     []byte
	lines    []cfLine
	level    int
	vendor   string
	options  []cfOption
	maps     []cfMap
	classes  map[string][]cfMember
	files    []cfClassFile
	macros   map[string]cfMember
	mailers  []cfMailer
	rulesets map[string][]cfRule
	unknown  []cfLine
}

// parseCF reads a .cf. It never fails: lines that sendmail would not know are in unknown.
func parseCF(path string, data []byte) *cf {
	c := &cf{path: path, data: data, classes: map[string][]cfMember{}, macros: map[string]cfMember{}, rulesets: map[string][]cfRule{}}
	c.lines = logical(data)
	ruleset := ""
	for _, l := range c.lines {
		if l.kind == 'S' {
			ruleset = c.ruleset(l)
			continue
		}
		c.add(l, ruleset)
	}
	return c
}

// logical joins continuation lines.
func logical(data []byte) []cfLine {
	var lines []cfLine
	for _, s := range physical(data) {
		text := strings.TrimRight(string(data[s.start:s.end]), "\r\n")
		if len(text) > 0 && (text[0] == ' ' || text[0] == '\t') && len(lines) > 0 && lines[len(lines)-1].kind != 0 {
			last := &lines[len(lines)-1]
			last.end = s.end
			last.text += " " + strings.TrimLeft(text, " \t")
			continue
		}
		l := cfLine{span: s}
		if strings.TrimSpace(text) != "" {
			l.kind, l.text = text[0], text[1:]
		}
		lines = append(lines, l)
	}
	return lines
}

// ruleset opens the ruleset of an S line and returns its name.
func (c *cf) ruleset(l cfLine) string {
	name, _, _ := strings.Cut(l.text, "=")
	name = firstWord(name)
	if _, ok := c.rulesets[name]; !ok {
		c.rulesets[name] = nil
	}
	return name
}

func firstWord(s string) string {
	if f := strings.Fields(s); len(f) > 0 {
		return f[0]
	}
	return ""
}

// add files one logical line.
func (c *cf) add(l cfLine, ruleset string) {
	switch l.kind {
	case 0, '#', 'H', 'P', 'T', 'E', 'X', 'Q', 'L':
	case 'V':
		c.version(l)
	case 'O':
		c.options = append(c.options, c.option(l))
	case 'K':
		c.maps = append(c.maps, parseMap(l))
	case 'D':
		name, value := macroName(l.text)
		c.macros[name] = cfMember{value, l}
	case 'C':
		name, value := macroName(l.text)
		for _, w := range strings.Fields(value) {
			c.classes[name] = append(c.classes[name], cfMember{w, l})
		}
	case 'F':
		c.files = append(c.files, parseClassFile(l))
	case 'M':
		c.mailers = append(c.mailers, parseMailer(l))
	case 'R':
		c.rulesets[ruleset] = append(c.rulesets[ruleset], parseRule(l))
	default:
		c.unknown = append(c.unknown, l)
	}
}

// version reads "10/Berkeley".
func (c *cf) version(l cfLine) {
	level, vendor, _ := strings.Cut(strings.TrimSpace(l.text), "/")
	if n, err := strconv.Atoi(strings.TrimSpace(level)); err == nil {
		c.level = n
	}
	c.vendor = vendor
}

// macroName parts "{long}value" or "xvalue".
func macroName(text string) (name, value string) {
	if strings.HasPrefix(text, "{") {
		if i := strings.IndexByte(text, '}'); i > 0 {
			return text[1:i], text[i+1:]
		}
		return "", text
	}
	if text == "" {
		return "", ""
	}
	return text[:1], text[1:]
}

// option reads "O Name=value" and the old single-letter "Oxvalue" (op.me 5.6).
func (c *cf) option(l cfLine) cfOption {
	o := cfOption{line: l, at: -1}
	if strings.HasPrefix(l.text, " ") {
		name, value, has := strings.Cut(l.text, "=")
		o.name, o.known = longOption(strings.TrimSpace(name))
		o.value = strings.TrimSpace(value)
		if has {
			o.at = c.valueAt(l, len(name)+2)
		}
		return o
	}
	if l.text == "" {
		return o
	}
	o.name, o.known = letterOption(l.text[0])
	o.value = strings.TrimSpace(l.text[1:])
	o.at = c.valueAt(l, 2)
	return o
}

// valueAt is the offset of the first value byte, skip bytes into the line, spaces passed over.
func (c *cf) valueAt(l cfLine, skip int) int {
	at := l.start + skip
	for at < l.end && (c.data[at] == ' ' || c.data[at] == '\t') {
		at++
	}
	return at
}

// parseMap reads "Kname type -flags path".
func parseMap(l cfLine) cfMap {
	m := cfMap{line: l}
	f := strings.Fields(l.text)
	if len(f) > 0 {
		m.name = f[0]
	}
	if len(f) > 1 {
		m.kind = f[1]
	}
	for _, w := range f[min(2, len(f)):] {
		switch {
		case strings.HasPrefix(w, "-"):
			m.flags = append(m.flags, w)
		case m.path == "":
			m.path = w
		}
	}
	return m
}

// parseClassFile reads "Fw-o /path %[^\#]", "F{R}/path", "Fw|program".
func parseClassFile(l cfLine) cfClassFile {
	f := cfClassFile{line: l}
	name, value := macroName(l.text)
	f.class = name
	value = strings.TrimSpace(value)
	if rest, ok := strings.CutPrefix(value, "-o"); ok {
		f.optional, value = true, strings.TrimSpace(rest)
	}
	if strings.HasPrefix(value, "|") {
		f.program, f.path = true, value[1:]
		return f
	}
	f.path = firstWord(value)
	f.format = strings.TrimSpace(strings.TrimPrefix(value, f.path))
	return f
}

// parseMailer reads "Msmtp, P=[IPC], F=mDFMuX, A=TCP $h".
func parseMailer(l cfLine) cfMailer {
	m := cfMailer{line: l, fields: map[string]string{}}
	parts := strings.Split(l.text, ",")
	m.name = strings.TrimSpace(parts[0])
	for _, p := range parts[1:] {
		if k, v, ok := strings.Cut(p, "="); ok && strings.TrimSpace(k) != "" {
			m.fields[strings.TrimSpace(k)[:1]] = strings.TrimSpace(v)
		}
	}
	return m
}

// parseRule reads "Rlhs<tabs>rhs<tabs>comment".
func parseRule(l cfLine) cfRule {
	r := cfRule{line: l}
	r.lhs, r.rhs, _ = strings.Cut(l.text, "\t")
	r.rhs = strings.TrimLeft(r.rhs, "\t ")
	r.rhs, _, _ = strings.Cut(r.rhs, "\t")
	return r
}

// has reports whether a ruleset of that name is there, with or without rules.
func (c *cf) has(name string) bool {
	_, ok := c.rulesets[name]
	return ok
}

// mapNamed returns the K line of name.
func (c *cf) mapNamed(name string) (cfMap, bool) {
	for _, m := range c.maps {
		if m.name == name {
			return m, true
		}
	}
	return cfMap{}, false
}

// alien says why the text is no sendmail configuration at all, or "".
func (c *cf) alien() string {
	switch {
	case len(bytes.TrimSpace(c.data)) == 0:
		return "it is empty"
	case len(c.mailers) == 0:
		return "it names no mailer, so it is no sendmail configuration"
	case len(c.options) == 0 && len(c.rulesets) == 0:
		return "it has neither options nor rulesets, so it is no sendmail configuration"
	}
	return ""
}

// whole says why sendmail would not take the text, or "".
func (c *cf) whole() string {
	if why := c.alien(); why != "" {
		return why
	}
	if len(c.unknown) > 0 {
		return fmt.Sprintf("line %d is no configuration line: sendmail refuses to start with it", c.unknown[0].line)
	}
	return ""
}
