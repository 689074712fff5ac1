package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// A cycleRecord is a file that outlives a run: a line of JSON for each cycle that ended. A run that was cut goes on where it stopped, and what failed
// is run alone after its mend.
type cycleRecord struct {
	path   string // empty: nothing is recorded
	commit string
	mu     sync.Mutex
}

// A cycleEntry is one cycle that ended. Seconds are of the clock; Spent is where they went, and the processor's seconds of the host and of mtaharden.
type cycleEntry struct {
	Recipe, Host, Commit, Ended string
	OK, Changed                 bool
	Seconds                     float64
	Spent                       []phase  `json:",omitempty"`
	Wrong                       []string `json:",omitempty"`
}

// A phase is one part of a cycle's story, in seconds: of the clock, and of the processor for the host and for mtaharden.
type phase struct {
	Name                 string
	Clock, Host, Program float64
}

// timed does one part of the story and notes what it took.
func (j *cycleJob) timed(l *Lab, name string, do func() error) error {
	start, host, program := time.Now(), l.cgroups.usage(j.host.Name), j.processor
	err := do()
	used := l.cgroups.usage(j.host.Name) - host
	if used < 0 { // the host was booted meanwhile
		used += host
	}
	j.phases = append(j.phases, phase{name, time.Since(start).Seconds(), used.Seconds(), (j.processor - program).Seconds()})
	return err
}

// openRecord says what a record holds, by recipe and host: true where the last cycle of the two ended well.
func openRecord(ctx context.Context, top, path string) (*cycleRecord, map[string]bool, error) {
	r := &cycleRecord{path: path}
	if path == "" {
		return r, nil, nil
	}
	c := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12")
	c.Dir = top
	out, err := c.Output()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot tell the commit: %w", err)
	}
	r.commit = strings.TrimSpace(string(out))
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	seen, err := readRecord(data)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return r, seen, nil
}

func readRecord(data []byte) (map[string]bool, error) {
	seen := map[string]bool{}
	n := 0
	for line := range bytes.Lines(data) {
		n++
		var e cycleEntry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		seen[e.Recipe+" "+e.Host] = e.OK
	}
	return seen, nil
}

// due are the jobs that a record does not have as done: last those that failed, first those of the recipes that were seen on the fewest hosts, on each
// host in another order, so that a run that is cut has seen something of everything.
func due(jobs []*cycleJob, seen map[string]bool) []*cycleJob {
	if len(seen) == 0 {
		return jobs
	}
	key := func(j *cycleJob) string { return j.recipe.Name + " " + j.host.Name }
	hosts := map[string]int{}
	for pair := range seen {
		recipe, _, _ := strings.Cut(pair, " ")
		hosts[recipe]++
	}
	rank := func(j *cycleJob) []int {
		failed := 0
		if _, ok := seen[key(j)]; ok {
			failed = 1
		}
		return []int{failed, hosts[j.recipe.Name], pick(key(j), 1<<30)}
	}
	jobs = slices.DeleteFunc(slices.Clone(jobs), func(j *cycleJob) bool { return seen[key(j)] })
	slices.SortStableFunc(jobs, func(a, b *cycleJob) int { return slices.Compare(rank(a), rank(b)) })
	return jobs
}

// add writes down how a cycle ended, at once: the next one may be cut.
func (r *cycleRecord) add(j *cycleJob) error {
	if r.path == "" {
		return nil
	}
	line, err := json.Marshal(cycleEntry{
		Recipe: j.recipe.Name, Host: j.host.Name, Commit: r.commit, Ended: time.Now().UTC().Format(time.RFC3339),
		OK: len(j.wrong) == 0, Changed: j.changed, Seconds: j.took.Seconds(), Spent: j.phases, Wrong: j.wrong,
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}
