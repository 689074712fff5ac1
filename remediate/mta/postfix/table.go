package postfix

import (
	"fmt"
	"slices"
	"strings"

	"mtaharden/remediate/facts"
)

// table is a lookup table "type:name" as far as the snapshot shows it.
type table struct {
	spec    string // as named, references expanded: "hash:/etc/postfix/access"
	kind    string // hash, cidr, regexp, static …, after any "proxy:"
	path    string // what stands behind the type
	keys    map[string]row
	rules   []rule // cidr, regexp, pcre, in order
	parts   []*table
	every   string // static: the value of every key
	unread  string // why its contents are not known
	missing string // why every lookup in it fails
}

// row is a key's value and where it stands (line 0: not in a file).
type row struct {
	value string
	line  int
}

// found is the answer of one lookup.
type found struct {
	ok     bool
	value  string
	line   int
	unread string // it is not known
	failed string // the lookup fails: Postfix answers 451
	asked  bool   // the host's postmap was asked
}

// hashed are the types whose text is a source for postmap, with the suffixes of what it makes.
var hashed = map[string][]string{
	"hash": {".db"}, "btree": {".db"}, "lmdb": {".lmdb"}, "cdb": {".cdb"}, "dbm": {".dir", ".pag"}, "sdbm": {".dir", ".pag"},
}

// isTable reports whether a list member names a lookup table: "type:name", not "[address]".
func isTable(text string) bool { return !strings.HasPrefix(text, "[") && strings.Contains(text, ":") }

// table opens a lookup table by its name; it is opened once.
func (m *model) table(spec string) *table {
	if t, ok := m.tables[spec]; ok {
		return t
	}
	t := &table{spec: spec}
	m.tables[spec] = t
	rest := spec
	for strings.HasPrefix(rest, "proxy:") {
		rest = rest[len("proxy:"):]
	}
	t.kind, t.path, _ = strings.Cut(rest, ":")
	switch _, isHash := hashed[t.kind]; {
	case strings.HasPrefix(spec, "{"):
		t.missing = "a table in braces serves check_ccert_access alone"
	case !m.supports(t.kind):
		t.missing = "this Postfix has no table type " + t.kind
	case isHash, t.kind == "texthash":
		t.open(m.snap, isHash)
	case t.kind == "cidr", t.kind == "regexp", t.kind == "pcre":
		t.openRules(m.snap)
	case t.kind == "inline":
		t.readInline()
	case t.kind == "static":
		t.every = staticValue(t.path)
	case t.kind == "fail":
		t.missing = "a table of type fail"
	case t.kind == "unionmap", t.kind == "pipemap":
		t.openParts(m)
	default:
		t.unread = fmt.Sprintf("%s: tables of type %s are not read", spec, t.kind)
	}
	return t
}

// supports reports whether this Postfix has the table type, as far as "postconf -m" was heard.
func (m *model) supports(kind string) bool {
	out, ok := m.snap.Output("postfix:" + m.dir + ":m")
	if !ok || out.Exit != 0 || len(out.Stdout) == 0 || kind == "proxy" {
		return true
	}
	return slices.Contains(strings.Fields(string(out.Stdout)), kind)
}

// staticValue is what stands behind "static:", without the braces of "static:{text}" (Postfix 3.0).
func staticValue(text string) string {
	if strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}") {
		text, _ = trimSpace(text[1 : len(text)-1])
	}
	return text
}

// open reads the text of a table of the hash family, or of texthash.
func (t *table) open(s *facts.Snapshot, compiled bool) {
	f, ok := s.File(t.path)
	if compiled {
		t.checkCompiled(s, f, ok && f.State != facts.Absent)
	}
	if t.missing != "" || t.unread != "" {
		return
	}
	if t.checkFile(f, ok); t.missing != "" || t.unread != "" {
		return
	}
	twice := 0
	if t.keys, twice = readKeys(f.Data); twice > 0 && !compiled {
		t.keys, t.missing = nil, fmt.Sprintf("%s:%d: duplicate entry", t.path, twice)
	}
}

// checkCompiled compares the compiled map, which is what Postfix reads, with its text.
func (t *table) checkCompiled(s *facts.Snapshot, text *facts.File, haveText bool) {
	for _, suffix := range hashed[t.kind] {
		c, ok := s.File(t.path + suffix)
		switch {
		case !ok:
		case c.State == facts.Absent:
			t.missing = t.path + suffix + " does not exist"
		case !haveText:
			t.unread = t.path + " was not collected: the compiled map has no text"
		case !c.ModTime.IsZero() && text.ModTime.After(c.ModTime):
			t.unread = fmt.Sprintf("%s is newer than %s: the live map may differ", t.path, t.path+suffix)
		}
	}
}

func (t *table) checkFile(f *facts.File, ok bool) {
	switch {
	case !ok:
		t.unread = t.path + " was not collected"
	case f.State == facts.Absent:
		t.missing = t.path + " does not exist"
	case f.State != facts.Whole:
		t.unread = fmt.Sprintf("%s is %s", t.path, f.State)
	case len(f.Masks) > 0:
		t.unread = t.path + " holds secrets"
	}
}

// readKeys reads "key value" lines; the first of two equal keys holds, as postmap(1) has it, and twice is the line of a second one. Keys
// are folded to lower case.
func readKeys(data []byte) (keys map[string]row, twice int) {
	keys = map[string]row{}
	lines, _ := logicalLines(data)
	for _, l := range lines {
		key, value := splitRow(l.text)
		if value == "" || key == "" {
			continue
		}
		key = strings.ToLower(key)
		if _, dup := keys[key]; !dup {
			keys[key] = row{value, l.line}
		} else if twice == 0 {
			twice = l.line
		}
	}
	return keys, twice
}

// splitRow parts a line at its first white space outside double quotes; the key keeps its quotes. A line with an odd quote is left out.
func splitRow(text string) (key, value string) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case text[i] == '"':
			quoted = !quoted
		case isSpace(text[i]) && !quoted:
			value, _ = trimSpace(text[i:])
			return text[:i], value
		}
	}
	return text, ""
}

// splitKey parts a table line at its first white space; a key may be in double quotes.
func splitKey(text string) (key, value string) {
	if strings.HasPrefix(text, `"`) {
		if end := strings.Index(text[1:], `"`); end >= 0 {
			value, _ = trimSpace(text[end+2:])
			return text[1 : end+1], value
		}
	}
	end := strings.IndexAny(text, " \t\n\v\f\r")
	if end < 0 {
		return text, ""
	}
	value, _ = trimSpace(text[end:])
	return text[:end], value
}

// readInline reads "inline:{ key=value, { key = text with blanks } }".
func (t *table) readInline() {
	body := t.path
	if !strings.HasPrefix(body, "{") || !strings.HasSuffix(body, "}") {
		t.missing = "bad syntax: " + t.spec
		return
	}
	t.keys = map[string]row{}
	for _, w := range splitList(body[1:len(body)-1], true) {
		item := w.text
		if strings.HasPrefix(item, "{") && strings.HasSuffix(item, "}") {
			item, _ = trimSpace(item[1 : len(item)-1])
		}
		key, value, ok := strings.Cut(item, "=")
		if !ok {
			t.missing = "bad syntax: " + t.spec
			return
		}
		key, _ = trimSpace(key)
		value, _ = trimSpace(value)
		t.keys[strings.ToLower(key)] = row{value: value}
	}
}

// fixed reports whether partial keys are looked up in the table (DICT_FLAG_FIXED): not so in tables of patterns.
func (t *table) fixed() bool {
	if len(t.parts) > 0 {
		return t.parts[0].fixed() // dict_union.c: "the first table determines the pattern-matching flags"
	}
	return t.kind != "cidr" && t.kind != "regexp" && t.kind != "pcre"
}

// look looks key up.
func (t *table) look(key string) found {
	switch {
	case t.missing != "":
		return found{failed: t.missing}
	case t.unread != "":
		return found{unread: t.unread}
	case t.parts != nil:
		return t.lookParts(key)
	case t.kind == "static":
		return found{ok: true, value: t.every}
	case t.keys != nil:
		r, ok := t.keys[strings.ToLower(key)]
		return found{ok: ok, value: r.value, line: r.line}
	}
	return lookRules(t.rules, key)
}

// values are the different values that the table may give, in the order of its text, and no more than one beyond what is followed; none
// where they are not known.
func (t *table) values() []string {
	var out []string
	add := func(v string) {
		if len(out) <= maxFollowed && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	if t.kind == "static" {
		add(t.every)
	}
	for _, v := range t.partValues() {
		add(v)
	}
	for _, k := range sortedKeys(t) {
		add(t.keys[k].value)
	}
	for i := range t.rules {
		if r := &t.rules[i]; !r.opens && !r.shuts {
			add(r.value)
		}
	}
	return out
}

// source is the file that the table's entries stand in, "" for none.
func (t *table) source() string {
	if strings.HasPrefix(t.path, "/") {
		return t.path
	}
	return ""
}
