package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func cycleCommand() *cobra.Command {
	var run cycleRun
	var install bool
	c := &cobra.Command{
		Use:   "cycle [--sample N] [--seed S] [--full] [--host PART]… [RECIPE…]",
		Short: "Plant vulnerable configurations, mend them, look at the servers, mend them again, roll back, and compare every file",
		RunE: func(c *cobra.Command, args []string) error {
			lab, err := equippedLab(c.Context(), install)
			if err != nil {
				return err
			}
			run.names, run.out = args, os.Stdout
			return lab.Cycle(c.Context(), run)
		},
	}
	f := c.Flags()
	f.IntVar(&run.sample, "sample", 0, "run `N` recipes of each MTA that the seed picks (0: all)")
	f.StringVar(&run.seed, "seed", "", "what picks the sample and each recipe's host")
	f.BoolVar(&run.full, "full", false, "run each recipe on every release and variant it holds for")
	f.StringSliceVar(&run.hosts, "host", nil, "on hosts with `PART` in their name alone")
	f.IntVar(&run.workers, "workers", 3, "hosts that are worked on at a time")
	f.StringVar(&run.record, "record", "", "write down in `FILE` how each ended, and leave out what it has as ended well")
	f.BoolVar(&install, "install", false, "install what this machine lacks")
	return c
}

// A cycleRun says which recipes are mended and put back, and where.
type cycleRun struct {
	names   []string // parts of names; none: all
	hosts   []string // parts of hosts' names; none: all
	sample  int      // of each MTA; 0: all
	seed    string
	full    bool
	workers int
	record  string // a file; empty: none
	out     io.Writer
}

// Cycle takes every vulnerable recipe that was chosen through plan, apply, apply again and rollback on a real host, and prints a line each and a
// table. It fails when any did.
func (l *Lab) Cycle(ctx context.Context, run cycleRun) error {
	jobs, err := l.cycleJobs(run)
	if err != nil {
		return err
	}
	program, err := l.buildAuditor(ctx)
	if err != nil {
		return err
	}
	if err := l.ground(ctx); err != nil {
		return err
	}
	record, seen, err := openRecord(ctx, filepath.Dir(filepath.Dir(l.Source)), run.record)
	if err != nil {
		return err
	}
	todo := due(jobs, seen)
	if done := len(jobs) - len(todo); done > 0 {
		fmt.Fprintf(run.out, "%d of %d cycles are left out: %s has them as ended well\n", done, len(jobs), run.record)
	}
	var mu sync.Mutex
	var unwritten error
	inTurns(todo, func(j *cycleJob) string { return j.host.Name }, run.workers, func(j *cycleJob) {
		l.cycleOne(ctx, program, j)
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprint(run.out, j.line())
		if ctx.Err() == nil { // what was cut says nothing
			unwritten = errors.Join(unwritten, record.add(j))
		}
	})
	return errors.Join(unwritten, summariseCycles(run, todo))
}

// cycleJobs are the vulnerable recipes, those of a driver's MTA, each on the hosts it is run on.
func (l *Lab) cycleJobs(run cycleRun) ([]*cycleJob, error) {
	recipes, err := loadRecipes(l.files())
	if err != nil {
		return nil, err
	}
	byMTA := map[string][]*Recipe{}
	for _, r := range recipes {
		named := len(run.names) == 0 || slices.ContainsFunc(run.names, func(n string) bool { return strings.Contains(r.Name, n) })
		if named && !r.Sound && l.driven(r.MTA) {
			byMTA[r.MTA] = append(byMTA[r.MTA], r)
		}
	}
	var jobs []*cycleJob
	for _, mta := range sortedKeys(byMTA) {
		for _, r := range sample(byMTA[mta], run.sample, "cycle"+run.seed) {
			hosts, err := l.cycleHosts(r, run)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.Name, err)
			}
			for _, h := range hosts {
				jobs = append(jobs, &cycleJob{recipeJob: recipeJob{recipe: r, host: h, probe: r.probed(run.full)}})
			}
		}
	}
	if len(jobs) == 0 {
		return nil, fmt.Errorf("no vulnerable recipe is named so, or has a host named so: %s", strings.Join(append(run.names, run.hosts...), " "))
	}
	return jobs, nil
}

// driven says whether mtaharden has a driver for an MTA of the lab: for OpenSMTPD, of which only the network can judge, it has none.
func (l *Lab) driven(mta string) bool { return mta != "opensmtpd" }

// cycleHosts are the hosts that a recipe is mended on: those that it is audited on, and the variants that are planted by the same script; unless
// all are wanted the one of them that the seed picks.
func (l *Lab) cycleHosts(r *Recipe, run cycleRun) ([]Host, error) {
	names, err := r.hostsFor(l.Catalog, run.seed, true)
	if err != nil {
		return nil, err
	}
	if r.Host == "" {
		names = append(names, l.variants(r, names)...)
	}
	names = slices.DeleteFunc(names, func(n string) bool {
		return len(run.hosts) > 0 && !slices.ContainsFunc(run.hosts, func(part string) bool { return strings.Contains(n, part) })
	})
	if len(names) == 0 {
		return nil, nil // Select would take none for all
	}
	if !run.full {
		names = names[pick("cycle"+run.seed+r.Name, len(names)):][:1]
	}
	return l.Select(names)
}

// variants are the hosts laid over a recipe's own ones that are planted alike.
func (l *Lab) variants(r *Recipe, names []string) []string {
	var out []string
	for _, h := range l.Hosts() {
		k := l.Kinds[h.Kind]
		if k.From == r.MTA && k.Plant == l.Kinds[r.MTA].Plant && slices.Contains(names, h.Release+"-"+r.MTA) {
			out = append(out, h.Name)
		}
	}
	return out
}

// summariseCycles prints how each kind of host did.
func summariseCycles(run cycleRun, jobs []*cycleJob) error {
	type count struct{ ran, failed, changed, unfixable int }
	kinds := map[string]*count{}
	failed, changed := 0, 0
	for _, j := range jobs {
		c := kinds[j.host.Name]
		if c == nil {
			c = new(count)
			kinds[j.host.Name] = c
		}
		c.ran++
		c.unfixable += j.unfixable
		if j.changed {
			c.changed++
			changed++
		}
		if len(j.wrong) > 0 {
			c.failed++
			failed++
		}
	}
	t := tabwriter.NewWriter(run.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "\ncycles (seed %q)\tran\tchanged and put back\tfindings left to a person\tfailed\n", run.seed)
	for _, name := range sortedKeys(kinds) {
		c := kinds[name]
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\n", name, c.ran, c.changed, c.unfixable, c.failed)
	}
	err := t.Flush()
	switch {
	case failed > 0:
		err = errors.Join(err, fmt.Errorf("%d of %d cycles failed", failed, len(jobs)))
	case changed == 0 && len(run.names) == 0:
		err = errors.Join(err, errors.New("no recipe changed anything"))
	default:
		fmt.Fprintf(run.out, "\n%d recipes went through apply and rollback, %d of them changed and put back, 0 failed\n", len(jobs), changed)
	}
	return err
}

// A cycleJob is one recipe on one host on its way.
type cycleJob struct {
	recipeJob
	changed   bool // apply changed the host, and the rollback put it back
	unfixable int  // findings that are left to a person
	phases    []phase
	processor time.Duration // of mtaharden's commands
}

func (j *cycleJob) fail(format string, args ...any) {
	j.wrong = append(j.wrong, fmt.Sprintf(format, args...))
}

const cycleLimit = 15 * time.Minute // one recipe, on a machine that is busy with other things

// cycleOne takes one recipe through. Whatever goes wrong is in the job.
func (l *Lab) cycleOne(ctx context.Context, program string, j *cycleJob) {
	if ctx.Err() != nil {
		j.fail("not run: %v", context.Cause(ctx))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, cycleLimit)
	defer cancel()
	start := time.Now()
	defer func() { j.took = time.Since(start) }()
	unlock, err := l.lock(ctx, j.host.Name)
	if err != nil {
		j.fail("%v", err)
		return
	}
	defer unlock()
	quiet := *l
	quiet.log = io.Discard
	if err := j.timed(l, "plant", func() error { return quiet.plantJob(ctx, &j.recipeJob) }); err != nil {
		j.fail("%v", err)
		return
	}
	c, err := l.beginCycle(program, j)
	if err != nil {
		j.fail("%v", err)
		return
	}
	defer c.end()
	if err := c.through(ctx); err != nil {
		j.fail("%v", err)
	}
}
