package apply

import (
	"fmt"
	"strconv"
	"strings"
)

// Line is what one of the host's scripts says of an item, or of the run.
type Line struct {
	N     int    // the item's number in the manifest, from 1; 0: the run itself
	State string // one of LineStates
	Text  string // the item's path as the scripts show it: printable ASCII; of the run a clause, or ""
}

// LineStates are the states of a Line. Of an item: swapped; ours (what the run put there is there), already (what stood before is there),
// conflict (neither), lost (beside ours or conflict: what stood before is not to be had any more), restored, displaced (restored, and what was neither lies in displaced/), failed. Of the run: reloaded, confirmed,
// fenced, locked, busy, failed.
func LineStates() []string {
	return []string{"swapped", "ours", "already", "conflict", "lost", "restored", "displaced", "failed", "reloaded", "confirmed", "fenced", "locked", "busy"}
}

// The bounds of what a script prints.
const (
	maxLines    = 20_000
	maxLineText = 32 << 10
)

// ReadLines reads the standard output of swap.sh, restore.sh or confirm.sh. A last line without its end was cut and does not count; any
// other line that is none is an error.
func ReadLines(out []byte) ([]Line, error) {
	var lines []Line
	for text := range strings.Lines(string(out)) {
		text, whole := strings.CutSuffix(text, "\n")
		if !whole {
			break
		}
		if len(lines) == maxLines {
			return nil, fmt.Errorf("cannot read what the host's script says: more than %d lines", maxLines)
		}
		l, err := readLine(text)
		if err != nil {
			return nil, fmt.Errorf("cannot read what the host's script says: line %d: %w", len(lines)+1, err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func readLine(text string) (Line, error) {
	number, rest, _ := strings.Cut(text, " ")
	word, path, ok := strings.Cut(rest, " ")
	n, err := strconv.Atoi(number)
	switch {
	case err != nil || n < 0 || strconv.Itoa(n) != number:
		return Line{}, fmt.Errorf("%.40q does not begin with a number", text)
	case !ok:
		return Line{}, fmt.Errorf("%.40q has less than three parts", text)
	case len(path) > maxLineText || strings.IndexFunc(path, func(r rune) bool { return r < ' ' || r > '~' }) >= 0:
		return Line{}, fmt.Errorf("item %d: its text is too long or not printable", n)
	}
	for _, s := range LineStates() {
		if s == word {
			return Line{N: n, State: word, Text: path}, nil
		}
	}
	return Line{}, fmt.Errorf("%.20q is no state", word)
}
