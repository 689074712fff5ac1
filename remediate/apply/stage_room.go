package apply

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

//go:embed sh/keep.sh
var keepSh string

// Keep copies files of the stage to the run's folder, new/N for each N, durably, and says what they are. Owner and mode are the stage's.
func (s *Staged) Keep(ctx context.Context, items map[int]string) (map[int]backup.State, error) {
	if len(items) == 0 {
		return map[int]backup.State{}, nil
	}
	args := []string{s.dir, strconv.Itoa(s.pid), s.start}
	for n, name := range items {
		args = append(args, strconv.Itoa(n), name)
	}
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	res, err := s.host.Run(ctx, remote.Script(keepSh, args...), stageOutput)
	if err == nil && res.Exit != 0 {
		err = fmt.Errorf("%s (exit status %d)", clip(string(res.Stderr)), res.Exit)
	}
	var states map[int]backup.State
	if err == nil {
		states, err = parseKept(res.Stdout, items)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot keep what the stage made: %w", err)
	}
	return states, nil
}

// parseKept reads a line "N HASH SIZE UID GID MODE" for each item.
func parseKept(out []byte, items map[int]string) (map[int]backup.State, error) {
	states := map[int]backup.State{}
	for line := range strings.Lines(string(out)) {
		w := strings.Fields(line)
		bad := fmt.Errorf("the host answers %q", clip(line))
		if len(w) != 6 || !strings.HasPrefix(w[1], "sha256:") || len(w[1]) != 71 || strings.Trim(w[1][7:], "0123456789abcdef") != "" {
			return nil, bad
		}
		var nums [4]int64
		for i, word := range []string{w[0], w[2], w[3], w[4]} {
			v, err := strconv.ParseInt(word, 10, 62)
			if err != nil || v < 0 {
				return nil, bad
			}
			nums[i] = v
		}
		mode, err := strconv.ParseUint(w[5], 8, 12)
		n := int(nums[0])
		if _, twice := states[n]; err != nil || twice || items[n] == "" {
			return nil, bad
		}
		states[n] = backup.State{Hash: w[1], Size: nums[1], UID: int(nums[2]), GID: int(nums[3]), Mode: fmt.Sprintf("%04o", mode)}
	}
	if len(states) != len(items) {
		return nil, fmt.Errorf("the host answers for %d of %d files", len(states), len(items))
	}
	return states, nil
}

// trial is a candidate in its stage.
type trial struct {
	*Staged
	changes     []plan.Change
	withPending bool
}

// openStage is the room in which a run tries its candidate. Where the host gives no namespaces the candidate says why it is unproven: what
// would have to be generated then stops the run.
func openStage(ctx context.Context, h remote.Host, in Input, _ *backup.Manifest, files map[string][]byte) (candidate, error) {
	dir := journal.Layout{Dir: in.Dir}.Run(in.Run)
	s, err := Stage(ctx, h, dir, StageInput{
		Changes: in.Host.Changes, Commands: in.Host.Commands, Contents: files, Mask: in.Mask, WithPending: in.WithPending,
	})
	if errors.Is(err, ErrNamespaces) {
		return unstaged{why: err.Error(), host: h, in: in}, nil
	}
	if err != nil {
		return nil, err
	}
	return trial{s, in.Host.Changes, in.WithPending}, nil
}

// Regenerate returns the generated files that change, as changes with their diffs, and what is pending.
func (t trial) Regenerate(ctx context.Context) (generated, pending []plan.Change, err error) {
	files, err := t.Staged.Regenerate(ctx)
	if err != nil && !errors.Is(err, ErrPending) {
		return nil, nil, err
	}
	stopped := err != nil
	for _, f := range files {
		if f.Pending != "" {
			pending = append(pending, t.change(f.Path, f.Pending))
		}
		if stopped || f.Diff == "" {
			continue
		}
		if len(f.Unexplained) > 0 && !t.withPending {
			return generated, pending, fmt.Errorf("%w: %s would change in lines that the plan does not explain: %s", ErrRefused, f.Path, sum(f.Unexplained))
		}
		generated = append(generated, t.change(f.Path, f.Diff))
	}
	return generated, pending, nil
}

// change is the plan's change of a generated file, with its diff.
func (t trial) change(name, diff string) plan.Change {
	c := plan.Change{Path: name, Kind: plan.Generated}
	if i := slices.IndexFunc(t.changes, func(c plan.Change) bool { return c.Path == name && c.Kind == plan.Generated }); i >= 0 {
		c = t.changes[i]
	}
	c.Diff = "--- " + name + "\n+++ " + name + "\n" + diff
	return c
}

// Validate has the MTA's checkers read the candidate, and its daemons start with it.
func (t trial) Validate(ctx context.Context) error {
	if err := t.Staged.Validate(ctx); err != nil {
		return err
	}
	return t.Start(ctx)
}

func (t trial) Unproven() string { return "" }

// unstaged is a candidate on a host that gives no namespaces.
type unstaged struct {
	why  string
	host remote.Host
	in   Input
}

func (u unstaged) Regenerate(context.Context) (generated, pending []plan.Change, err error) {
	for _, c := range u.in.Host.Changes {
		if c.Kind == plan.Generated {
			return nil, nil, fmt.Errorf("%w: %s cannot be generated apart from the live files: %s", ErrUnproven, c.Path, u.why)
		}
	}
	return nil, nil, nil
}

func (u unstaged) Validate(context.Context) error { return nil }
func (u unstaged) Unproven() string               { return u.why }
func (u unstaged) Host() remote.Host              { return u.host }
