package sendmail

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// change replaces the bytes [start,end) of a file by text.
type change struct {
	start, end int
	text       string
}

// edits collects the changes of one call of edit, by file, and carries them out once all are placed.
type edits struct {
	m       *model
	files   map[string][]change
	created mta.File // a file that was not there; Path is "" for none
}

// edit returns the sources with the fixes made. Fixes are placed one after another, each upon the result of those before.
func edit(c *mta.Config, fixes []mta.Fix) ([]mta.File, error) {
	m, ok := c.Model.(*model)
	if !ok {
		return nil, fmt.Errorf("cannot edit %s: it was not read by this driver", c.Install.Config)
	}
	done := map[mta.Fix]bool{}
	for _, f := range fixes {
		if strings.ContainsAny(f.Value+f.Name, "\r\n\x00") {
			return nil, fmt.Errorf("cannot set %s: the value holds a line break", clip(f.Name))
		}
		wish := f
		wish.Line = 0 // a fix takes every entry or call of the name: one for each line is the same wish
		if done[wish] {
			continue
		}
		done[wish] = true
		next, err := m.apply(f)
		if err != nil {
			return nil, err
		}
		m = next
	}
	before := c.Model.(*model)
	var out []mta.File
	for _, path := range liveOrder(m) {
		if now := m.files[path]; !bytes.Equal(now.Data, before.files[path].Data) {
			out = append(out, now)
		}
	}
	return out, nil
}

// liveOrder is the order in which edited files go live: maps and lists first, then what refers to them.
func liveOrder(m *model) []string {
	rank := func(path string) int {
		switch {
		case path == m.source(m.cf.path):
			return 3
		case m.mc != nil && path == m.source(m.mcPath):
			return 2
		case m.mc != nil && slices.ContainsFunc(m.mc.files, func(f *m4File) bool { return m.source(f.path) == path }):
			return 1
		}
		return 0
	}
	order := slices.Clone(m.order)
	slices.SortStableFunc(order, func(a, b string) int { return rank(a) - rank(b) })
	return order
}

// apply makes one fix and returns the model of the result.
func (m *model) apply(f mta.Fix) (*model, error) {
	e := &edits{m: m, files: map[string][]change{}}
	var err error
	switch {
	case f.Name == "access", f.Name == "relay-domains":
		err = e.entry(f)
	case f.Name == "helpfile":
		err = e.help(f)
	case strings.HasPrefix(f.Name, "mc:"):
		err = e.macro(f)
	case strings.HasPrefix(f.Name, "mailer:"):
		err = e.mailer(f)
	case f.Name == "class:R":
		err = e.class(f)
	case f.Name == guardFix:
		err = e.guard(f)
	case f.Name == "rule":
		err = e.rule(f)
	default:
		err = e.option(f)
	}
	if err != nil {
		return nil, err
	}
	return e.result()
}

// result carries the changes out, refuses those that touch a mask, and reads the changed sources again.
func (e *edits) result() (*model, error) {
	next := *e.m
	next.files = map[string]mta.File{}
	maps.Copy(next.files, e.m.files)
	next.masks = map[string][]facts.Mask{}
	maps.Copy(next.masks, e.m.masks)
	for path, changes := range e.files {
		f, ok := next.files[path]
		if !ok {
			return nil, fmt.Errorf("cannot edit %s: its text was not collected", path)
		}
		masks := e.m.masksOf(f)
		if err := unmasked(f, masks, changes); err != nil {
			return nil, err
		}
		next.masks[path] = shifted(masks, changes)
		f.Data = splice(f.Data, changes)
		next.files[path] = f
	}
	if e.created.Path != "" {
		next.files[e.created.Path] = e.created
		next.order = append(slices.Clone(next.order), e.created.Path)
	}
	next.reread()
	return &next, nil
}

// reread parses the edited bytes, so that a later fix is placed upon them.
func (m *model) reread() {
	bytesOf := func(path string) ([]byte, bool) {
		f, ok := m.files[m.source(path)]
		return f.Data, ok
	}
	if data, ok := bytesOf(m.cf.path); ok {
		m.cf = parseCF(m.cf.path, data)
	}
	if m.mc != nil {
		if data, ok := bytesOf(m.mcPath); ok {
			m.mc = readMC(m.mcPath, data, bytesOf)
		}
	}
	if m.access != nil {
		t := *m.access
		if data, ok := bytesOf(t.text); ok {
			t.entries, t.bad = parseEntries(data)
		}
		m.access = &t
	}
	if m.help != nil {
		if data, ok := bytesOf(m.help.Path); ok {
			h := *m.help
			h.Data = data
			m.help = &h
		}
	}
}

// splice makes changes, which do not overlap, in data.
func splice(data []byte, changes []change) []byte {
	sorted := slices.Clone(changes)
	slices.SortStableFunc(sorted, func(a, b change) int { return a.start - b.start })
	var out []byte
	at := 0
	for _, c := range sorted {
		if c.start < at {
			continue // the same place twice
		}
		out = append(append(out, data[at:c.start]...), c.text...)
		at = c.end
	}
	return append(out, data[at:]...)
}

// masksOf are the masks of a file as it stands after the edits so far.
func (m *model) masksOf(f mta.File) []facts.Mask {
	if masks, ok := m.masks[f.Path]; ok {
		return masks
	}
	if f.Origin == nil {
		return nil
	}
	return f.Origin.Masks
}

// shifted are masks after changes that touch none of them.
func shifted(masks []facts.Mask, changes []change) []facts.Mask {
	var moved []facts.Mask
	for _, k := range masks {
		at := k.Offset
		for _, c := range changes {
			if c.end <= at {
				k.Offset += len(c.text) - (c.end - c.start)
			}
		}
		moved = append(moved, k)
	}
	return moved
}

// unmasked refuses changes that reach into a secret, whose bytes are not known here.
func unmasked(f mta.File, masks []facts.Mask, changes []change) error {
	for _, c := range changes {
		for _, k := range masks {
			if c.start < k.Offset+k.Length && k.Offset < c.end {
				return fmt.Errorf("cannot edit %s:%d: a secret stands there", f.Path, 1+bytes.Count(f.Data[:min(c.start, len(f.Data))], []byte("\n")))
			}
		}
	}
	return nil
}

// put notes a change.
func (e *edits) put(path string, start, end int, text string) {
	path = e.m.source(path)
	e.files[path] = append(e.files[path], change{start, end, text})
}

// data are the bytes of a source, and an error that names it where there are none.
func (e *edits) data(path string) ([]byte, error) {
	f, ok := e.m.files[e.m.source(path)]
	if !ok {
		return nil, fmt.Errorf("cannot edit %s: its text was not collected", path)
	}
	return f.Data, nil
}

// entry adds a line to a map's or list's text, or removes the lines of a key.
func (e *edits) entry(f mta.Fix) error {
	path := f.File
	if path == "" && f.Name == "access" && e.m.access != nil {
		path = e.m.access.text
	}
	if path == "" {
		path = e.m.relayFile()
	}
	data, err := e.data(path)
	if err != nil {
		return err
	}
	entries, _ := parseEntries(data)
	if f.Name == "relay-domains" {
		entries = parseWords(data)
	}
	key := strings.TrimSpace(f.Value)
	if f.Op == mta.Add || f.Op == mta.Set {
		return e.addLine(path, data, key)
	}
	found := false
	for _, en := range entries {
		if strings.EqualFold(en.key, key) {
			found = true
			e.put(path, en.start, en.end, "")
		}
	}
	if !found {
		return fmt.Errorf("cannot remove %s from %s: there is no such entry", clip(key), path)
	}
	return nil
}

// relayFile is the file of class R.
func (m *model) relayFile() string {
	for _, f := range m.cf.files {
		if f.class == "R" && !f.program {
			return f.path
		}
	}
	return "/etc/mail/relay-domains"
}

// addLine puts a line at the end of a file, with the file's own line end.
func (e *edits) addLine(path string, data []byte, line string) error {
	if line == "" {
		return fmt.Errorf("cannot add an empty line to %s", path)
	}
	text := line + lineEnd(data)
	if len(data) > 0 && data[len(data)-1] != '\n' {
		text = lineEnd(data) + line
	}
	e.put(path, len(data), len(data), text)
	return nil
}

// plainHelp is a help file that names no product. Without "#vers 2" sendmail puts its version before it.
const plainHelp = "#vers\t2\nsmtp\tThis server takes mail.\n"

// help takes the lines out of the help file that show product or version.
func (e *edits) help(f mta.Fix) error {
	if e.m.help == nil && f.Op == mta.Set && strings.HasPrefix(f.File, "/") {
		e.created = mta.File{Path: f.File, Data: []byte(plainHelp), Created: true}
		return nil
	}
	if e.m.help == nil {
		return fmt.Errorf("cannot edit the help file: there is none")
	}
	data, err := e.data(e.m.help.Path)
	if err != nil {
		return err
	}
	lines, version2 := helpLines(data)
	for _, l := range lines {
		// without "#vers 2" sendmail itself puts its version before the first line of the topic
		if !version2 || product.MatchString(l.value) {
			e.put(e.m.help.Path, l.start, l.end, "")
		}
	}
	return nil
}

// class takes a word out of the C lines of class R in a .cf that has no source.
func (e *edits) class(f mta.Fix) error {
	for _, w := range e.m.cf.classes["R"] {
		if !strings.EqualFold(w.word, f.Value) {
			continue
		}
		line := string(e.m.cf.data[w.line.start:w.line.end])
		at := strings.Index(line[2:], w.word) + 2
		if strings.Contains(strings.TrimRight(line, "\r\n"), "\n") || at < 2 {
			return fmt.Errorf("cannot edit %s:%d: the line is folded", e.m.cf.path, w.line.line)
		}
		if len(strings.Fields(w.line.text)) == 1 || strings.TrimSpace(line[2:]) == w.word {
			e.put(e.m.cf.path, w.line.start, w.line.end, "")
			return nil
		}
		end := at + len(w.word)
		for end < len(line) && (line[end] == ' ' || line[end] == '\t') {
			end++
		}
		e.put(e.m.cf.path, w.line.start+at, w.line.start+end, "")
		return nil
	}
	return fmt.Errorf("cannot remove %s from class R: no line of %s holds it", clip(f.Value), e.m.cf.path)
}
