package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"mtaharden/inventory"
	"mtaharden/remediate"
	"mtaharden/remediate/backup"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/history"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/report"
)

// records are what this controller keeps of its runs.
type records struct {
	store   *backup.Store
	history *history.History
}

// records opens the state directory. Its contents are encrypted to the inventory's backup_recipients.
func (r *reach) records() (*records, error) {
	dir := r.stateDir()
	if dir == "" {
		return nil, badInput(errors.New("cannot find the state directory: there is no home directory; name one with --state"))
	}
	st, err := backup.OpenStateDir(dir)
	if err != nil {
		return nil, badInput(err)
	}
	var recipients []string
	if r.inv != nil {
		recipients = r.inv.BackupRecipients
	}
	store, err := backup.OpenStore(st, recipients)
	if err != nil {
		return nil, badInput(err)
	}
	return &records{store, history.Open(st)}, nil
}

// looking are the flags of the commands that look at what runs left: on this controller, and with an inventory on the hosts themselves.
type looking struct {
	reach
	local bool
}

func (k *looking) register(c *cobra.Command) {
	k.reach.register(c.Flags(), "write to `FILE`")
	c.Flags().BoolVar(&k.local, "local", false, "look at this machine too, as a host")
}

// place is a host that is looked at.
type place struct {
	name  string
	dial  func(context.Context) (remote.Host, error)
	begin func() (end func()) // tells the breaker of it; nil: it does not want to know
}

// places are the hosts of the inventory, or this machine; none where neither is named.
func (k *looking) places(c *cobra.Command) ([]place, error) {
	if k.local && len(k.inventory) > 0 {
		return nil, usageError(c, errors.New("--local is this machine, -i others: leave one of them out"))
	}
	_, hosts, err := k.load()
	if err != nil {
		return nil, err
	}
	d, err := newDialer(c, &k.reach)
	if err != nil {
		return nil, err
	}
	if k.local {
		return []place{{name: "localhost", dial: d.thisMachine}}, nil
	}
	d.unlock(c.Context(), hosts)
	var out []place
	for _, h := range hosts {
		t := remediate.Target{Name: h.Name, Dial: func(ctx context.Context) (remote.Host, error) { return d.enter(ctx, h) }}
		t.Login, t.Root = d.credentials(c.Context(), h)
		t = k.breaker.Guard(t)
		out = append(out, place{h.Name, t.Dial, func() func() { return k.breaker.Begin(t) }})
	}
	return out, nil
}

// enter logs in to a host whose folder is to be read, which takes root: a login that may run the collector alone cannot.
func (d *dialer) enter(ctx context.Context, h *inventory.Host) (remote.Host, error) {
	if h.CollectCommand != nil {
		err := errors.New("its login may run the collector alone (collect_command)")
		return nil, &remote.Error{Op: "read the runs of", Host: h.Name, Kind: remote.ErrPrivilege, Err: err}
	}
	return d.dial(ctx, h)
}

// found is what a host says of its runs.
type found struct {
	name  string
	state report.State
	err   string // why state is not ok; safe on a terminal
	told  []history.Told
	of    map[string]string // of a rollback's run: the run that it undoes
	kept  []backup.HostRun
}

// look asks all places, so many at a time. inspect says that their backups are hashed too.
func (k *looking) look(ctx context.Context, places []place, inspect bool) []*found {
	out := make([]*found, len(places))
	slots := make(chan struct{}, max(k.forks, 1))
	var all sync.WaitGroup
	for i, p := range places {
		out[i] = &found{name: p.name, state: report.OK, of: map[string]string{}}
		slots <- struct{}{}
		if ctx.Err() != nil {
			out[i].state, out[i].err = report.Failed, fmt.Sprintf("not begun: %v", context.Cause(ctx))
			<-slots
			continue
		}
		all.Go(func() {
			defer func() { <-slots }()
			if p.begin != nil {
				defer p.begin()()
			}
			if err := out[i].ask(ctx, p, k.lang, inspect); err != nil {
				out[i].state, out[i].err = stateOf(err), facts.Printable(err.Error())
			}
		})
	}
	all.Wait()
	return out
}

func (f *found) ask(ctx context.Context, p place, lang string, inspect bool) error {
	h, err := p.dial(ctx)
	if err != nil {
		return err
	}
	defer h.Close()
	var layout journal.Layout
	runs, err := journal.List(ctx, h, layout)
	if err != nil {
		return err
	}
	f.told = history.Read(runs, layout.Base(), time.Now(), lang)
	for _, r := range runs {
		f.of[r.Run] = r.About.Of
	}
	if inspect {
		f.kept, err = backup.Inspect(ctx, h, layout)
	}
	return err
}

// unread is the exit status of hosts that were not read, and says on w which and why.
func unread(w io.Writer, hosts []*found) int {
	code := 0
	for _, f := range hosts {
		switch f.state {
		case report.OK:
			continue
		case report.Incomplete, report.Failed:
			code = max(code, exitIncomplete)
		default:
			code = max(code, exitUnreachable)
		}
		fmt.Fprintf(w, "mtaharden: %s: %s\n", f.name, f.err)
	}
	return code
}

// ended is the program's end with a status; 0 is a good one.
func ended(code int) error {
	if code == 0 {
		return nil
	}
	return &status{code: code}
}
