package backup

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Kept is a backup as prune decides about it: a run's of one host, or of the controller's.
type Kept struct {
	Run   string
	Made  time.Time
	Good  bool   // its manifest and contents are whole
	Ended bool   // the run is over: confirmed, put back, or nothing was changed
	Of    string // of a rollback: the run that it undoes, of which it needs the backup until it has ended
}

// Choose says which of one host's backups go: those that are neither among the newest last nor younger than within. It never chooses the newest
// good one, one of a run that has not ended, or one that such a run needs. A zero last or within keeps nothing by itself.
func Choose(all []Kept, last int, within time.Duration, now time.Time) []string {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Kept) int { return cmp.Or(b.Made.Compare(a.Made), cmp.Compare(b.Run, a.Run)) })
	needed := map[string]bool{}
	for _, k := range all {
		if !k.Ended {
			needed[k.Run], needed[k.Of] = true, true
		}
	}
	if i := slices.IndexFunc(all, func(k Kept) bool { return k.Good }); i >= 0 {
		needed[all[i].Run] = true
	}
	var out []string
	for i, k := range all {
		if i >= last && now.Sub(k.Made) >= within && !needed[k.Run] {
			out = append(out, k.Run)
		}
	}
	slices.Sort(out)
	return out
}

// Remove takes backups of hosts out of the store, and the contents that no other needs: hosts by run. It returns how many contents went.
func (s *Store) Remove(ctx context.Context, hosts map[string][]string) (int, error) {
	unlock, err := s.Lock(ctx)
	if err != nil {
		return 0, err
	}
	defer unlock()
	for run, names := range hosts {
		for _, host := range names {
			if err := s.removeBlob(copyName(run, host)); err != nil {
				return 0, err
			}
		}
	}
	return s.sweep()
}

// sweep removes the contents that no manifest names. Where a manifest cannot be read nothing goes: it may be that one's.
func (s *Store) sweep() (int, error) {
	runs, err := s.Runs()
	if err != nil {
		return 0, err
	}
	named := map[string]bool{}
	for _, run := range runs {
		copies, damaged := s.Copies(run)
		if len(damaged) > 0 {
			return 0, fmt.Errorf("cannot remove contents: %w", damaged[0])
		}
		for _, c := range copies {
			for _, hash := range c.Contents {
				name, err := blobName(hash)
				if err != nil {
					return 0, err
				}
				named[name] = true
			}
		}
	}
	gone := 0
	dirs, err := s.Names("blobs")
	if err != nil {
		return 0, err
	}
	for _, dir := range dirs {
		names, err := s.Names(filepath.Join("blobs", dir))
		if err != nil {
			return gone, err
		}
		for _, n := range names {
			name := "blobs/" + dir + "/" + n
			if named[strings.TrimSuffix(name, ".age")] {
				continue
			}
			if err := s.removeBlob(name); err != nil {
				return gone, err
			}
			gone++
		}
		_ = os.Remove(s.path("blobs", dir)) // where it is empty
	}
	return gone, nil
}
