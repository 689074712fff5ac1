package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/probe"
)

func nmapCommand() *cobra.Command {
	var run compareRun
	var install bool
	c := &cobra.Command{
		Use:   "nmap [--sample N] [--seed S] [NAME…]",
		Short: "Plant configurations, let nmap's SMTP scripts and the probe ask them from outside, and compare both with the table",
		RunE: func(c *cobra.Command, args []string) error {
			lab, err := equippedLab(c.Context(), install, func(l *Lab) map[string]string { return l.CompareTools })
			if err != nil {
				return err
			}
			run.names, run.out = args, os.Stdout
			return lab.Compare(c.Context(), run)
		},
	}
	f := c.Flags()
	f.IntVar(&run.sample, "sample", 0, "compare `N` recipes that the seed picks (0: all)")
	f.StringVar(&run.seed, "seed", "", "what picks the sample")
	f.BoolVar(&run.rows, "rows", false, "print what was met as rows for the table")
	f.BoolVar(&install, "install", false, "install what this machine lacks, nmap too")
	return c
}

// A compareRun says which rows of the table are compared.
type compareRun struct {
	names  []string // parts of names; none: all
	sample int
	seed   string
	rows   bool // print rows for the table instead of comparing with it
	out    io.Writer
}

// Compare plants the table's recipes, has nmap and the probe ask each from outside, and fails where they differ otherwise
// than the table says and explains.
func (l *Lab) Compare(ctx context.Context, run compareRun) error {
	recipes, err := loadRecipes(l.files())
	if err != nil {
		return err
	}
	table, err := loadComparison(l.files(), recipes)
	if err != nil && !run.rows {
		return err
	}
	jobs, err := l.compareJobs(run, recipes, table)
	if err != nil {
		return err
	}
	if err := l.ground(ctx); err != nil {
		return err
	}
	var mu sync.Mutex
	failed := 0
	inTurns(jobs, func(j *compareJob) string { return j.host.Name }, hostsAtOnce, func(j *compareJob) {
		met, err := l.compareOne(ctx, j.recipeJob)
		mu.Lock()
		defer mu.Unlock()
		if !j.report(run, met, err) {
			failed++
		}
	})
	if failed > 0 {
		return fmt.Errorf("nmap and the probe: %d of %d hosts are not as testdata/lab/nmap.toml has them", failed, len(jobs))
	}
	if !run.rows {
		fmt.Fprintf(run.out, "\nnmap and the probe compared on %d of %d hosts of the table (seed %q), every difference explained\n", len(jobs), len(table.Rows), run.seed)
	}
	return ctx.Err()
}

// A compareJob is one row of the table, and its recipe on its host.
type compareJob struct {
	*recipeJob
	row compared
}

// compareJobs picks rows; where rows are to be printed, recipes that have none yet too.
func (l *Lab) compareJobs(run compareRun, recipes []*Recipe, table *comparison) ([]*compareJob, error) {
	rows := map[string]compared{}
	for _, row := range table.Rows {
		rows[row.Name] = row
	}
	picked := slices.DeleteFunc(slices.Clone(recipes), func(r *Recipe) bool {
		if len(run.names) > 0 && !slices.ContainsFunc(run.names, func(n string) bool { return strings.Contains(r.Name, n) }) {
			return true
		}
		_, ok := rows[r.Name]
		return !ok && !(run.rows && len(run.names) > 0)
	})
	var jobs []*compareJob
	for _, r := range sample(picked, run.sample, run.seed) {
		names := []string{rows[r.Name].Host}
		if names[0] == "" {
			var err error
			if names, err = r.hostsFor(l.Catalog, run.seed, false); err != nil {
				return nil, err
			}
		}
		if release, _, _ := strings.Cut(names[0], "-"); slices.Contains(l.gone, release) {
			continue
		}
		hosts, err := l.Select(names)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, &compareJob{&recipeJob{recipe: r, host: hosts[0]}, rows[r.Name]})
	}
	if len(jobs) == 0 {
		return nil, fmt.Errorf("no recipe to compare is named so: %s", strings.Join(run.names, " "))
	}
	return jobs, nil
}

// compareOne plants a recipe and lets both ask it.
func (l *Lab) compareOne(ctx context.Context, j *recipeJob) (compared, error) {
	ctx, cancel := context.WithTimeout(ctx, 6*time.Minute)
	defer cancel()
	unlock, err := l.lock(ctx, j.host.Name)
	if err != nil {
		return compared{}, err
	}
	defer unlock()
	quiet := *l
	quiet.log = io.Discard
	if err := quiet.plantJob(ctx, j); err != nil {
		return compared{}, err
	}
	at := l.callerFrom("outside", j.host, j.recipe.Port, j.recipe.IPv6)
	theirs, err := l.nmapScan(ctx, "outside", j.host.Name+"."+l.Network.Domain, at.to)
	if err != nil {
		return compared{}, err
	}
	ours := probe.Ask(ctx, probe.Listener{Addr: at.to}, probe.Config{
		Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			return at.dial(netip.MustParseAddrPort(addr))
		},
		Vantage: "outside", From: l.vantageAddr("outside"), Relay: true, Domain: foreignDomain, Helo: at.helo,
	})
	if ours.Err != nil {
		return compared{}, ours.Err
	}
	met := compared{Name: j.recipe.Name, Host: j.host.Name, Says: theirs.Relay, Nmap: theirs.Forms, Users: theirs.methods()}
	met.see(ours, theirs)
	return met, nil
}

// see puts what the probe learnt beside nmap's words.
func (c *compared) see(ours *probe.Report, theirs *scan) {
	for _, f := range relayForms() {
		came := func(to func(probe.Verdict) bool) bool {
			return slices.ContainsFunc(ours.Cases, func(k probe.Case) bool { return k.Form == f.Name && !k.TLS && to(k.Verdict) })
		}
		switch {
		case came(probe.Verdict.Open):
			c.Probe = append(c.Probe, f.Name)
		case came(func(v probe.Verdict) bool { return v == probe.Unproven }):
			c.Maybe = append(c.Maybe, f.Name)
		}
	}
	c.Calls = probeVerdict(ours)
	for _, s := range ours.Services {
		if (s.Verb == judge.Vrfy || s.Verb == judge.Expn) && s.Outcome == judge.Disclosed {
			c.Tells = append(c.Tells, string(s.Verb))
		}
	}
	for _, e := range ours.Plain.Extensions {
		if !slices.Contains(theirs.Ehlo, e) {
			c.Lacks = append(c.Lacks, e)
		}
	}
	for _, e := range theirs.Ehlo {
		if !slices.Contains(ours.Plain.Extensions, e) {
			c.Adds = append(c.Adds, e)
		}
	}
}

// probeVerdict is open where any form at all was taken, unproven where some were as any account is, closed where none was and some were refused.
func probeVerdict(r *probe.Report) string {
	verdict := "none"
	for _, k := range r.Cases {
		switch {
		case k.Form != "local" && k.Verdict.Open():
			return "open"
		case k.Verdict == probe.Unproven:
			verdict = "unproven"
		case k.Verdict == probe.Refused && verdict == "none":
			verdict = "closed"
		}
	}
	return verdict
}

// report prints how a row ended and says whether it is as the table has it.
func (j *compareJob) report(run compareRun, met compared, err error) bool {
	if run.rows && err == nil {
		fmt.Fprintf(run.out, "%s\n", met.toml())
		return true
	}
	var wrong []string
	if err != nil {
		wrong = []string{err.Error()}
	} else {
		wrong = j.row.against(met)
	}
	word := "ok  "
	if len(wrong) > 0 {
		word = "FAIL"
	}
	fmt.Fprintf(run.out, "%s %-34s %-18s nmap %2d/16 %-14s probe %2d/16 %-10s %s\n", word, j.recipe.Name, j.host.Name,
		len(met.Nmap), strings.Join(met.Users, ","), len(met.Probe), strings.Join(met.Tells, ","), strings.Join(j.row.Why, " "))
	for _, w := range wrong {
		fmt.Fprintf(run.out, "       %s\n", w)
	}
	return len(wrong) == 0
}
