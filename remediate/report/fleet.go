package report

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"

	"mtaharden/remediate/plan"
)

// maxNamed is how many hosts a line of the fleet's table names; the rest are counted.
const maxNamed = 6

// fleet gathers, over the hosts of a run, which rule came to what where: the sum that a person reads first.
type fleet struct {
	rows []*fleetRow
}

// fleetRow is one rule with one status that a person has to look at.
type fleetRow struct {
	rule     string
	severity int
	status   plan.Status
	hosts    []string
}

// add takes in a host; a rule counts once a host, whatever the number of its installations and listeners.
func (f *fleet) add(h *Host) {
	if h.Result == nil {
		return
	}
	for i := range h.Result.Findings {
		finding := &h.Result.Findings[i]
		if finding.Status == plan.Pass || finding.Status == plan.NotApplicable {
			continue
		}
		row := f.row(finding)
		if !slices.Contains(row.hosts, h.Name) {
			row.hosts = append(row.hosts, h.Name)
		}
	}
}

func (f *fleet) row(finding *plan.Finding) *fleetRow {
	at := slices.IndexFunc(f.rows, func(r *fleetRow) bool { return r.rule == finding.Rule && r.status == finding.Status })
	if at >= 0 {
		return f.rows[at]
	}
	r := &fleetRow{rule: finding.Rule, severity: finding.Severity.Rank(), status: finding.Status}
	f.rows = append(f.rows, r)
	return r
}

// table writes the rows, the worst status first, then the gravest rule, then the most hosts.
func (t *text) table(b *bytes.Buffer) {
	rows := t.fleet.rows
	slices.SortStableFunc(rows, func(x, y *fleetRow) int {
		return cmp.Or(order(x.status)-order(y.status), x.severity-y.severity, len(y.hosts)-len(x.hosts), strings.Compare(x.rule, y.rule))
	})
	wide := 0
	for _, r := range rows {
		wide = max(wide, len(r.rule))
	}
	for _, r := range rows {
		word := t.paint(colour(r.status), runewidth.FillRight(t.say.status[r.status], t.statusWidth()))
		hosts := slices.Sorted(slices.Values(r.hosts))
		more := ""
		if len(hosts) > maxNamed {
			more = fmt.Sprintf(" +%d", len(hosts)-maxNamed)
			hosts = hosts[:maxNamed]
		}
		fmt.Fprintf(b, "  %s  %-*s  %4d/%d  %s%s\n", word, wide, r.rule, len(r.hosts), t.sum.Hosts, clean(strings.Join(hosts, " ")), more)
	}
}
