package probe

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// finder is an expression behind a cheaper question: an ASCII text that holds none of the words, in lower case, cannot match it. An audit of twenty
// hosts holds some forty expressions against each of four thousand replies, and Go's regexp looks at every byte of each for every alternative.
type finder struct {
	*regexp.Regexp
	words []string // none: every text has to be looked at
}

func newFinder(expression string) (*finder, error) {
	re, err := regexp.Compile(expression)
	if err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, err
	}
	return &finder{re, words(tree)}, nil
}

// may says whether a text can match at all. Outside ASCII the folding of case is not that of ToLower ("ſ" is an s to an expression).
func (f *finder) may(lower string, ascii bool) bool {
	if len(f.words) == 0 || !ascii {
		return true
	}
	for _, w := range f.words {
		if strings.Contains(lower, w) {
			return true
		}
	}
	return false
}

// folded is a text in lower case, and whether it is ASCII.
func folded(text string) (lower string, ascii bool) {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return text, false
		}
	}
	return strings.ToLower(text), true
}

// words returns texts in lower case of which every match holds at least one; none where there are no such texts.
func words(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		if lower, ascii := folded(string(re.Rune)); ascii && lower != "" {
			return []string{lower}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return words(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return words(re.Sub[0])
		}
	case syntax.OpConcat:
		var best []string
		for _, sub := range re.Sub {
			if w := words(sub); shortest(w) > shortest(best) {
				best = w
			}
		}
		return best
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			w := words(sub)
			if len(w) == 0 {
				return nil
			}
			all = append(all, w...)
		}
		return all
	}
	return nil
}

// shortest is the length of the shortest word, in bytes; 0 where there is none.
func shortest(words []string) int {
	least := 0
	for i, w := range words {
		if i == 0 || len(w) < least {
			least = len(w)
		}
	}
	return least
}
