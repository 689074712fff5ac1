package backup

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

//go:embed sh/inspect.sh
var inspectSh string

// maxInspect bounds the answer of Inspect, and the runs it is of.
const (
	maxInspect     = 128 << 20
	maxInspectRuns = 1000
)

// HostRun is what a host keeps of a run.
type HostRun struct {
	Run      string
	Manifest *Manifest // nil where the run saved nothing, or it cannot be read: Damage says so
	Damage   []error   // each wraps ErrDamage
	// Written are the items whose kept inode somebody wrote to: their content comes back from the copy.
	Written []string

	restored bool // the kept inodes have gone back to their places
}

// Bytes is the size of the contents.
func (r *HostRun) Bytes() int64 {
	var n int64
	if r.Manifest != nil {
		for _, i := range r.Manifest.Items {
			if i.saved() {
				n += i.Before.Size
			}
		}
	}
	return n
}

// saved says whether an item's content is in the run's folder.
func (i Item) saved() bool {
	return !i.Before.Absent && i.Kind != plan.ModeChange && i.Kind != plan.Unit
}

// Inspect reads and hashes, as one command that changes nothing, all that a host keeps of its runs.
func Inspect(ctx context.Context, h remote.Host, l journal.Layout) ([]HostRun, error) {
	script := strings.ReplaceAll(inspectSh, "MAXRUNS", strconv.Itoa(maxInspectRuns)) + "mh_inspect\n"
	parts, _, err := l.Ask(ctx, h, "", script, maxInspect)
	if err != nil {
		return nil, fmt.Errorf("cannot inspect the backups: %w", err)
	}
	out, err := inspected(parts)
	if err != nil {
		return nil, fmt.Errorf("cannot inspect the backups: %w", err)
	}
	return out, nil
}

func inspected(parts []journal.Part) ([]HostRun, error) {
	var out []HostRun
	sums, own := map[string]map[string]bool{}, map[string][]byte{}
	for _, p := range parts {
		if p.Key == "run" && !p.File {
			if journal.CheckRun(p.Text) != nil || sums[p.Text] != nil || len(out) >= maxInspectRuns {
				return nil, fmt.Errorf("%w: a run %.80q", journal.ErrDamaged, p.Text)
			}
			out = append(out, HostRun{Run: p.Text})
			sums[p.Text] = map[string]bool{}
			continue
		}
		if len(out) == 0 {
			return nil, fmt.Errorf("%w: %.40q is of no run", journal.ErrDamaged, p.Key)
		}
		r := &out[len(out)-1]
		switch {
		case p.Key == "manifest" && p.File:
			m, err := Decode(p.Data)
			if err == nil && m.Run != r.Run {
				err = errors.New("it is of another run")
			}
			if err != nil {
				r.Damage = append(r.Damage, fmt.Errorf("manifest: %w: %w", ErrDamage, err))
				continue
			}
			r.Manifest = m
		case p.Key == "sums" && p.File:
			own[r.Run] = append([]byte{}, p.Data...)
		case p.Key == "end" && !p.File:
			r.restored = p.Text == "restored"
		case p.Key == "sum" && !p.File:
			sums[r.Run][p.Text] = true
		default:
			return nil, fmt.Errorf("%w: it holds %.40q", journal.ErrDamaged, p.Key)
		}
	}
	for i := range out {
		out[i].compare(sums[out[i].Run])
		out[i].files(own[out[i].Run], sums[out[i].Run])
	}
	return out, nil
}

// compare holds the hashes of what is there against the manifest.
func (r *HostRun) compare(sums map[string]bool) {
	if r.Manifest == nil {
		return
	}
	there := map[string]bool{}
	for text := range sums {
		name, _, _ := strings.Cut(text, " ")
		there[name] = true
	}
	for i, item := range r.Manifest.Items {
		if !item.saved() {
			continue
		}
		copied, kept := "copy/"+strconv.Itoa(i+1), "keep/"+strconv.Itoa(i+1)
		switch {
		case !there[copied]:
			r.Damage = append(r.Damage, fmt.Errorf("%s: %w: its copy is gone", item.Path, ErrDamage))
		case !sums[copied+" "+item.Before.Hash]:
			r.Damage = append(r.Damage, fmt.Errorf("%s: %w: its copy is not what was saved", item.Path, ErrDamage))
		}
		switch {
		case !item.Kept || r.restored:
		case !there[kept]:
			r.Damage = append(r.Damage, fmt.Errorf("%s: %w: its inode is gone", item.Path, ErrDamage))
		case !sums[kept+" "+item.Before.Hash]:
			r.Written = append(r.Written, item.Path)
		}
	}
}

// Prune removes what a host keeps of runs (see Choose). kept says why one stays all the same, by its name. Where any run has the host's lock all stay.
func Prune(ctx context.Context, h remote.Host, l journal.Layout, runs []string) (gone []string, kept map[string]string, err error) {
	script := inspectSh + "mh_prune"
	for _, r := range runs {
		if err := journal.CheckRun(r); err != nil {
			return nil, nil, fmt.Errorf("cannot prune the backups: %w", err)
		}
		script += " " + r
	}
	parts, _, err := l.Ask(ctx, h, "", script+"\n", 1<<20)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot prune the backups: %w", err)
	}
	kept = map[string]string{}
	for _, p := range parts {
		run, why, _ := strings.Cut(p.Text, " ")
		switch p.Key {
		case "gone":
			gone = append(gone, remote.Clean(p.Text))
		case "kept":
			kept[remote.Clean(run)] = remote.Clean(why)
		}
	}
	return gone, kept, nil
}
