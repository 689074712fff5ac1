package postfix

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"mtaharden/remediate/mta"
)

// edit returns the source files with the fixes made: tables first, then master.cf, main.cf last.
func edit(c *mta.Config, fixes []mta.Fix) ([]mta.File, error) {
	m, ok := c.Model.(*model)
	if !ok {
		return nil, fmt.Errorf("cannot edit: the configuration was not read by this driver")
	}
	e := &editor{c: c, m: m, data: map[string][]byte{}}
	for _, f := range fixes {
		if err := e.fix(f); err != nil {
			return nil, err
		}
	}
	return e.files(), nil
}

// editor holds the working copies of the files that were touched.
type editor struct {
	c    *mta.Config
	m    *model
	data map[string][]byte // by the file's path as collected
}

// files are the changed files in the order in which they go live.
func (e *editor) files() []mta.File {
	var tables, tops []mta.File
	for _, f := range e.c.Files {
		data, ok := e.data[f.Origin.Path]
		if !ok || bytes.Equal(data, f.Data) {
			continue
		}
		f.Data = data
		switch f.Origin.Path {
		case e.m.main.path:
			tops = append(tops, f)
		case e.m.master.path:
			tops = slices.Insert(tops, 0, f)
		default:
			tables = append(tables, f)
		}
	}
	return append(tables, tops...)
}

// original is the file of that path among the sources.
func (e *editor) original(path string) (mta.File, error) {
	for _, f := range e.c.Files {
		if f.Origin.Path == path || f.Path == path {
			return f, nil
		}
	}
	return mta.File{}, fmt.Errorf("cannot edit %s: it is no source that was read", path)
}

// text is the present state of a file.
func (e *editor) text(path string) ([]byte, error) {
	f, err := e.original(path)
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(f.Data, 0) >= 0 {
		return nil, fmt.Errorf("cannot edit %s: it holds a NUL byte", path)
	}
	if d, ok := e.data[f.Origin.Path]; ok {
		return d, nil
	}
	return f.Data, nil
}

// splice replaces the bytes from..to of a file. It refuses to touch, or to write, what stands for a secret.
func (e *editor) splice(path string, from, to int, text string) error {
	f, err := e.original(path)
	if err != nil {
		return err
	}
	data, err := e.text(path)
	if err != nil {
		return err
	}
	for _, mask := range f.Origin.Masks {
		mark := f.Origin.Data[mask.Offset : mask.Offset+mask.Length]
		if bytes.Contains(data[from:to], mark) || strings.Contains(text, string(mark)) {
			return fmt.Errorf("cannot edit %s:%d: the place holds a secret", path, lineAt(data, from))
		}
	}
	after := slices.Concat(data[:from], []byte(text), data[to:])
	if whole := text == "" && to > from && data[to-1] == '\n'; !whole && isComment(after, from) && !isComment(data, from) {
		return fmt.Errorf("cannot edit %s:%d: the rest of the line would become a comment", path, lineAt(data, from))
	}
	e.data[f.Origin.Path] = after
	return nil
}

// isComment says whether the line that holds offset is one that Postfix skips for its first character (postconf(5)).
func isComment(data []byte, offset int) bool {
	from, to := wholeLine(data, offset)
	return bytes.HasPrefix(bytes.TrimLeft(data[from:to], " \t\v\f\r"), []byte("#"))
}

func (e *editor) fix(f mta.Fix) error {
	if strings.ContainsAny(f.Value, "\r\n\x00") {
		return fmt.Errorf("cannot edit %s: the value has a line break", f.Name)
	}
	if f.Name == "" && f.File == "" {
		return fmt.Errorf("cannot edit: the fix names no setting")
	}
	if f.Op == mta.Remove && f.File != "" && f.File != e.m.main.path && f.File != e.m.master.path {
		return e.removeRow(f)
	}
	if nameLen(f.Name) != len(f.Name) || f.Name == "" {
		return fmt.Errorf("cannot edit %q: no parameter has such a name", f.Name)
	}
	if f.Listener != "" {
		return e.fixOverrides(f, e.behind(f.Listener), true)
	}
	if err := e.fixMain(f); err != nil {
		return err
	}
	return e.fixOverrides(f, nil, false)
}

// behind names the services of a listener whose overrides count: front and talking one.
func (e *editor) behind(addr string) []string {
	l, ok := e.m.find(addr)
	if !ok {
		return []string{}
	}
	names := []string{}
	if l.smtpd != nil {
		names = append(names, l.smtpd.title())
	}
	return names
}

// fixMain makes a fix in main.cf.
func (e *editor) fixMain(f mta.Fix) error {
	data, err := e.text(e.m.main.path)
	if err != nil {
		return err
	}
	src := parseMain(e.m.main.path, data)
	ent, set := src.get(f.Name)
	switch f.Op {
	case mta.Set:
		if !set {
			if v, err := e.m.expand(f.Value, nil); err == nil && v == e.m.value(f.Name, nil) && e.m.has(f.Name) {
				return nil // the default is already that
			}
			return e.appendMain(src, f.Name, f.Value)
		}
		return e.setAll(f.Name, f.Value)
	case mta.Unset:
		return e.unsetAll(f.Name)
	case mta.Add:
		if !set {
			return e.addToDefault(src, f)
		}
		return e.rewriteList(ent, f)
	case mta.Remove:
		switch {
		case f.File == e.m.master.path:
			return nil
		case !set:
			return e.removeFromDefault(src, f)
		}
		return e.removeItem(f)
	}
	return fmt.Errorf("cannot edit %s: unknown operation %q", f.Name, f.Op)
}

// has reports whether the parameter exists in this version, by its default.
func (m *model) has(name string) bool {
	_, ok := m.defaults[name]
	return ok
}

// appendMain adds a line at the end, with the file's own line ends.
func (e *editor) appendMain(src *mainFile, name, value string) error {
	eol := "\n"
	if bytes.Contains(src.data, []byte("\r\n")) {
		eol = "\r\n"
	}
	text := name + " = " + value
	if value == "" {
		text = name + " ="
	}
	if n := len(src.data); n > 0 && src.data[n-1] != '\n' {
		text = eol + text
	}
	return e.splice(src.path, len(src.data), len(src.data), text+eol)
}

// setAll gives every entry of name the value, the last first, so that offsets hold.
func (e *editor) setAll(name, value string) error {
	data, err := e.text(e.m.main.path)
	if err != nil {
		return err
	}
	entries := parseMain(e.m.main.path, data).entries
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].name != name {
			continue
		}
		if err := e.setValue(&entries[i], value); err != nil {
			return err
		}
	}
	return nil
}

// setValue replaces the value of an entry. Its continuation lines go, the comments between them stay.
func (e *editor) setValue(ent *entry, value string) error {
	if ent.value == value {
		return nil
	}
	parts := ent.parts()
	for i := len(parts) - 1; i > 0; i-- {
		data, _ := e.text(e.m.main.path)
		from, to := wholeLine(data, parts[i].start)
		if err := e.splice(e.m.main.path, from, to, ""); err != nil {
			return err
		}
	}
	text := value
	data, _ := e.text(e.m.main.path)
	if at := parts[0].start; parts[0].end == at && value != "" && data[at-1] == '=' {
		text = " " + value
	}
	return e.splice(e.m.main.path, parts[0].start, parts[0].end, text)
}

// span is a range of bytes of a file.
type span struct{ start, end int }

// parts are the pieces of an entry's value, one a line, without white space at their ends. The first stands on the line of the name, and
// is empty where the value begins on the next.
func (e *entry) parts() []span {
	if e.value == "" {
		at := e.offset(0)
		return []span{{at, at}}
	}
	var out []span
	first := e.pos[0] // the = sign's line
	for i := 0; i < e.at && i < len(e.pos); i++ {
		if i == 0 || e.pos[i] == e.pos[i-1]+1 {
			first = e.pos[i] + 1
		}
		if e.text[i] == '=' {
			break
		}
	}
	last := -2
	for i := 0; i < len(e.value); i++ {
		at := e.pos[e.at+i]
		switch {
		case len(out) == 0 || at != last+1:
			out = append(out, span{at, at})
			fallthrough
		default:
			if !isSpace(e.value[i]) {
				out[len(out)-1].end = at + 1
			}
		}
		last = at
	}
	return e.beginParts(out, first)
}

// beginParts puts an empty first part behind the = where the value begins on a later line, and drops parts of white space alone.
func (e *entry) beginParts(parts []span, first int) []span {
	out := slices.DeleteFunc(parts, func(p span) bool { return p.end <= p.start })
	for i := 0; i+1 < len(e.pos) && i < e.at; i++ {
		if e.pos[i+1] != e.pos[i]+1 && i >= strings.IndexByte(e.text, '=') {
			return slices.Insert(out, 0, span{first, first})
		}
	}
	return out
}

// wholeLine is the line that holds offset, with its line end.
func wholeLine(data []byte, offset int) (from, to int) {
	from = bytes.LastIndexByte(data[:offset], '\n') + 1
	to = len(data)
	if i := bytes.IndexByte(data[offset:], '\n'); i >= 0 {
		to = offset + i + 1
	}
	return from, to
}

// unsetAll takes every entry of name out: its lines go, comments and blank lines between them stay.
func (e *editor) unsetAll(name string) error {
	data, err := e.text(e.m.main.path)
	if err != nil {
		return err
	}
	entries := parseMain(e.m.main.path, data).entries
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].name != name {
			continue
		}
		if err := e.dropLogical(e.m.main.path, &entries[i].logical); err != nil {
			return err
		}
	}
	return nil
}

// dropLogical takes the lines of a logical line out of a file, last line first.
func (e *editor) dropLogical(path string, l *logical) error {
	data, err := e.text(path)
	if err != nil {
		return err
	}
	previous := -1
	for i := len(l.pos) - 1; i >= 0; i-- {
		from, to := wholeLine(data, l.pos[i])
		if from == previous {
			continue
		}
		previous = from
		if err := e.splice(path, from, to, ""); err != nil {
			return err
		}
	}
	return nil
}
