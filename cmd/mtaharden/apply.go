package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtaharden/inventory"
	"mtaharden/remediate"
	"mtaharden/remediate/apply"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta/all"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/report"
)

// applying are the flags of apply.
type applying struct {
	changing
	rerun        string
	withPending  bool
	acceptImpact bool
	unproven     bool
	expect       string

	unread int                     // the exit status of hosts that could not be planned for
	found  map[string]*plan.Result // of a plan that was made a moment ago: what it rests on
}

func newApplyCommand() *cobra.Command {
	a := &applying{}
	c := &cobra.Command{
		Use:   "apply [PLAN]",
		Short: "Carry a plan out: each host is proven better, or left as it was",
		Long: `apply carries out a saved plan, or makes one, shows it and asks. On each host it
saves what it changes, builds and proves the candidate apart from everything live,
arms a guard by which the host restores itself unless the change is confirmed over
a new login, and only then changes a file. What legitimate mail did before must
work after, or the host is put back.

Exit status: 0 done or nothing to do, 3 a host is as it was, 4 a host was not
reached, 5 a host was rolled back, 6 a person is needed, 64 bad usage or input,
130 interrupted.`,
		Example: `  mtaharden apply plan.json --expect 3f2a9c01d4e5     what was reviewed
  mtaharden apply -i hosts.toml --limit mx --canary 1   show, ask, then do
  mtaharden apply --local                               this machine`,
		Args: exactArgs(cobra.MaximumNArgs(1)),
	}
	a.changing.register(c)
	f := c.Flags()
	f.StringVar(&a.rerun, "rerun", "", "only the hosts that the runs of this plan left `failed|unfinished`")
	f.BoolVar(&a.withPending, "with-pending", false, "publish edits that somebody made and never built, too")
	f.BoolVar(&a.acceptImpact, "accept-impact", false, "refuse the clients that the plan names, though they were seen to relay")
	f.BoolVar(&a.unproven, "unproven", false, "go on where a host cannot prove the change before it is made")
	f.StringVar(&a.expect, "expect", "", "refuse a plan with another `DIGEST`")
	c.RunE = func(c *cobra.Command, args []string) error { return a.run(c, args) }
	return c
}

func (a *applying) run(c *cobra.Command, args []string) error {
	if err := a.check(c, len(args) > 0); err != nil {
		return err
	}
	if a.expect != "" && len(args) == 0 {
		return usageError(c, errors.New("--expect is the digest of a saved plan: name the plan"))
	}
	if a.rerun != "" && a.rerun != "failed" && a.rerun != "unfinished" {
		return usageError(c, fmt.Errorf("--rerun %q is neither failed nor unfinished", a.rerun))
	}
	out, err := openReport(c.OutOrStdout(), a.output)
	if err != nil {
		return err
	}
	defer out.discard()
	p, digest, err := a.plan(c, args)
	if err != nil {
		return err
	}
	if len(p.Hosts) == 0 && a.unread > 0 {
		return &status{code: a.unread, err: errors.New("nothing was changed: no host was read to the end")}
	}
	targets, err := a.planTargets(c, p)
	if err != nil {
		return err
	}
	if err := a.again(c, p, digest, len(args) > 0); err != nil {
		return err
	}
	ch := &change{changing: &a.changing, command: "apply", digest: digest, plan: p, targets: targets, stderr: &lines{w: c.ErrOrStderr()}, code: a.unread}
	if err := ch.agreed(c); err != nil {
		return err
	}
	ch.one = func(ctx context.Context, name string) apply.Outcome { return a.host(ctx, ch, name) }
	return ch.carry(c, out)
}

// plan reads the saved plan, or makes one of the hosts and shows it.
func (a *applying) plan(c *cobra.Command, args []string) (*plan.Plan, string, error) {
	if len(args) == 0 {
		return a.freshPlan(c)
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return nil, "", badInput(fmt.Errorf("cannot read the plan: %w", err))
	}
	digest := plan.Digest(data)
	if a.expect != "" && a.expect != digest {
		return nil, "", badInput(fmt.Errorf("%s has the digest %s, not %s: it is not the plan that was reviewed", args[0], digest, a.expect))
	}
	p, err := plan.Read(args[0], data)
	if err == nil {
		err = p.Expired(time.Now())
	}
	if err != nil {
		return nil, "", badInput(err)
	}
	if len(a.inventory) == 0 && !a.local {
		if p.Inventory == "" {
			return nil, "", badInput(errors.New("the plan names no inventory: name one with -i, or this machine with --local"))
		}
		a.inventory = strings.Split(p.Inventory, ", ")
	}
	fmt.Fprintf(c.ErrOrStderr(), "mtaharden: plan %s, digest %s\n", args[0], digest)
	return p, digest, nil
}

// freshPlan judges the hosts, shows on standard error what would be done, and returns that as a plan.
func (a *applying) freshPlan(c *cobra.Command) (*plan.Plan, string, error) {
	shown := a.judging
	shown.format = "text"
	sum, hosts, err := judgeAll(c, &shown, "plan", c.ErrOrStderr())
	if err != nil {
		return nil, "", err
	}
	if c.Context().Err() != nil {
		return nil, "", context.Cause(c.Context())
	}
	a.judging.inv, a.judging.dialer = shown.inv, shown.dialer
	switch {
	case sum.Unreachable > 0:
		a.unread = exitUnreachable
	case sum.Incomplete > 0:
		a.unread = exitAsItWas
	}
	p, err := planOf(c.ErrOrStderr(), &shown, hosts)
	if err != nil {
		return nil, "", err
	}
	a.found = map[string]*plan.Result{}
	for _, h := range hosts {
		a.found[h.outcome.Target.Name] = h.outcome.Result
	}
	_, digest, err := p.Encode()
	return p, digest, err
}

// planTargets are the plan's hosts as the inventory reaches them, those of --limit alone.
func (a *applying) planTargets(c *cobra.Command, p *plan.Plan) (map[string]remediate.Target, error) {
	all, err := a.targets(c)
	if err != nil {
		return nil, err
	}
	known := map[string]remediate.Target{}
	for _, t := range all {
		known[t.Name] = t
	}
	if err := knownToInventory(a.inv, p); err != nil {
		return nil, badInput(err)
	}
	out := map[string]remediate.Target{}
	p.Hosts = slices.DeleteFunc(p.Hosts, func(h plan.HostPlan) bool {
		t, ok := known[h.Name]
		if ok {
			out[h.Name] = remediate.PlanTarget(p, h, t)
		}
		return !ok
	})
	if len(out) == 0 {
		return nil, badInput(errors.New("none of the plan's hosts is among those that were named"))
	}
	return out, nil
}

// again keeps of the plan's hosts those that were left as --rerun says: by the applies of that very plan where it was saved, else by the last one.
func (a *applying) again(c *cobra.Command, p *plan.Plan, digest string, saved bool) error {
	if a.rerun == "" {
		return nil
	}
	if !saved {
		digest = ""
	}
	rec, err := a.records()
	if err != nil {
		return err
	}
	names, err := rec.rerun(digest, a.rerun)
	if err != nil {
		return err
	}
	p.Hosts = slices.DeleteFunc(p.Hosts, func(h plan.HostPlan) bool { return !slices.Contains(names, h.Name) })
	if len(p.Hosts) == 0 {
		fmt.Fprintf(c.ErrOrStderr(), "mtaharden: nothing to do: no host of the plan was left %s\n", a.rerun)
	}
	return nil
}

// knownToInventory refuses a plan with hosts that the inventory does not have.
func knownToInventory(inv *inventory.Inventory, p *plan.Plan) error {
	for _, h := range p.Hosts {
		if inv == nil && h.Name != "localhost" {
			return fmt.Errorf("the plan is for %s: name the inventory that reaches it with -i", h.Name)
		}
		if inv == nil {
			continue
		}
		if _, ok := inv.Host(h.Name); !ok {
			return fmt.Errorf("the plan's host %s is not in the inventory", h.Name)
		}
	}
	return nil
}

// collectorAlone refuses to change a host by a login that may only read it.
func collectorAlone(name string) apply.Outcome {
	err := fmt.Errorf("%w: its login may run the collector alone (collect_command)", apply.ErrRefused)
	return apply.Outcome{Host: name, Ending: apply.Unchanged, Reason: err.Error(), Err: err}
}

// host carries the plan of one host out.
func (a *applying) host(ctx context.Context, ch *change, name string) apply.Outcome {
	h, t := ch.hostPlan(name), ch.targets[name]
	if t.Installed != nil && len(h.Changes) > 0 {
		return collectorAlone(name)
	}
	return apply.Apply(ctx, apply.Input{
		Host: h, Run: ch.run, About: ch.about(), Dial: t.Dial, Judge: ch.judges.Of(t), Timeout: a.timeout, Result: a.found[name],
		Bar:         a.rolling.Bar(name, time.Now(), a.timeout),
		WithPending: a.withPending, AcceptImpact: a.acceptImpact, Unproven: a.unproven,
		Keep: ch.kept.keep(ctx, name), Mask: facts.Masking(), Agree: ch.agree(ctx, name), Tell: ch.tell(name),
	})
}

// hostState is how a host was reached, in a report's words. A run that was more than begun on it had reached it, whatever failed then.
func hostState(o apply.Outcome) report.State {
	state := stateOf(o.Err)
	begun := o.Ending != apply.Unchanged && o.Ending != apply.NotBegun
	if begun || state == report.Failed || state == report.Incomplete {
		return report.OK // it was reached, and what became of it is its outcome
	}
	return state
}

// exitFor is the exit status of how one host was left.
func exitFor(command string, o apply.Outcome) int {
	switch hostState(o) {
	case report.Unreachable, report.HostKey, report.AuthFailed, report.NoPrivilege:
		return exitUnreachable
	}
	switch o.Ending {
	case apply.Changed:
		return 0
	case apply.RolledBack:
		if command == "rollback" && o.Err == nil {
			return 0
		}
		return exitRolledBack
	case apply.Unchanged, apply.NotBegun:
		if o.Nothing {
			return 0
		}
		return exitAsItWas
	}
	return exitPerson
}

// progressLine is a step as standard error shows it.
func progressLine(w io.Writer, name string, s apply.StepReport) {
	if s.State != apply.Doing && s.State != apply.Broken {
		return
	}
	line := fmt.Sprintf("%s: %s", name, s.Step)
	if s.State == apply.Broken {
		line += " failed: " + facts.Printable(s.Error)
	}
	fmt.Fprintln(w, line)
}

// judgesOf are the judges of a change.
func (ch *change) judgesOf() *remediate.Judges {
	return &remediate.Judges{Drivers: all.Drivers(), Probe: ch.probing(ch.stderr), Now: time.Now}
}
