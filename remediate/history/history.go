// Package history is what this controller's runs came to: a folder a run in its own directory, and the state of each host as the host itself has it.
package history

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/backup"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/remote"
)

// Schema names the shape of run.json and of the files of its hosts.
const Schema = "mtaharden-run/1"

// Bounds of what is read.
const (
	maxFile  = 64 << 20
	runFile  = "run.json"
	hostFile = ".host"
)

// Run is a run of this controller.
type Run struct {
	Schema     string    `json:"schema"`
	ID         string    `json:"id"`
	Command    string    `json:"command"`
	Of         string    `json:"of,omitempty"` // of a rollback: the run that it undoes
	Plan       string    `json:"plan,omitempty"`
	Ticket     string    `json:"ticket,omitempty"`
	Note       string    `json:"note,omitempty"`
	User       string    `json:"user"`
	Controller string    `json:"controller"`
	Program    string    `json:"program"`
	Started    time.Time `json:"started"`
	Finished   time.Time `json:"finished,omitzero"` // zero of a run that was broken off
	Names      []string  `json:"names"`             // the hosts that it was to change, in their order
	Hosts      []Host    `json:"-"`                 // those that it came to, in the same order
}

// Host is how a run left one host, as the run's own connections saw it.
type Host struct {
	Schema   string             `json:"schema"`
	Name     string             `json:"name"`
	Ending   apply.Ending       `json:"outcome"`
	Nothing  bool               `json:"nothing,omitempty"` // there was nothing to do
	Stands   int                `json:"stands,omitempty"`  // of nothing: findings that no plan mends
	Touched  bool               `json:"touched,omitempty"` // the run has a folder on the host
	Sentence string             `json:"sentence"`          // in English
	Reason   string             `json:"reason,omitempty"`
	Until    time.Time          `json:"until,omitzero"`
	Command  string             `json:"command,omitempty"` // what a person types on the host
	Steps    []apply.StepReport `json:"steps"`
	Warnings []string           `json:"warnings,omitempty"`
}

// HostOf is an outcome as history keeps it.
func HostOf(o apply.Outcome) Host {
	return Host{
		Name: o.Host, Ending: o.Ending, Nothing: o.Nothing, Stands: o.Stands, Touched: o.Run != "", Sentence: clean(o.Sentence("en")), Reason: clean(o.Reason), Until: o.Until,
		Command: clean(o.Command), Steps: o.Steps, Warnings: o.Warnings,
	}
}

// Say is the sentence of how the host was left, in English or Korean ("ko").
func (h Host) Say(lang string) string {
	o := apply.Outcome{Ending: h.Ending, Nothing: h.Nothing, Stands: h.Stands, Reason: h.Reason, Until: h.Until, Command: h.Command}
	return clean(o.Sentence(lang))
}

// clean makes what a host may have said one safe line.
func clean(s string) string { return remote.Clean(s) }

// History is the runs of a controller.
type History struct{ dir *backup.StateDir }

// Open opens the history in the controller's directory.
func Open(dir *backup.StateDir) *History { return &History{dir} }

// Begin writes a run down before its first host is touched. A run of that name must not be there.
func (h *History) Begin(ctx context.Context, r Run) error {
	if err := r.check(); err != nil {
		return fmt.Errorf("cannot write run %s down: %w", r.ID, err)
	}
	unlock, err := h.dir.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := h.dir.Read(file(r.ID, runFile), maxFile); err == nil {
		return fmt.Errorf("cannot write run %s down: there is one of that name", r.ID)
	}
	return h.write(file(r.ID, runFile), r)
}

// Done writes a host's outcome down, as soon as it is known.
func (h *History) Done(run string, host Host) error {
	if err := journal.CheckRun(run); err != nil {
		return fmt.Errorf("cannot write run %s down: %w", run, err)
	}
	host.Schema = Schema
	return h.write(file(run, backup.FileName(host.Name)+hostFile), host)
}

// Finish writes down when a run was over.
func (h *History) Finish(run string, at time.Time) error {
	r, err := h.Load(run)
	if err != nil {
		return err
	}
	r.Finished = at
	return h.write(file(run, runFile), *r)
}

func file(run, name string) string { return "runs/" + run + "/" + name }

func (h *History) write(name string, v any) error {
	if r, ok := v.(Run); ok {
		r.Schema = Schema
		v = r
	}
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	return h.dir.Write(name, append(data, '\n'))
}

func (r *Run) check() error {
	if err := journal.CheckRun(r.ID); err != nil {
		return err
	}
	if r.Of != "" {
		if err := journal.CheckRun(r.Of); err != nil {
			return err
		}
	}
	if r.Command == "" || r.Started.IsZero() {
		return errors.New("it has no command, or no time")
	}
	seen := map[string]bool{}
	for _, n := range r.Names {
		if n == "" || seen[n] {
			return fmt.Errorf("host %.80q is empty or there twice", n)
		}
		seen[n] = true
	}
	return nil
}

// Load returns a run with the hosts that it came to.
func (h *History) Load(run string) (*Run, error) {
	if err := journal.CheckRun(run); err != nil {
		return nil, fmt.Errorf("cannot load a run: %w", err)
	}
	var r Run
	if err := h.read(file(run, runFile), &r); err != nil {
		return nil, err
	}
	if r.ID != run || r.Schema != Schema {
		return nil, fmt.Errorf("cannot load run %s: its file is of run %.80q, schema %.40q", run, r.ID, r.Schema)
	}
	names, err := h.dir.Names("runs/" + run)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if !strings.HasSuffix(n, hostFile) {
			continue
		}
		var host Host
		if err := h.read(file(run, n), &host); err != nil {
			return nil, err
		}
		if backup.FileName(host.Name)+hostFile != n || !slices.Contains(r.Names, host.Name) {
			return nil, fmt.Errorf("cannot load run %s: %s is of host %.80q", run, n, host.Name)
		}
		r.Hosts = append(r.Hosts, host)
	}
	slices.SortFunc(r.Hosts, func(a, b Host) int { return cmp.Compare(slices.Index(r.Names, a.Name), slices.Index(r.Names, b.Name)) })
	return &r, nil
}

func (h *History) read(name string, v any) error {
	data, err := h.dir.Read(name, maxFile)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err = d.Decode(v); err == nil {
		if _, end := d.Token(); end != io.EOF {
			err = errors.New("something follows its end")
		}
	}
	if r, ok := v.(*Run); ok && err == nil {
		err = r.check()
	}
	if err != nil {
		return fmt.Errorf("cannot read %s/%s: %w", h.dir.Dir(), name, err)
	}
	return nil
}

// List returns the runs that were written down, the oldest first. A folder that holds backups alone is none; one that cannot be read is in bad.
func (h *History) List() (runs []*Run, bad []error) {
	names, err := h.dir.Names("runs")
	if err != nil {
		return nil, []error{err}
	}
	for _, n := range names {
		if journal.CheckRun(n) != nil || !h.dir.Has(file(n, runFile)) {
			continue
		}
		r, err := h.Load(n)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		runs = append(runs, r)
	}
	slices.SortStableFunc(runs, func(a, b *Run) int { return a.Started.Compare(b.Started) })
	return runs, bad
}

// The sets of --rerun.
const (
	Failed     = "failed"     // hosts that are not as the run wanted them, though it came to them
	Unfinished = "unfinished" // hosts that it did not come to, or of which it knew nothing when it was broken off
)

// Rerun returns the hosts of a run that another is to take, in their order.
func (r *Run) Rerun(set string) ([]string, error) {
	var out []string
	for _, name := range r.Names {
		i := slices.IndexFunc(r.Hosts, func(h Host) bool { return h.Name == name })
		in := Unfinished
		switch {
		case i < 0 || r.Hosts[i].Ending == apply.NotBegun:
		case r.Hosts[i].good(r.Command):
			in = ""
		default:
			in = Failed
		}
		if in == set {
			out = append(out, name)
		}
	}
	if set != Failed && set != Unfinished {
		return nil, fmt.Errorf("%q is neither %s nor %s", set, Failed, Unfinished)
	}
	return out, nil
}

// good says whether a host is as the run wanted it.
func (h Host) good(command string) bool {
	return h.Ending == apply.Changed || h.Nothing || command == "rollback" && h.Ending == apply.RolledBack
}
