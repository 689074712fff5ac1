package inventory

import (
	"errors"
	"fmt"
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
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		e.put(&Error{File: s.name, Text: err.Error()})
		return
	}
	text := parse.Message
	if text == "" {
		text = strings.TrimPrefix(parse.Error(), "toml: ")
	}
	e.put(&Error{s.name, parse.Position.Line, parse.Position.Col, text})
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
