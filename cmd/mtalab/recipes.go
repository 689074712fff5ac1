package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func recipesCommand() *cobra.Command {
	var run recipeRun
	var install bool
	c := &cobra.Command{
		Use:   "recipes [--sample N] [--seed S] [--full] [NAME…]",
		Short: "Plant configurations, audit them, ask them from outside, and compare with what must be found",
		RunE: func(c *cobra.Command, args []string) error {
			lab, err := equippedLab(c.Context(), install)
			if err != nil {
				return err
			}
			run.names, run.out = args, os.Stdout
			return lab.Recipes(c.Context(), run)
		},
	}
	f := c.Flags()
	f.IntVar(&run.sample, "sample", 0, "run `N` recipes that the seed picks (0: all)")
	f.StringVar(&run.seed, "seed", "", "what picks the sample and each recipe's release")
	f.BoolVar(&run.full, "full", false, "run each recipe on every release it holds for")
	f.IntVar(&run.probe, "probe", 0, "let the audit ask the network too for `N` recipes that the seed picks, and where a recipe wants it (0: for all)")
	f.IntVar(&run.workers, "workers", hostsAtOnce, "hosts that are worked on at a time")
	f.BoolVar(&run.outside, "outside-only", false, "plant and ask from outside, without an audit")
	f.BoolVar(&install, "install", false, "install what this machine lacks")
	return c
}

// A recipeRun says which recipes run where.
type recipeRun struct {
	names   []string // parts of names; none: all
	sample  int
	seed    string
	full    bool
	probe   int // recipes whose audit is one with --probe, beside those that want it; 0 is all
	workers int
	outside bool // no audit: the witness outside alone
	out     io.Writer
}

// A recipeJob is one recipe on one host, and how it ended.
type recipeJob struct {
	recipe *Recipe
	host   Host
	probe  bool
	heard  string // what the network judge said of open-relay: relayed, refused, or nothing
	wrong  []string
	note   string // what the wait for its greeting came to, where it did not greet and was to
	took   time.Duration
	spent  [3]time.Duration // planting, auditing, asking
	found  map[string]string
}

// Recipes runs what was chosen and prints a line a recipe and a table. It fails when any recipe did.
func (l *Lab) Recipes(ctx context.Context, run recipeRun) error {
	jobs, err := l.recipeJobs(run)
	if err != nil {
		return err
	}
	program := ""
	if !run.outside {
		if program, err = l.buildAuditor(ctx); err != nil {
			return err
		}
	}
	if err := l.ground(ctx); err != nil {
		return err
	}
	fmt.Fprintln(run.out, run.announce(jobs))
	var mu sync.Mutex
	inTurns(jobs, func(j *recipeJob) string { return j.host.Name }, run.workers, func(j *recipeJob) {
		if ctx.Err() != nil {
			j.wrong = []string{"not run: " + ctx.Err().Error()}
			return
		}
		l.runRecipe(ctx, program, j)
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprint(run.out, j.line())
	})
	return summarise(run, jobs)
}

// announce says how many recipes run where, and how many audits ask the network too.
func (run recipeRun) announce(jobs []*recipeJob) string {
	recipes, hosts, probed := map[string]bool{}, map[string]bool{}, 0
	for _, j := range jobs {
		recipes[j.recipe.Name], hosts[j.host.Name] = true, true
		if j.probe {
			probed++
		}
	}
	return fmt.Sprintf("%d recipes run %d times on %d hosts, %d at a time; %d audits ask the network too (seed %q)", len(recipes), len(jobs), len(hosts), max(run.workers, 1), probed, run.seed)
}

func (l *Lab) recipeJobs(run recipeRun) ([]*recipeJob, error) {
	recipes, err := loadRecipes(l.files())
	if err != nil {
		return nil, err
	}
	if len(run.names) > 0 {
		recipes = slices.DeleteFunc(recipes, func(r *Recipe) bool {
			return !slices.ContainsFunc(run.names, func(n string) bool { return strings.Contains(r.Name, n) })
		})
	}
	if len(recipes) == 0 {
		return nil, fmt.Errorf("no recipe is named so: %s", strings.Join(run.names, " "))
	}
	var jobs []*recipeJob
	probed := sample(recipes, run.probe, "probe"+run.seed)
	if run.probe > 0 { // a server that does not answer is waited for: minutes a recipe, for the full run
		probed = slices.DeleteFunc(slices.Clone(probed), func(r *Recipe) bool { return slices.Contains(r.Expect, Expectation{"open-relay", "error"}) })
	}
	for _, r := range sample(recipes, run.sample, run.seed) {
		names, err := r.hostsFor(l.Catalog, run.seed, run.full)
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			continue // its release is gone; Select would take none for all
		}
		hosts, err := l.Select(names)
		if err != nil {
			return nil, fmt.Errorf("%s: %v", r.Name, err)
		}
		for _, h := range hosts {
			jobs = append(jobs, &recipeJob{recipe: r, host: h, probe: r.probed(slices.Contains(probed, r))})
		}
	}
	return jobs, nil
}

// buildAuditor builds the program under test.
func (l *Lab) buildAuditor(ctx context.Context) (string, error) {
	program := filepath.Join(l.State, "bin", "mtaharden")
	c := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/mtaharden")
	c.Dir = filepath.Dir(filepath.Dir(l.Source))
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build mtaharden: %v: %s", err, lastLines(string(out), 10))
	}
	return program, nil
}

// runRecipe plants, audits and asks from outside. Whatever goes wrong is in the job.
func (l *Lab) runRecipe(ctx context.Context, program string, j *recipeJob) {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Minute)
	defer cancel()
	start := time.Now()
	defer func() { j.took = time.Since(start) }()
	unlock, err := l.lock(ctx, j.host.Name)
	if err != nil {
		j.wrong = append(j.wrong, err.Error())
		return
	}
	defer unlock()
	quiet := *l
	quiet.log = io.Discard
	err = quiet.plantJob(ctx, j)
	j.spent[0] = time.Since(start)
	if err != nil {
		j.wrong = append(j.wrong, err.Error())
		return
	}
	l.judgeJob(ctx, program, j)
}

// judgeJob audits a planted host and asks it from outside. Without a program it only asks.
func (l *Lab) judgeJob(ctx context.Context, program string, j *recipeJob) {
	began := time.Now()
	defer func() { j.spent[2] = time.Since(began) }()
	if program != "" {
		findings, err := l.audit(ctx, program, j)
		if err != nil {
			j.wrong = append(j.wrong, err.Error())
		} else {
			j.wrong = append(j.wrong, j.compare(findings)...)
		}
		j.spent[1], began = time.Since(began), time.Now()
	}
	for _, where := range callers() {
		o, ok := j.recipe.Meets[where]
		if where == "outside" {
			o, ok = j.recipe.implied(), true
		}
		if ok {
			w := l.callerFrom(where, j.host, j.recipe.Port, j.recipe.IPv6).witness(o.Some || o.Accepts >= 0 || len(o.Forms) > 0, len(o.Asks) > 0)
			j.wrong = append(j.wrong, o.compare(where, w)...)
			if where == "outside" && program != "" && j.probe && len(j.wrong) == 0 {
				j.wrong = append(j.wrong, j.against(w)...)
			}
		}
	}
}

func (j *recipeJob) line() string {
	word := "ok  "
	if len(j.wrong) > 0 {
		word = "FAIL"
	}
	line := fmt.Sprintf("%s %-44s %-22s %5.1fs\n", word, j.recipe.Name, j.host.Name, j.took.Seconds())
	if j.note != "" {
		line += "       " + j.note + "\n"
	}
	for _, w := range j.wrong {
		line += "       " + w + "\n"
	}
	return line
}

// summarise prints the table: how each MTA did, and how often each rule failed and passed.
func summarise(run recipeRun, jobs []*recipeJob) error {
	type count struct{ ran, failed int }
	var spent [3]time.Duration
	mtas, rules := map[string]*count{}, map[string]map[string]int{}
	failed := 0
	for _, j := range jobs {
		c := mtas[j.recipe.MTA]
		if c == nil {
			c = new(count)
			mtas[j.recipe.MTA] = c
		}
		c.ran++
		for i, d := range j.spent {
			spent[i] += d
		}
		if len(j.wrong) > 0 {
			c.failed++
			failed++
		}
		for rule, status := range j.found {
			if rules[rule] == nil {
				rules[rule] = map[string]int{}
			}
			rules[rule][status]++
		}
	}
	t := tabwriter.NewWriter(run.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "\nrecipes (seed %q)\tran\tfailed\n", run.seed)
	for _, name := range sortedKeys(mtas) {
		fmt.Fprintf(t, "%s\t%d\t%d\n", name, mtas[name].ran, mtas[name].failed)
	}
	fmt.Fprintf(t, "\nrule\t%s\n", strings.Join(statuses(), "\t"))
	for _, rule := range sortedKeys(rules) {
		fmt.Fprint(t, rule)
		for _, s := range statuses() {
			fmt.Fprintf(t, "\t%d", rules[rule][s])
		}
		fmt.Fprintln(t)
	}
	fmt.Fprintf(t, "\nseconds of all recipes together\tplanting %.0f\tauditing %.0f\tasking %.0f\n", spent[0].Seconds(), spent[1].Seconds(), spent[2].Seconds())
	err := t.Flush()
	if failed > 0 {
		return errors.Join(err, fmt.Errorf("%d of %d recipes failed", failed, len(jobs)))
	}
	fmt.Fprintf(run.out, "\n%d recipes passed, 0 failed\n", len(jobs))
	return err
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
