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
	"golang.org/x/term"

	"mtaharden/remediate"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta/all"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/report"
)

// judging are the flags of the commands that judge.
type judging struct {
	reach
	playbooks    []string
	snapshots    []string
	strict       bool
	allowUnknown bool
	probe        bool

	dialer *dialer // what targets reaches the hosts with; nil where none is reached
}

func (j *judging) register(c *cobra.Command, output string) {
	f := c.Flags()
	j.reach.register(f, output)
	f.StringArrayVar(&j.playbooks, "playbook", nil, "judge by playbook `NAME|FILE` (may be repeated; default baseline)")
	f.StringArrayVar(&j.snapshots, "snapshot", nil, "judge the saved snapshot `FILE` and reach no host (may be repeated)")
	f.BoolVar(&j.probe, "probe", false, "ask the hosts' mail listeners over the network, too: from this machine and the inventory's vantages")
	f.BoolVar(&j.strict, "strict", false, "exit 2 for review findings too")
	f.BoolVar(&j.allowUnknown, "allow-unknown", false, "exit 0 in spite of unknown findings")
}

func newAuditCommand() *cobra.Command {
	j := &judging{}
	c := &cobra.Command{
		Use:   "audit",
		Short: "Judge the mail servers of the inventory, or of this machine",
		Long: `audit reads every host of the inventory (-i) with one login and one command (a
second one where reading raised a question) that change nothing, and judges its
mail servers by the playbooks. Without -i it judges this machine. With --snapshot it judges what collect saved.

With --probe the network is asked as well: SMTP dialogues with each listener of
each host, that stop before a message is sent. Whether the host relays for
strangers is asked only from where the host's own configuration shows a stranger:
this machine first, then the inventory's vantages, dialled through SSH.

Exit status: 0 all is well, 2 something was found, 3 a host was not read to the
end, 4 a host was not reached or not entered, 64 bad usage or input.`,
		Example: `  mtaharden audit                              this machine
  mtaharden audit -i hosts.toml --limit mx     the group mx
  mtaharden audit -i hosts.toml --probe        and what the network says
  mtaharden audit --snapshot mx1.snap --format csv`,
		Args: exactArgs(cobra.NoArgs),
	}
	j.register(c, "write the report to `FILE`")
	c.RunE = func(c *cobra.Command, _ []string) error { return audit(c, j) }
	return c
}

func audit(c *cobra.Command, j *judging) error {
	if err := j.check(c); err != nil {
		return err
	}
	out, err := openReport(c.OutOrStdout(), j.output)
	if err != nil {
		return err
	}
	defer out.discard()
	sum, _, err := judgeAll(c, j, "audit", out)
	if err != nil {
		return err
	}
	if err := out.commit(); err != nil {
		return err
	}
	return verdict(sum, j)
}

// judgeAll reaches and judges every target, and reports on w as they come. The hosts are returned for a plan alone.
func judgeAll(c *cobra.Command, j *judging, command string, w io.Writer) (report.Summary, []judgedHost, error) {
	var sum report.Summary
	targets, err := j.targets(c)
	if err != nil {
		return sum, nil, err
	}
	h, err := report.New(j.format, w, report.Options{
		Lang: j.lang, Color: colours(w), Diffs: command == "plan", Verbose: j.verbose > 0, Width: width(w),
	})
	if err != nil {
		return sum, nil, badInput(err)
	}
	var hosts []judgedHost
	ctx, stop := context.WithCancelCause(c.Context())
	defer stop(nil)
	var failed error
	begun := time.Now()
	run := report.Run{ID: runID(begun), Command: command, Started: begun, Playbooks: j.playbookNames(targets), Hosts: names(targets)}
	if err := h.Begin(run); err != nil {
		return sum, nil, fmt.Errorf("cannot write the report: %w", err)
	}
	p := newProgress(c.ErrOrStderr(), len(targets))
	remediate.Run(ctx, remediate.Config{Targets: targets, Drivers: all.Drivers(), Forks: j.forks, Breaker: j.breaker, Probe: j.probing(c.ErrOrStderr()), Now: time.Now}, func(o remediate.Outcome) {
		rep := reported(o)
		p.done(rep.Name, rep.State, rep.Error, o.Took)
		sum.Add(rep)
		if command == "plan" {
			o.Raw = nil // of ten thousand hosts it is much, and the plan does not need it
			hosts = append(hosts, judgedHost{o, rep})
		}
		if failed == nil {
			if failed = h.Host(rep); failed != nil {
				stop(errors.New("the report cannot be written"))
			}
		}
	})
	if failed == nil {
		failed = h.End(time.Now())
	}
	if failed != nil {
		return sum, nil, fmt.Errorf("cannot write the report: %w", failed)
	}
	p.hints(len(j.inventory) == 0)
	slices.SortStableFunc(hosts, func(a, b judgedHost) int {
		return slices.Index(run.Hosts, a.report.Name) - slices.Index(run.Hosts, b.report.Name)
	})
	return sum, hosts, nil
}

type judgedHost struct {
	outcome remediate.Outcome
	report  *report.Host
}

func names(targets []remediate.Target) []string {
	out := make([]string, len(targets))
	for i, t := range targets {
		out[i] = t.Name
	}
	return out
}

// reported is an outcome in the report's words.
func reported(o remediate.Outcome) *report.Host {
	h := &report.Host{Name: o.Target.Name, Address: o.Target.Address, State: stateOf(o.Err), Result: o.Result}
	if o.Err != nil {
		h.Error = facts.Printable(o.Err.Error())
	}
	return h
}

func stateOf(err error) report.State {
	switch {
	case err == nil:
		return report.OK
	case errors.Is(err, remediate.ErrBreaker):
		return report.NotBegun
	case errors.Is(err, remote.ErrUnreachable):
		return report.Unreachable
	case errors.Is(err, remote.ErrHostKey):
		return report.HostKey
	case errors.Is(err, remote.ErrAuth):
		return report.AuthFailed
	case errors.Is(err, remote.ErrPrivilege):
		return report.NoPrivilege
	case errors.Is(err, remote.ErrCut), errors.Is(err, remediate.ErrIncomplete):
		return report.Incomplete
	}
	return report.Failed
}

// verdict turns the counts of a run into its exit status: the highest that applies.
func verdict(s report.Summary, j *judging) error {
	code := 0
	found := s.Fail + s.Error
	if !j.allowUnknown {
		found += s.Unknown
	}
	if j.strict {
		found += s.Review
	}
	if found > 0 {
		code = exitFound
	}
	if s.Incomplete > 0 {
		code = exitIncomplete
	}
	if s.Unreachable > 0 {
		code = exitUnreachable
	}
	if code == 0 {
		return nil
	}
	return &status{code: code}
}

// runID names a run by its moment: "20261121-210203.456".
func runID(t time.Time) string { return t.UTC().Format("20060102-150405.000") }

func terminal(w io.Writer) (*os.File, bool) {
	f, ok := w.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// colours says whether escape sequences may be written to w: a terminal, and neither NO_COLOR nor a dumb terminal.
func colours(w io.Writer) bool {
	_, is := terminal(w)
	return is && os.Getenv("NO_COLOR") == "" && !strings.HasPrefix(os.Getenv("TERM"), "dumb")
}

func width(w io.Writer) int {
	if f, is := terminal(w); is {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n >= 40 {
			return n
		}
	}
	return 0
}

// progress tells on stderr how far a fleet is.
type progress struct {
	w           io.Writer
	count, over int
	single      bool // a single host is worth a line too
	states      map[report.State]bool
}

func newProgress(w io.Writer, hosts int) *progress { return &progress{w: w, over: hosts} }

func (p *progress) done(name string, state report.State, why string, took time.Duration) {
	p.count++
	if p.states == nil {
		p.states = map[report.State]bool{}
	}
	p.states[state] = true
	if p.over < 2 && !p.single {
		return
	}
	line := fmt.Sprintf("%*d/%d %s %s %.1fs", len(fmt.Sprint(p.over)), p.count, p.over, name, state, took.Seconds())
	if why != "" {
		line += ": " + why
	}
	fmt.Fprintln(p.w, line)
}

// hints say what a person can do about the hosts that were not entered, once for all hosts in the same state.
func (p *progress) hints(local bool) {
	if local && p.states[report.NoPrivilege] {
		fmt.Fprintln(p.w, "mtaharden: hint: run it as root, or give sudo's password with --ask-become-password or --become-password-fd N")
		return
	}
	for _, h := range checkHints {
		if p.states[h.state] {
			fmt.Fprintln(p.w, "mtaharden: hint:", h.text)
		}
	}
}
