package sendmail

import (
	"bytes"
	"strings"

	"mtaharden/remediate/judge"
)

// A program is what the rewriting rules of a .cf need to run: rulesets with the macros of the time they were read in them, classes and
// maps. It knows no generation of the m4 files: it runs whatever rules there are (op.me 5.2, "R and S -- Rewriting rules").
type program struct {
	cut     cutter
	blank   string // the option BlankSub: what stands between two atoms of a looked-up key
	level   int
	sets    map[string]*ruleset // by name or number
	macros  map[string]string   // as written, by name
	classes map[string]*class
	maps    map[string]lookup
	spent   int    // characters that macros came to while the rules were read
	broken  string // why the rules cannot be run at all
}

// maxExpanded bounds what the macros of a whole configuration may come to: one that names itself many times has no end.
const maxExpanded = 1 << 22

type ruleset struct {
	name  string
	rules []rule
}

// rule is an R line, cut into tokens.
type rule struct {
	lhs, rhs []token
	line     int
	text     string
}

// class is a set of words. Beyond them it may hold others that could not be read: then unread says why.
type class struct {
	words  map[string]judge.Line // by the word in small letters
	unread string
}

// surroundings is what a program takes from outside the .cf.
type surroundings struct {
	macros  map[string]string
	classes map[string][]string
	file    func(path string) (data []byte, there, known bool) // a file of class members
	lookup  func(cfMap) lookup
}

// compile makes a program of a configuration.
func compile(c *cf, out surroundings) *program {
	p := &program{
		cut: cutter{".:@[]"}, blank: " ", level: c.level,
		sets: map[string]*ruleset{}, macros: map[string]string{}, classes: map[string]*class{}, maps: map[string]lookup{},
	}
	for name, value := range out.macros {
		p.macros[name] = value
	}
	for name, words := range out.classes {
		for _, w := range words {
			p.class(name).add(w, judge.Line{Text: "class " + name + " holds " + w})
		}
	}
	p.options(c)
	var set *ruleset
	for _, l := range c.lines {
		text := p.munch(c.data[l.start:l.end])
		switch l.kind {
		case 'S':
			set = p.ruleset(text[1:])
		case 'R':
			if set == nil { // rules before the first S line are ruleset 0
				set = p.ruleset("0")
			}
			set.rules = append(set.rules, p.rule(text, l.line))
		case 'D':
			name, value := macroName(text[1:])
			p.macros[name] = value
		case 'C':
			p.words(c.path, text[1:], l)
		case 'F':
			p.classFile(parseClassFile(l), out.file)
		case 'K':
			k := parseMap(l)
			switch k.kind {
			case "sequence":
				p.maps[strings.ToLower(k.name)] = sequenceMap(k, p.maps)
			case "regex":
				p.maps[strings.ToLower(k.name)] = p.regexMap(c.path, text[1:], l)
			default:
				p.maps[strings.ToLower(k.name)] = out.lookup(k)
			}
		}
	}
	return p
}

// options reads the two options that decide how addresses are cut.
func (p *program) options(c *cf) {
	if v, ok := c.macros["o"]; ok && c.level < 7 {
		p.cut.operators = v.word
	}
	for _, o := range c.options {
		switch {
		case o.name == "OperatorChars" && o.value != "":
			p.cut.operators = o.value
		case o.name == "BlankSub" && o.value != "":
			p.blank = o.value[:1]
		}
	}
}

// munch takes comments out of a line of the .cf: from a "#" that is not the first character, nor behind a dollar or a backslash, with
// the blanks before it, to the end of the physical line (readcf.c).
func (p *program) munch(data []byte) string {
	line := bytes.TrimRight(data, "\r\n")
	var b []byte
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] != '#' || i == 0 || p.level > 0 && p.level < 3 || line[i-1] == '$':
			b = append(b, line[i])
		case line[i-1] == '\\':
			b[len(b)-1] = '#'
		default:
			b = bytes.TrimRight(b, " \t")
			for i+1 < len(line) && line[i+1] != '\n' {
				i++
			}
		}
	}
	return string(b)
}

// ruleset opens the ruleset of an S line: a name, a number, or both as "name=number".
func (p *program) ruleset(text string) *ruleset {
	name, number, _ := strings.Cut(text, "=")
	name, number = strings.TrimSpace(firstWord(name)), firstWord(number)
	name = strings.Trim(name, `"`)
	set := p.sets[name]
	if set == nil && number != "" {
		set = p.sets[number]
	}
	if set == nil {
		set = &ruleset{name: name}
	}
	p.sets[name] = set
	if number != "" {
		p.sets[number] = set
	}
	return set
}

// rule cuts an R line: left side, tabs, right side, tabs, comment.
func (p *program) rule(text string, line int) rule {
	lhs, rhs, _ := strings.Cut(text[1:], "\t")
	rhs = strings.TrimLeft(rhs, "\t")
	rhs, _, _ = strings.Cut(rhs, "\t")
	comments := p.level < 9
	return rule{
		lhs: p.cut.cut(p.expand(lhs, 0), comments), rhs: p.cut.cut(p.expand(rhs, 0), comments), line: line,
		text: strings.TrimSpace(lhs) + " → " + strings.TrimSpace(rhs),
	}
}

// expand replaces the macros of a text by their values and its metasymbols by tokens; $? $| $. choose by whether a macro is set.
func (p *program) expand(text string, depth int) []unit {
	if p.spent += len(text); p.spent > maxExpanded {
		p.broken = "its macros expand without end"
		return nil
	}
	var units []unit
	var skip []bool // for each open $?, whether its text is left out
	skipping := func() bool {
		for _, s := range skip {
			if s {
				return true
			}
		}
		return false
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '$' || i+1 == len(text) {
			if !skipping() {
				units = append(units, unit{char: text[i]})
			}
			continue
		}
		i++
		c := text[i]
		switch {
		case c == '?':
			name, n := dollarName(text[i+1:])
			i += n
			skip = append(skip, p.macros[name] == "")
		case c == '|' && len(skip) > 0:
			skip[len(skip)-1] = !skip[len(skip)-1]
		case c == '.' && len(skip) > 0:
			skip = skip[:len(skip)-1]
		case skipping():
			_, n := dollarName(text[i:])
			i += n - 1
		default:
			more, n := p.dollar(text[i:], depth)
			units = append(units, more...)
			i += n - 1
		}
	}
	return units
}

// dollar reads what stands behind a dollar, and says how many bytes that is.
func (p *program) dollar(text string, depth int) ([]unit, int) {
	switch c := text[0]; {
	case c == '$':
		return []unit{{char: '$'}}, 1
	case strings.IndexByte("=~&", c) >= 0:
		name, n := dollarName(text[1:])
		return []unit{{sym: symbol(c, name)}}, n + 1
	case c >= '1' && c <= '9':
		return []unit{{sym: symbol(c, "")}}, 1
	case strings.IndexByte("*+-@:#>[]()|", c) >= 0:
		return []unit{{sym: symbol(c, "")}}, 1
	}
	name, n := dollarName(text)
	if depth >= 10 || name == "" {
		return nil, max(n, 1)
	}
	return p.expand(p.macros[name], depth+1), n
}

// dollarName reads the name of a macro or class, "x" or "{long}", and says how many bytes that is.
func dollarName(text string) (string, int) {
	if text == "" {
		return "", 0
	}
	if text[0] == '{' {
		if end := strings.IndexByte(text, '}'); end > 0 {
			return text[1:end], end + 1
		}
	}
	return text[:1], 1
}

func (p *program) class(name string) *class {
	c := p.classes[name]
	if c == nil {
		c = &class{words: map[string]judge.Line{}}
		p.classes[name] = c
	}
	return c
}

// add puts a word into a class; the first place that names it stays.
func (c *class) add(word string, at judge.Line) {
	if word = strings.ToLower(word); word != "" {
		if old, ok := c.words[word]; !ok || old.File == "" {
			c.words[word] = at
		}
	}
}

// words reads a C line; "$=x" in it copies another class.
func (p *program) words(path, text string, l cfLine) {
	name, rest := macroName(text)
	into := p.class(name)
	var word []byte
	end := func() {
		if len(word) > 0 {
			into.add(string(word), judge.Line{File: path, Line: l.line, Text: "class " + name + " holds " + string(word)})
		}
		word = word[:0]
	}
	for _, u := range p.expand(rest, 0) {
		switch {
		case u.sym != "":
			end()
			if kind(u.sym) == '=' {
				into.merge(p.class(arg(u.sym)))
			}
		case u.char == ' ' || u.char == '\t' || u.char == '\n':
			end()
		default:
			word = append(word, u.char)
		}
	}
	end()
}

func (c *class) merge(from *class) {
	for w, at := range from.words {
		c.add(w, at)
	}
	if from.unread != "" {
		c.unread = from.unread
	}
}

// classFile reads the file of an F line.
func (p *program) classFile(f cfClassFile, read func(string) ([]byte, bool, bool)) {
	into := p.class(f.class)
	if f.program || !strings.HasPrefix(f.path, "/") {
		into.unread = "the words of class " + f.class + " come from " + f.path
		return
	}
	data, there, known := read(f.path)
	switch {
	case !known:
		into.unread = f.path + ", which holds words of class " + f.class + ", was not read"
	case there:
		for _, w := range parseMembers(data, f.format) {
			into.add(w.key, judge.Line{File: f.path, Line: w.line, Text: "class " + f.class + " holds " + w.key})
		}
	}
}
