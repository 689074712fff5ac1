package probe

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFinderWords: of every match, one of the words is part.
func TestFinderWords(t *testing.T) {
	for _, c := range []struct {
		expression string
		want       []string
	}{
		{`(?i)relaying denied`, []string{"relaying denied"}},
		{`(?i)relay(ing)? .*(denied|not (allow|permit))`, []string{"relay"}},
		{`(?i)\bssl\b|encrypt`, []string{"ssl", "encrypt"}},
		{`(?i)a{2,3}bcd?`, []string{"bc"}},
		{`(?i)(?:yes|no)+`, []string{"yes", "no"}},
		{`(?i)(?:yes)?`, nil},
		{`(?i)word|.*`, nil},
		{`(?i)[- ]`, nil},
		{`(?i)größe|b`, nil},
		{``, nil},
	} {
		f, err := newFinder(c.expression)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, f.words); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.expression, diff)
		}
	}
}

// FuzzFinder: no text that an expression of the tables matches is passed over for want of its words.
func FuzzFinder(f *testing.F) {
	table, err := loadTables()
	if err != nil {
		f.Fatal(err)
	}
	var all []*finder
	for _, r := range table.replies {
		if r.text != nil {
			all = append(all, r.text)
		}
	}
	for _, p := range table.products {
		all = append(all, p.shown)
		if p.sign != nil {
			all = append(all, p.sign)
		}
	}
	searched := 0
	for _, x := range all {
		if len(x.words) > 0 {
			searched++
		}
	}
	if searched < len(all)/2 {
		f.Fatalf("only %d of %d expressions have words: this looks at nothing", searched, len(all))
	}
	for line := range strings.Lines(repliesTOML + productsTOML) {
		if word, text, _ := strings.Cut(line, " = "); word == "text" || word == "shown" || word == "sign" {
			f.Add(strings.ToUpper(text))
		}
	}
	replies, err := os.ReadFile("testdata/replies.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(replies)) {
		f.Add(line)
	}
	f.Add("5.7.1 Relay acceſſ denied")
	f.Fuzz(func(t *testing.T, text string) {
		lower, ascii := folded(text)
		for _, x := range all {
			if !x.may(lower, ascii) && x.MatchString(text) {
				t.Errorf("%q matches %s and holds none of %q", text, x, x.words)
			}
		}
	})
}
