package apply

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/remote"
)

// changed is a ground on which run r1 was confirmed, and the controller's copy of what it replaced.
func changed(t *testing.T) (*ground, func(string) (*backup.Manifest, map[int][]byte, error)) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: what is saved must be root's")
	}
	g := newGround(t, time.Minute)
	in := g.input("r1")
	var kept backup.Manifest
	var contents map[int][]byte
	in.Keep = func(m backup.Manifest, c map[int][]byte) error { kept, contents = m, c; return nil }
	if o := Apply(t.Context(), in); o.Ending != Changed {
		t.Fatalf("it ended %s (%s)", o.Ending, o.Reason)
	}
	return g, func(string) (*backup.Manifest, map[int][]byte, error) { return &kept, contents, nil }
}

// undo is a rollback on the ground.
func (g *ground) undo(run, of string) Undo {
	u := Undo{Input: g.input(run), Of: of}
	u.About.Command, u.About.Of = "rollback", of
	return u
}

// ending is how a run stands by its own folder.
func (g *ground) ending(run string) Ending {
	g.t.Helper()
	h, err := g.connect(context.Background())
	must(g.t, err)
	defer h.Close()
	g.mu.Lock()
	fault := g.fault
	g.fault = nil
	g.mu.Unlock()
	r, err := journal.Read(context.Background(), h, g.layout(), run)
	must(g.t, err)
	g.mu.Lock()
	g.fault = fault
	g.mu.Unlock()
	e, _, _, over := ReadBack(r, r.Now)
	if !over {
		return "open"
	}
	return e
}

// TestGroundRollbackFaults has every fault at the controller's operations of a rollback on real scripts: the host comes to be as the undone run
// left it or as it was before that, which the rollback and the folder of the run that it undoes say, and the next rollback finds nothing in
// its way. A run of the tests takes a sample; MTALAB_FULL takes all.
func TestGroundRollbackFaults(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes its time")
	}
	clean, _ := changed(t)
	before := clean.ops
	if o := Rollback(t.Context(), clean.undo("r2", "r1")); o.Ending != RolledBack {
		t.Fatalf("the rollback ended %s (%s)", o.Ending, o.Reason)
	}
	eachFault(t, clean.ops-before, rollbackFault)
}

func rollbackFault(t *testing.T, op int, kind string) {
	g, _ := changed(t)
	g.d = 6 * time.Second
	from := g.ops
	g.fault = func(n int) string {
		if n == from+op {
			return kind
		}
		return ""
	}
	u := g.undo("r2", "r1")
	o, died := try(func() Outcome { return Rollback(context.Background(), u) })
	g.mu.Lock()
	g.fault = nil
	g.mu.Unlock()
	g.d = time.Minute
	if !died {
		want := map[Ending]string{Unchanged: "after", RolledBack: "before"}[o.Ending]
		if g.state() != want {
			t.Errorf("it says %q (%s), the host is %q", o.Ending, o.Reason, g.state())
		}
		says := map[string]Ending{"after": Changed, "before": RolledBack}[g.state()]
		if got := g.ending("r1"); got != says {
			t.Errorf("it says %q (%s), the host is %q, and the run that it undoes is %q", o.Ending, o.Reason, g.state(), got)
		}
	}
	again := Rollback(context.Background(), g.undo("r3", "r1"))
	if again.Ending != RolledBack && !again.Nothing || g.state() != "before" || g.ending("r1") != RolledBack {
		t.Errorf("it ended %q (%s), the next %q (%s): the host is %q, the run %q", o.Ending, o.Reason, again.Ending, again.Reason, g.state(), g.ending("r1"))
	}
	for range 60 { // the guard of the first rollback may still be at its last words
		if len(g.left()) == 0 {
			break
		}
		time.Sleep(time.Second)
	}
	if left := g.left(); len(left) > 0 {
		t.Errorf("it ended %q (%s), the next %q (%s); left are %v", o.Ending, o.Reason, again.Ending, again.Reason, left)
	}
}

// TestGroundConflictLate: what somebody writes between a rollback's look and its deed is left alone, and a person is asked.
func TestGroundConflictLate(t *testing.T) {
	t.Parallel()
	g, _ := changed(t)
	u := g.undo("r2", "r1")
	u.Mask = "mh_masked() { cat; }"
	undo := u.rooms.undo
	u.rooms.undo = func(ctx context.Context, h remote.Host, run, of, how string) (int, error) {
		must(t, os.WriteFile(g.main, []byte("relay = friends\n"), 0o644))
		return undo(ctx, h, run, of, how)
	}
	o := Rollback(t.Context(), u)
	if o.Ending != NeedsPerson || g.state() != "relay = friends\n600" || len(g.left()) > 0 {
		t.Errorf("it ended %q (%s): %q, left %v", o.Ending, o.Reason, g.state(), g.left())
	}
	if found, _ := filepath.Glob(filepath.Join(g.dir, "lib", "*", "displaced", "*")); len(found) > 0 {
		t.Errorf("displaced are %v", found)
	}
	if got := g.ending("r1"); got != Changed {
		t.Errorf("the run that was to be undone is %q", got)
	}
}

// TestGroundCopyTwice: a rollback from the controller's copy that was stopped is as good the second time.
func TestGroundCopyTwice(t *testing.T) {
	t.Parallel()
	g, kept := changed(t)
	must(t, os.RemoveAll(filepath.Join(g.dir, "lib", "r1")))
	after, err := os.ReadFile(g.main)
	must(t, err)
	must(t, os.WriteFile(g.main, []byte("relay = friends\n"), 0o644))
	for n, want := range []Ending{NeedsPerson, RolledBack} {
		u := g.undo(fmt.Sprintf("r%d", n+2), "r1")
		u.Mask, u.Copy = "mh_masked() { cat; }", kept
		if o := Rollback(t.Context(), u); o.Ending != want || o.Nothing {
			t.Errorf("rollback %d ended %q (%s, nothing %v): %q", n+1, o.Ending, o.Reason, o.Nothing, g.state())
		}
		must(t, os.WriteFile(g.main, after, 0o644))
	}
	if got := g.ending("r1"); got != RolledBack {
		t.Errorf("the run that was undone is %q", got)
	}
}

// TestGroundNoManifest: a run that was refused before it had saved anything left nothing to undo, whether or not the controller has a copy.
func TestGroundNoManifest(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root: what is saved must be root's")
	}
	g := newGround(t, time.Minute)
	must(t, os.Link(g.main, filepath.Join(g.dir, "second name")))
	if o := Apply(t.Context(), g.input("r1")); o.Ending != Unchanged || o.Nothing {
		t.Fatalf("it ended %s (%s)", o.Ending, o.Reason)
	}
	u := g.undo("r2", "r1")
	u.Copy = noCopy
	if o := Rollback(t.Context(), u); !o.Nothing || o.Ending != Unchanged || len(g.left()) > 0 {
		t.Errorf("it ended %q (%s, nothing %v), left %v", o.Ending, o.Reason, o.Nothing, g.left())
	}
}

// TestGroundDamaged: a host whose manifest of the run is damaged is put back from the controller's copy.
func TestGroundDamaged(t *testing.T) {
	t.Parallel()
	g, kept := changed(t)
	must(t, os.WriteFile(filepath.Join(g.dir, "lib", "r1", "manifest"), []byte(`{"run":"r1","items":[{`), 0o600))
	u := g.undo("r2", "r1")
	u.Copy = kept
	if o := Rollback(t.Context(), u); o.Ending != RolledBack || o.Err != nil || g.state() != "before" || len(g.left()) > 0 {
		t.Errorf("it ended %q (%s): %q, left %v", o.Ending, o.Reason, g.state(), g.left())
	}
}

// TestGroundFlippedBit: one of a content's two places may be damaged, nothing is touched where both are, and the controller's copy puts it right.
func TestGroundFlippedBit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		damaged []string
		copied  bool
		want    Ending
	}{
		{"the copy", []string{"copy"}, false, RolledBack},
		{"the original", []string{"keep"}, false, RolledBack},
		{"both", []string{"copy", "keep"}, false, Unchanged},
		{"both, and a copy of the controller's", []string{"copy", "keep"}, true, RolledBack},
	} {
		g, kept := changed(t)
		for _, place := range c.damaged {
			name := filepath.Join(g.dir, "lib", "r1", place, "1")
			text, err := os.ReadFile(name)
			must(t, err)
			text[0] ^= 1
			must(t, os.WriteFile(name, text, 0o600))
		}
		before := g.state()
		u := g.undo("r2", "r1")
		if c.copied {
			u.Copy = kept
		}
		o := Rollback(t.Context(), u)
		if o.Ending != c.want || len(g.left()) > 0 || (o.Err == nil) != (c.want == RolledBack) {
			t.Errorf("%s: it ended %q (%s), left %v", c.name, o.Ending, o.Reason, g.left())
		}
		if state := g.state(); c.want == Unchanged && (state != before || !strings.Contains(o.Reason, "damaged contents")) || c.want == RolledBack && state != "before" {
			t.Errorf("%s: %q, %s", c.name, state, o.Reason)
		}
	}
}

// TestGroundConflictLink: of a link that stands where the run's file stood its own text is shown, and nothing of the file that it leads to.
func TestGroundConflictLink(t *testing.T) {
	t.Parallel()
	g, _ := changed(t)
	secret := filepath.Join(g.dir, "shadow")
	must(t, os.WriteFile(secret, []byte("root:canary\n"), 0o600))
	must(t, os.Remove(g.main))
	must(t, os.Symlink(secret, g.main))
	must(t, os.Mkdir(filepath.Join(g.dir, "lib", "r1", "show"), 0o700)) // an earlier look was broken off
	u := g.undo("r2", "r1")
	u.Mask = "mh_masked() { cat; }"
	o := Rollback(t.Context(), u)
	if o.Ending != NeedsPerson || len(o.Conflicts) != 1 {
		t.Fatalf("it ended %q (%s)", o.Ending, o.Reason)
	}
	if diff := o.Conflicts[0].Diff; strings.Contains(diff, "canary") || !strings.Contains(diff, "+a link to "+secret) {
		t.Errorf("it shows\n%s", diff)
	}
}
