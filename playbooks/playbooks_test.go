package playbooks

import "testing"

func TestBaselineLoads(t *testing.T) {
	rules, err := Baseline()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range Lint(rules) {
		t.Error(problem)
	}
}
