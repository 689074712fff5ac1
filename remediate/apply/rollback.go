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
	// Copy returns the controller's copy of the run, for a host that has lost its folder; nil has none.
	Copy func() (*backup.Manifest, map[int][]byte, error)
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
		return map[Ending]Ending{Changed: RolledBack, RolledBack: Unchanged}[e]
	}
	defer u.close()
	if ctx.Err() != nil {
		return u.end(NotBegun, context.Cause(ctx), false)
	}
	if err := u.left(ctx); err != nil {
		o := u.abandon(ctx, err)
		if errors.Is(err, errConflict) {
			o.Ending = NeedsPerson
			o.Command = "--force replaces them, and keeps what stands there"
		}
		return o
	}
	return u.right(ctx)
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

// bring gives a host that has lost the run's folder the controller's copy of it. It is done before the lock is taken: the run's own scripts are
// what undoes it.
func (u *undoing) bring(ctx context.Context) error {
	if u.in.Copy == nil {
		return nil
	}
	rec, err := u.rooms.record(ctx, u.host, u.in.Of)
	if err != nil || rec.Folder && len(rec.Manifest) > 0 {
		return err
	}
	m, contents, err := u.in.Copy()
	if err != nil {
		return fmt.Errorf("%w: the host has no folder of run %s, and this controller no copy: %w", ErrRefused, u.in.Of, err)
	}
	if err := u.rooms.send(ctx, u.host, *m, contents); err != nil {
		return err
	}
	u.brought = true
	u.out.Warnings = append(u.out.Warnings, "the host had no folder of the run: content, owner and mode come back from this controller's copy, times do not")
	return nil
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
	later, err := u.rooms.later(ctx, u.host, u.in.Of, u.runner.in.Run)
	if err != nil {
		return err
	}
	var names []string
	for _, m := range slices.Backward(later) {
		if shares(*u.was, m) {
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
	return u.rooms.undo(ctx, u.host, u.runner.in.Run, u.in.Of, how)
}

// expected: a rollback brings back what was, holes with it. What legitimate mail loses by that is told, and stays: a person asked for it.
func (u *undoing) expected(j *Judgement) error {
	if !j.Complete {
		return errors.New("the host was not read to the end")
	}
	for _, l := range Lost(plan.HostPlan{}, u.before, j, Live) {
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

// realUndo are the rooms that a rollback alone has.
func (s shell) record(ctx context.Context, h remote.Host, run string) (*journal.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, scriptTime)
	defer cancel()
	return journal.Read(ctx, h, s.l, run)
}

// later are the manifests of the runs after another that stand on the host, the oldest first: confirmed, and not put back. A rollback is none:
// it changed what the run that it undid had changed.
func (s shell) later(ctx context.Context, h remote.Host, of, own string) ([]backup.Manifest, error) {
	ctx, cancel := context.WithTimeout(ctx, scriptTime)
	defer cancel()
	all, err := journal.List(ctx, h, s.l)
	if err != nil {
		return nil, err
	}
	var out []backup.Manifest
	for _, r := range all {
		if r.Run <= of || r.Run == own || r.About.Command == "rollback" || !stands(&r) {
			continue
		}
		whole, err := journal.Read(ctx, h, s.l, r.Run)
		if err != nil {
			return nil, err
		}
		m, err := backup.Decode(whole.Manifest)
		if err != nil {
			return nil, fmt.Errorf("run %s: %w", r.Run, err)
		}
		out = append(out, *m)
	}
	return out, nil
}

// stands says whether a run's changes are live: they were swapped in, and not put back since.
func stands(r *journal.Record) bool {
	return r.State(string(Swap)) == string(Done) && r.State(string(restoring)) != string(Done)
}

func (s shell) survey(ctx context.Context, h remote.Host, of string) ([]Line, error) {
	res, err := s.script(ctx, h, of, `exec sh "$mh_dir/restore.sh" --dry`)
	if err != nil {
		return nil, err
	}
	if res.Exit != scriptDone && res.Exit != scriptConflict {
		return nil, fmt.Errorf("cannot see what run %s left%s", of, said(res))
	}
	return ReadLines(res.Stdout)
}

// threeSh prints how what a run left differs from what was before it, and what stands there now from what it left. Secrets are masked.
const threeSh = `mkdir "$mh_dir/show" || exit 5
show() {
  if [ -f "$1" ]; then mh_masked <"$1" | head -c 262144; fi >"$mh_dir/show/$2"
}
show "$mh_dir/copy/$1" before
show "$mh_dir/new/$1" run
show "$2" now
cd "$mh_dir/show"
{ diff -u before run; diff -u run now; } | sed 's/^\(---\|+++\) \([a-z]*\).*/\1 \2/' | head -c 131072
cd /
rm -rf "$mh_dir/show"
exit 0`

func (s shell) threeWays(ctx context.Context, h remote.Host, of, mask string, n int, path string) (string, error) {
	res, err := s.script(ctx, h, of, "mh_key="+maskKey()+"\nexport mh_key\n"+mask+"\n"+threeSh, fmt.Sprint(n), path)
	if err == nil && res.Exit != 0 {
		err = errors.New(strings.TrimPrefix(said(res), ": "))
	}
	return string(res.Stdout), err
}

// send makes the folder of a run anew of the controller's copy.
func (s shell) send(ctx context.Context, h remote.Host, m backup.Manifest, contents map[int][]byte) error {
	ctx, cancel := context.WithTimeout(ctx, scriptTime)
	defer cancel()
	_, err := backup.Send(ctx, h, s.l, m, contents, func(m backup.Manifest) (map[string]string, error) {
		sh, err := write(m, s.l, s.pace)
		return map[string]string{"restore.sh": sh.Restore, "confirm.sh": sh.Confirm, "guard.sh": sh.Guard, "swap.sh": sh.Swap}, err
	})
	return err
}

func (s shell) resave(ctx context.Context, h remote.Host, run string, was *backup.Manifest) (*backup.Manifest, map[int][]byte, error) {
	saving := backup.Saving{Reload: was.Reload, Owners: was.Owners, Roots: was.Roots}
	return saved(ctx, h, s.l, run, inverse(was), saving)
}

// undoSh runs the other run's restore.sh within this run, and writes down in this run's journal what came of it. A link that is lost does not
// end it.
const undoSh = `trap '' HUP PIPE INT
if mh_taken || ! mh_locked; then exit 4; fi
mh_note swap doing "$1" && mkdir -p "$mh_dir/swapped" && : >"$mh_dir/swapped/all" && mh_durable "$mh_dir/swapped" "$mh_dir" || exit 5
sh "$mh_base/$1/restore.sh" --for "$mh_run" $2
rc=$?
if [ "$rc" -ne 0 ]; then
  mh_note swap failed "restore.sh of run $1 ended with status $rc"
  exit "$rc"
fi
mh_note swap done && mh_note reload doing && mh_note reload done || exit 6
[ ! -d "$mh_dir/guard" ] || : >"$mh_dir/guard/again"
exit 0`

func (s shell) undo(ctx context.Context, h remote.Host, run, of, how string) (int, error) {
	res, err := h.Run(ctx, remote.Script(s.l.Head(run)+undoSh, of, how), 4<<20)
	if err != nil {
		return 0, err
	}
	return res.Exit, nil
}
