package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtaharden/remediate"
	"mtaharden/remediate/plan"
)

func newPlanCommand() *cobra.Command {
	p := &planning{}
	c := &cobra.Command{
		Use:   "plan",
		Short: "Show what would mend the findings, and whose mail it would refuse",
		Long: `plan audits, and shows for every finding that can be mended the exact change of
the source file, and from the host's own mail log who would be refused. With -o
it saves the plan, which apply carries out. It changes nothing on a host.`,
		Example: `  mtaharden plan -i hosts.toml --limit mx1.example.com -o plan.json`,
		Args:    exactArgs(cobra.NoArgs),
	}
	p.judging.register(c, "save the plan to `FILE`")
	p.approval.register(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error { return p.run(c) }
	return c
}

// planning are the flags of plan.
type planning struct {
	judging
	approval
}

func (p *planning) run(c *cobra.Command) error {
	j := &p.judging
	if err := errors.Join(j.check(c), p.approval.check(c)); err != nil {
		return err
	}
	if j.output == "-" {
		return usageError(c, errors.New("-o takes the plan's file: standard output has the report"))
	}
	file, err := openReport(nil, j.output)
	if err != nil {
		return err
	}
	defer file.discard()
	sum, hosts, err := judgeAll(c, j, "plan", c.OutOrStdout())
	if err != nil {
		return err
	}
	if j.output != "" && c.Context().Err() == nil { // half a fleet's plan must not take the place of a whole one
		if err := p.save(c, hosts, file); err != nil {
			return err
		}
	}
	return verdict(sum, j)
}

// planOf is the plan of every host that was judged. A host that was not read to the end has none: it is said, and not passed over.
func planOf(stderr io.Writer, j *judging, hosts []judgedHost) (*plan.Plan, error) {
	p := &plan.Plan{Program: version, Made: time.Now().UTC().Truncate(time.Second), Inventory: strings.Join(j.inventory, ", ")}
	p.User, p.Controller = whoAmI()
	if j.inv != nil {
		p.InventoryDigest = j.inv.Digest
	}
	p.Playbooks = j.playbookNames(targetsOf(hosts))
	for _, h := range hosts {
		t := h.outcome.Target
		if h.outcome.Err != nil || h.outcome.Result == nil {
			fmt.Fprintf(stderr, "mtaharden: %s is not in the plan: it was not read to the end\n", t.Name)
			continue
		}
		if err := p.Add(t.Name, h.outcome.Result, t.Intent, t.Rules); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *planning) save(c *cobra.Command, hosts []judgedHost, file *reportFile) error {
	made, err := planOf(c.ErrOrStderr(), &p.judging, hosts)
	if err != nil {
		return err
	}
	made.Ticket, made.Note = p.ticket, p.note
	data, digest, err := made.Encode()
	if err != nil {
		return err
	}
	if _, err := file.Write(data); err != nil {
		return fmt.Errorf("cannot write the plan: %w", err)
	}
	if err := file.commit(); err != nil {
		return err
	}
	fmt.Fprintf(c.ErrOrStderr(), "mtaharden: saved the plan as %s, digest %s; it expires on %s\n", p.output, digest, made.Expires.Format("2 Jan 2006"))
	return nil
}

func targetsOf(hosts []judgedHost) []remediate.Target {
	out := make([]remediate.Target, len(hosts))
	for i, h := range hosts {
		out[i] = h.outcome.Target
	}
	return out
}
