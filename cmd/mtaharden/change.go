package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"mtaharden/remediate"
	"mtaharden/remediate/apply"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/report"
)

// change is one run of apply or rollback over its hosts.
type change struct {
	*changing
	command string
	of      string // a rollback's: the run that it undoes
	digest  string
	program string // this program, with its digest
	run     string
	plan    *plan.Plan
	targets map[string]remediate.Target
	judges  *remediate.Judges
	stderr  io.Writer
	code    int      // the least exit status: of hosts that could not be planned for
	kept    *records // what this controller writes down of the run
	one     func(ctx context.Context, host string) apply.Outcome

	mu sync.Mutex // one question at a time
}

// lines is standard error for several goroutines: one write at a time. A question that waits for its answer holds no line up.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (ch *change) hostPlan(name string) plan.HostPlan {
	for _, h := range ch.plan.Hosts {
		if h.Name == name {
			return h
		}
	}
	return plan.HostPlan{Name: name}
}

// agreed asks the person at the terminal once, unless --yes has answered.
func (ch *change) agreed(c *cobra.Command) error {
	changes, hosts := 0, 0
	for _, h := range ch.plan.Hosts {
		if len(h.Changes) > 0 {
			hosts++
			changes += len(h.Changes)
		}
	}
	if ch.yes || hosts == 0 {
		return nil
	}
	return ch.agreedTo(c.Context(), fmt.Sprintf("apply %d %s on %d %s? Type yes: ", changes, plural(changes, "change"), hosts, plural(hosts, "host")))
}

// agreedTo asks one question.
func (ch *change) agreedTo(ctx context.Context, question string) error {
	if ch.yes {
		return nil
	}
	answer, err := ch.prompt.question(ctx, question)
	switch {
	case errors.Is(err, errNobodyToAsk):
		return badInput(fmt.Errorf("%w: --yes agrees beforehand", err))
	case err != nil:
		return badInput(err)
	}
	if answer != "yes" {
		return &status{code: exitAsItWas, err: errors.New("nothing was changed: it was not agreed to")}
	}
	return nil
}

// agree is what a host's generated files must pass before the bar: with --yes every line of theirs must follow from the plan, else a person is shown.
func (ch *change) agree(ctx context.Context, name string) func([]apply.GeneratedFile) error {
	return func(files []apply.GeneratedFile) error {
		err := apply.Explained(files)
		if err == nil || ch.yes {
			return err
		}
		ch.mu.Lock()
		defer ch.mu.Unlock()
		if ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		for _, f := range files {
			if f.Diff != "" {
				fmt.Fprintf(ch.stderr, "%s: %s would become\n%s\n", name, facts.Printable(f.Path), facts.Printable(f.Diff))
			}
		}
		answer, asked := ch.prompt.question(ctx, name+": go on with these generated files? Type yes: ")
		if asked != nil {
			return errors.Join(err, asked)
		}
		if answer != "yes" {
			return fmt.Errorf("%w: the generated files were not agreed to", apply.ErrRefused)
		}
		return nil
	}
}

func (ch *change) tell(name string) func(apply.StepReport) {
	return func(s apply.StepReport) {
		if ch.verbose > 0 || len(ch.plan.Hosts) == 1 {
			progressLine(ch.stderr, name, s)
		}
	}
}

// about is what the run says of itself on each host.
func (ch *change) about() journal.About {
	a := journal.About{Run: ch.run, Command: ch.command, Of: ch.of, Plan: ch.digest, Program: ch.program, Started: time.Now()}
	a.User, a.Controller = whoAmI()
	a.Ticket, a.Note = cmp.Or(ch.ticket, ch.plan.Ticket), cmp.Or(ch.note, ch.plan.Note)
	if ch.ignoreWindow {
		a.Note = strings.TrimPrefix(a.Note+"; windows ignored", "; ")
	}
	return a
}

// carry does it on every host, and reports on out. The first signal begins no more hosts; the second gives the hosts under way up, which put
// themselves back; the third ends the program.
func (ch *change) carry(c *cobra.Command, out *reportFile) error {
	begun := time.Now()
	ch.run, ch.program = runID(begun), programName()
	names := ch.names()
	var err error
	if ch.kept, err = ch.records(); err != nil {
		return err
	}
	h, err := report.New(ch.format, out, report.Options{Lang: ch.lang, Color: colours(out.Writer), Diffs: true, Verbose: ch.verbose > 0, Width: width(out.Writer)})
	if err != nil {
		return badInput(err)
	}
	if err := h.Begin(ch.reportRun(begun, names)); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	ctx, stop, interrupted, release := ch.signals()
	defer release()
	if err := ch.kept.begin(ctx, ch, begun); err != nil {
		return err
	}
	ch.judges = ch.judgesOf()
	ch.judges.Open(ctx)
	defer ch.judges.Close()
	ch.rolling.Groups = groups(ch.inv)
	code, failed := ch.code, error(nil)
	fleet := remediate.Fleet{Rolling: ch.rolling, Forks: ch.forks, Worst: remediate.WorstCase(ch.timeout), Stop: stop, Why: "interrupted", Now: time.Now,
		Begin: func(host string) func() { return ch.breaker.Begin(ch.targets[host]) }}
	remediate.Roll(ctx, fleet, names, ch.one, func(o apply.Outcome) {
		code = max(code, exitFor(ch.command, o))
		failed = errors.Join(failed, ch.kept.done(ch.run, o), h.Host(ch.reported(o)))
	})
	if failed = errors.Join(failed, ch.kept.finish(ch.run), h.End(time.Now()), out.commit()); failed != nil {
		return fmt.Errorf("cannot write the report: %w", failed)
	}
	if interrupted() {
		return &status{code: exitInterrupted, err: errors.New("interrupted: the report says how each host was left")}
	}
	if code != 0 {
		return &status{code: code}
	}
	return nil
}

// reportRun is the run as the report begins.
func (ch *change) reportRun(begun time.Time, names []string) report.Run {
	a := ch.about()
	return report.Run{
		ID: ch.run, Command: ch.command, Of: ch.of, Started: begun, Playbooks: ch.plan.Playbooks, Hosts: names,
		Plan: a.Plan, User: a.User, Controller: a.Controller, Program: a.Program, Ticket: a.Ticket, Note: a.Note,
	}
}

func (ch *change) names() []string {
	var out []string
	for _, h := range ch.plan.Hosts {
		if !slices.Contains(out, h.Name) {
			out = append(out, h.Name)
		}
	}
	return out
}

// reported is an outcome in the report's words.
func (ch *change) reported(o apply.Outcome) *report.Host {
	t := ch.targets[o.Host]
	h := &report.Host{Name: o.Host, Address: t.Address, State: hostState(o), Result: o.Result, Apply: &o}
	if h.State != report.OK {
		h.Error = facts.Printable(o.Err.Error())
	}
	return h
}

// signals makes the run's own context of the signals: stop is closed by the first one, the context ends with the second, and the third finds
// nobody who listens.
func (ch *change) signals() (ctx context.Context, stop <-chan struct{}, interrupted func() bool, release func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	if ch.prompt != nil {
		ch.prompt.done = ctx.Done() // who brings a host to its end may have to type a code for its second login
	}
	came := make(chan os.Signal, 2)
	stopped, over := make(chan struct{}), make(chan struct{})
	signal.Notify(came, endings()...)
	go func() {
		for n := 0; n < 2; n++ {
			select {
			case <-came:
			case <-over:
				return
			}
			if n == 0 {
				fmt.Fprintln(ch.stderr, "mtaharden: interrupted: no more hosts are begun, those under way are brought to their end; once more to give them up")
				close(stopped)
				continue
			}
			fmt.Fprintln(ch.stderr, "mtaharden: interrupted again: hosts under way are put back")
			cancel(errors.New("interrupted"))
			signal.Stop(came)
		}
	}()
	return ctx, stopped, func() bool {
			select {
			case <-stopped:
				return true
			default:
				return false
			}
		}, func() {
			signal.Stop(came)
			close(over)
			cancel(nil)
		}
}
