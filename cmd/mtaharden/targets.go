package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mtaharden/inventory"
	"mtaharden/playbooks"
	"mtaharden/remediate"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// targets are the hosts of a run with what each is judged by: those of the inventory, those whose snapshots are named, or this machine.
func (j *judging) targets(c *cobra.Command) ([]remediate.Target, error) {
	if len(j.snapshots) > 0 && len(j.limit) > 0 {
		return nil, badInput(errors.New("--limit chooses hosts to reach, and --snapshot reaches none: leave one of them out"))
	}
	if len(j.snapshots) > 0 && j.probe {
		return nil, badInput(errors.New("--probe asks the hosts themselves, and --snapshot reaches none: leave one of them out"))
	}
	inv, hosts, err := j.load()
	if err != nil {
		return nil, err
	}
	rules := newRuleBooks(j.playbooks)
	if len(j.snapshots) > 0 {
		return j.saved(inv, rules)
	}
	d, err := newDialer(c, &j.reach)
	if err != nil {
		return nil, err
	}
	j.dialer = d
	if inv == nil {
		t := remediate.Target{Name: "localhost", Dial: d.thisMachine, Here: true, Limit: j.timeLimit}
		t.Rules, err = rules.of(nil)
		return []remediate.Target{t}, err
	}
	d.unlock(c.Context(), hosts)
	var out []remediate.Target
	for _, h := range hosts {
		t, err := target(inv, h, rules)
		if err != nil {
			return nil, err
		}
		t.Address = address(h, d.known(c.Context(), h))
		t.Dial, t.Limit = func(ctx context.Context) (remote.Host, error) { return d.dial(ctx, h) }, j.timeLimit
		t.Login, t.Root = d.credentials(c.Context(), h)
		out = append(out, j.breaker.Guard(t))
	}
	return out, checkWaivers(inv, rules)
}

// checkWaivers refuses a waiver for a rule that no playbook of any host holds, --limit or not.
func checkWaivers(inv *inventory.Inventory, rules *ruleBooks) error {
	for _, h := range inv.Hosts {
		if _, err := rules.of(h.Playbooks); err != nil {
			return err
		}
	}
	return badInput(inv.CheckRules(rules.known))
}

// target is h with its rules and intent.
func target(inv *inventory.Inventory, h *inventory.Host, rules *ruleBooks) (remediate.Target, error) {
	t := remediate.Target{
		Name: h.Name, Address: cmp.Or(h.Address, h.Name), Installed: h.CollectCommand,
		Intent: plan.Intent{Role: h.Role, RelayNetworks: h.RelayNetworks},
	}
	for _, w := range inv.WaiversFor(h.Name) {
		t.Intent.Waivers = append(t.Intent.Waivers, plan.Waiver{Rule: w.Rule, Reason: w.Reason, Expires: w.Expires})
	}
	var err error
	t.Rules, err = rules.of(h.Playbooks)
	return t, err
}

// saved are the hosts whose snapshots were saved. The inventory, where one is named, gives a host its intent by the file's name.
func (j *judging) saved(inv *inventory.Inventory, rules *ruleBooks) ([]remediate.Target, error) {
	var out []remediate.Target
	if inv == nil {
		inv = &inventory.Inventory{}
	}
	seen := map[string]string{}
	for _, file := range j.snapshots {
		name := strings.TrimSuffix(filepath.Base(file), ".snap")
		if other, twice := seen[name]; twice {
			return nil, badInput(fmt.Errorf("%s and %s are both of host %s", other, file, name))
		}
		seen[name] = file
		s, err := readSnapshot(file)
		if err != nil {
			return nil, err
		}
		h := &inventory.Host{Name: name, Address: name}
		if known, ok := inv.Host(name); ok {
			h = known
		}
		t, err := target(inv, h, rules)
		if err != nil {
			return nil, err
		}
		s.Host, t.Snapshot = name, s
		out = append(out, t)
	}
	return out, checkWaivers(inv, rules)
}

func readSnapshot(file string) (*facts.Snapshot, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, badInput(fmt.Errorf("cannot read the snapshot: %w", err))
	}
	defer f.Close()
	s, err := facts.Parse(f)
	if err != nil {
		return nil, badInput(fmt.Errorf("%s: %w", file, err))
	}
	return s, nil
}

// ruleBooks loads playbooks by name or file, each set once.
type ruleBooks struct {
	flags []string
	sets  map[string][]playbooks.Rule
	known []string // the ids of all rules loaded so far
	names []string // the playbooks named so far
}

func newRuleBooks(flags []string) *ruleBooks {
	return &ruleBooks{flags: flags, sets: map[string][]playbooks.Rule{}}
}

// of returns the rules of a host: those of --playbook, else of the inventory, else baseline.
func (b *ruleBooks) of(host []string) ([]playbooks.Rule, error) {
	books := b.flags
	if len(books) == 0 {
		books = host
	}
	if len(books) == 0 {
		books = []string{"baseline"}
	}
	key := strings.Join(books, "\x00")
	if rules, ok := b.sets[key]; ok {
		return rules, nil
	}
	var rules []playbooks.Rule
	for _, name := range books {
		var err error
		if rules, err = mergeBook(rules, name); err != nil {
			return nil, badInput(err)
		}
		if odd := playbooks.Strangers(rules, mtaNames()); len(odd) > 0 {
			return nil, badInput(fmt.Errorf("cannot use playbook %s: %s", name, odd[0]))
		}
		if !slices.Contains(b.names, name) {
			b.names = append(b.names, name)
		}
	}
	for _, r := range rules {
		b.known = append(b.known, r.ID)
	}
	b.sets[key] = rules
	return rules, nil
}

// mergeBook lays a playbook over rules: one that comes with the program, or a file. A file alone is laid over baseline, so that it may
// change a single rule of it.
func mergeBook(rules []playbooks.Rule, name string) ([]playbooks.Rule, error) {
	if slices.Contains(playbooks.Names(), name) {
		if len(rules) > 0 {
			return nil, fmt.Errorf("playbook %q must come before the files that change it", name)
		}
		return playbooks.Baseline()
	}
	data, err := readBounded(name)
	if errors.Is(err, os.ErrNotExist) && !strings.ContainsAny(name, "/.") {
		return nil, fmt.Errorf("unknown playbook %q: it is neither a file nor one of %s", name, strings.Join(playbooks.Names(), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read playbook: %w", err)
	}
	if len(rules) == 0 {
		if rules, err = playbooks.Baseline(); err != nil {
			return nil, err
		}
	}
	return playbooks.Merge(rules, name, []byte(data))
}

// playbookNames lists the playbooks of a run for its report.
func (j *judging) playbookNames(targets []remediate.Target) []string {
	if len(j.playbooks) > 0 {
		return j.playbooks
	}
	var out []string
	for _, t := range targets {
		for _, r := range t.Rules {
			for _, source := range strings.Split(r.Source, ", ") {
				if name := strings.TrimSuffix(source, ".toml"); !slices.Contains(out, name) {
					out = append(out, name)
				}
			}
		}
	}
	return out
}
