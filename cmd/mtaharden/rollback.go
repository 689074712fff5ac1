package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"mtaharden/remediate"
	"mtaharden/remediate/apply"
	"mtaharden/remediate/backup"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
)

// rollingBack are the flags of rollback.
type rollingBack struct {
	changing
	force    bool
	to       bool
	identity string // a file of age identities
	opens    []age.Identity
}

func newRollbackCommand() *cobra.Command {
	r := &rollingBack{}
	c := &cobra.Command{
		Use:   "rollback RUN",
		Short: "Put back what a run changed, byte for byte",
		Long: `rollback undoes an apply on the hosts named: files with owner, mode and times,
generated files and services, in reverse order; then the services are reloaded and
looked at. It is a run of its own with a backup of its own, so it can be undone too.
Where a file holds what neither the run nor anybody before it put there, nothing
is touched on that host, and the difference is shown.

By hand on a host, with no program but sh: sh /var/lib/mtaharden/RUN/restore.sh

Exit status: 0 done or nothing to do, 3 a host is as it was, 4 a host was not
reached, 6 a person is needed, 64 bad usage or input, 130 interrupted.`,
		Example: `  mtaharden rollback -i hosts.toml 20261122-020000.000 --limit mx1.example.com
  mtaharden rollback --local 20261122-020000.000 --to     with every later run of the same files`,
		Args: exactArgs(cobra.ExactArgs(1)),
	}
	r.changing.register(c)
	f := c.Flags()
	f.BoolVar(&r.force, "force", false, "replace files that somebody else changed too; what stands there is kept in the run's folder")
	f.BoolVar(&r.to, "to", false, "first undo the later runs that changed the same files, the newest first")
	f.StringVar(&r.identity, "identity", "", "the age identities in `FILE` open this controller's encrypted copy, for a host that has lost its own")
	c.RunE = func(c *cobra.Command, args []string) error { return r.run(c, args[0]) }
	return c
}

func (r *rollingBack) run(c *cobra.Command, of string) error {
	if err := journal.CheckRun(of); err != nil {
		return usageError(c, err)
	}
	if err := r.check(c, false); err != nil {
		return err
	}
	out, err := openReport(c.OutOrStdout(), r.output)
	if err != nil {
		return err
	}
	defer out.discard()
	all, err := r.targets(c)
	if err != nil {
		return err
	}
	ch := &change{changing: &r.changing, command: "rollback", of: of, plan: &plan.Plan{}, targets: map[string]remediate.Target{}, stderr: &lines{w: c.ErrOrStderr()}}
	rec, err := r.records()
	if err != nil {
		return err
	}
	if r.opens, err = identities(r.identity); err != nil {
		return badInput(err)
	}
	touched := rec.touched(of)
	for _, t := range all {
		if touched != nil && !slices.Contains(touched, t.Name) {
			continue // as this controller wrote down, the run never came to it
		}
		ch.plan.Hosts = append(ch.plan.Hosts, plan.HostPlan{Name: t.Name})
		ch.targets[t.Name] = t
	}
	n := len(ch.targets)
	if n == 0 {
		return badInput(fmt.Errorf("run %s came to none of the hosts that were named", of))
	}
	if err := ch.agreedTo(c.Context(), fmt.Sprintf("roll run %s back on %d %s? Type yes: ", of, n, plural(n, "host"))); err != nil {
		return err
	}
	ch.one = func(ctx context.Context, name string) apply.Outcome { return r.host(ctx, ch, name, of) }
	return ch.carry(c, out)
}

func (r *rollingBack) host(ctx context.Context, ch *change, name, of string) apply.Outcome {
	t := ch.targets[name]
	if t.Installed != nil {
		return collectorAlone(name)
	}
	do := apply.Rollback
	if r.to {
		do = apply.RollbackTo
	}
	return do(ctx, apply.Undo{
		Input: apply.Input{
			Host: plan.HostPlan{Name: name}, Run: ch.run, About: ch.about(), Dial: t.Dial, Judge: ch.judges.Of(t),
			Mask: facts.Masking(), Timeout: r.timeout, Bar: r.rolling.Bar(name, time.Now(), r.timeout), Tell: ch.tell(name),
		},
		Of: of, Force: r.force, Copy: func(run string) (*backup.Manifest, map[int][]byte, error) { return ch.kept.copyOf(run, name, r.opens) },
	})
}
