package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// Undo is a rollback on one host: a run of its own, with a backup of its own, that undoes an earlier one.
type Undo struct {
	Input        // Run, About, Dial, Judge, Timeout and Tell count
	Of    string // the run that is undone
	Force bool   // what is neither what the run put there nor what stood before is moved aside and replaced
	// Copy returns the controller's copy of a run, for a host that has lost its folder; nil has none.
	Copy func(run string) (*backup.Manifest, map[int][]byte, error)
}

// ErrLater: later runs changed the same files; they are undone first.
var ErrLater = errors.New("later runs changed the same files")

// Rollback undoes a run on one host. The good end is RolledBack without an Err; Unchanged means that the host is as it was before the rollback,
// NeedsPerson that files hold what neither the run nor anybody before it put there.
func Rollback(ctx context.Context, in Undo) Outcome {
	in.Input.Host.Name = cmpOr(in.Input.Host.Name)
	u := &undoing{in: in, runner: newRunner(in.Input)}
	u.lefts = []stepOf{{Save, u.save}, {Backup, u.backup}, {StageStep, nil}, {Regenerate, nil}, {Validate, nil}, {Prove, nil}, {Guard, u.arm}}
	u.runner.swap = u.swap
	u.judged = u.expected
	u.called = func(e Ending, _ error) Ending {
		return map[Ending]Ending{Changed: RolledBack, RolledBack: Unchanged, Unchanged: Unchanged}[e]
	}
	defer u.close()
	if ctx.Err() != nil {
		return u.end(NotBegun, context.Cause(ctx), false)
	}
	if err := u.left(ctx); err != nil {
		return u.conflicts(u.abandon(ctx, err), err)
	}
	return u.conflicts(u.right(ctx), u.late)
}

// conflicts makes of a host that nothing was done to for its conflicts one that needs a person.
func (u *undoing) conflicts(o Outcome, err error) Outcome {
	if errors.Is(err, errConflict) && o.Ending == Unchanged {
		o.Ending, o.Err, o.Reason = NeedsPerson, err, err.Error()
		o.Command, o.Conflicts = "--force replaces them, and keeps what stands there", u.out.Conflicts
	}
	return o
}

// maxLater bounds how many later runs one rollback undoes.
const maxLater = 50

// RollbackTo undoes a run and, before it, every later run that changed the same files, the newest first; each is a run of its own, named after
// the first. It stops at the first that does not end well.
func RollbackTo(ctx context.Context, in Undo) Outcome {
	name := in.Run
	for n := 1; ; n++ {
		o := Rollback(ctx, in)
		var later *LaterError
		if !errors.As(o.Err, &later) || n > maxLater {
			return o
		}
		first := in
		first.Of, first.Run = later.Runs[0], fmt.Sprintf("%s-%d", name, 2*n-1)
		in.Run = fmt.Sprintf("%s-%d", name, 2*n)
		if o = Rollback(ctx, first); o.Ending != RolledBack && !o.Nothing {
			o.Reason = "run " + first.Of + ": " + o.Reason
			return o
		}
	}
}

// undoing is a rollback under way.
type undoing struct {
	*runner
	in      Undo
	was     *backup.Manifest // of the run that is undone
	brought bool             // its folder was made of the controller's copy
	late    error            // the conflicts that came up between the look and the deed
}

var errConflict = errors.New("files hold what neither the run nor anybody before it put there")

// save reaches the host, takes its lock, and looks whether the run can be undone: nothing is touched where it cannot.
func (u *undoing) save(ctx context.Context) error {
	var err error
	if u.host, err = u.runner.in.Dial(ctx); err != nil {
		return err
	}
	if err := u.bring(ctx); err != nil {
		return err
	}
	if err := u.lock(ctx); err != nil {
		return err
	}
	rec, err := u.rooms.record(ctx, u.host, u.in.Of)
	if err != nil {
		return err
	}
	if err := u.undoable(rec); err != nil {
		return err
	}
	if u.was, err = backup.Decode(rec.Manifest); err != nil {
		return fmt.Errorf("run %s: %w", u.in.Of, err)
	}
	if err := u.first(ctx); err != nil {
		return err
	}
	if err := u.survey(ctx); err != nil {
		return err
	}
	if u.before, err = u.runner.in.Judge(ctx, u.host, Live); err != nil {
		return fmt.Errorf("cannot judge it as it is: %w", err)
	}
	return nil
}

// bring gives a host whose own folder of the run is gone or damaged the controller's copy of it. It is done before the lock is taken: the run's
// own scripts are what undoes it.
func (u *undoing) bring(ctx context.Context) error {
	how, err := u.lacking(ctx)
	if err != nil || how == "" {
		return err
	}
	m, contents, err := u.in.Copy(u.in.Of)
	if err != nil {
		return fmt.Errorf("%w: the host %s of run %s, and this controller no copy of use: %w", ErrRefused, how, u.in.Of, err)
	}
	if err := u.rooms.send(ctx, u.host, *m, contents); err != nil {
		return err
	}
	u.brought = true
	u.out.Warnings = append(u.out.Warnings, "the host "+how+" of the run: content, owner and mode come back from this controller's copy, times do not")
	return nil
}

// lacking says what a rollback misses in the host's own folder of the run; "" where it misses nothing, or undoable says why there is nothing to do.
func (u *undoing) lacking(ctx context.Context) (string, error) {
	rec, err := u.rooms.record(ctx, u.host, u.in.Of)
	if err != nil {
		return "", err
	}
	m, damaged := backup.Decode(rec.Manifest)
	switch {
	case rec.Held() || rec.Armed() || rec.Lock != nil && rec.State(string(Swap)) == "":
		return "", nil // it has not ended: the lock shows what becomes of it, and its folder is its own
	case !rec.Folder && u.in.Copy != nil:
		return "has no folder", nil
	case !rec.Folder || rec.State(string(Swap)) == "" && rec.State(string(restoring)) == string(Done): // the latter may have saved nothing
		return "", nil
	case damaged != nil && u.in.Copy != nil:
		return "has a damaged folder", nil
	case damaged != nil || rec.State(string(Swap)) == "":
		return "", nil
	}
	if how, err := u.script(ctx, rec.Manifest, m); err != nil || how != "" {
		return how, err
	}
	lines, err := u.rooms.survey(ctx, u.host, u.in.Of)
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(lines, func(l Line) bool { return l.State == "lost" }) {
		return "", nil
	}
	if u.in.Copy == nil {
		return "", fmt.Errorf("%w: the host has damaged contents of run %s, and this controller no copy", ErrRefused, u.in.Of)
	}
	return "has damaged contents", nil
}

// undoable says whether there is something of a run to undo.
func (u *undoing) undoable(rec *journal.Record) error {
	switch {
	case !rec.Folder:
		return fmt.Errorf("%w: the host has no folder of run %s", ErrRefused, u.in.Of)
	case rec.State(string(Swap)) == "" && !u.brought || len(rec.Manifest) == 0:
		return errNothing // it ended before a file was changed
	case rec.Lock != nil:
		return fmt.Errorf("%w: run %s has not ended", ErrRefused, u.in.Of)
	}
	return nil
}

// first refuses where later runs changed the same files: those are undone before.
func (u *undoing) first(ctx context.Context) error {
	others, err := u.rooms.others(ctx, u.host, u.in.Of, u.runner.in.Run)
	if err != nil {
		return err
	}
	var names []string
	for _, m := range slices.Backward(others) {
		if shares(*u.was, m) && follows(m, *u.was) {
			names = append(names, m.Run)
		}
	}
	if len(names) > 0 {
		return &LaterError{Of: u.in.Of, Runs: names}
	}
	return nil
}

// LaterError is ErrLater with the runs that are undone first.
type LaterError struct {
	Of   string
	Runs []string // the newest first
}

func (e *LaterError) Error() string {
	return fmt.Sprintf("refused: later runs changed the same files, and are undone first: %s (--to %s undoes them all)", strings.Join(e.Runs, ", "), e.Of)
}

func (e *LaterError) Unwrap() []error { return []error{ErrLater, ErrRefused} }

// shares says whether two runs changed a file in common.
func shares(a, b backup.Manifest) bool {
	return slices.ContainsFunc(a.Items, func(i backup.Item) bool {
		return slices.ContainsFunc(b.Items, func(j backup.Item) bool { return i.Path == j.Path })
	})
}

// follows says whether run b came after run a, which shares files with it: one that found what the other left. A run's name is the time at which
// its controller's clock stood, which may be another controller's, or have been set: it counts where the files do not tell.
func follows(b, a backup.Manifest) bool {
	after, before := 0, 0
	for _, i := range a.Items {
		for _, j := range b.Items {
			if i.Path != j.Path || i.Kind != j.Kind || i.Service != nil {
				continue
			}
			if sameState(j.Before, i.After) {
				after++
			}
			if sameState(i.Before, j.After) {
				before++
			}
		}
	}
	if (after > 0) != (before > 0) {
		return after > 0
	}
	return b.Run > a.Run
}

func sameState(a, b backup.State) bool {
	return a.Absent == b.Absent && a.Hash == b.Hash && a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID
}

// survey asks restore.sh what it would do. Conflicts are shown to a person, three ways; with Force they are what is replaced.
func (u *undoing) survey(ctx context.Context) error {
	lines, err := u.rooms.survey(ctx, u.host, u.in.Of)
	if err != nil {
		return err
	}
	ours, conflicts := 0, []int{}
	for _, l := range lines {
		switch l.State {
		case "ours":
			ours++
		case "conflict":
			conflicts = append(conflicts, l.N)
		}
	}
	if ours+len(conflicts) == 0 {
		return errNothing
	}
	if len(conflicts) == 0 || u.in.Force {
		return nil
	}
	var paths []string
	for _, n := range conflicts {
		if n < 1 || n > len(u.was.Items) {
			return fmt.Errorf("the host names item %d of %d", n, len(u.was.Items))
		}
		c := Conflict{Path: u.was.Items[n-1].Path}
		if c.Diff, err = u.rooms.threeWays(ctx, u.host, u.in.Of, u.runner.in.Mask, n, c.Path); err != nil {
			c.Diff = "(cannot be shown: " + remote.Clean(err.Error()) + ")\n"
		}
		u.out.Conflicts = append(u.out.Conflicts, c)
		paths = append(paths, c.Path)
	}
	return fmt.Errorf("%w: %s", errConflict, strings.Join(paths, ", "))
}

// backup saves what stands there now, as a run of its own does: the rollback can be undone too.
func (u *undoing) backup(ctx context.Context) error {
	var err error
	u.manifest, u.contents, err = u.rooms.resave(ctx, u.host, u.runner.in.Run, u.was)
	if err == nil {
		err = u.warn(ctx)
	}
	if err != nil {
		return err
	}
	if u.around.busy != "" { // somebody waits for what was to come back
		u.out.Warnings = append(u.out.Warnings, "packages are being changed on this host: "+u.around.busy)
	}
	return u.early(ctx)
}

func (u *undoing) arm(ctx context.Context) error {
	if err := u.rooms.scripts(ctx, u.host, u.runner.in.Run, *u.manifest); err != nil {
		return err
	}
	return u.guard(ctx)
}

func (u *undoing) swap(ctx context.Context) (int, error) {
	how := ""
	if u.in.Force {
		how = "--force"
	}
	status, err := u.rooms.undo(ctx, u.host, u.runner.in.Run, u.in.Of, how)
	if err == nil && status == scriptConflict {
		u.late = u.survey(ctx) // restore.sh touched nothing, and what it met is shown
	}
	return status, err
}

// expected: a rollback brings back what was, holes with it. What legitimate mail loses by that is told, and stays: a person asked for it.
func (u *undoing) expected(j *Judgement) error {
	if !j.Complete {
		return errors.New("the host was not read to the end")
	}
	for _, l := range LostBack(u.before, j) {
		if !slices.Contains(u.out.Warnings, l) {
			u.out.Warnings = append(u.out.Warnings, l)
		}
	}
	return nil
}

// inverse is what saving a run's files again needs: each goes back to what it was before.
func inverse(m *backup.Manifest) []backup.Want {
	var out []backup.Want
	for _, i := range slices.Backward(m.Items) {
		w := backup.Want{Kind: i.Kind, Path: i.Path, After: i.Before}
		switch {
		case i.Kind == plan.CreateFile:
			w.Kind = plan.DeleteFile
		case i.Kind == plan.DeleteFile:
			w.Kind = plan.CreateFile
		case i.Service != nil:
			s := *i.Service
			s.Before, s.After = i.Service.After, i.Service.Before
			w.Service = &s
		}
		out = append(out, w)
	}
	return out
}

func cmpOr(name string) string {
	if name == "" {
		return "localhost"
	}
	return name
}
