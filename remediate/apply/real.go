package apply

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// real are the rooms as they are.
func real(l journal.Layout) rooms { return shell{l, usualPace}.rooms() }

func (s shell) rooms() rooms {
	return rooms{
		lock: s.lock, note: s.note, save: s.save, stage: s.stage, complete: s.complete, arm: s.arm,
		swap: func(ctx context.Context, h remote.Host, run string) (int, error) {
			return s.run(ctx, h, run, "swap.sh")
		},
		abandon: s.abandon,
		restore: func(ctx context.Context, h remote.Host, run, how string) (int, error) {
			return s.run(ctx, h, run, "restore.sh", strings.Fields(how)...)
		},
		confirm: func(ctx context.Context, h remote.Host, run string) (int, error) {
			return s.run(ctx, h, run, "confirm.sh")
		},
		read: s.read, scripts: s.scripts,
		record: s.record, others: s.others, survey: s.survey, threeWays: s.threeWays, resave: s.resave, undo: s.undo, send: s.send, texts: s.texts, ownFiles: s.ownFiles, mend: s.mend, around: s.around, commit: s.commit,
	}
}

// shell does a run's parts on its host by scripts.
type shell struct {
	l    journal.Layout
	pace pace // of the scripts
}

// lock makes the run's folder with scripts that put nothing back yet, and takes the host's lock.
func (s shell) lock(ctx context.Context, h remote.Host, in Input) (*keeper, error) {
	empty, err := write(backup.Manifest{Run: in.Run}, s.l, s.pace)
	if err != nil {
		return nil, err
	}
	run := ctx
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	hold, err := journal.Begin(ctx, h, s.l, journal.Start{
		About: in.About, Holder: in.About.User + "@" + in.About.Controller,
		Files: map[string]string{"restore.sh": empty.Restore, "confirm.sh": empty.Confirm, "guard.sh": empty.Guard},
	})
	if errors.As(err, new(*journal.Refused)) {
		context.AfterFunc(run, cancel) // its shell ends by itself; ended from here, it would take the connection with it
		return nil, err
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return &keeper{stop: func() {
		select {
		case <-hold.Done():
		case <-time.After(keeperLinger):
		}
		cancel()
	}}, nil
}

// keeperLinger is how long the shell that holds the lock has to see that it was given back.
const keeperLinger = 3 * time.Second

// noteSh adds lines to the journal of a run that is still this controller's: $1 $2 $3 of the first, and so on.
const noteSh = `if mh_taken || ! mh_locked; then exit 4; fi
while [ $# -ge 3 ]; do
  mh_note "$1" "$2" "$3" || exit 5
  shift 3
done`

func (s shell) note(ctx context.Context, h remote.Host, run string, entries []entry) error {
	var words []string
	for _, e := range entries {
		words = append(words, string(e.Step), string(e.State), e.Text)
	}
	res, err := s.script(ctx, h, run, noteSh, words...)
	switch {
	case err != nil:
		return err
	case res.Exit == scriptFenced:
		return fmt.Errorf("%w: the host's lock is no longer this run's", ErrFenced)
	case res.Exit != 0:
		return fmt.Errorf("cannot write the run's journal%s", said(res))
	}
	return nil
}

// scriptTime bounds one short command on the host.
const scriptTime = 2 * time.Minute

func (s shell) script(ctx context.Context, h remote.Host, run, text string, args ...string) (remote.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, scriptTime)
	defer cancel()
	return h.Run(ctx, remote.Script(s.l.Head(run)+text, args...), 1<<20)
}

// said is what a command wrote to standard error, for a message.
func said(res remote.Result) string {
	text := clip(remote.Clean(string(res.Stderr)))
	if text == "" {
		return fmt.Sprintf(" (exit status %d)", res.Exit)
	}
	return fmt.Sprintf(": %s (exit status %d)", text, res.Exit)
}

// run runs one of the run's own scripts, which act by themselves: a link that is lost does not end them.
func (s shell) run(ctx context.Context, h remote.Host, run, script string, args ...string) (int, error) {
	const text = `file=$1
shift
exec sh "$file" "$@"`
	res, err := h.Run(ctx, remote.Script(text, append([]string{s.l.Run(run) + "/" + script}, args...)...), 4<<20)
	if err != nil {
		return 0, err
	}
	return res.Exit, nil
}

// abandon ends a run of which nothing is live: the second names of the files that it saved go, so that the tree is as it was.
func (s shell) abandon(ctx context.Context, h remote.Host, run string) (int, error) {
	const text = `if ! grep '^[0-9]* [0-9]* swap ' "$mh_dir/journal" >/dev/null 2>&1; then rm -rf "$mh_dir/keep"; fi
exec sh "$mh_dir/restore.sh" --guard`
	res, err := s.script(ctx, h, run, text)
	return res.Exit, err
}

func (s shell) arm(ctx context.Context, h remote.Host, run string, d time.Duration) error {
	const text = `exec sh "$1" --arm "$2"`
	res, err := s.script(ctx, h, run, text, s.l.Run(run)+"/guard.sh", fmt.Sprint(int64(d.Seconds())))
	switch {
	case err != nil:
		return err
	case res.Exit == scriptFenced:
		return ErrFenced
	case res.Exit != 0:
		return fmt.Errorf("cannot arm the guard%s", said(res))
	}
	return nil
}

func (s shell) read(ctx context.Context, h remote.Host, run string) (*record, error) {
	ctx, cancel := context.WithTimeout(ctx, scriptTime)
	defer cancel()
	r, err := journal.Read(ctx, h, s.l, run)
	if err != nil {
		return nil, err
	}
	return recordOf(r, time.Now()), nil
}

// recordOf is a run as the host has it, its deadline by this machine's clock.
func recordOf(r *journal.Record, now time.Time) *record {
	out := &record{Token: r.Token, Locked: r.Lock != nil, Holder: r.Held(), Armed: r.Armed(), Owed: r.Owed}
	for _, e := range r.Entries {
		out.Entries = append(out.Entries, entry{Step(e.Step), StepState(e.State), remote.Clean(e.Text)})
	}
	if r.Guard.Set {
		out.Deadline = now.Add(r.Guard.Deadline.Sub(r.Now))
	}
	return out
}

func (s shell) save(ctx context.Context, h remote.Host, run string, in plan.HostPlan) (*backup.Manifest, map[int][]byte, error) {
	var wants []backup.Want
	saving := backup.Saving{Reload: reloads(in.Commands)}
	for _, c := range in.Changes {
		w := backup.Want{Kind: c.Kind, Path: c.Path, Service: c.Service, Last: c.Kind == plan.DeleteFile}
		wants = append(wants, w)
		saving.Room += int64(len(c.Content))
		for _, e := range c.Edits {
			saving.Room += int64(len(e.New))
		}
	}
	for _, c := range in.Commands {
		saving.Owners = append(saving.Owners, c.Owners...)
		if c.Stage != nil {
			saving.Roots = append(saving.Roots, c.Stage.Copies...)
		}
	}
	return saved(ctx, h, s.l, run, wants, saving)
}

// saved saves, and keeps in the manifest what saving the same places again needs.
func saved(ctx context.Context, h remote.Host, l journal.Layout, run string, wants []backup.Want, in backup.Saving) (*backup.Manifest, map[int][]byte, error) {
	m, contents, err := backup.Save(ctx, h, l, run, wants, in)
	if err == nil {
		m.Owners, m.Roots = in.Owners, in.Roots
	}
	return m, contents, err
}

// stage makes the stage. Where the host has no namespaces of its own, nothing can be tried there over the live paths.
func (s shell) stage(ctx context.Context, h remote.Host, in Input, files map[string][]byte) (candidate, error) {
	st, err := Stage(ctx, h, s.l.Run(in.Run), StageInput{
		Changes: in.Host.Changes, Commands: in.Host.Commands, Contents: files, Mask: in.Mask, WithPending: in.WithPending,
	})
	if errors.Is(err, ErrNamespaces) && in.Unproven {
		return bare{why: err.Error(), changes: in.Host.Changes}, nil
	}
	if err != nil {
		return nil, err
	}
	return st, nil
}

// bare is a candidate that cannot be tried: the host has no namespaces, and who applies said that this may be.
type bare struct {
	why     string
	changes []plan.Change
}

func (b bare) Regenerate(context.Context) ([]GeneratedFile, error) {
	for _, c := range b.changes {
		if c.Kind == plan.Generated {
			return nil, fmt.Errorf("cannot build %s apart from the live files: %s", c.Path, b.why)
		}
	}
	return nil, nil
}

func (bare) Validate(context.Context) error { return nil }
func (bare) Start(context.Context) error    { return nil }
func (bare) Host() remote.Host              { return nil }
func (b bare) Unproven() string             { return b.why }

// Unproven says why nothing can be tried in the stage: "" since it stands.
func (s *Staged) Unproven() string { return "" }

// completeSh leaves new/N of every file that goes live and says what it holds. Arguments in threes: N, where it comes from (stage: a generated
// file; put: a function of that name writes it), and the live path.
const completeSh = `
tab=$(printf '\t')
staged() {
  at=
  while IFS=$tab read -r real kind n; do
    case $1 in "$real"/*)
      if [ -z "$at" ] || [ "${#real}" -gt "${#best}" ]; then at=$mh_dir/stage/$n/${1#"$real"/} best=$real; fi ;;
    esac
  done <"$mh_dir/stage/list"
  [ -n "$at" ]
}
mkdir -p "$mh_dir/new" || { mh_fact why "cannot make $mh_dir/new"; mh_close; exit 5; }
while [ $# -ge 3 ]; do
  case $2 in
  stage)
    if ! staged "$3"; then mh_fact why "$3 is not in the stage"; break; fi
    if [ -f "$at" ] && [ ! -h "$at" ]; then
      mh_meta "$at"
      mh_fact "owner.$1" "$mh_uid $mh_gid $mh_mode"
      mh_put "$mh_dir/new/$1" <"$at" || { mh_fact why "cannot write $mh_dir/new/$1"; break; }
    fi
    ;;
  put) put_$1 || { mh_fact why "cannot write $mh_dir/new/$1"; break; } ;;
  esac
  if [ -f "$mh_dir/new/$1" ]; then
    mh_hash "$mh_dir/new/$1" && mh_meta "$mh_dir/new/$1" || { mh_fact why "cannot read $mh_dir/new/$1"; break; }
    mh_fact "hash.$1" "$mh_sum"
    mh_fact "size.$1" "$mh_size"
  else
    mh_fact "hash.$1" absent
  fi
  shift 3
done
mh_durable "$mh_dir/new" "$mh_dir"
`

// complete leaves everything on the host that the swap needs: the contents that go live, the manifest, and the scripts.
func (s shell) complete(ctx context.Context, h remote.Host, run string, m *backup.Manifest, changes []plan.Change, files map[string][]byte, reload []plan.Command) error {
	var text strings.Builder
	words := ""
	for i, item := range m.Items {
		n := i + 1
		switch {
		case item.Kind == plan.Generated:
			words += fmt.Sprintf(" %d stage %s", n, remote.Quote(item.Path))
		case item.Kind == plan.EditFile, item.Kind == plan.CreateFile:
			content, put := files[named(item)], ""
			if file := fmt.Sprintf(`"$mh_dir/new/%d"`, n); len(content) < journal.Long {
				put = journal.Put(file, content)
			} else {
				at := fmt.Sprintf("%s/upload.%d", s.l.Run(run), n)
				if err := journal.Upload(ctx, h, at, content); err != nil {
					return fmt.Errorf("cannot leave the new %s on the host: %w", named(item), err)
				}
				put = journal.Take(remote.Quote(at), file, "sha256:"+hash(content))
			}
			fmt.Fprintf(&text, "put_%d() {\n%s}\n", n, put)
			words += fmt.Sprintf(" %d put %s", n, remote.Quote(item.Path))
		}
	}
	if words != "" {
		parts, _, err := s.l.Ask(ctx, h, run, text.String()+"set --"+words+completeSh, 1<<20)
		if err != nil {
			return fmt.Errorf("cannot leave the new files on the host: %w", err)
		}
		if err := takeNew(m, parts); err != nil {
			return err
		}
	}
	if err := finish(m, changes, files, reload); err != nil {
		return err
	}
	return s.scripts(ctx, h, run, *m)
}
