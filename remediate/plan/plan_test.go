package plan

import (
	"testing"

	"mtaharden/playbooks"
	"mtaharden/remediate/facts"
)

func TestNobody(t *testing.T) {
	rules, err := playbooks.Baseline()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		snapshot *facts.Snapshot
		want     Status
	}{
		{&facts.Snapshot{Complete: true, Listeners: []facts.Listener{{Addr: "0.0.0.0:22"}}}, NotApplicable},
		{&facts.Snapshot{Listeners: []facts.Listener{{Addr: "0.0.0.0:22"}}}, Unknown},
		{&facts.Snapshot{Complete: true, Listeners: []facts.Listener{{Addr: "0.0.0.0:25"}}}, Unknown},
	} {
		res := New(Input{Snapshot: test.snapshot, Rules: rules})
		if len(res.Findings) != len(rules) {
			t.Fatalf("%d findings of %d rules", len(res.Findings), len(rules))
		}
		for _, f := range res.Findings {
			if f.Status != test.want && f.Rule != "mta-needed" {
				t.Errorf("%s is %s, want %s", f.Rule, f.Status, test.want)
			}
		}
	}
}
