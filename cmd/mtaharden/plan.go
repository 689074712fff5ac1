package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtaharden/remediate"
	"mtaharden/remediate/plan"
)

func newPlanCommand() *cobra.Command {
	j := &judging{}
	c := &cobra.Command{
		Use:   "plan",
		Short: "Show what would mend the findings, and whose mail it would refuse",
		Long: `plan audits, and shows for every finding that can be mended the exact change of
the source file, and from the host's own mail log who would be refused. With -o
it saves the plan, which apply carries out. It changes nothing on a host.`,
		Example: `  mtaharden plan -i hosts.toml --limit mx1.example.com -o plan.json`,
		Args:    exactArgs(cobra.NoArgs),
	}
	j.register(c, "save the plan to `FILE`")
	c.RunE = func(c *cobra.Command, _ []string) error { return makePlan(c, j) }
	return c
}

func makePlan(c *cobra.Command, j *judging) error {
	sum, hosts, err := judgeAll(c, j, "plan", c.OutOrStdout())
	if err != nil {
		return err
	}
	if j.output != "" {
		if err := savePlan(c, j, hosts); err != nil {
			return err
		}
	}
	return verdict(sum, j)
}

// savePlan writes the plan of every host that was judged. A host that was not read to the end has none: it is said, and not passed over.
func savePlan(c *cobra.Command, j *judging, hosts []judgedHost) error {
	p := &plan.Plan{Program: version, Made: time.Now().UTC().Truncate(time.Second), Inventory: strings.Join(j.inventory, ", ")}
	var err error
	if p.InventoryDigest, err = j.inventoryDigest(); err != nil {
		return err
	}
	p.Playbooks = j.playbookNames(targetsOf(hosts))
	for _, h := range hosts {
		t := h.outcome.Target
		if h.outcome.Err != nil || h.outcome.Result == nil {
			fmt.Fprintf(c.ErrOrStderr(), "mtaharden: %s is not in the plan: it was not read to the end\n", t.Name)
			continue
		}
		if err := p.Add(t.Name, h.outcome.Result, t.Intent, t.Rules); err != nil {
			return err
		}
	}
	data, digest, err := p.Encode()
	if err != nil {
		return err
	}
	if err := plan.Write(j.output, data); err != nil {
		return badInput(err)
	}
	fmt.Fprintf(c.ErrOrStderr(), "mtaharden: saved the plan as %s, digest %s; it expires on %s\n", j.output, digest, p.Expires.Format("2 Jan 2006"))
	return nil
}

func targetsOf(hosts []judgedHost) []remediate.Target {
	out := make([]remediate.Target, len(hosts))
	for i, h := range hosts {
		out[i] = h.outcome.Target
	}
	return out
}

func (j *judging) inventoryDigest() (string, error) {
	inv, _, err := j.load()
	if err != nil || inv == nil {
		return "", err
	}
	return inv.Digest, nil
}
