package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"filippo.io/age"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/backup"
	"mtaharden/remediate/history"
)

// begin writes a run down on this controller before its first host is touched: what cannot be written down is not begun.
func (rec *records) begin(ctx context.Context, ch *change, begun time.Time) error {
	a := ch.about()
	err := rec.history.Begin(ctx, history.Run{
		ID: ch.run, Command: ch.command, Of: ch.of, Plan: ch.digest, Ticket: a.Ticket, Note: a.Note, User: a.User, Controller: a.Controller, Program: a.Program,
		Started: begun.UTC(), Names: ch.names(),
	})
	if err != nil {
		return badInput(err)
	}
	return nil
}

// keep takes the controller's copy of what a run replaces on a host.
func (rec *records) keep(ctx context.Context, host string) func(backup.Manifest, map[int][]byte) error {
	return func(m backup.Manifest, contents map[int][]byte) error {
		return rec.store.Keep(ctx, host, m, contents, time.Now())
	}
}

// done writes down how a host was left, as soon as it is known.
func (rec *records) done(run string, o apply.Outcome) error {
	return rec.history.Done(run, history.HostOf(o))
}

// finish writes down that a run is over.
func (rec *records) finish(run string) error { return rec.history.Finish(run, time.Now().UTC()) }

// rerun returns the hosts that the applies of a plan ("": the last apply of any) left failed or unfinished, each as the last that was to change it
// left it: one that was run for the failed alone leaves the unfinished as they were, and one that did not begin a failed host leaves that failed.
func (rec *records) rerun(digest, set string) ([]string, error) {
	runs, bad := rec.history.List()
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	var out []string
	found, seen := false, map[string]bool{}
	for _, r := range slices.Backward(runs) {
		if r.Command != "apply" || digest != "" && r.Plan != digest {
			continue
		}
		names, err := r.Rerun(set)
		if err != nil || digest == "" {
			return names, err
		}
		found = true
		for _, name := range r.Names {
			if set == history.Failed && slices.ContainsFunc(r.Hosts, func(h history.Host) bool { return h.Name == name && h.Ending == apply.NotBegun }) {
				continue
			}
			if !seen[name] && slices.Contains(names, name) {
				out = append(out, name)
			}
			seen[name] = true
		}
	}
	switch {
	case found:
		return out, nil
	case digest == "":
		return nil, badInput(errors.New("cannot rerun: this controller has applied nothing"))
	}
	return nil, badInput(fmt.Errorf("cannot rerun: this controller has applied no plan with the digest %s", digest))
}

// copyOf is this controller's copy of what a run replaced on a host; what is encrypted is opened by one of the identities.
func (rec *records) copyOf(run, host string, opens []age.Identity) (*backup.Manifest, map[int][]byte, error) {
	c, err := rec.store.Load(run, host)
	if err != nil {
		return nil, nil, err
	}
	contents := map[int][]byte{}
	for i, hash := range c.Contents {
		if contents[i], err = rec.store.Get(hash, opens...); err != nil {
			return nil, nil, err
		}
	}
	return &c.Manifest, contents, nil
}

// maxIdentities bounds a file of age identities, in bytes.
const maxIdentities = 64 << 10

// identities reads a file of age identities (age-keygen(1)) that only its owner may read.
func identities(name string) ([]age.Identity, error) {
	if name == "" {
		return nil, nil
	}
	f, err := openSecret(name, "the identities")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out, err := age.ParseIdentities(io.LimitReader(f, maxIdentities))
	if err != nil {
		return nil, fmt.Errorf("cannot read the identities in %s: it is not what age-keygen(1) writes", name) // the library's own words may quote a key
	}
	return out, nil
}

// touched are the hosts that a run may have a folder on, as this controller wrote it down; nil where it knows nothing of that run. A host of
// which nothing was written down, or not how it was left, may have one.
func (rec *records) touched(run string) []string {
	r, err := rec.history.Load(run)
	if err != nil || r.Finished.IsZero() {
		return nil // where it was broken off, what it did last is not written down
	}
	out := []string{}
	for _, name := range r.Names {
		i := slices.IndexFunc(r.Hosts, func(h history.Host) bool { return h.Name == name })
		if i < 0 || r.Hosts[i].Touched || r.Hosts[i].Ending == apply.NotKnown {
			out = append(out, name)
		}
	}
	return out
}
