package postfix

import (
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// member is one word of a list, with the place where it stands.
type member struct {
	text   string // references expanded
	origin mta.Origin
	param  string // the parameter in whose value it stands, "" for one in a list file
}

// members returns the words of a list parameter. A word that is only a reference ($other) gives the words of that parameter, with
// their own places.
func (m *model) members(name string, s *service) []member {
	m.meet(name)
	key := cacheKey{name, s}
	out, ok := m.words[key]
	if !ok {
		out = m.membersDeep(name, s, 0)
		m.words[key] = out
	}
	return out
}

func (m *model) membersDeep(name string, s *service, depth int) []member {
	raw, origin, _ := m.raw(name, s)
	if name == "mynetworks" && m.networksComputed(s) {
		raw = m.ownNetworks(s)
	}
	if depth > maxDepth {
		return nil
	}
	var out []member
	for _, w := range splitList(raw, true) {
		at := origin
		if line := m.lineOf(name, s, w.start); line > 0 {
			at.Line = line
		}
		if ref, ok := reference(w.text); ok && ref != name {
			out = append(out, m.membersDeep(ref, s, depth+1)...)
			continue
		}
		text, err := m.expand(w.text, s)
		if err != nil {
			continue
		}
		if text == w.text {
			out = append(out, member{text, at, name})
			continue
		}
		for _, part := range splitList(text, true) {
			out = append(out, member{part.text, at, name})
		}
	}
	return out
}

// reference returns the name of a word that is nothing but $name, ${name} or $(name).
func reference(word string) (string, bool) {
	body, ok := strings.CutPrefix(word, "$")
	if !ok {
		return "", false
	}
	if len(body) > 2 && (body[0] == '{' && body[len(body)-1] == '}' || body[0] == '(' && body[len(body)-1] == ')') {
		body = body[1 : len(body)-1]
	}
	return body, body != "" && nameLen(body) == len(body)
}

// lineOf is the line on which byte i of a parameter's value stands; 0 where the value stands in no file.
func (m *model) lineOf(name string, s *service, i int) int {
	if s != nil {
		if o, ok := s.override(name); ok {
			return lineAt(m.master.data, o.valueAt+i)
		}
	}
	if e, ok := m.main.get(name); ok {
		return lineAt(m.main.data, e.offset(i))
	}
	return 0
}

// maxPatterns bounds a match list with all the files it names.
const maxPatterns = 50000

// pattern is one member of a match list: mynetworks, relay_domains, mydestination …
type pattern struct {
	member
	negate bool
	table  *table
	unread string // a file of the list that was not collected
	failed string // a file of the list that does not exist: the lookup fails
}

// patterns parses a match list as match_list(3): members in order, "!" negates, "/file" is replaced by the file's members.
func (m *model) patterns(name string, s *service) []pattern {
	m.meet(name)
	key := cacheKey{name, s}
	if out, ok := m.lists[key]; ok {
		return out
	}
	var out []pattern
	for _, w := range m.members(name, s) {
		out = m.addPattern(out, w, false, 0)
	}
	m.lists[key] = out
	return out
}

func (m *model) addPattern(out []pattern, w member, negate bool, depth int) []pattern {
	for strings.HasPrefix(w.text, "!") {
		negate = !negate
		w.text = w.text[1:]
	}
	p := pattern{member: w, negate: negate}
	switch {
	case len(out) >= maxPatterns || depth > 20:
		p.unread = "the list is longer than this program follows"
	case strings.HasPrefix(w.text, "/"):
		return m.addFile(out, p, depth)
	case isTable(w.text):
		p.table = m.table(w.text)
	default:
		p.text = strings.ToLower(p.text)
	}
	return append(out, p)
}

func (m *model) addFile(out []pattern, p pattern, depth int) []pattern {
	f, ok := m.snap.File(p.text)
	switch {
	case !ok:
		p.unread = p.text + " was not collected"
		return append(out, p)
	case f.State == facts.Absent:
		p.failed = p.text + " does not exist"
		return append(out, p)
	case f.State != facts.Whole:
		p.unread = p.text + " is " + string(f.State)
		return append(out, p)
	}
	line := 0
	for text := range strings.Lines(string(f.Data)) {
		line++
		if trimmed, _ := trimSpace(text); strings.HasPrefix(trimmed, "#") {
			continue
		}
		for _, w := range splitList(text, true) {
			in := member{text: w.text, origin: mta.Origin{File: p.text, Line: line, How: "include"}}
			out = m.addPattern(out, in, p.negate, depth+1)
		}
	}
	return out
}
