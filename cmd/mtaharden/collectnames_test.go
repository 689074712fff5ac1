package main

import (
	"regexp"
	"testing"

	"mtaharden/remediate"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta/all"
)

// TestCollectorNames: the collector is one script of many files, and a function of a name that another has takes its place without a word.
func TestCollectorNames(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)\(\)`).FindAllStringSubmatch(facts.Script(remediate.Parts(all.Drivers())...), -1) {
		if seen[m[1]] {
			t.Errorf("%s is there twice", m[1])
		}
		seen[m[1]] = true
	}
	if len(seen) < 50 {
		t.Errorf("%d functions are found in the collector", len(seen))
	}
}
