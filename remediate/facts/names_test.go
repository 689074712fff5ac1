package facts

import (
	"regexp"
	"testing"
)

// The parts are one text, and of two functions of a name the shell keeps the last: each name stands once.
func TestFunctionNames(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z0-9_]+)\(\)`).FindAllStringSubmatch(Script(), -1) {
		if seen[m[1]] {
			t.Errorf("%s stands twice", m[1])
		}
		seen[m[1]] = true
	}
	if len(seen) < 30 {
		t.Errorf("only %d functions were found", len(seen))
	}
}
