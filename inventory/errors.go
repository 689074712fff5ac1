package inventory

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/agext/levenshtein"
)

// Error is one mistake in an inventory file.
type Error struct {
	File string
	Line int // from 1; 0 where the file as a whole is meant
	Col  int // from 1, in characters
	Text string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Text
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Text)
}

// Errors are the mistakes found in one load, in the order of the files. At most 50 are kept; More counts the rest.
type Errors struct {
	List []*Error
	More int
}

func (e *Errors) Error() string {
	lines := make([]string, len(e.List), len(e.List)+1)
	for i, one := range e.List {
		lines[i] = one.Error()
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.More))
	}
	return strings.Join(lines, "\n")
}

const maxErrors = 50

func (e *Errors) put(one *Error) {
	if len(e.List) == maxErrors {
		e.More++
		return
	}
	e.List = append(e.List, one)
}

// key notes a mistake at the key of n.
func (e *Errors) key(n *node, format string, args ...any) { e.offset(n.file, n.at, format, args...) }

// val notes a mistake at the value of n.
func (e *Errors) val(n *node, format string, args ...any) { e.offset(n.file, n.val, format, args...) }

func (e *Errors) offset(s *source, offset int, format string, args ...any) {
	line, col := s.place(offset)
	e.put(&Error{s.name, line, col, fmt.Sprintf(format, args...)})
}

// syntax notes what the decoder said.
func (e *Errors) syntax(s *source, err error) {
	var own *Error
	if errors.As(err, &own) {
		e.put(own)
		return
	}
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		e.put(&Error{File: s.name, Text: err.Error()})
		return
	}
	at := parse.Position
	line, col := at.Line, at.Col
	if at.Start <= len(s.text) {
		line, col = s.place(at.Start)
	}
	text := parse.Message
	if text == "" {
		text = strings.TrimPrefix(parse.Error(), "toml: ")
	}
	if key, ok := strings.CutPrefix(text, "Key '"); ok {
		text = s.twice(strings.TrimSuffix(key, "' has already been defined."), s.lines[line-1], text)
	}
	e.put(&Error{s.name, line, col, text})
}

// twice says where a key that stands twice stood first: somewhere before end.
func (s *source) twice(key string, end int, text string) string {
	before := &scanner{file: s, text: s.text[:end]}
	first := before.document().find(key, nil)
	if first == nil {
		return text
	}
	what := "key " + key
	for _, word := range []string{"host", "group"} {
		if name, ok := strings.CutPrefix(key, word+"s."); ok && first.table != nil {
			what = word + " " + name
		}
	}
	return what + " is there twice: first at " + where(first)
}

// sort brings the mistakes into the order of the files, and of the places in them.
func (e *Errors) sort(files []string) {
	slices.SortStableFunc(e.List, func(a, b *Error) int {
		return cmp.Or(slices.Index(files, a.File)-slices.Index(files, b.File), a.Line-b.Line, a.Col-b.Col)
	})
}

// hint is `: did you mean "word"?` with the word nearest to what was written, or "" where none is near.
func hint(written string, words []string) string {
	best, least := "", 1+len(written)/3
	for _, w := range words {
		if len(w)-len(written) > least || len(written)-len(w) > least {
			continue
		}
		if d := levenshtein.Distance(strings.ToLower(written), strings.ToLower(w), nil); d < least || d == least && best == "" {
			best, least = w, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", best)
}
