package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/tools/txtar"
)

func demoCommand() *cobra.Command {
	var install bool
	c := &cobra.Command{
		Use:   "demo [--install]",
		Short: "Boot three vulnerable mail hosts, audit them over SSH, mend them, look at them from outside, and roll back",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, args []string) error {
			lab, err := equippedLab(c.Context(), install)
			if err != nil {
				return err
			}
			return lab.Demo(c.Context())
		},
	}
	c.Flags().BoolVar(&install, "install", false, "install what this machine lacks")
	return c
}

// Demo boots the hosts of testdata/lab/demo, audits them in one run, prints that report on stdout, and fails when the
// audit did not find what is known to be wrong with them. Then it has them mended and put back (changeDemo).
func (l *Lab) Demo(ctx context.Context) error {
	jobs, err := l.demoJobs()
	if err != nil {
		return err
	}
	l.say("building mtaharden")
	program, err := l.buildAuditor(ctx)
	if err != nil {
		return err
	}
	if err := l.ground(ctx); err != nil {
		return err
	}
	byName := map[string]*recipeJob{}
	var hosts []Host
	for _, j := range jobs {
		byName[j.host.Name], hosts = j, append(hosts, j.host)
	}
	l.say("booting %d mail hosts and making each vulnerable, as hosts that are really met are", len(hosts))
	err = eachHost(hosts, 3, func(h Host) error {
		unlock, err := l.lock(ctx, h.Name)
		if err != nil {
			return err
		}
		defer unlock()
		return l.plantJob(ctx, byName[h.Name])
	})
	if err != nil {
		return err
	}
	text := l.inventoryOf(hosts, []string{"outside"}, func(h Host) string { return byName[h.Name].recipe.intent() })
	inventory := filepath.Join(l.State, "demo.toml")
	if err := replaceFile(inventory, text, 0o600); err != nil {
		return err
	}
	if err := l.showAudit(ctx, program, inventory); err != nil {
		return err
	}
	if err := l.checkDemo(ctx, program, jobs); err != nil {
		return err
	}
	if err := l.changeDemo(ctx, program, inventory, jobs); err != nil {
		return err
	}
	l.say("the hosts are still up, and vulnerable again. See what would be changed: go run ./cmd/mtaharden plan -i %s", inventory)
	l.say("look at one: go run ./cmd/mtalab exec %s -- sh; stop them all: go run ./cmd/mtalab down", hosts[0].Name)
	return nil
}

func (l *Lab) demoJobs() ([]*recipeJob, error) {
	names, err := fs.Glob(l.files(), "demo/*.txtar")
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("cannot find the demonstration in testdata/lab/demo: %v", err)
	}
	var jobs []*recipeJob
	for _, name := range names {
		data, err := fs.ReadFile(l.files(), name)
		if err != nil {
			return nil, err
		}
		r, err := parseRecipe("demo/"+strings.TrimSuffix(path.Base(name), ".txtar"), data)
		if err != nil {
			return nil, err
		}
		hosts, err := l.Select([]string{r.Host})
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, &recipeJob{recipe: r, host: hosts[0], probe: true})
	}
	return jobs, nil
}

// plantJob plants a recipe on its host, which the caller has locked.
func (l *Lab) plantJob(ctx context.Context, j *recipeJob) error {
	tree, err := txtar.FS(&txtar.Archive{Files: j.recipe.Files})
	if err != nil {
		return err
	}
	limit := greetsLate
	if o := j.recipe.implied(); o.Dead || o.DeadToo {
		limit = notGreeting
	}
	state, err := l.plant(ctx, j.host, tree, limit)
	if limit == greetsLate && state != mtaGreets {
		j.note = state
	}
	return err
}

// showAudit runs the audit as a person would, its report on stdout.
func (l *Lab) showAudit(ctx context.Context, program, inventory string) error {
	l.say("$ mtaharden audit --probe -i %s", inventory)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	c := l.resolving(ctx, program, "audit", "--probe", "-i", inventory, "--batch", "--state", filepath.Join(l.State, "demo-state"))
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	status, err := commandStatus(c.Run())
	if err != nil {
		return err
	}
	if status != 2 {
		return fmt.Errorf("the audit of three vulnerable hosts ended with %d, not with 2 (something was found)", status)
	}
	return nil
}

// checkDemo holds the findings, and what a stranger meets, against what the demonstration planted.
func (l *Lab) checkDemo(ctx context.Context, program string, jobs []*recipeJob) error {
	for _, j := range jobs {
		l.judgeJob(ctx, program, j)
		if len(j.wrong) > 0 {
			return fmt.Errorf("the audit did not find what is wrong with %s:\n%s", j.host.Name, j.line())
		}
		l.say("%s: every planted weakness was found, and a stranger outside confirms it", j.host.Name)
	}
	return nil
}
