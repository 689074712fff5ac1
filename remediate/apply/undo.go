package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/remote"
)

// record reads how a run stands; it and what follows are the rooms that a rollback alone has.
func (s shell) record(ctx context.Context, h remote.Host, run string) (*journal.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, scriptTime)
	defer cancel()
	return journal.Read(ctx, h, s.l, run)
}

// mostBefore bounds how many runs with a name before another's are looked at: a clock is hours behind, not a hundred runs.
const mostBefore = 20

// others are the manifests of the runs but that one that stand on the host, in the order of their names: confirmed, and not put back. A rollback is
// none: it changed what the run that it undid had changed. Of those with a name before that one's the last are enough.
func (s shell) others(ctx context.Context, h remote.Host, of, own string) ([]backup.Manifest, error) {
	ctx, cancel := context.WithTimeout(ctx, scriptTime)
	defer cancel()
	all, err := journal.List(ctx, h, s.l)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(r journal.Record) bool {
		return r.Run == of || r.Run == own || r.About.Command == "rollback" || !stands(&r)
	})
	slices.SortFunc(all, func(a, b journal.Record) int { return strings.Compare(a.Run, b.Run) })
	before := 0
	for before < len(all) && all[before].Run < of {
		before++
	}
	var out []backup.Manifest
	for _, r := range all[max(before-mostBefore, 0):] {
		whole, err := journal.Read(ctx, h, s.l, r.Run)
		if err != nil {
			return nil, err
		}
		m, err := backup.Decode(whole.Manifest)
		switch {
		case err == nil:
			out = append(out, *m)
		case r.Run > of:
			return nil, fmt.Errorf("run %s: %w", r.Run, err)
		}
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
const threeSh = `first() { awk -v most="$1" '{ n += length($0) + 1; if (n > most) exit; print }'; }
rm -rf "$mh_dir/show" && mkdir "$mh_dir/show" || exit 5
show() {
  if [ -h "$1" ]; then # whoever made the link may not be one who may read what it leads to
    ls -ld "$1" | sed -n 's/^.* -> /a link to /p'
  elif [ -f "$1" ]; then mh_masked <"$1" | first 262144; fi >"$mh_dir/show/$2"
}
show "$mh_dir/copy/$1" before
show "$mh_dir/new/$1" run
show "$2" now
cd "$mh_dir/show"
{ diff -u before run; diff -u run now; } | sed -e 's/^\(---\) \([a-z]*\).*/\1 \2/' -e 's/^\(+++\) \([a-z]*\).*/\1 \2/' | first 131072
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

// undoSh runs the other run's restore.sh within this run, and writes down in this run's journal what came of it; the file undoes names the
// other run. A link that is lost does not end it.
const undoSh = `trap '' HUP PIPE INT
if mh_taken || ! mh_locked; then exit 4; fi
mh_note swap doing "$1" && printf '%s\n' "$1" | mh_put "$mh_dir/undoes" && mkdir -p "$mh_dir/swapped" && true >"$mh_dir/swapped/all" &&
  mh_durable "$mh_dir/swapped" "$mh_dir" || exit 5
sh "$mh_base/$1/restore.sh" --for "$mh_run" $2
rc=$?
if [ "$rc" -ne 0 ]; then
  # It touched nothing: neither shall this run's restore.
  [ "$rc" -ne 3 ] || rm -f "$mh_dir/swapped/all" "$mh_dir/undoes"
  mh_note swap failed "restore.sh of run $1 ended with status $rc"
  exit "$rc"
fi
mh_note swap done && mh_note reload doing && mh_note reload done || exit 6
[ ! -d "$mh_dir/guard" ] || true >"$mh_dir/guard/again"
exit 0`

func (s shell) undo(ctx context.Context, h remote.Host, run, of, how string) (int, error) {
	res, err := h.Run(ctx, remote.Script(s.l.Head(run)+undoSh, of, how), 4<<20)
	if err != nil {
		return 0, err
	}
	return res.Exit, nil
}
