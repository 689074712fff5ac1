package playbooks

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/agext/levenshtein"
)

//go:embed *.toml
var embedded embed.FS

// Baseline returns the rules that come with the program.
func Baseline() ([]Rule, error) {
	rules, err := Load(embedded)
	for i := range rules {
		rules[i].Source = Names()[0] + ".toml" // however many files it is kept in
	}
	return rules, err
}

// Names returns the names of the playbooks that come with the program.
func Names() []string { return []string{"baseline"} }

// Load reads every *.toml at the top of each file system, in order of name, and merges the rules by their id: a field that a later
// file gives takes the place of the earlier one, a want of a new name is added, a want of a known name is overridden field by field.
// The rules come in the order in which they were first named. An error names file, line and column.
func Load(systems ...fs.FS) ([]Rule, error) {
	var rules []Rule
	for _, system := range systems {
		names, err := fs.Glob(system, "*.toml")
		if err != nil {
			return nil, fmt.Errorf("cannot list playbooks: %w", err)
		}
		slices.Sort(names)
		for _, name := range names {
			data, err := fs.ReadFile(system, name)
			if err != nil {
				return nil, fmt.Errorf("cannot read playbook: %w", err)
			}
			if rules, err = Merge(rules, name, data); err != nil {
				return nil, err
			}
		}
	}
	return rules, nil
}

// maxFile bounds a playbook file; the embedded ones are a tenth of it.
const maxFile = 4 << 20

// Error is a mistake in a playbook file.
type Error struct {
	File      string
	Line, Col int // from 1; 0 where unknown
	Text      string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, max(e.Col, 1), e.Text)
}

// document is a playbook file, its rules and wants still undecoded so that they can be laid over what other files said.
type document struct {
	Rule map[string]toml.Primitive `toml:"rule"`
}

type ruleTable struct {
	*Rule
	Wants map[string]map[string]toml.Primitive `toml:"wants"`
	Guide map[string]map[string]toml.Primitive `toml:"guide"`
}

// Merge lays the playbook file data over rules and returns the new rules; the given ones are left as they are.
func Merge(rules []Rule, file string, data []byte) ([]Rule, error) {
	if len(data) > maxFile {
		return nil, &Error{File: file, Text: fmt.Sprintf("cannot load: larger than %d bytes", maxFile)}
	}
	m := merger{file: file, text: string(data), rules: slices.Clone(rules)}
	var doc document
	var err error
	if m.meta, err = toml.Decode(m.text, &doc); err != nil {
		return nil, m.decodeError(err)
	}
	for _, id := range m.children("rule") {
		if err := m.rule(id, doc.Rule[id]); err != nil {
			return nil, err
		}
	}
	for _, key := range m.meta.Undecoded() {
		return nil, m.unknownKey(key)
	}
	for _, id := range m.children("rule") {
		at := slices.IndexFunc(m.rules, func(r Rule) bool { return r.ID == id })
		for _, p := range check(m.rules[at]) {
			return nil, m.nearest(p.key, fmt.Sprintf("rule %s: %s", id, p.text))
		}
	}
	return m.rules, nil
}

type merger struct {
	file, text string
	meta       toml.MetaData
	rules      []Rule
}

// children returns the names directly below key, in the order of the file.
func (m *merger) children(key ...string) []string {
	var out []string
	for _, k := range m.meta.Keys() {
		if len(k) > len(key) && slices.Equal([]string(k[:len(key)]), key) && !slices.Contains(out, k[len(key)]) {
			out = append(out, k[len(key)])
		}
	}
	return out
}

var ruleID = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func (m *merger) rule(id string, p toml.Primitive) error {
	if !ruleID.MatchString(id) {
		return m.at(toml.Key{"rule", id}, fmt.Sprintf("rule id %q: lower-case letters, digits and single hyphens are allowed", id))
	}
	at := slices.IndexFunc(m.rules, func(r Rule) bool { return r.ID == id })
	rule := Rule{ID: id, Source: path.Base(m.file)}
	if at >= 0 {
		rule = m.rules[at].clone()
		rule.Source += ", " + path.Base(m.file)
	}
	table := ruleTable{Rule: &rule}
	if err := m.meta.PrimitiveDecode(p, &table); err != nil {
		return m.decodeError(err)
	}
	var err error
	if rule.Wants, err = m.wants(id, "wants", rule.Wants, table.Wants); err != nil {
		return err
	}
	if rule.Guide, err = m.wants(id, "guide", rule.Guide, table.Guide); err != nil {
		return err
	}
	if at >= 0 {
		m.rules[at] = rule
	} else {
		m.rules = append(m.rules, rule)
	}
	return nil
}

func (m *merger) wants(id, section string, have []Want, tables map[string]map[string]toml.Primitive) ([]Want, error) {
	for _, mta := range m.children("rule", id, section) {
		for _, name := range m.children("rule", id, section, mta) {
			p, ok := tables[mta][name]
			if !ok {
				continue // a deeper key of what could not be decoded; the decoder has said so
			}
			at := slices.IndexFunc(have, func(w Want) bool { return w.MTA == mta && w.Name == name })
			want := Want{MTA: mta, Name: name}
			if at >= 0 {
				want = have[at]
			}
			if err := m.meta.PrimitiveDecode(p, &want); err != nil {
				return nil, m.decodeError(err)
			}
			if at >= 0 {
				have[at] = want
			} else {
				have = append(have, want)
			}
		}
	}
	return have, nil
}

func (r Rule) clone() Rule {
	r.Wants, r.Guide, r.Controls = slices.Clone(r.Wants), slices.Clone(r.Guide), slices.Clone(r.Controls)
	manual, absent := map[string]Steps{}, map[string]Steps{}
	for k, v := range r.Manual {
		manual[k] = v
	}
	for k, v := range r.Absent {
		absent[k] = v
	}
	r.Manual, r.Absent = manual, absent
	return r
}

// at is an Error at the place of key.
func (m *merger) at(key toml.Key, text string) error {
	line, col := locate(m.text, key)
	return &Error{File: m.file, Line: line, Col: m.keyColumn(line, col, key), Text: text}
}

// keyColumn is where the key itself stands, which the decoder does not say: it knows where the value begins.
func (m *merger) keyColumn(line, col int, key toml.Key) int {
	lines := strings.Split(m.text, "\n")
	if line < 1 || line > len(lines) || col < 1 || col > len(lines[line-1])+1 {
		return col
	}
	text, name := lines[line-1], key[len(key)-1]
	if i := strings.LastIndex(text[:col-1], name); i >= 0 {
		return i + 1
	}
	if i := strings.Index(text, name); i >= 0 {
		return i + 1
	}
	return col
}

// nearest is an Error at the key, or at the nearest table around it that this file has: what is missing has no place of its own.
func (m *merger) nearest(key toml.Key, text string) error {
	for ; len(key) > 0; key = key[:len(key)-1] {
		if m.meta.IsDefined(key...) {
			return m.at(key, text)
		}
	}
	return &Error{File: m.file, Text: text}
}

// lastKey is how the decoder names the place of a type mismatch, the one kind of its errors that carries no column.
var lastKey = regexp.MustCompile(`^toml: line (\d+) \(last key ("(?:[^"\\]|\\.)*")\): (.*)$`)

func (m *merger) decodeError(err error) error {
	var parse toml.ParseError
	if errors.As(err, &parse) {
		return &Error{File: m.file, Line: parse.Position.Line, Col: parse.Position.Col, Text: parse.Message}
	}
	found := lastKey.FindStringSubmatch(err.Error())
	if found == nil {
		return &Error{File: m.file, Text: err.Error()}
	}
	line, _ := strconv.Atoi(found[1])
	name, _ := strconv.Unquote(found[2])
	e := &Error{File: m.file, Line: line, Text: fmt.Sprintf("key %q: %s", name, found[3])}
	key := toml.Key(strings.Split(name, "."))
	if l, c := locate(m.text, key); l == line {
		e.Col = m.keyColumn(l, c, key)
	}
	return e
}

// unknownKey is the error for a key that nothing reads, with the nearest key that is read at that place.
func (m *merger) unknownKey(key toml.Key) error {
	line, col := locate(m.text, key) // of the whole key: a table that is only named in longer keys has no place
	known := []string{"rule"}
	ofRule := append(keysOf(reflect.TypeFor[Rule]()), "wants", "guide")
	switch {
	case key[0] != "rule":
		key = key[:1]
	case len(key) >= 3 && !slices.Contains(ofRule, key[2]):
		key, known = key[:3], ofRule
	case len(key) == 5 && (key[2] == "manual" || key[2] == "absent"):
		known = keysOf(reflect.TypeFor[Steps]())
	case len(key) == 6:
		known = keysOf(reflect.TypeFor[Want]())
	case len(key) == 7:
		known = keysOf(reflect.TypeFor[Fix]())
	}
	last := key[len(key)-1]
	text := fmt.Sprintf("unknown key %q%s", last, suggest(last, known))
	return &Error{File: m.file, Line: line, Col: m.keyColumn(line, col, key), Text: text}
}

// keyOf is the TOML key of a field.
func keyOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
	return name
}

func keysOf(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		if name := keyOf(t.Field(i)); name != "-" {
			out = append(out, name)
		}
	}
	return out
}

// suggest names the nearest of the known words, or nothing where none is near.
func suggest(got string, known []string) string {
	best, least := "", min(max(len(got)/2, 1), 3)+1
	for _, word := range known {
		if d := levenshtein.Distance(strings.ToLower(got), strings.ToLower(word), nil); d < least {
			best, least = word, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// stop is decoded where a key's place is wanted: its refusal makes the decoder say where it is.
type stop struct{}

func (*stop) UnmarshalTOML(any) error { return errors.New("here") }

// locate returns the line and column of a key, or zeros. The decoder knows the places but tells them only in errors, so a type is
// made that refuses just that key.
func locate(text string, key toml.Key) (line, col int) {
	var shape any
	if _, err := toml.Decode(text, &shape); err != nil {
		return 0, 0
	}
	t, ok := shapeOf(shape, key)
	if !ok {
		return 0, 0
	}
	_, err := toml.Decode(text, reflect.New(t).Interface())
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		return 0, 0
	}
	return parse.Position.Line, parse.Position.Col
}

// shapeOf returns a type that decodes to nothing but the key, which it refuses.
func shapeOf(value any, key toml.Key) (reflect.Type, bool) {
	if len(key) == 0 {
		return reflect.TypeFor[stop](), true
	}
	switch v := value.(type) {
	case map[string]any:
		inner, ok := v[key[0]]
		if !ok || key[0] == "-" || strings.Contains(key[0], ",") {
			return nil, false // a struct tag cannot name these
		}
		t, ok := shapeOf(inner, key[1:])
		if !ok {
			return nil, false
		}
		tag := reflect.StructTag("toml:" + strconv.Quote(key[0]))
		return reflect.StructOf([]reflect.StructField{{Name: "F", Type: t, Tag: tag}}), true
	case []map[string]any:
		for _, item := range v {
			if t, ok := shapeOf(item, key); ok {
				return reflect.SliceOf(t), true
			}
		}
	case []any:
		for _, item := range v {
			if t, ok := shapeOf(item, key); ok {
				return reflect.SliceOf(t), true
			}
		}
	}
	return nil, false
}
