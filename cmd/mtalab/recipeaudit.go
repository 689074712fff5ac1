package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// An auditFinding is what a recipe can be held against: part of the JSON of an audit (schema mtaharden/1).
type auditFinding struct {
	Rule, MTA, Listener, Status, Have, Want string
	Fixable                                 bool
	Manual                                  string
	Evidence                                []auditEvidence
}

type auditEvidence struct{ Judge, Says, Text string }

type auditReport struct {
	Hosts []struct {
		Name, State, Error string
		Findings           []auditFinding
	}
}

// audit judges the host over SSH, with the recipe's intent in the inventory.
func (l *Lab) audit(ctx context.Context, program string, j *recipeJob) ([]auditFinding, error) {
	dir, err := os.MkdirTemp("", "mtalab-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	inventory := filepath.Join(dir, "hosts.toml")
	text := l.inventoryOf([]Host{j.host}, j.recipe.vantages(j.host), func(Host) string { return j.recipe.intent() })
	if err := os.WriteFile(inventory, []byte(text), 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 6*time.Minute)
	defer cancel()
	args := []string{"audit", "-i", inventory, "--limit", j.host.Name, "--format", "json", "--batch", "--host-timeout", "5m", "--state", dir}
	if j.probe {
		args = append(args, "--probe")
	}
	c := l.resolving(ctx, append([]string{program}, args...)...)
	var out, errout bytes.Buffer
	c.Stdout, c.Stderr = &out, &errout
	status, err := commandStatus(c.Run())
	if err != nil {
		return nil, fmt.Errorf("cannot run mtaharden: %v", err)
	}
	var report auditReport
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return nil, fmt.Errorf("mtaharden ended with %d and no report: %v: %s", status, err, lastLines(errout.String(), 3))
	}
	if len(report.Hosts) != 1 || report.Hosts[0].State != "ok" {
		return nil, fmt.Errorf("mtaharden ended with %d and did not read the host: %s", status, lastLines(out.String(), 12))
	}
	return report.Hosts[0].Findings, nil
}

// vantages are the inventory's, the host itself among them where the recipe says so.
func (r *Recipe) vantages(h Host) []string {
	names := slices.Clone(r.Vantages)
	for i, n := range names {
		if n == "itself" {
			names[i] = h.Name
		}
	}
	return names
}

// intent is what the recipe's inventory says about the host.
func (r *Recipe) intent() string {
	var b strings.Builder
	if r.Role != "" {
		fmt.Fprintf(&b, "role = %q\n", r.Role)
	}
	if len(r.RelayNetworks) > 0 {
		fmt.Fprintf(&b, "relay_networks = [%s]\n", quotedList(r.RelayNetworks))
	}
	return b.String()
}

// compare lists where the audit found something else than the recipe says, and keeps what it found by rule.
func (j *recipeJob) compare(findings []auditFinding) []string {
	worst := map[string]auditFinding{}
	var wrong []string
	for _, f := range findings {
		if old, ok := worst[f.Rule]; !ok || slices.Index(statuses(), f.Status) < slices.Index(statuses(), old.Status) {
			worst[f.Rule] = f
		}
		if j.recipe.Sound && slices.Contains([]string{"fail", "unknown", "error"}, f.Status) {
			wrong = append(wrong, fmt.Sprintf("a sound host: %s is %s on %s %s: have %s", f.Rule, f.Status, f.MTA, f.Listener, f.Have))
		}
	}
	if f := worst["judges-disagree"]; f.Status == "fail" && !slices.ContainsFunc(j.recipe.Expect, func(e Expectation) bool { return e.Rule == f.Rule }) {
		wrong = append(wrong, "the judges disagree: "+f.Have)
	}
	j.heard = networkSays(findings, fmt.Sprintf(":%d", j.recipe.Port))
	j.found = map[string]string{}
	for rule, f := range worst {
		j.found[rule] = f.Status
	}
	for _, e := range j.recipe.Expect {
		f, ok := worst[e.Rule]
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("%s: no finding, want %s", e.Rule, e.Status))
		case f.Status != e.Status:
			wrong = append(wrong, fmt.Sprintf("%s: %s, want %s (have %s)", e.Rule, f.Status, e.Status, f.Have))
		}
	}
	for _, s := range j.recipe.Says {
		if !slices.ContainsFunc(findings, func(f auditFinding) bool { return f.Rule == s.Rule && f.says(s.Words) }) {
			wrong = append(wrong, fmt.Sprintf("%s does not say %q (have %s)", s.Rule, s.Words, worst[s.Rule].Have))
		}
	}
	return wrong
}

// networkSays is what the network judge said of relaying: relayed where any finding has it so, else, at the port that the witness asks,
// refused, cannot-tell, or nothing.
func networkSays(findings []auditFinding, port string) string {
	said := ""
	for _, f := range findings {
		for _, e := range f.Evidence {
			elsewhere := f.Listener != "" && !strings.HasSuffix(f.Listener, port)
			switch {
			case f.Rule != "open-relay" || e.Judge != "network":
			case e.Says == "relayed":
				return "relayed"
			case elsewhere:
			case e.Says == "refused", e.Says == "cannot-tell" && said == "":
				said = e.Says
			}
		}
	}
	return said
}

// against holds the audit's network judge against the witness, who asked the same host from outside with other code.
func (j *recipeJob) against(w *Witness) []string {
	// That a server relays for a client whom it may trust shows nothing: the judge cannot tell. That it refuses him does.
	shy := j.heard == "" || j.heard == "cannot-tell"
	expects := func(status string) bool { return slices.Contains(j.recipe.Expect, Expectation{"open-relay", status}) }
	switch {
	case j.recipe.Network == "silent" && !shy:
		return []string{"the network judge has no stranger to ask through, and says " + j.heard}
	case j.recipe.Network == "silent", w.Dead != "", expects("unknown"):
	case shy && w.accepted() > 0, shy && expects("error"), shy && w.ailing(): // a fault of the server's own is no refusal
	case shy:
		return []string{"the network judge said nothing of relaying"}
	case w.accepted() > 0 && expects("pass"): // the recipe says of both that the stranger there is one of the host's own: another was refused
	case w.accepted() > 0 && j.heard != "relayed" && j.found["open-relay"] != "fail", w.accepted() == 0 && j.heard == "relayed" && !expects("fail"):
		return []string{fmt.Sprintf("the network judge says %s, and the witness met %d forms accepted", j.heard, w.accepted())}
	}
	return nil
}

// says looks for words in what the finding has and in what each judge said.
func (f auditFinding) says(words string) bool {
	return strings.Contains(f.Have, words) || slices.ContainsFunc(f.Evidence, func(e auditEvidence) bool { return strings.Contains(e.Text, words) })
}
