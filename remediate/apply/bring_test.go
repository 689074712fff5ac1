package apply

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// noCopy is a controller that has no copy of any run.
func noCopy(string) (*backup.Manifest, map[int][]byte, error) {
	return nil, nil, errors.New("there is none")
}

// flip changes a bit of both places that a run keeps the content of its first item in.
func (g *ground) flip(run string) {
	g.t.Helper()
	for _, place := range []string{"copy", "keep"} {
		name := filepath.Join(g.dir, "lib", run, place, "1")
		text, err := os.ReadFile(name)
		must(g.t, err)
		text[0] ^= 1
		must(g.t, os.WriteFile(name, text, 0o600))
	}
}

// TestGroundBrokenOffEarly: a run that was broken off before it had saved anything is ended by the rollback that meets it, and left nothing to undo.
func TestGroundBrokenOffEarly(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root: what is saved must be root's")
	}
	g := newGround(t, time.Minute)
	in := g.input("r1")
	judge := in.Judge
	in.Judge = func(context.Context, remote.Host, Where) (*Judgement, error) { panic(errKilled{}) }
	if _, died := try(func() Outcome { return Apply(context.Background(), in) }); !died {
		t.Fatal("the controller lives")
	}
	u := g.undo("r2", "r1")
	u.Judge, u.Copy = judge, noCopy
	if o := Rollback(t.Context(), u); !o.Nothing || o.Ending != Unchanged || len(g.left()) > 0 {
		t.Errorf("it ended %q (%s, nothing %v), left %v", o.Ending, o.Reason, o.Nothing, g.left())
	}
}

// TestGroundSentStands: a run whose folder was made anew and that then stays is what it was: its conflicts stop the rollback.
func TestGroundSentStands(t *testing.T) {
	t.Parallel()
	g, kept := changed(t)
	g.flip("r1")
	must(t, os.WriteFile(g.main, []byte("relay = friends\n"), 0o644))
	u := g.undo("r2", "r1")
	u.Mask, u.Copy = "mh_masked() { cat; }", kept
	if o := Rollback(t.Context(), u); o.Ending != NeedsPerson || len(g.left()) > 0 {
		t.Errorf("it ended %q (%s), left %v", o.Ending, o.Reason, g.left())
	}
	if got := g.ending("r1"); got != Changed {
		t.Errorf("the run that stands is %q", got)
	}
}

// TestGroundSentNames: a file that a damaged folder still holds by a second name can be changed by the next run.
func TestGroundSentNames(t *testing.T) {
	t.Parallel()
	g, kept := changed(t)
	g.flip("r1")
	must(t, os.Link(g.main, filepath.Join(g.dir, "lib", "r1", "keep", "9"))) // as of a file that the run built anew and found unchanged
	must(t, os.WriteFile(g.main, []byte("relay = friends\n"), 0o644))
	u := g.undo("r2", "r1")
	u.Mask, u.Copy = "mh_masked() { cat; }", kept
	if o := Rollback(t.Context(), u); o.Ending != NeedsPerson {
		t.Fatalf("it ended %q (%s)", o.Ending, o.Reason)
	}
	must(t, os.WriteFile(g.main, []byte("relay = everybody\n"), 0o644))
	must(t, os.Chmod(g.own, 0o644))
	if o := Apply(t.Context(), g.input("r3")); o.Ending != Changed || g.state() != "after" {
		t.Errorf("the next run ended %q (%s): %q", o.Ending, o.Reason, g.state())
	}
}

// second is the plan of a run on what the first one left.
func (g *ground) second(run string) Input {
	was, now := "relay = nobody\n", "relay = none at all\n"
	at := strings.Index(was, "nobody")
	in := g.input(run)
	in.Host.Changes = []plan.Change{{Kind: plan.EditFile, Path: g.main, PreHash: hash([]byte(was)), PostHash: hash([]byte(now)),
		Edits: []plan.Edit{{Start: at, End: at + len("nobody"), OldHash: hash([]byte("nobody")), New: []byte("none at all")}}}}
	in.Host.Expect[0].Before = plan.Pass
	return in
}

// TestGroundOrder: the run that came first is not undone before the one that built on it, whatever the clocks said that named them; --to undoes
// both.
func TestGroundOrder(t *testing.T) {
	for _, second := range []string{"r0", "r2"} {
		t.Run(second, func(t *testing.T) {
			t.Parallel()
			g, _ := changed(t) // by r1
			if o := Apply(t.Context(), g.second(second)); o.Ending != Changed {
				t.Fatalf("the second run ended %s (%s)", o.Ending, o.Reason)
			}
			stood := g.state()
			var later *LaterError
			o := Rollback(t.Context(), g.undo("r3", "r1"))
			if o.Ending != Unchanged || !errors.As(o.Err, &later) || len(later.Runs) != 1 || later.Runs[0] != second || g.state() != stood || len(g.left()) > 0 {
				t.Fatalf("the first, undone before: %s (%s): %q, left %v", o.Ending, o.Reason, g.state(), g.left())
			}
			if o := Rollback(t.Context(), g.undo("r4", second)); o.Ending != RolledBack || g.state() != "after" {
				t.Fatalf("the second: %s (%s): %q", o.Ending, o.Reason, g.state())
			}
			if o := Apply(t.Context(), g.second(second+"again")); o.Ending != Changed {
				t.Fatalf("the third run ended %s (%s)", o.Ending, o.Reason)
			}
			if o := RollbackTo(t.Context(), g.undo("r5", "r1")); o.Ending != RolledBack || g.state() != "before" || len(g.left()) > 0 {
				t.Errorf("both: %s (%s): %q, left %v", o.Ending, o.Reason, g.state(), g.left())
			}
		})
	}
}

// TestGroundToDamaged: where a later run's contents are damaged, --to brings the copy of that run, and leaves the folders of others alone.
func TestGroundToDamaged(t *testing.T) {
	t.Parallel()
	g, first := changed(t)
	in := g.second("r2")
	var kept backup.Manifest
	var contents map[int][]byte
	in.Keep = func(m backup.Manifest, c map[int][]byte) error { kept, contents = m, c; return nil }
	if o := Apply(t.Context(), in); o.Ending != Changed {
		t.Fatalf("the second run ended %s (%s)", o.Ending, o.Reason)
	}
	g.flip("r2")
	manifest, err := os.ReadFile(filepath.Join(g.dir, "lib", "r1", "manifest"))
	must(t, err)
	u := g.undo("r3", "r1")
	u.Copy = func(run string) (*backup.Manifest, map[int][]byte, error) {
		if run == "r2" {
			return &kept, contents, nil
		}
		return first(run)
	}
	o := RollbackTo(t.Context(), u)
	if o.Ending != RolledBack || g.state() != "before" || len(g.left()) > 0 {
		t.Errorf("it ended %q (%s): %q, left %v", o.Ending, o.Reason, g.state(), g.left())
	}
	if again, err := os.ReadFile(filepath.Join(g.dir, "lib", "r1", "manifest")); err != nil || !bytes.Equal(again, manifest) {
		t.Errorf("the folder of the run that was whole is another: %v\n%s", err, again)
	}
}
