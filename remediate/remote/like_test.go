package remote

import (
	"regexp"
	"strings"
	"testing"
)

func TestLike(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"?", "", false}, {"?", "a", true}, {"?", "é", false}, // two bytes
		{"*.example.com", "mx.example.com", true}, {"*.example.com", "example.com", false}, {"*.example.com", "mx.example.com.", false},
		{"mx?", "mx1", true}, {"mx?", "mx10", false}, {"192.0.2.*", "192.0.2.", true}, {"a*b*c", "abbbcbc", true}, {"a*b*c", "acb", false},
		{"[mx]", "m", false}, {"[mx]", "[mx]", true}, {`\*`, "*", false}, {`\*`, `\x`, true}, {"**", "x", true}, {"*?", "", false}, {"MX", "mx", false},
	} {
		if got := Like(c.pattern, c.name); got != c.want {
			t.Errorf("Like(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}

// FuzzLike compares with the regular expression of the same meaning.
func FuzzLike(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("*a*a*a*a*b", strings.Repeat("a", 40))
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 100 || len(name) > 200 || strings.ContainsFunc(pattern+name, func(r rune) bool { return r >= 0x80 }) {
			return // a regular expression's "." is a character, not a byte
		}
		re := regexp.MustCompile("(?s)^" + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern)) + "$")
		if got, want := Like(pattern, name), re.MatchString(name); got != want {
			t.Errorf("Like(%q, %q) = %v", pattern, name, got)
		}
	})
}
