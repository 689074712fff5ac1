package playbooks

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBaselineLoads(t *testing.T) {
	rules, err := Baseline()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range append(Lint(rules), Strangers(rules, []string{"postfix", "sendmail", "exim"})...) {
		t.Error(problem)
	}
	if len(Strangers(rules, []string{"postfix", "sendmail"})) == 0 {
		t.Error("an MTA that nobody knows was not named")
	}
}

// TestTOML: what show prints loads to the same rules.
func TestTOML(t *testing.T) {
	rules, err := Baseline()
	if err != nil {
		t.Fatal(err)
	}
	text, err := TOML(rules)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Merge(nil, "shown.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sorted(rules), sorted(again)); diff != "" {
		t.Error(diff)
	}
}

// sorted drops what a file's layout decides: where rules come from and the order of wants.
func sorted(rules []Rule) []Rule {
	var out []Rule
	for _, r := range rules {
		r = r.clone()
		r.Source = ""
		byName := func(a, b Want) int { return strings.Compare(a.MTA+"."+a.Name, b.MTA+"."+b.Name) }
		slices.SortFunc(r.Wants, byName)
		slices.SortFunc(r.Guide, byName)
		out = append(out, r)
	}
	return out
}
