package plan

import (
	"strings"
	"testing"
	"time"

	"mtaharden/playbooks"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/remote"
)

// TestWeakSSH: a host that was reached by broken algorithms has one finding more, which says which; one that was not has none.
func TestWeakSSH(t *testing.T) {
	rules, err := playbooks.Baseline()
	if err != nil {
		t.Fatal(err)
	}
	for _, legacy := range [][]string{nil, {"key exchange diffie-hellman-group1-sha1", "cipher aes128-cbc"}} {
		s := &facts.Snapshot{Complete: true, Transport: remote.Transport{Name: "ssh", Legacy: legacy}}
		var found []Finding
		for _, f := range New(Input{Snapshot: s, Rules: rules, Now: time.Now()}).Findings {
			if f.Rule == "ssh-weak" {
				found = append(found, f)
			}
		}
		switch {
		case legacy == nil && len(found) == 0:
		case legacy != nil && len(found) == 1 && found[0].Status == Review && found[0].Install == -1 && found[0].Manual != "" && found[0].Ko.Manual != "" && strings.Contains(found[0].Have, strings.Join(legacy, ", ")) && strings.Contains(found[0].Ko.Have, legacy[1]):
		default:
			t.Errorf("%v: %+v", legacy, found)
		}
	}
}
