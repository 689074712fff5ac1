package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

const (
	testLimit          = 80 * time.Minute // on a machine that is busy with other things; alone it takes a third
	staticcheckVersion = "v0.8.2"
	comparedRecipes    = 6                                          // of nmap's table, half a minute each; all in a full run
	probedRecipes      = 16                                         // recipes whose audit asks the network too, beside those that want it; all in a full run
	cycledRecipes      = 3                                          // of each MTA that are mended and put back; all, on every host, in a full run
	usualSeed          = "90b76a3e40d554ae5513e62eadcbb07d25584097" // where there is no commit to take one from
)

func testCommand() *cobra.Command {
	var run testRun
	var install bool
	c := &cobra.Command{
		Use:   "test [--install] [--full]",
		Short: "Run all of the project's tests: static checks, go test, fuzz targets, every recipe on a real host",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, args []string) error {
			lab, err := equippedLab(c.Context(), install, func(l *Lab) map[string]string { return l.TestTools }, func(l *Lab) map[string]string { return l.CompareTools })
			if err != nil {
				return err
			}
			run.lab, run.out, run.top = lab, os.Stdout, filepath.Dir(filepath.Dir(lab.Source))
			return run.all(c.Context())
		},
	}
	f := c.Flags()
	f.BoolVar(&install, "install", false, "install what this machine lacks")
	f.BoolVar(&run.full, "full", false, "every recipe on every release, a minute for each fuzz target, no time limit")
	f.StringVar(&run.seed, "seed", "", "what picks each recipe's release and every sample (default: the commit's name)")
	return c
}

// A testRun is one run of everything.
type testRun struct {
	lab  *Lab
	top  string // the project
	out  io.Writer
	full bool
	seed string
}

// sampled is how many of a kind are run: n, or 0 for all of them in a full run.
func (t *testRun) sampled(n int) int {
	if t.full {
		return 0
	}
	return n
}

// A stage is one part of the run; every stage runs, whatever became of those before it.
type stage struct {
	name string
	do   func(context.Context) error
}

func (t *testRun) all(ctx context.Context) error {
	if !t.full {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, testLimit, fmt.Errorf("the time limit of %s is over", testLimit))
		defer cancel()
	}
	t.pickSeed(ctx)
	wasUp := len(t.lab.cgroups.procs("")) > 0
	// The images are built while the static checks run: one waits for the mirror, the other for the processor.
	up := make(chan error, 1)
	go func() { up <- t.fresh(ctx, wasUp) }()
	stages := []stage{
		{"gofmt", t.gofmt},
		{"go vet", func(ctx context.Context) error { return t.run(ctx, nil, "go", "vet", "./...") }},
		{"staticcheck", t.staticcheck},
		{"go mod tidy", func(ctx context.Context) error { return t.run(ctx, nil, "go", "mod", "tidy", "-diff") }},
		{"lab up", func(context.Context) error { return t.without(<-up) }},
		{"go test", t.goTest},
		// Not beside go test: links come and go meanwhile, which tests of what a host looks like would see.
		{"fuzz and the lab's life", func(ctx context.Context) error {
			return t.atOnce(ctx, []part{{"fuzz", (*testRun).fuzz}, {"the lab's life", func(t *testRun, ctx context.Context) error {
				return t.run(ctx, []string{"MTALAB_LIFE=1"}, "go", "test", "-race", "-run", "^(TestLife|TestPlant)$", "./cmd/mtalab")
			}}})
		}},
		{"recipes", func(ctx context.Context) error {
			return t.lab.Recipes(ctx, recipeRun{seed: t.seed, full: t.full, probe: t.sampled(probedRecipes), workers: hostsAtOnce, out: t.out})
		}},
		{"cycle", func(ctx context.Context) error {
			return t.lab.Cycle(ctx, cycleRun{seed: t.seed, full: t.full, sample: t.sampled(cycledRecipes), workers: hostsAtOnce, out: t.out})
		}},
		{"nmap and the differences", func(ctx context.Context) error {
			return t.atOnce(ctx, append([]part{{"nmap", (*testRun).nmap}}, differenceParts()...))
		}},
	}
	if !wasUp {
		stages = append(stages, stage{"lab down", func(ctx context.Context) error { return t.lab.Down(context.WithoutCancel(ctx), nil) }})
	}
	return t.stages(ctx, stages)
}

// fresh boots every host as its image has it: one that was up may be as a demonstration or a recipe left it.
func (t *testRun) fresh(ctx context.Context, wasUp bool) error {
	if wasUp {
		if err := t.lab.Down(ctx, nil); err != nil {
			return err
		}
	}
	return t.lab.Up(ctx, nil)
}

// pickSeed takes the seed from the commit that is checked out, unless one is given: each commit is tried with another sample, and every run of it
// with the same one.
func (t *testRun) pickSeed(ctx context.Context) {
	whose := "as given"
	if t.seed == "" {
		head, err := t.output(ctx, "git", "rev-parse", "--verify", "HEAD")
		t.seed, whose = strings.TrimSpace(head), "the commit's name"
		if err != nil || t.seed == "" {
			t.seed, whose = usualSeed, fmt.Sprintf("there is no commit to take it from: %v", err)
		}
	}
	fmt.Fprintf(t.out, "seed %s (%s): --seed %[1]s picks the same samples again\n", t.seed, whose)
}

// nmap compares a sample of the rows of nmap's table.
func (t *testRun) nmap(ctx context.Context) error {
	return t.lab.Compare(ctx, compareRun{seed: t.seed, sample: t.sampled(comparedRecipes), out: t.out})
}

// A part is one of several that run side by side, each with a run of its own to print to.
type part struct {
	name string
	do   func(*testRun, context.Context) error
}

// atOnce runs parts side by side: some wait for replies most of the time, others use one processor alone. What each printed is shown when it has
// ended, in one piece, with how it ended.
func (t *testRun) atOnce(ctx context.Context, parts []part) error {
	errs := make([]error, len(parts))
	var mu sync.Mutex
	var all sync.WaitGroup
	for i, p := range parts {
		all.Go(func() {
			var printed bytes.Buffer
			own, start, word := *t, time.Now(), "ok"
			own.out = &printed
			if err := p.do(&own, ctx); err != nil {
				errs[i], word = fmt.Errorf("%s: %w", p.name, err), "FAIL"
			}
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(t.out, "=== %s\n%s--- %s: %s, %.0f s\n", p.name, printed.String(), word, p.name, time.Since(start).Seconds())
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// without takes the releases that the mirror has no longer out of the plan and returns what else went wrong. All of them are due in a full run.
func (t *testRun) without(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if t.full || !ok {
		return err
	}
	var rest []error
	for _, e := range joined.Unwrap() {
		var gone *goneError
		switch {
		case !errors.As(e, &gone):
			rest = append(rest, e)
		case !slices.Contains(t.lab.Catalog.gone, gone.release):
			t.lab.Catalog.forget(gone.release)
			fmt.Fprintf(t.out, "%s is left out: %v\n", gone.release, gone)
		}
	}
	return errors.Join(rest...)
}

// stages runs them in order and prints the table of how each ended.
func (t *testRun) stages(ctx context.Context, stages []stage) error {
	var errs []error
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 8, 2, ' ', 0)
	for _, s := range stages {
		fmt.Fprintf(t.out, "=== %s\n", s.name)
		start, word := time.Now(), "ok"
		if err := s.do(ctx); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("%w (%w)", err, context.Cause(ctx))
			}
			word = "FAIL"
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
			fmt.Fprintf(t.out, "--- FAIL: %s: %v\n", s.name, err)
		}
		fmt.Fprintf(w, "%s\t%s\t%.0f s\n", s.name, word, time.Since(start).Seconds())
	}
	_ = w.Flush()
	fmt.Fprintf(t.out, "\n%s", table.String())
	if len(errs) > 0 {
		return fmt.Errorf("%d of %d stages failed", len(errs), len(stages))
	}
	return nil
}

func (t *testRun) command(ctx context.Context, env []string, argv ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Dir = t.top
	c.Env = append(os.Environ(), env...)
	c.WaitDelay = 5 * time.Second
	return c
}

// run runs a program in the project, its output shown as it comes.
func (t *testRun) run(ctx context.Context, env []string, argv ...string) error {
	c := t.command(ctx, env, argv...)
	c.Stdout, c.Stderr = t.out, t.out
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return nil
}

func (t *testRun) output(ctx context.Context, argv ...string) (string, error) {
	c := t.command(ctx, nil, argv...)
	var errout bytes.Buffer
	c.Stderr = &errout
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, lastLines(errout.String(), 5))
	}
	return string(out), nil
}

func (t *testRun) gofmt(ctx context.Context) error {
	out, err := t.output(ctx, "gofmt", "-l", "cmd", "inventory", "playbooks", "remediate")
	if err == nil && strings.TrimSpace(out) != "" {
		err = fmt.Errorf("not formatted: %s", strings.Join(strings.Fields(out), " "))
	}
	return err
}

// staticcheck runs the pinned version, which it installs into the lab's folder the first time.
func (t *testRun) staticcheck(ctx context.Context) error {
	bin := filepath.Join(t.lab.State, "bin")
	program := filepath.Join(bin, "staticcheck-"+staticcheckVersion)
	if _, err := os.Stat(program); err != nil {
		t.lab.say("installing staticcheck %s", staticcheckVersion)
		if err := t.run(ctx, []string{"GOBIN=" + bin}, "go", "install", "honnef.co/go/tools/cmd/staticcheck@"+staticcheckVersion); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(bin, "staticcheck"), program); err != nil {
			return err
		}
	}
	return t.run(ctx, nil, program, "./...")
}

// slowestPackages are those whose tests take ten minutes: go test begins them in the order in which they are named, and one that began last would
// run by itself at the end.
func slowestPackages() []string {
	return []string{"./cmd/mtaharden", "./remediate/apply", "./remediate/remote/ssh", "./remediate/facts", "./remediate/mta/postfix", "./remediate/probe"}
}

// goTest runs every test under the race detector, with the lab's hosts at hand. More packages at once than there may be
// processors: those that wait for the lab hold no other up. go vet has been by itself: what go test would vet is a part of that.
func (t *testRun) goTest(ctx context.Context) error {
	hosts := t.lab.Hosts()
	inventory, err := t.lab.writeInventory(hosts)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	env, limit := []string{"MTALAB=1", "MTALAB_INVENTORY=" + inventory, "MTALAB_SEED=" + t.seed, "MTALAB_PROGRAM=" + self}, "45m"
	if t.full { // every fault at every call of the host's scripts
		env, limit = append(env, "MTALAB_FULL=1"), "3h"
	}
	argv := append([]string{"go", "test", "-race", "-vet=off", "-p", "5", "-timeout", limit}, slowestPackages()...)
	return t.run(ctx, env, append(argv, "./...")...)
}
