package probe

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

// product is a row of products.toml.
type product struct {
	Name  string
	Shown string
	Sign  string

	system      bool // a system or a version, no product
	shown, sign *finder
}

func loadProducts() ([]product, error) {
	var data struct{ Product, System []product }
	meta, err := toml.Decode(productsTOML, &data)
	if err != nil {
		return nil, fmt.Errorf("cannot read the table of products: %w", err)
	}
	if more := meta.Undecoded(); len(more) > 0 {
		return nil, fmt.Errorf("cannot read the table of products: unknown key %s", more[0])
	}
	for i := range data.System {
		data.System[i].system = true
	}
	all := append(data.Product, data.System...)
	for i := range all {
		p := &all[i]
		if p.shown, err = newFinder("(?is)" + p.Shown); err != nil {
			return nil, fmt.Errorf("cannot read the table of products: %s: %w", p.Name, err)
		}
		if p.Sign == "" {
			continue
		}
		if p.sign, err = newFinder("(?ism)" + p.Sign); err != nil {
			return nil, fmt.Errorf("cannot read the table of products: %s: %w", p.Name, err)
		}
	}
	return all, nil
}

// leak returns what a text shows of product, version or system, "" for nothing. own are the server's names: a host may be called anything.
func (t *tables) leak(text string, own []string) string {
	text = without(text, own)
	lower, ascii := folded(text)
	var words []string
	for _, p := range t.products {
		if !p.shown.may(lower, ascii) {
			continue
		}
		if m := p.shown.FindString(text); m != "" {
			words = addText(words, strings.Join(strings.Fields(m), " "))
		}
	}
	return strings.Join(words, ", ")
}

// identify names the product that shows itself in the texts, else the one that the dialogue gives away.
func (t *tables) identify(shown []string, dialogue string, own []string) (name, version string) {
	for _, text := range shown {
		text = without(text, own)
		lower, ascii := folded(text)
		for _, p := range t.products {
			if p.system || !p.shown.may(lower, ascii) {
				continue
			}
			if m := p.shown.FindStringSubmatch(text); m != nil {
				return p.Name, group(p.shown.Regexp, m)
			}
		}
	}
	lower, ascii := folded(dialogue)
	for _, p := range t.products {
		if p.sign != nil && p.sign.may(lower, ascii) && p.sign.MatchString(dialogue) {
			return p.Name, ""
		}
	}
	return "", ""
}

func group(re *regexp.Regexp, match []string) string {
	for i, name := range re.SubexpNames() {
		if strings.HasPrefix(name, "version") && match[i] != "" {
			return match[i]
		}
	}
	return ""
}

// without takes names out of a text, whatever their case.
func without(text string, names []string) string {
	for _, n := range names {
		if n == "" {
			continue
		}
		text = regexp.MustCompile("(?i)"+regexp.QuoteMeta(n)).ReplaceAllString(text, "")
	}
	return text
}

func addText(to []string, word string) []string {
	for _, have := range to {
		if strings.Contains(strings.ToLower(have), strings.ToLower(word)) {
			return to
		}
	}
	return append(to, word)
}
