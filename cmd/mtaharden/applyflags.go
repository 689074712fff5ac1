package main

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mtaharden/inventory"
	"mtaharden/remediate"
	"mtaharden/remediate/apply"
)

// changing are the flags of the commands that change hosts.
type changing struct {
	judging
	yes          bool
	local        bool
	canary       int
	batchSize    string
	maxFail      string
	notAfter     string
	ignoreWindow bool
	timeout      time.Duration
	approval

	rolling remediate.Rolling
}

func (ch *changing) register(c *cobra.Command) {
	f := c.Flags()
	ch.judging.register(c, "write the report to `FILE`")
	f.BoolVar(&ch.yes, "yes", false, "do not ask before it begins")
	f.BoolVar(&ch.local, "local", false, "change this machine")
	f.IntVar(&ch.canary, "canary", 0, "begin with `N` hosts, one after the other, and stop where one of them does not end well")
	f.StringVar(&ch.batchSize, "batch-size", "", "begin `N|P%` hosts, and the next when all of them have ended")
	f.StringVar(&ch.maxFail, "max-fail", "", "go on while no more than `N|P%` of all hosts did not end well (default 0)")
	f.StringVar(&ch.notAfter, "not-after", "", "begin no host that might not be done by `HH:MM`")
	f.BoolVar(&ch.ignoreWindow, "ignore-window", false, "begin outside the inventory's windows too; it is recorded")
	f.DurationVar(&ch.timeout, "confirm-timeout", apply.DefaultTimeout, "a host that is not confirmed within `D` puts itself back")
	ch.approval.register(f)
}

// check refuses what no flag may say.
func (ch *changing) check(c *cobra.Command, named bool) error {
	switch {
	case len(ch.snapshots) > 0:
		return usageError(c, errors.New("--snapshot reaches no host, and nothing can be changed there"))
	case ch.local && len(ch.inventory) > 0:
		return usageError(c, errors.New("--local is this machine, -i others: leave one of them out"))
	case !ch.local && len(ch.inventory) == 0 && !named:
		return usageError(c, errors.New("which hosts? name an inventory (-i), or a plan; --local is this machine"))
	case ch.batch && !ch.yes:
		return usageError(c, errors.New("--batch asks nobody: it needs --yes"))
	case ch.canary < 0:
		return usageError(c, fmt.Errorf("--canary %d is no number of hosts", ch.canary))
	case ch.timeout < apply.FloorTimeout:
		return usageError(c, fmt.Errorf("--confirm-timeout %s is less than %s", ch.timeout, apply.FloorTimeout))
	}
	if err := ch.approval.check(c); err != nil {
		return err
	}
	if err := ch.judging.check(c); err != nil {
		return err
	}
	return ch.roll(c)
}

// roll reads the flags of a rolling run.
func (ch *changing) roll(c *cobra.Command) error {
	ch.rolling = remediate.Rolling{Canary: ch.canary, Ignore: ch.ignoreWindow}
	for _, a := range []struct {
		flag, text string
		to         *remediate.Amount
	}{{"--batch-size", ch.batchSize, &ch.rolling.Batch}, {"--max-fail", ch.maxFail, &ch.rolling.MaxFail}} {
		if a.text == "" {
			continue
		}
		n, err := remediate.ParseAmount(a.text)
		if err != nil {
			return usageError(c, fmt.Errorf("%s: %w", a.flag, err))
		}
		*a.to = n
	}
	if ch.notAfter != "" {
		at, err := remediate.NotAfter(ch.notAfter, time.Now())
		if err != nil {
			return usageError(c, fmt.Errorf("--not-after: %w", err))
		}
		ch.rolling.Until = at
	}
	return nil
}

// groups are the inventory's with what holds for each as a whole, and a group of one for each host's window: of several that stand above it
// the nearest counts.
func groups(inv *inventory.Inventory) []remediate.Group {
	if inv == nil {
		return nil
	}
	var out []remediate.Group
	for _, g := range inv.Groups {
		if g.MaxUnavailable > 0 {
			out = append(out, remediate.Group{Name: g.Name, Hosts: g.Hosts, MaxUnavailable: g.MaxUnavailable})
		}
	}
	for _, h := range inv.Hosts {
		if h.Window != nil {
			out = append(out, remediate.Group{Name: cmp.Or(h.Origin["window"].From, h.Name), Hosts: []string{h.Name}, Window: *h.Window})
		}
	}
	return out
}
