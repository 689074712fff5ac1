package exim

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"mtaharden/remediate/mta"
)

// change is a new text for a range of bytes of a file.
type change struct {
	From, To int
	New      string
	fix      mta.Fix
}

// editor collects the changes of one call of edit, file by file.
type editor struct {
	m       *model
	files   []mta.File
	changes map[string][]change // by path
	remove  map[string][]mta.Fix
}

// edit returns the sources with the fixes made: in Debian's variables, local macros, template or conf.d, in a list's file, or in the
// configuration file itself. Bytes that no fix concerns stay as they are.
func edit(cfg *mta.Config, fixes []mta.Fix) ([]mta.File, error) {
	m, ok := cfg.Model.(*model)
	if !ok {
		return nil, fmt.Errorf("cannot edit the configuration: it was not read by this driver")
	}
	if m.snapshot != nil {
		if err := reloads(m.snapshot, m.in); err != nil {
			return nil, err
		}
	}
	e := &editor{m: m, files: slices.Clone(cfg.Files), changes: map[string][]change{}, remove: map[string][]mta.Fix{}}
	for _, f := range fixes {
		if err := e.one(f); err != nil {
			return nil, err
		}
	}
	for key, list := range e.remove {
		if err := e.removeAll(key, list); err != nil {
			return nil, err
		}
	}
	return e.result()
}

func (e *editor) one(f mta.Fix) error {
	if strings.ContainsAny(f.Name+f.Value, "\r\n\x00") || strings.ContainsFunc(f.Name, unicode.IsControl) {
		return fmt.Errorf("cannot set %q: a line break is within the name or the value, or a control character within the name", f.Name)
	}
	if strings.Contains(f.Value, "<secret ") {
		return fmt.Errorf("cannot set %s: the value holds the mark of a masked secret", f.Name)
	}
	switch {
	case f.Listener != "":
		return fmt.Errorf("cannot set %s for %s: Exim has one value for all listeners", f.Name, f.Listener)
	case strings.HasPrefix(f.Name, "/"):
		return e.commentLine(f)
	case strings.HasPrefix(f.Name, "acl ") && f.Op == mta.Unset:
		return e.commentBlock(f)
	case f.Op == mta.Remove:
		key, err := e.listKey(f)
		if err == nil {
			e.remove[key] = append(e.remove[key], f)
		}
		return err
	case strings.HasPrefix(f.Name, "dc_"):
		return e.variable(f)
	}
	return e.option(f)
}

// file returns a source and its number in e.files; it must be one that was read whole.
func (e *editor) file(path string) (*mta.File, error) {
	for i := range e.files {
		f := &e.files[i]
		if f.Path == path || f.Origin != nil && f.Origin.Path == path {
			if path == debOutput {
				return nil, fmt.Errorf("cannot edit %s: it is generated, and the line is in none of its sources", path)
			}
			return f, nil
		}
	}
	return nil, fmt.Errorf("cannot edit %s: it was not collected whole", path)
}

// lineRange is the byte range of a line, its end of line not included.
func lineRange(data []byte, line int) (from, to int, ok bool) {
	for n := 1; from <= len(data); n++ {
		end := len(data)
		if i := slices.Index(data[from:], '\n'); i >= 0 {
			end = from + i
		}
		if n == line {
			if end > from && data[end-1] == '\r' {
				end--
			}
			return from, end, from < len(data)
		}
		if end == len(data) {
			return 0, 0, false
		}
		from = end
		if from < len(data) {
			from++
		}
	}
	return 0, 0, false
}

// lines is the byte range of physical lines that stand in one file.
func (e *editor) lines(at []place) (f *mta.File, from, to int, err error) {
	if len(at) == 0 {
		return nil, 0, 0, fmt.Errorf("cannot edit: nothing is known of where it stands")
	}
	if f, err = e.file(at[0].File); err != nil {
		return nil, 0, 0, fmt.Errorf("%s: %w", at[0], err)
	}
	last := at[len(at)-1]
	if last.File != at[0].File || last.Line < at[0].Line {
		return nil, 0, 0, fmt.Errorf("%s: cannot edit a statement that is spread over files", at[0])
	}
	from, _, ok1 := lineRange(f.Data, at[0].Line)
	_, to, ok2 := lineRange(f.Data, last.Line)
	if !ok1 || !ok2 {
		return nil, 0, 0, fmt.Errorf("%s: cannot edit: there is no such line", at[0])
	}
	return f, from, to, nil
}

func (e *editor) put(f *mta.File, c change) {
	for _, old := range e.changes[f.Path] {
		if old.From == c.From && old.To == c.To && old.New == c.New {
			return
		}
	}
	e.changes[f.Path] = append(e.changes[f.Path], c)
}

// comment puts "# " before each line.
func (e *editor) comment(at []place, fix mta.Fix) error {
	for _, p := range at {
		f, from, _, err := e.lines([]place{p})
		if err != nil {
			return err
		}
		e.put(f, change{From: from, To: from, New: "# ", fix: fix})
	}
	return nil
}

// commentLine takes a line out of a list's file.
func (e *editor) commentLine(fix mta.Fix) error {
	if fix.Op != mta.Remove && fix.Op != mta.Unset {
		return fmt.Errorf("cannot edit %s: only taking entries out of a list's file is known", fix.Name)
	}
	f, err := e.file(fix.Name)
	if err != nil {
		return err
	}
	from, to, ok := lineRange(f.Data, fix.Line)
	if !ok || !strings.Contains(string(f.Data[from:to]), fix.Value) {
		return fmt.Errorf("%s:%d: cannot take out %q: it does not stand there", fix.Name, fix.Line, fix.Value)
	}
	e.put(f, change{From: from, To: from, New: "# ", fix: fix})
	return nil
}

// commentBlock comments out a verb of an ACL with its conditions and modifiers.
func (e *editor) commentBlock(fix mta.Fix) error {
	at := place{fix.File, fix.Line}
	for _, b := range e.m.cfg.acls[strings.TrimPrefix(fix.Name, "acl ")] {
		if b.At == at && (fix.Value == "" || fix.Value == b.Verb) {
			return e.comment(b.Lines, fix)
		}
	}
	return fmt.Errorf("%s: cannot comment out %s of %s: no such block stands there", at, fix.Value, fix.Name)
}

// option sets or unsets a main option, a named list or a macro.
func (e *editor) option(fix mta.Fix) error {
	s := e.statement(fix.Name)
	switch {
	case fix.Op == mta.Unset && s == nil:
		return nil
	case fix.Op == mta.Unset:
		return e.comment(s, fix)
	case fix.Op == mta.Add:
		return e.add(fix, s)
	case fix.Op != mta.Set:
		return fmt.Errorf("cannot %s %s: Exim's lists know set, unset, add and remove", fix.Op, fix.Name)
	case s == nil:
		return e.insert(fix)
	}
	f, from, to, err := e.lines(s)
	if err != nil {
		return err
	}
	text := string(f.Data[from:to])
	indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	if eq := strings.Index(text, "="); eq >= 0 {
		rest := text[eq+1:]
		start := eq + 1 + len(rest) - len(strings.TrimLeft(rest, " \t"))
		e.put(f, change{From: from + start, To: to, New: fix.Value, fix: fix})
		return nil
	}
	e.put(f, change{From: from, To: to, New: indent + fix.Name + " = " + fix.Value, fix: fix})
	return nil
}

// statement is where an option, a list ("hostlist NAME") or a macro is set, nil where it is not.
func (e *editor) statement(name string) []place {
	if o := e.m.cfg.options[name]; o != nil {
		return o.Statement.Lines
	}
	if l := e.m.cfg.lists[name]; l != nil {
		return l.Statement.Lines
	}
	if m := e.m.cfg.macro(name); m != nil && m.At.File != "" {
		if s := e.definition(m); s != nil {
			return s
		}
	}
	return nil
}

// definition is the range of lines of a macro's definition: it goes on while lines end in a backslash.
func (e *editor) definition(m *macro) []place {
	f, err := e.file(m.At.File)
	if err != nil {
		return nil
	}
	at := []place{m.At}
	for n := m.At.Line; ; n++ {
		from, to, ok := lineRange(f.Data, n)
		if !ok || !strings.HasSuffix(strings.TrimRight(string(f.Data[from:to]), " \t"), `\`) {
			return at
		}
		at = append(at, place{m.At.File, n + 1})
	}
}

// result applies the changes and returns the files that have any, the top file last.
func (e *editor) result() ([]mta.File, error) {
	var out []mta.File
	for _, f := range e.files {
		list := e.changes[f.Path]
		if len(list) == 0 {
			continue
		}
		data, err := apply(f, list)
		if err != nil {
			return nil, err
		}
		f.Data = data
		out = append(out, f)
	}
	slices.SortStableFunc(out, func(a, b mta.File) int { return e.rank(a) - e.rank(b) })
	return out, nil
}

// rank puts what is referred to before what refers to it.
func (e *editor) rank(f mta.File) int {
	switch {
	case f.Path == debConf || f.Path == e.m.in.Config:
		return 2
	case strings.HasPrefix(f.Path, "/etc/exim4/exim4.conf") || strings.HasPrefix(f.Path, debSplit):
		return 1
	}
	return 0
}

func apply(f mta.File, list []change) ([]byte, error) {
	slices.SortStableFunc(list, func(a, b change) int {
		if a.From != b.From {
			return a.From - b.From
		}
		return a.To - b.To
	})
	var out []byte
	at := 0
	for _, c := range list {
		if c.From < at {
			return nil, fmt.Errorf("cannot edit %s: two fixes, one of %s, touch the same place", f.Path, c.fix.Name)
		}
		if f.Origin != nil {
			for _, m := range f.Origin.Masks {
				if c.From < m.Offset+m.Length && m.Offset < c.To || c.From == c.To && m.Offset < c.From && c.From < m.Offset+m.Length {
					return nil, fmt.Errorf("cannot edit %s: the change of %s touches a masked secret", f.Path, c.fix.Name)
				}
			}
		}
		out = append(append(out, f.Data[at:c.From]...), c.New...)
		at = c.To
	}
	return append(out, f.Data[at:]...), nil
}
