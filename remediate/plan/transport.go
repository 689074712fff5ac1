package plan

import (
	"strings"

	"mtaharden/playbooks"
)

// transport is what rules say of the way to the host, where it was reached by algorithms that no longer protect a connection (remote.Transport.Legacy).
func transport(rules []playbooks.Rule, legacy []string) []Finding {
	used := strings.Join(legacy, ", ")
	if used == "" {
		return nil
	}
	have := say("logged in by %s", "취약한 알고리즘으로 접속함: %s", used)
	var out []Finding
	for _, r := range rules {
		if !r.OfTransport() {
			continue
		}
		w, manual := r.For(playbooks.Any)[0], r.ManualFor(playbooks.Any)
		f := Finding{
			Rule: r.ID, Install: -1, Severity: r.Severity, Status: Fail, Controls: r.Controls,
			Words: Words{Title: r.Title, Why: r.Why, Have: have.en, Want: w.Expect, Manual: manual.En},
			Ko:    Words{Title: r.TitleKo, Why: r.WhyKo, Have: have.ko, Want: w.ExpectKo, Manual: manual.Ko},
		}
		if w.Result == string(Review) {
			f.Status = Review
		}
		out = append(out, f)
	}
	return out
}
