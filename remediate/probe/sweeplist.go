package probe

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxList is how long a list of targets may be, in bytes.
const MaxList = 16 << 20

// mistakesShown bounds what is said of one list.
const mistakesShown = 20

// Mistakes are the errors of one list of targets.
type Mistakes []string

func (m Mistakes) Error() string { return strings.Join(m, "\n") }

// ParseTargets reads a list: a target a line, blank lines and what follows a # left out. Every mistake is told with its FILE:LINE:COL, columns counted
// in characters from 1.
func ParseTargets(file, text string) ([]Target, error) {
	var out []Target
	var bad Mistakes
	for i, line := range strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n") {
		t, err := listLine(file, i+1, strings.TrimSuffix(line, "\r"))
		switch {
		case err != nil && len(bad) == mistakesShown:
			return nil, append(bad, file+": there are more mistakes")
		case err != nil:
			bad = append(bad, err.Error())
		case t.Text != "":
			out = append(out, t)
		}
	}
	if bad != nil {
		return nil, bad
	}
	if len(out) == 0 {
		return nil, Mistakes{fmt.Sprintf("%s: it names no target", file)}
	}
	return out, nil
}

// listLine is the target of one line; the zero Target where there is none.
func listLine(file string, n int, line string) (Target, error) {
	line, _, _ = strings.Cut(line, "#")
	word := strings.TrimSpace(line)
	if word == "" {
		return Target{}, nil
	}
	col := utf8.RuneCountInString(line[:strings.Index(line, word)]) + 1
	at := func(more int) string { return fmt.Sprintf("%s:%d:%d", file, n, col+more) }
	if i := strings.IndexAny(word, " \t"); i >= 0 {
		rest := strings.TrimLeft(word[i:], " \t")
		return Target{}, fmt.Errorf("%s: %q is one target too many for a line", at(utf8.RuneCountInString(word)-utf8.RuneCountInString(rest)), rest)
	}
	if strings.HasPrefix(word, "@") {
		return Target{}, fmt.Errorf("%s: %q: a list names no further list", at(0), word)
	}
	t, err := ParseTarget(word)
	if err != nil {
		more := 0
		if m, ok := err.(*mistake); ok {
			more = m.at
		}
		return Target{}, fmt.Errorf("%s: %w", at(more), err)
	}
	t.At = at(0)
	return t, nil
}
