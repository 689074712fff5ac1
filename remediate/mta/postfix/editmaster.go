package postfix

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"mtaharden/remediate/mta"
)

// fixOverrides makes a fix in master.cf: in the services named (nil: all) that override the parameter; with add, a service that does not
// is given the override.
func (e *editor) fixOverrides(f mta.Fix, titles []string, add bool) error {
	if len(e.m.master.services) == 0 {
		return nil
	}
	if add && len(titles) == 0 {
		return fmt.Errorf("cannot edit %s: no service listens on %s", f.Name, f.Listener)
	}
	data, err := e.text(e.m.master.path)
	if err != nil {
		return err
	}
	if owner := e.owner(f); owner != "" {
		titles, add = []string{owner}, false
	}
	services := parseMaster(e.m.master.path, data).services
	for i := len(services) - 1; i >= 0; i-- {
		s := &services[i]
		if titles != nil && !slices.Contains(titles, s.title()) || titles == nil && s.command != "smtpd" && s.command != "postscreen" {
			continue
		}
		if err := e.fixService(f, s, add); err != nil {
			return err
		}
	}
	return nil
}

// owner is the service whose -o holds the entry that a fix takes away by its place in master.cf, "" where the fix names no such place. It
// need not be one that listens: the rewrite service has overrides of its own.
func (e *editor) owner(f mta.Fix) string {
	if f.Op != mta.Remove || f.File != e.m.master.path {
		return ""
	}
	for i := range e.m.master.services {
		s := &e.m.master.services[i]
		if o, ok := s.override(f.Name); ok && o.line <= f.Line && f.Line <= lineAt(e.m.master.data, o.to) {
			return s.title()
		}
	}
	return ""
}

func (e *editor) fixService(f mta.Fix, s *service, add bool) error {
	found := false
	for i := len(s.overrides) - 1; i >= 0; i-- {
		o := &s.overrides[i]
		if o.name != f.Name {
			continue
		}
		found = true
		if err := e.fixOverride(f, s, o); err != nil {
			return err
		}
	}
	if found || !add {
		return nil
	}
	switch f.Op {
	case mta.Set:
		return e.addOverride(s, f.Name, f.Value)
	case mta.Add:
		general := e.m.value(f.Name, nil)
		return e.addOverride(s, f.Name, withMember(general, f.Value))
	}
	return nil
}

func (e *editor) fixOverride(f mta.Fix, s *service, o *override) error {
	switch f.Op {
	case mta.Set:
		return e.writeOverride(s, o, f.Value)
	case mta.Add:
		return e.writeOverride(s, o, withMember(o.value, f.Value))
	case mta.Unset:
		return e.dropOverride(s, o)
	case mta.Remove:
		if f.File == e.m.main.path {
			return nil
		}
		from, to, ok := e.findMember(o.value, f.Value)
		if !ok {
			return nil
		}
		words := splitList(o.value, true)
		if f.Name == "mynetworks" && e.losesLoopback(words, from, to) {
			return e.writeOverride(s, o, o.value[:words[from].start]+strings.ReplaceAll(loopbackNets, " ", ",")+o.value[words[to].end:])
		}
		if len(words) == to-from+1 {
			return e.dropOverride(s, o)
		}
		if to+1 < len(words) {
			return e.writeOverride(s, o, o.value[:words[from].start]+o.value[words[to+1].start:])
		}
		return e.writeOverride(s, o, o.value[:words[from-1].end])
	}
	return fmt.Errorf("cannot edit %s: unknown operation %q", f.Name, f.Op)
}

// writeOverride gives an override a new value, in the form it is written in where that can hold the value.
func (e *editor) writeOverride(s *service, o *override, value string) error {
	if value == o.value {
		return nil
	}
	data, _ := e.text(e.m.master.path)
	end := o.valueAt + len(o.value)
	braces := bytes.IndexByte(data[o.from:o.to], '{') >= 0
	if o.value != "" && end <= o.to && string(data[o.valueAt:end]) == o.value && (braces || !strings.ContainsAny(value, " \t")) {
		return e.splice(e.m.master.path, o.valueAt, end, value)
	}
	text, err := e.overrideText(o.name, value)
	if err != nil {
		return fmt.Errorf("cannot edit %s:%d: %w", e.m.master.path, o.line, err)
	}
	if o.flags != "" {
		text = "-" + o.flags + " " + text
	}
	return e.splice(e.m.master.path, o.from, o.to, text)
}

// overrideText is the option as master.cf has it: before 3.0 a value may hold no blank, and lists are parted by commas.
func (e *editor) overrideText(name, value string) (string, error) {
	if !strings.ContainsAny(value, " \t") {
		return "-o " + name + "=" + value, nil
	}
	if atLeast(e.m.version, "3.0") {
		return "-o { " + name + " = " + value + " }", nil
	}
	var words []string
	for _, w := range splitList(value, false) {
		words = append(words, w.text)
	}
	if isList := strings.HasSuffix(name, "_restrictions") || name == "mynetworks" || strings.HasSuffix(name, "_domains"); !isList {
		return "", fmt.Errorf("%s: before Postfix 3.0 the value of an -o cannot hold blanks", name)
	}
	return "-o " + name + "=" + strings.Join(words, ","), nil
}

// addOverride gives a service a new -o on a line of its own, indented like its others.
func (e *editor) addOverride(s *service, name, value string) error {
	text, err := e.overrideText(name, value)
	if err != nil {
		return fmt.Errorf("cannot edit %s:%d: %w", e.m.master.path, s.line, err)
	}
	data, _ := e.text(e.m.master.path)
	last := s.pos[s.fields[len(s.fields)-1].end-1] + 1
	_, to := wholeLine(data, last-1)
	eol := "\n"
	if to-2 >= 0 && to <= len(data) && strings.HasSuffix(string(data[:to]), "\r\n") {
		eol = "\r\n"
	}
	line := "  " + text + eol
	if !strings.HasSuffix(string(data[:to]), "\n") {
		line = eol + "  " + text
	}
	return e.splice(e.m.master.path, to, to, line)
}

// dropOverride takes an -o out, and its line where nothing else stands on it; what is written in one word with it stays (the v of -vo).
func (e *editor) dropOverride(s *service, o *override) error {
	if o.flags != "" {
		return e.splice(e.m.master.path, o.from, o.to, "-"+o.flags)
	}
	data, _ := e.text(e.m.master.path)
	from, to := wholeLine(data, o.from)
	if o.to <= to && onlyBlank(data[from:o.from]) && onlyBlank(data[o.to:to]) {
		return e.splice(e.m.master.path, from, to, "")
	}
	begin := o.from
	for begin > from && isSpace(data[begin-1]) {
		begin--
	}
	if begin == from {
		end := o.to
		for end < len(data) && (data[end] == ' ' || data[end] == '\t') {
			end++
		}
		return e.splice(e.m.master.path, o.from, end, "")
	}
	return e.splice(e.m.master.path, begin, o.to, "")
}

func onlyBlank(data []byte) bool {
	return !slices.ContainsFunc(data, func(c byte) bool { return !isSpace(c) })
}
