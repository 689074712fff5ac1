package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/history"
	"mtaharden/remediate/report"
)

// runsSchema names the shape of runs' json and jsonl. Fields may be added to it, none removed.
const runsSchema = "mtaharden-runs/1"

type runsCommand struct {
	looking
	host string
}

func newRunsCommand() *cobra.Command {
	k := &runsCommand{}
	c := &cobra.Command{
		Use:   "runs [RUN]",
		Short: "What runs did, and how each host stands",
		Long: `runs lists the runs that this controller made, or one of them, with how each host
was left. With -i every state is read back from the host itself: which step was
reached, who holds its lock, whether a guard will restore it and when. --host does
so for one host, from its own folder alone: no history on this controller is needed.

Exit status: 0, 2 a host that was read has a run that has not ended or whose
restore failed, 3 a host was not read to the end, 4 a host was not reached, 64 bad
usage or no such run.`,
		Example: `  mtaharden runs                                    the history of this controller
  mtaharden runs 20261122-021500.042 -i hosts.toml  a run, read back from its hosts
  mtaharden runs --host mx1 -i hosts.toml           everything that was run on mx1`,
		Args: exactArgs(cobra.MaximumNArgs(1)),
	}
	k.looking.register(c)
	c.Flags().StringVar(&k.host, "host", "", "only this host, read from its own folder")
	c.RunE = func(c *cobra.Command, args []string) error { return k.run(c, append(args, "")[0]) }
	return c
}

// jsonRun is a run with what is known of its hosts.
type jsonRun struct {
	ID         string        `json:"id"`
	Command    string        `json:"command"`
	Of         string        `json:"of,omitempty"`
	Plan       string        `json:"plan"`
	Ticket     string        `json:"ticket"`
	Note       string        `json:"note,omitempty"`
	User       string        `json:"user"`
	Controller string        `json:"controller"`
	Program    string        `json:"program"`
	Started    *time.Time    `json:"started"`
	Finished   *time.Time    `json:"finished"` // null: not known here, or broken off
	Hosts      []jsonRunHost `json:"hosts"`
}

// jsonRunHost is how a run stands on one host. Source says who tells: the host itself, or the controller as it saw it then.
type jsonRunHost struct {
	Name     string             `json:"name"`
	Source   string             `json:"source"`
	State    report.State       `json:"state,omitempty"` // how the host was reached to be read; "" where it was not to be
	Error    string             `json:"error,omitempty"`
	Over     bool               `json:"over"` // the run has ended there
	Outcome  apply.Ending       `json:"outcome"`
	Sentence string             `json:"sentence"`
	Steps    []apply.StepReport `json:"steps"`
	Owed     []string           `json:"owed"`
	Damaged  int                `json:"damaged"` // lines of the host's journal that cannot be read
}

const (
	sideHost       = "host"
	sideController = "controller"
)

func (k *runsCommand) run(c *cobra.Command, id string) error {
	if err := k.check(c); err != nil {
		return err
	}
	if k.host != "" && len(k.inventory) == 0 {
		return usageError(c, errors.New("--host needs the inventory that reaches it (-i)"))
	}
	if k.host != "" {
		k.limit = append(k.limit, k.host)
	}
	out, err := openReport(c.OutOrStdout(), k.output)
	if err != nil {
		return err
	}
	defer out.discard()
	places, err := k.places(c)
	if err != nil {
		return err
	}
	var runs []jsonRun
	var bad []error
	if k.host == "" {
		if runs, bad, err = k.written(id); err != nil {
			return err
		}
	}
	for _, err := range bad {
		fmt.Fprintln(c.ErrOrStderr(), "mtaharden:", err)
	}
	hosts := k.look(c.Context(), places, false)
	code := unread(c.ErrOrStderr(), hosts)
	for _, f := range hosts {
		runs = f.lay(runs, id)
	}
	if id != "" {
		runs = slices.DeleteFunc(runs, func(r jsonRun) bool { return r.ID != id })
		if len(runs) == 0 && code == 0 {
			return badInput(k.unknown(id, places))
		}
	}
	slices.SortStableFunc(runs, func(a, b jsonRun) int { return cmp.Compare(a.ID, b.ID) })
	if err := errors.Join(k.report(out, runs, id != ""), out.commit()); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	if len(bad) > 0 || slices.ContainsFunc(runs, jsonRun.open) {
		code = max(code, exitFound)
	}
	return ended(code)
}

func (k *runsCommand) unknown(id string, places []place) error {
	if len(places) == 0 {
		return fmt.Errorf("this controller knows no run %s: name an inventory with -i to ask the hosts", id)
	}
	return fmt.Errorf("neither this controller nor a host that was asked knows a run %s", id)
}

// written are the runs that this controller wrote down, in its own words.
func (k *runsCommand) written(id string) (out []jsonRun, bad []error, err error) {
	rec, err := k.records()
	if err != nil {
		return nil, nil, err
	}
	runs, bad := rec.history.List()
	for _, r := range runs {
		if id != "" && r.ID != id {
			continue
		}
		j := jsonRun{ID: r.ID, Command: r.Command, Of: r.Of, Plan: r.Plan, Ticket: r.Ticket, Note: r.Note, User: r.User, Controller: r.Controller, Program: r.Program,
			Started: &r.Started, Hosts: []jsonRunHost{}}
		if !r.Finished.IsZero() {
			j.Finished = &r.Finished
		}
		for _, name := range r.Names {
			j.Hosts = append(j.Hosts, k.seen(r, name))
		}
		out = append(out, j)
	}
	return out, bad, nil
}

// seen is a host as the run left it, by what the run wrote down.
func (k *runsCommand) seen(r *history.Run, name string) jsonRunHost {
	h := jsonRunHost{Name: name, Source: sideController, Outcome: apply.NotKnown, Steps: []apply.StepReport{}, Owed: []string{}}
	i := slices.IndexFunc(r.Hosts, func(h history.Host) bool { return h.Name == name })
	if i < 0 {
		h.Sentence = map[string]string{"ko": "상태 불명: 실행이 중단될 때까지 기록되지 않음"}[k.lang]
		if h.Sentence == "" {
			h.Sentence = "not known: nothing was written down of it"
		}
		return h
	}
	host := r.Hosts[i]
	h.Outcome, h.Sentence, h.Over = host.Ending, host.Say(k.lang), host.Ending != apply.NotKnown
	h.Steps = append(h.Steps, host.Steps...)
	return h
}

// lay lays what a host tells over what this controller wrote down. A host that could not be read says so at each run of its own.
func (f *found) lay(runs []jsonRun, id string) []jsonRun {
	for i := range runs {
		for n := range runs[i].Hosts {
			if runs[i].Hosts[n].Name == f.name {
				runs[i].Hosts[n].State, runs[i].Hosts[n].Error = f.state, f.err
			}
		}
	}
	for _, t := range f.told {
		if id != "" && t.Run != id {
			continue
		}
		at := slices.IndexFunc(runs, func(r jsonRun) bool { return r.ID == t.Run })
		if at < 0 {
			runs = append(runs, jsonRun{ID: t.Run, Command: t.Command, Of: t.Of, Plan: t.Plan, Ticket: t.Ticket, Note: t.Note, User: t.User, Hosts: []jsonRunHost{}})
			at = len(runs) - 1
			if !t.Started.IsZero() {
				runs[at].Started = &t.Started
			}
		}
		h := jsonRunHost{Name: f.name, Source: sideHost, State: f.state, Over: t.Over, Outcome: t.Ending, Sentence: t.Sentence, Steps: t.Steps,
			Owed: append([]string{}, t.Owed...), Damaged: t.Damaged}
		if n := slices.IndexFunc(runs[at].Hosts, func(h jsonRunHost) bool { return h.Name == f.name }); n >= 0 {
			runs[at].Hosts[n] = h
		} else {
			runs[at].Hosts = append(runs[at].Hosts, h)
		}
	}
	return runs
}

// open says whether a host that was read has more to come, or needs a person.
func (r jsonRun) open() bool {
	return slices.ContainsFunc(r.Hosts, func(h jsonRunHost) bool {
		return h.Source == sideHost && (!h.Over || h.Outcome == apply.Failed || h.Outcome == apply.NeedsPerson || h.Damaged > 0)
	})
}
