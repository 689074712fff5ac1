package report

import "io"

// JSON writes v as JSON on lines of its own, "" for one line, with every character that a terminal might obey written as an escape.
func JSON(w io.Writer, v any, indent string) error { return encode(w, v, indent) }

// Cell returns the text of a csv cell that no spreadsheet runs and no terminal obeys.
func Cell(s string) string { return harmless(s) }

// Clean returns a text of a host as one line that a terminal can show.
func Clean(s string) string { return clean(s) }
