package remote

import (
	"fmt"
	"strings"
)

const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-"

// CommandLine returns argv as one line that every login shell splits into the same words: the Bourne family, csh and tcsh, fish.
// They agree on single quotes only for what is neither a quote, a backslash (fish takes \\ and \' inside quotes for escapes) nor an exclamation mark (csh
// expands its history even there); those three stand outside the quotes, each behind a backslash, which all of them read alike. A line break or another
// control character has no such form.
func CommandLine(argv []string) (string, error) {
	words := make([]string, len(argv))
	for i, w := range argv {
		var err error
		if words[i], err = neutralWord(w); err != nil {
			return "", fmt.Errorf("word %d of the command: %v", i+1, err)
		}
	}
	return strings.Join(words, " "), nil
}

func neutralWord(w string) (string, error) {
	if w != "" && strings.Trim(w, plain) == "" {
		return w, nil
	}
	var b strings.Builder
	quoted := false
	quote := func(on bool) {
		if on != quoted {
			b.WriteByte('\'')
			quoted = on
		}
	}
	for i := range len(w) {
		switch c := w[i]; {
		case c < ' ' && c != '\t' || c == 0x7f:
			return "", fmt.Errorf("%q holds a control character: sh, csh and fish read it differently", w)
		case c >= 0x80:
			return "", fmt.Errorf("%q is not ASCII: what a shell makes of it depends on its locale", w)
		case c == '\'' || c == '\\' || c == '!':
			quote(false)
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			quote(true)
			b.WriteByte(c)
		}
	}
	quote(false)
	if w == "" {
		return "''", nil
	}
	return b.String(), nil
}
