package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/backup"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/history"
)

// backupsSchema names the shape of backups' json and jsonl. Fields may be added to it, none removed.
const backupsSchema = "mtaharden-backups/1"

type backupsCommand struct {
	looking
	what   string // list, verify, prune
	last   int
	within string
	yes    bool
	dryRun bool
}

func newBackupsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "backups",
		Short: "List, verify and prune what runs saved, here and on the hosts",
		Long: `What a run replaces is saved on its host, in /var/lib/mtaharden/RUN, and a copy of
it on this controller. With -i the hosts' own backups are looked at too.

Exit status: 0, 2 damage was found, 3 a host was not read to the end, 4 a host was
not reached, 64 bad usage.`,
		Args: unknownCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(
		newBackupsPart("list", "List the backups of every run", ""),
		newBackupsPart("verify", "Read every backup and hold it against its hash", `verify reads every content and holds it against the sha256 under which it was saved
(on a host that has no sha256, its cksum). Of contents that are encrypted it finds
damage, without a key.`),
		newBackupsPart("prune", "Remove backups that are old", `prune removes the backups of each host but the newest --keep-last and those younger
than --keep-within. It never removes the newest good one of a host, one of a run
that has not ended there, or one that such a run needs. A host on which a run is at
work keeps all.`),
	)
	return c
}

func newBackupsPart(what, short, long string) *cobra.Command {
	k := &backupsCommand{what: what}
	c := &cobra.Command{Use: what, Short: short, Long: long, Args: exactArgs(cobra.NoArgs)}
	k.looking.register(c)
	if what == "prune" {
		f := c.Flags()
		f.IntVar(&k.last, "keep-last", 0, "keep the newest `N` of each host")
		f.StringVar(&k.within, "keep-within", "", "keep those younger than `D`: 90d, 12w, 36h")
		f.BoolVar(&k.yes, "yes", false, "do not ask")
		f.BoolVar(&k.dryRun, "dry-run", false, "say what would be removed, and remove nothing")
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return k.run(c) }
	return c
}

// entry is one backup: what is kept of one host of a run, here or there.
type entry struct {
	Side    string     `json:"side"` // controller, host
	Run     string     `json:"run"`
	Host    string     `json:"host"`
	Made    *time.Time `json:"made"`
	Files   int        `json:"files"`
	Bytes   int64      `json:"bytes"`
	Ended   bool       `json:"ended"` // the run is over there, as far as is known
	Damage  []string   `json:"damage"`
	Notes   []string   `json:"notes"`
	Removed bool       `json:"removed,omitempty"`

	of string
}

func (k *backupsCommand) run(c *cobra.Command) error {
	if err := k.check(c); err != nil {
		return err
	}
	within, err := k.keeps(c)
	if err != nil {
		return err
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
	rec, err := k.records()
	if err != nil {
		return err
	}
	hosts := k.look(c.Context(), places, true)
	code := unread(c.ErrOrStderr(), hosts)
	entries, lost, err := k.here(c.Context(), rec, hosts)
	if err != nil {
		return err
	}
	for _, f := range hosts {
		entries = append(entries, f.entries()...)
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Run, b.Run), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Side, b.Side))
	})
	if k.what == "prune" {
		if entries, err = k.prune(c, rec, places, entries, within); err != nil {
			return err
		}
	}
	if err := errors.Join(k.report(out, entries, lost), out.commit()); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	damaged := k.what != "prune" && slices.ContainsFunc(entries, func(e entry) bool { return len(e.Damage) > 0 })
	if damaged || len(lost) > 0 {
		code = max(code, exitFound)
	}
	return ended(code)
}

// keeps reads what prune is to keep.
func (k *backupsCommand) keeps(c *cobra.Command) (time.Duration, error) {
	if k.what != "prune" {
		return 0, nil
	}
	within, err := days(k.within)
	switch {
	case err != nil:
		return 0, usageError(c, fmt.Errorf("--keep-within: %w", err))
	case k.last < 0:
		return 0, usageError(c, fmt.Errorf("--keep-last %d is no number of backups", k.last))
	case k.last == 0 && within == 0:
		return 0, usageError(c, errors.New("what is to be kept? --keep-last N, --keep-within D, or both"))
	case k.batch && !k.yes && !k.dryRun:
		return 0, usageError(c, errors.New("--batch asks nobody: it needs --yes"))
	}
	return within, nil
}

// days reads a duration in which d is a day and w a week.
func days(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	var n int
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if s, err := fmt.Sscanf(text, "%d"+suffix, &n); err == nil && s == 1 && fmt.Sprint(n)+suffix == text && n > 0 && n < 10000 {
			return time.Duration(n) * unit, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no time like 90d, 12w or 36h", text)
	}
	return d, nil
}

// here are the controller's backups. lost is what cannot be read at all.
func (k *backupsCommand) here(ctx context.Context, rec *records, hosts []*found) (out []entry, lost []string, err error) {
	runs, err := rec.store.Runs()
	if err != nil {
		return nil, nil, err
	}
	damage := map[[2]string][]string{}
	if k.what != "list" {
		all, _, err := rec.store.Verify(ctx)
		if err != nil {
			return nil, nil, err
		}
		for _, d := range all {
			if d.Host != "" {
				at := [2]string{d.Run, d.Host}
				damage[at] = append(damage[at], facts.Printable(d.Err.Error()))
			}
		}
	}
	for _, run := range runs {
		copies, bad := rec.store.Copies(run)
		for _, err := range bad {
			lost = append(lost, facts.Printable(err.Error()))
		}
		for _, c := range copies {
			e := entry{Side: sideController, Run: run, Host: c.Host, Made: &c.Made, Files: len(c.Manifest.Items), Bytes: c.Bytes(), Notes: []string{},
				Damage: append([]string{}, damage[[2]string{run, c.Host}]...)}
			e.Ended, e.of = over(rec.history, hosts, run, c.Host)
			out = append(out, e)
		}
	}
	return out, lost, nil
}

// over says whether a run has ended on a host: as the host says it where it was read, else as the run wrote it down.
func over(h *history.History, hosts []*found, run, host string) (ended bool, of string) {
	for _, f := range hosts {
		i := slices.IndexFunc(f.told, func(t history.Told) bool { return f.name == host && t.Run == run })
		if i >= 0 {
			return settled(f.told[i].Over, f.told[i].Ending), f.told[i].Of
		}
	}
	r, err := h.Load(run)
	if err != nil {
		return false, ""
	}
	i := slices.IndexFunc(r.Hosts, func(h history.Host) bool { return h.Name == host })
	return i >= 0 && settled(true, r.Hosts[i].Ending), r.Of
}

// settled says whether nobody needs the backup of a run to put the host back.
func settled(over bool, e apply.Ending) bool {
	return over && (e == apply.Changed || e == apply.RolledBack || e == apply.Unchanged || e == apply.NotBegun)
}

// entries are what a host keeps itself.
func (f *found) entries() []entry {
	var out []entry
	for _, b := range f.kept {
		e := entry{Side: sideHost, Run: b.Run, Host: f.name, Damage: []string{}, Notes: []string{}, Bytes: b.Bytes(), of: f.of[b.Run]}
		if b.Manifest != nil {
			e.Files = len(b.Manifest.Items)
		} else if len(b.Damage) == 0 {
			e.Notes = append(e.Notes, "nothing was saved")
		}
		for _, err := range b.Damage {
			e.Damage = append(e.Damage, facts.Printable(err.Error()))
		}
		for _, path := range b.Written {
			e.Notes = append(e.Notes, facts.Printable("the file "+path+" was written to in place: it comes back from its copy"))
		}
		if i := slices.IndexFunc(f.told, func(t history.Told) bool { return t.Run == b.Run }); i >= 0 {
			e.Ended = settled(f.told[i].Over, f.told[i].Ending)
			if !f.told[i].Started.IsZero() {
				e.Made = &f.told[i].Started
			}
		}
		out = append(out, e)
	}
	return out
}

// chosen are the entries that prune removes: it decides for each host on each side.
func chosen(entries []entry, last int, within time.Duration, now time.Time) []int {
	groups := map[[2]string][]backup.Kept{}
	for _, e := range entries {
		kept := backup.Kept{Run: e.Run, Good: e.Files > 0 && len(e.Damage) == 0, Ended: e.Ended, Of: e.of}
		if e.Made != nil {
			kept.Made = *e.Made
		}
		at := [2]string{e.Side, e.Host}
		groups[at] = append(groups[at], kept)
	}
	var out []int
	for at, all := range groups {
		for _, run := range backup.Choose(all, last, within, now) {
			out = append(out, slices.IndexFunc(entries, func(e entry) bool { return e.Side == at[0] && e.Host == at[1] && e.Run == run }))
		}
	}
	slices.Sort(out)
	return out
}
