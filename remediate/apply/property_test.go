package apply

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// estate is a ground with a configuration made at random, and a plan for it.
type estate struct {
	*ground
	r         *rand.Rand
	changes   []plan.Change
	wants     map[string]string // what each path holds once the plan is carried out; absent: it is not there
	generated map[string]string // the maps that a program makes, and of what
}

// fakeSystemctl is a service manager that keeps which units run as files below its directory.
const fakeSystemctl = `#!/bin/sh
dir=@/units
[ "$1" != --no-block ] || shift
case $1 in
is-active) [ -e "$dir/$2" ] ;;
start) : >"$dir/$2" ;;
stop) rm -f "$dir/$2" ;;
daemon-reload) echo told >>@/reloaded ;;
*) exit 1 ;;
esac
`

func newEstate(t *testing.T, seed uint64) *estate {
	e := &estate{ground: newGround(t, 5*time.Minute), r: rand.New(rand.NewPCG(seed, 6)), wants: map[string]string{}, generated: map[string]string{}}
	e.tools = map[string]string{"systemctl": strings.ReplaceAll(fakeSystemctl, "@", e.dir)}
	must(t, os.MkdirAll(filepath.Join(e.dir, "units"), 0o755))
	for range 1 + e.r.IntN(3) {
		e.edit()
	}
	for _, more := range []func(){e.create, e.remove, e.compile, e.edit} {
		if e.r.IntN(2) == 0 {
			more()
		}
	}
	e.mode()
	e.service()
	e.r.Shuffle(len(e.changes), func(i, j int) { e.changes[i], e.changes[j] = e.changes[j], e.changes[i] })
	return e
}

// file plants a file of random content, name, mode and age.
func (e *estate) file() (name, text string) {
	words := []string{"relay", "all of them", "it's", "$HOME", "한글", "a\\b", "-n", "*"}
	name = filepath.Join(e.dir, "etc", "mail", fmt.Sprintf("%s %d", words[e.r.IntN(len(words))], len(e.changes)))
	var b strings.Builder
	for range e.r.IntN(40) {
		b.WriteString(words[e.r.IntN(len(words))] + []string{"\n", "\r\n", " ", "\t", "\x00\xff", ""}[e.r.IntN(6)])
	}
	modes := []os.FileMode{0o600, 0o640, 0o644, 0o444}
	must(e.t, os.WriteFile(name, []byte(b.String()), 0o600))
	must(e.t, os.Chmod(name, modes[e.r.IntN(len(modes))]))
	must(e.t, os.Chown(name, 0, []int{0, 8}[e.r.IntN(2)]))
	old := time.Date(2020, 1, 2, 3, 4, e.r.IntN(60), e.r.IntN(1e9), time.UTC)
	must(e.t, os.Chtimes(name, old, old))
	return name, b.String()
}

// edit plans up to three ranges of a file to be another text.
func (e *estate) edit() { e.edited() }

func (e *estate) edited() (name, after string) {
	name, before := e.file()
	c := plan.Change{Kind: plan.EditFile, Path: name, PreHash: hash([]byte(before))}
	at := 0
	for range 1 + e.r.IntN(3) {
		start := at + e.r.IntN(len(before)-at+1)
		end := start + e.r.IntN(len(before)-start+1)
		text := fmt.Sprintf("new %d\n", e.r.IntN(1000))
		c.Edits = append(c.Edits, plan.Edit{Start: start, End: end, OldHash: hash([]byte(before[start:end])), New: []byte(text)})
		after += before[at:start] + text
		if at = end; at == start {
			break // two insertions at one place have no order
		}
	}
	after += before[at:]
	c.PostHash = hash([]byte(after))
	e.changes, e.wants[name] = append(e.changes, c), after
	return name, after
}

func (e *estate) create() {
	name := filepath.Join(e.dir, "etc", "mail", "created "+strconv.Itoa(len(e.changes)))
	text := fmt.Sprintf("created %d\n", e.r.IntN(1000))
	e.changes = append(e.changes, plan.Change{Kind: plan.CreateFile, Path: name, Content: []byte(text), PostHash: hash([]byte(text))})
	e.wants[name] = text
}

func (e *estate) remove() {
	name, text := e.file()
	e.changes = append(e.changes, plan.Change{Kind: plan.DeleteFile, Path: name, PreHash: hash([]byte(text))})
	e.wants[name] = absent
}

// compile is an edit of a text of which a program makes a map; sometimes there is none yet.
func (e *estate) compile() {
	source, after := e.edited()
	table := source + ".db"
	if e.r.IntN(2) == 0 {
		must(e.t, os.WriteFile(table, []byte("made of something else"), 0o640))
	}
	e.changes = append(e.changes, plan.Change{Kind: plan.Generated, Path: table})
	e.generated[table], e.wants[table] = source, compiled(after)
}

func compiled(text string) string { return "map of " + strings.ToUpper(text) }

func (e *estate) mode() {
	name, text := e.file()
	must(e.t, os.Chmod(name, 0o755))
	was := plan.Attr{Owner: "root", Group: "root", Mode: "0755"}
	less := was
	less.Mode = []string{"0750", "0700", "0754"}[e.r.IntN(3)]
	e.changes = append(e.changes, plan.Change{Kind: plan.ModeChange, Path: name, Before: &was, After: &less})
	e.wants[name] = text
}

// service plans a unit to be stopped and started at boot no more, as the retirement of a mail server is.
func (e *estate) service() {
	unit := "mta" + strconv.Itoa(e.r.IntN(100)) + ".service"
	s := &plan.Service{Manager: "systemd", Name: unit, Before: plan.Running{Enabled: true, Active: e.r.IntN(3) > 0}}
	if s.Before.Active {
		must(e.t, os.WriteFile(filepath.Join(e.dir, "units", unit), nil, 0o644))
	}
	file := filepath.Join(e.dir, "etc", "systemd", unit)
	for n := range 1 + e.r.IntN(3) {
		link := filepath.Join(e.dir, "etc", "systemd", fmt.Sprintf("target%d.wants", n), unit)
		must(e.t, os.MkdirAll(filepath.Dir(link), 0o755))
		must(e.t, os.Symlink(file, link))
		s.Before.Links = append(s.Before.Links, link)
		e.wants[link] = absent
	}
	must(e.t, os.WriteFile(file, []byte("[Service]\n"), 0o644))
	e.changes = append(e.changes, plan.Change{Kind: plan.Unit, Path: file, Service: s})
}

// built is a stage of an estate: the folder of its configuration as the plan leaves it, and what a program makes there.
type built struct {
	tried
	e     *estate
	stage string
}

func (b built) Regenerate(context.Context) ([]GeneratedFile, error) {
	var out []GeneratedFile
	for table, source := range b.e.generated {
		text, err := os.ReadFile(filepath.Join(b.stage, "1", filepath.Base(source)))
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(b.stage, "1", filepath.Base(table)), []byte(compiled(string(text))), 0o640); err != nil {
			return nil, err
		}
		out = append(out, GeneratedFile{Path: table, Diff: "+made anew\n"})
	}
	return out, nil
}

func (e *estate) input(run string) Input {
	in := e.ground.input(run)
	in.Host.Changes, in.Host.Expect = e.changes, nil
	in.Host.Commands = []plan.Commands{{MTA: "some", Reload: []plan.Command{{Argv: []string{"/bin/sh", "-c", "echo told >>" + remote.Quote(filepath.Join(e.dir, "loaded"))}}}}}
	in.Judge = func(context.Context, remote.Host, Where) (*Judgement, error) {
		return &Judgement{Complete: true, Result: &plan.Result{Installs: []plan.Install{{MTA: "some"}}}}, nil
	}
	in.rooms.stage = func(_ context.Context, h remote.Host, in Input, files map[string][]byte) (candidate, error) {
		dir := filepath.Join(in.Layout.Run(in.Run), "stage")
		if err := os.MkdirAll(filepath.Join(dir, "1"), 0o700); err != nil {
			return nil, err
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, "1", filepath.Base(name)), text, 0o600); err != nil {
				return nil, err
			}
		}
		return built{tried{h}, e, dir}, os.WriteFile(filepath.Join(dir, "list"), []byte(filepath.Join(e.dir, "etc", "mail")+"\tcopy\t1\n"), 0o600)
	}
	return in
}

// look is every file of the configuration, and which units run.
func (e *estate) look() map[string]string {
	out := tree(e.t, filepath.Join(e.dir, "etc"))
	units, err := os.ReadDir(filepath.Join(e.dir, "units"))
	must(e.t, err)
	for _, u := range units {
		out["unit "+u.Name()] = "running"
	}
	return out
}

// done holds the estate to what its plan says.
func (e *estate) done() {
	e.t.Helper()
	for name, want := range e.wants {
		got := absent
		if text, err := os.ReadFile(name); err == nil {
			got = string(text)
		}
		if got != want {
			e.t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	for _, c := range e.changes {
		if info, err := os.Stat(c.Path); c.Kind == plan.ModeChange && (err != nil || fmt.Sprintf("%04o", info.Mode().Perm()) != c.After.Mode) {
			e.t.Errorf("%s: %v, %v; want mode %s", c.Path, info, err, c.After.Mode)
		}
	}
	if units, _ := os.ReadDir(filepath.Join(e.dir, "units")); len(units) > 0 {
		e.t.Errorf("%v still run", units)
	}
}

// TestProperty holds over configurations and plans made at random, with edits, files that come and go, maps that a program makes, a mode and a
// service: an apply does what the plan says; a second one does nothing; a rollback is its inverse, to the last time stamp; a second does nothing.
func TestProperty(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: what is saved must be root's")
	}
	rounds := 4
	if os.Getenv("MTALAB_FULL") != "" {
		rounds = 200
	}
	var mu sync.Mutex
	kinds, cases := map[plan.ChangeKind]int{}, 0
	t.Cleanup(func() {
		t.Logf("%d generated configurations carried out, again, and put back; changes by kind: %v", cases, kinds)
	})
	for seed := range rounds {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			e := newEstate(t, uint64(seed))
			e.whole()
			mu.Lock()
			defer mu.Unlock()
			cases++
			for _, c := range e.changes {
				kinds[c.Kind]++
			}
		})
	}
}

func (e *estate) whole() {
	before := e.look()
	step := func(name string, o Outcome, ending Ending, nothing bool, want map[string]string) map[string]string {
		now := e.look()
		if o.Ending != ending || o.Nothing != nothing || o.Err != nil && !nothing || len(e.left()) > 0 {
			e.t.Fatalf("the %s ended %s (%s), left %v; changes %+v", name, o.Ending, o.Reason, e.left(), e.changes)
		}
		if d := cmp.Diff(want, now); want != nil && d != "" {
			e.t.Fatalf("the %s (-want +got): %s", name, d)
		}
		return now
	}
	undo := Undo{Input: e.input("r3"), Of: "r1"}
	undo.About.Command = "rollback"
	after := step("apply", Apply(e.t.Context(), e.input("r1")), Changed, false, nil)
	e.done()
	step("second apply", Apply(e.t.Context(), e.input("r2")), Unchanged, true, after)
	step("rollback", Rollback(e.t.Context(), undo), RolledBack, false, before)
	undo.Run = "r4"
	step("second rollback", Rollback(e.t.Context(), undo), Unchanged, true, before)
	if slices.Equal(slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after))) {
		e.t.Error("the plan took nothing away")
	}
}
