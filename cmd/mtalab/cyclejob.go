package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A cycle is one host that is mended and put back, and what has been seen of it.
type cycle struct {
	*cycleJob
	lab       *Lab
	program   string
	dir       string // of this cycle alone: inventory, plan, state
	inventory string

	planned  changeHost        // what the plan found and would change
	tree     map[string]string // the manifest before, by path
	files    string            // and as a text
	serves   string            // who listened before
	takes    map[string]string
	relayed  int            // forms accepted from outside before
	verified []auditFinding // what the audit after the apply found
}

// changeHost is a host in the JSON of plan, apply and rollback: part of the schema mtaharden/1.
type changeHost struct {
	Name, State, Error, Outcome, Run, Reason, Sentence string
	Findings                                           []auditFinding
	Changes                                            []struct{ Path, Kind string }
	Problems                                           []string
	Steps                                              []struct{ Step, State, Error string }
}

func (l *Lab) beginCycle(program string, j *cycleJob) (*cycle, error) {
	dir, err := os.MkdirTemp("", "mtalab-cycle-")
	if err != nil {
		return nil, err
	}
	c := &cycle{cycleJob: j, lab: l, program: program, dir: dir, inventory: filepath.Join(dir, "hosts.toml")}
	text := l.inventoryOf([]Host{j.host}, j.recipe.vantages(j.host), func(Host) string { return j.recipe.intent() })
	if err := os.WriteFile(c.inventory, []byte(text), 0o600); err != nil {
		c.end()
		return nil, err
	}
	return c, nil
}

func (c *cycle) end() { _ = os.RemoveAll(c.dir) }

// through is the cycle's story. Its error ends it; what is wrong and ends nothing is in the job.
func (c *cycle) through(ctx context.Context) error {
	part := func(name string, do func(context.Context) error) error {
		return c.timed(c.lab, name, func() error { return do(ctx) })
	}
	if err := part("before", c.before); err != nil {
		return err
	}
	var applied changeHost
	err := part("apply", func(ctx context.Context) (err error) {
		applied, err = c.apply(ctx)
		return err
	})
	if err != nil || !c.changed {
		return err
	}
	if err := part("after", func(ctx context.Context) error { return c.after(ctx, applied) }); err != nil {
		return err
	}
	if err := part("again", c.again); err != nil {
		return err
	}
	return part("rollback", func(ctx context.Context) error { return c.rollback(ctx, applied.Run) })
}

// run is one command of the program at this host. status is what it must end with, one of them.
func (c *cycle) run(ctx context.Context, status []int, args ...string) (changeHost, error) {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Minute)
	defer cancel()
	if c.probe && args[0] != "rollback" { // what the network judge finds is mended, too, and looked for after
		args = append(args, "--probe")
	}
	args = append(args, "-i", c.inventory, "--limit", c.host.Name, "--format", "json", "--batch", "--state", filepath.Join(c.dir, "state"))
	command := c.lab.resolving(ctx, append([]string{c.program}, args...)...)
	var out, errout bytes.Buffer
	command.Stdout, command.Stderr = &out, &errout
	ended, err := commandStatus(command.Run())
	if state := command.ProcessState; state != nil {
		c.processor += state.UserTime() + state.SystemTime()
	}
	if err != nil {
		return changeHost{}, fmt.Errorf("cannot run mtaharden %s: %v", args[0], err)
	}
	var doc struct{ Hosts []changeHost }
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil || len(doc.Hosts) != 1 {
		return changeHost{}, fmt.Errorf("%s ended with %d and no report of one host: %v: %s", args[0], ended, err, lastLines(errout.String(), 5))
	}
	h := doc.Hosts[0]
	if h.State != "ok" || !slices.Contains(status, ended) {
		return h, fmt.Errorf("%s ended with %d, want %d: %s %s %s %s\n%s", args[0], ended, status, h.State, h.Outcome, h.Error, h.Reason, lastLines(errout.String(), 12))
	}
	return h, nil
}

func (c *cycle) planFile() string { return filepath.Join(c.dir, "plan.json") }

// before makes the plan, dresses the files that it changes, and notes what the host is and does.
func (c *cycle) before(ctx context.Context) (err error) {
	if c.planned, err = c.run(ctx, []int{0, 2}, "plan", "-o", c.planFile()); err != nil {
		return err
	}
	c.wrong = append(c.wrong, slices.Concat(c.expected(), c.claims(c.planned.Findings), c.idle())...)
	for _, change := range c.planned.Changes {
		if change.Kind == "edit" {
			if err := dressFile(filepath.Join(c.lab.hostDir(c.host.Name), "root"), change.Path); err != nil {
				return err
			}
		}
	}
	if err := c.timed(c.lab, "  a manifest", func() error { c.tree, err = c.lab.manifestLines(ctx, c.host); return err }); err != nil {
		return err
	}
	c.files = manifestText(c.tree)
	if c.serves, err = c.listens(ctx); err != nil {
		return err
	}
	return c.timed(c.lab, "  a look", func() error {
		c.takes = c.lab.legitimate(ctx, c.host, c.recipe)
		c.mailBefore()
		c.relayed = c.lab.callerFrom("outside", c.host, c.recipe.Port, c.recipe.IPv6).witness(true, false).accepted()
		return nil
	})
}

// apply carries the plan out, or sees it refused in the words that the recipe gives.
func (c *cycle) apply(ctx context.Context) (changeHost, error) {
	refused := c.recipe.Refused
	status, outcome := 0, "changed"
	if refused != "" {
		status, outcome = 3, "unchanged"
	}
	if len(c.planned.Changes) == 0 {
		outcome = "unchanged"
	}
	h, err := c.run(ctx, []int{status}, "apply", c.planFile(), "--accept-impact", "--yes")
	if err != nil {
		return h, err
	}
	if h.Outcome != outcome || !strings.Contains(h.Reason, refused) {
		return h, fmt.Errorf("apply left the host %s: %s; want %s %s", h.Outcome, h.Reason, outcome, refused)
	}
	if c.changed = h.Outcome == "changed"; !c.changed {
		return h, c.untouched(ctx, "an apply that changes nothing")
	}
	return h, nil
}

// untouched fails where the host's tree or listeners are not those of before.
func (c *cycle) untouched(ctx context.Context, by string) error {
	files, err := c.lab.manifest(ctx, c.host)
	if err != nil {
		return err
	}
	before := c.files
	if !slices.ContainsFunc(c.planned.Changes, func(change struct{ Path, Kind string }) bool { return change.Path == madeAtStart }) {
		before, files = begun(before), begun(files)
	}
	if diff := unlike(before, files); diff != "" {
		return fmt.Errorf("%s left other files:\n%s", by, lastLines(diff, 30))
	}
	serves, err := c.listens(ctx)
	if err == nil && serves != c.serves {
		err = fmt.Errorf("%s left other listeners:\n%s", by, unlike(c.serves, serves))
	}
	return err
}

// after judges the mended host by an audit, by legitimate mail, and as a stranger.
func (c *cycle) after(ctx context.Context, applied changeHost) error {
	found, err := c.lab.audit(ctx, c.program, &c.recipeJob)
	if err != nil {
		return err
	}
	c.verified = found
	c.wrong = append(c.wrong, slices.Concat(mended(c.planned.Findings, found), risen(c.planned.Findings, found))...)
	c.wrong = append(c.wrong, sameFindings("apply reports other findings than the audit after it", applied.Findings, found)...)
	if err := c.served(ctx); err != nil || c.stopped() {
		return err
	}
	if w := c.lab.callerFrom("outside", c.host, c.recipe.Port, c.recipe.IPv6).witness(true, false); w.accepted() > 0 && c.closes(found) {
		c.fail("a stranger outside is still relayed for in %d forms (before: %d)", w.accepted(), c.relayed)
	}
	return nil
}

// again applies to the mended host: nothing is to be done, and what is left is shown.
func (c *cycle) again(ctx context.Context) error {
	tree, err := c.lab.manifestLines(ctx, c.host)
	if err != nil {
		return err
	}
	wrong, err := c.unforeseen(tree)
	if err != nil {
		return err
	}
	c.wrong = append(c.wrong, wrong...)
	was := manifestText(tree)
	h, err := c.run(ctx, []int{0}, "apply", "--accept-impact", "--yes")
	if err != nil {
		return fmt.Errorf("the second %w", err)
	}
	if h.Outcome != "unchanged" || h.Sentence == "" {
		return fmt.Errorf("a second apply left the host %s: %s %s", h.Outcome, h.Sentence, h.Reason)
	}
	c.wrong = append(c.wrong, sameFindings("a second apply reports other findings than the audit before it", h.Findings, c.verified)...)
	is, err := c.lab.manifest(ctx, c.host)
	if err != nil {
		return err
	}
	if diff := unlike(was, is); diff != "" {
		c.fail("a second apply changed files:\n%s", lastLines(diff, 30))
	}
	return nil
}

// rollback puts the host back, and compares all of it.
func (c *cycle) rollback(ctx context.Context, run string) error {
	h, err := c.run(ctx, []int{0}, "rollback", run, "--yes")
	if err != nil {
		return err
	}
	if h.Outcome != "rolled-back" {
		return fmt.Errorf("rollback left the host %s: %s", h.Outcome, h.Reason)
	}
	if err := c.untouched(ctx, "apply and rollback"); err != nil {
		return err
	}
	c.wrong = append(c.wrong, lostMail(c.takes, c.lab.legitimate(ctx, c.host, c.recipe))...)
	return c.nothingLeft(ctx)
}

// nothingLeft looks for what a run may not leave behind: its lock, a stage, an armed guard, its boot hook.
func (c *cycle) nothingLeft(ctx context.Context) error {
	const look = "ls -d /var/lib/mtaharden/lock /var/lib/mtaharden/*/stage /var/lib/mtaharden/*/guard 2>/dev/null; ps ax -o args | grep '^[^ ]*sh [/]var/lib/mtaharden' || :"
	out, err := c.on(ctx, look)
	if err == nil && out != "" {
		err = fmt.Errorf("it left on the host: %s", out)
	}
	return err
}

// listens are the TCP sockets that the host listens on, sorted.
func (c *cycle) listens(ctx context.Context) (string, error) {
	return c.on(ctx, "ss -Hltn | awk '{ print $4 }' | LC_ALL=C sort")
}

func (c *cycle) on(ctx context.Context, script string) (string, error) {
	var out, said bytes.Buffer
	status, err := c.lab.Exec(ctx, c.host.Name, []string{"/bin/sh", "-c", script}, nil, &out, &said)
	if err == nil && status != 0 {
		err = fmt.Errorf("a look at %s ended with %d: %s", c.host.Name, status, lastLines(said.String(), 3))
	}
	return out.String(), err
}
