package exim

import (
	"fmt"
	"strings"
)

// place is a physical line of a source file.
type place struct {
	File string
	Line int // from 1
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// physical is one line of a source, its end of line taken off.
type physical struct {
	place
	Text string
}

// statement is a logical line: continuations joined, comments and blank lines gone.
type statement struct {
	Section string // "main", "acl", "routers", …
	Raw     string // as written
	Text    string // macros replaced
	Lines   []place
	Nested  bool // it stands within .ifdef … .endif
}

func (s *statement) at() place { return s.Lines[0] }

// macro is a definition of the configuration file, or one of the command line or of the program itself.
type macro struct {
	Name, Value string // Value with earlier macros replaced
	Raw         string
	At          place
}

// program is a configuration after macros, conditions and includes have been carried out.
type program struct {
	Statements []*statement
	Macros     []*macro
	Passed     []place  // lines that a condition left out
	Defined    []place  // lines that define macros
	Files      []string // in the order they were opened
	Missing    []string // included, and not in the snapshot
}

// bounds of what is read: a real configuration has some thousand lines.
const (
	maxLines   = 200000
	maxDepth   = 16
	maxLogical = 1 << 20
)

// opener returns the text of a file; known is false where the snapshot does not hold it, exists is then what is known of it.
type opener func(path string) (data []byte, exists, known bool)

// splitLines cuts data into physical lines. A last line without an end counts.
func splitLines(file string, data []byte) []physical {
	var out []physical
	text := string(data)
	for n := 1; text != ""; n++ {
		line, rest, _ := strings.Cut(text, "\n")
		out = append(out, physical{place{file, n}, strings.TrimSuffix(line, "\r")})
		text = rest
	}
	return out
}

// parser carries out a configuration as readconf.c's get_config_line does (Exim specification, chapter 6).
type parser struct {
	program
	open    opener
	section string
	builtin []string
	skip    []bool // for each open condition: its lines are passed over
	done    []bool // for each open condition: a branch has been taken
	logical *statement
	lines   int
}

// parse carries out lines and what they include. macros are those of the command line, builtin the names that the program defines.
func parse(lines []physical, open opener, macros []*macro, builtin []string) (*program, error) {
	p := &parser{open: open, section: "main", builtin: builtin}
	p.Macros = append(p.Macros, macros...)
	if err := p.feed(lines, 0); err != nil {
		return &p.program, err
	}
	p.end()
	if len(p.skip) > 0 && len(lines) > 0 {
		return &p.program, fmt.Errorf("%s: cannot read the configuration: .ifdef without .endif", lines[len(lines)-1].place)
	}
	return &p.program, nil
}

func (p *parser) feed(lines []physical, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: cannot read the configuration: includes nest deeper than %d", lines[0].place, maxDepth)
	}
	for _, l := range lines {
		if p.lines++; p.lines > maxLines {
			return fmt.Errorf("%s: cannot read the configuration: more than %d lines", l.place, maxLines)
		}
		text := strings.TrimRight(l.Text, " \t\f\v\r")
		trimmed := strings.TrimLeft(text, " \t\f\v")
		if strings.HasPrefix(trimmed, "#") || (trimmed == "" && p.logical == nil) {
			continue
		}
		if strings.HasPrefix(trimmed, ".") {
			if handled, err := p.directive(trimmed, l.place, depth); handled || err != nil {
				if err != nil {
					return err
				}
				continue
			}
		}
		if p.skipping() {
			p.Passed = append(p.Passed, l.place)
			continue
		}
		if err := p.add(text, trimmed, l.place); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) skipping() bool {
	for _, s := range p.skip {
		if s {
			return true
		}
	}
	return false
}

// add appends one physical line to the logical one, and ends it where no backslash continues it.
func (p *parser) add(text, trimmed string, at place) error {
	more := strings.HasSuffix(text, `\`)
	piece := text
	if p.logical != nil {
		piece = trimmed
	}
	if more {
		piece = piece[:max(len(piece)-1, 0)]
	}
	if p.logical == nil {
		p.logical = &statement{Section: p.section, Nested: len(p.skip) > 0}
	}
	l := p.logical
	if len(l.Text)+len(piece) > maxLogical {
		return fmt.Errorf("%s: cannot read the configuration: a logical line of more than %d bytes", at, maxLogical)
	}
	l.Raw += piece
	// A macro is replaced in each physical line before lines are joined. Its definition keeps its own name.
	if isDefinition(l.Raw) && len(l.Lines) == 0 {
		name, value, _ := strings.Cut(piece, "=")
		l.Text = name + "=" + p.expand(value)
	} else {
		l.Text += p.expand(piece)
	}
	l.Lines = append(l.Lines, at)
	if len(l.Text) > maxLogical {
		return fmt.Errorf("%s: cannot read the configuration: a logical line of more than %d bytes", at, maxLogical)
	}
	if !more {
		p.end()
	}
	return nil
}

// end takes the logical line as a statement.
func (p *parser) end() {
	l := p.logical
	p.logical = nil
	if l == nil {
		return
	}
	l.Raw, l.Text = strings.TrimSpace(l.Raw), strings.TrimSpace(l.Text)
	if l.Text == "" {
		p.Passed = append(p.Passed, l.Lines...)
		return
	}
	if isDefinition(l.Raw) {
		p.Defined = append(p.Defined, l.Lines...)
		p.define(l)
		return
	}
	if word, rest, _ := strings.Cut(l.Text, " "); word == "begin" {
		p.section = strings.TrimSpace(rest)
		l.Section = p.section
	}
	p.Statements = append(p.Statements, l)
}

// isDefinition says whether a logical line defines a macro: an upper-case letter first, then letters, digits, "_", then "=".
func isDefinition(s string) bool {
	s = strings.TrimLeft(s, " \t")
	if s == "" || s[0] < 'A' || s[0] > 'Z' {
		return false
	}
	i := 0
	for i < len(s) && isWord(s[i]) {
		i++
	}
	return strings.HasPrefix(strings.TrimLeft(s[i:], " \t"), "=")
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// define makes or, with "==", changes a macro. A macro of the command line wins over the file's.
func (p *parser) define(l *statement) {
	name, raw, _ := strings.Cut(l.Raw, "=")
	_, value, _ := strings.Cut(l.Text, "=")
	name = strings.TrimSpace(name)
	again := strings.HasPrefix(raw, "=")
	m := &macro{Name: name, Value: trimValue(value), Raw: trimValue(raw), At: l.at()}
	for i, old := range p.Macros {
		if old.Name == name {
			// An earlier definition in the file makes "=" an error of Exim's own, which -bV reports.
			if again && old.At.File != "" {
				p.Macros[i] = m
			}
			return
		}
	}
	p.Macros = append(p.Macros, m)
}

func trimValue(s string) string { return strings.TrimSpace(strings.TrimPrefix(s, "=")) }

// expand replaces every macro, in the order of definition; a name is replaced wherever it stands, within words too.
func (p *program) expand(s string) string {
	for _, m := range p.Macros {
		if strings.Contains(s, m.Name) && len(s) < maxLogical {
			s = strings.ReplaceAll(s, m.Name, m.Value)
		}
	}
	return s
}

// names says whether s holds the name of a macro.
func (p *parser) names(s string) bool {
	for _, m := range p.Macros {
		if strings.Contains(s, m.Name) {
			return true
		}
	}
	for _, name := range p.builtin {
		if strings.Contains(s, name) {
			return true
		}
	}
	return false
}

// directive carries out a line that begins with a dot. Other lines with a dot are ordinary text.
func (p *parser) directive(line string, at place, depth int) (bool, error) {
	word, rest, _ := strings.Cut(strings.Replace(line, "\t", " ", 1), " ")
	switch word {
	case ".ifdef", ".ifndef":
		hit := p.names(rest) == (word == ".ifdef")
		p.skip, p.done = append(p.skip, !hit), append(p.done, hit)
	case ".elifdef", ".elifndef", ".else", ".endif":
		last := len(p.skip) - 1
		if last < 0 {
			return true, fmt.Errorf("%s: cannot read the configuration: %s without .ifdef", at, word)
		}
		if word == ".endif" {
			p.skip, p.done = p.skip[:last], p.done[:last]
			break
		}
		hit := !p.done[last] && (word == ".else" || p.names(rest) == (word == ".elifdef"))
		p.skip[last], p.done[last] = !hit, p.done[last] || hit
	case ".include", ".include_if_exists":
		if p.skipping() {
			return true, nil
		}
		return true, p.include(strings.TrimSpace(p.expand(rest)), at, word == ".include_if_exists", depth)
	default:
		return false, nil
	}
	return true, nil
}

func (p *parser) include(name string, at place, ifExists bool, depth int) error {
	name = strings.Trim(name, `"`)
	if !strings.HasPrefix(name, "/") {
		if i := strings.LastIndex(at.File, "/"); i >= 0 {
			name = at.File[:i+1] + name
		}
	}
	data, exists, known := p.open(name)
	switch {
	case !known:
		p.Missing = append(p.Missing, name)
		return nil
	case !exists && ifExists:
		return nil
	case !exists:
		return fmt.Errorf("%s: cannot read the configuration: it includes %s, which does not exist", at, name)
	}
	p.Files = append(p.Files, name)
	return p.feed(splitLines(name, data), depth+1)
}
