package apply

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mtaharden/remediate/journal"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
)

// ground is a directory that stands for a host: the folder of its runs, its mail configuration, and where boot hooks go.
type ground struct {
	t    *testing.T
	dir  string
	main string // the file that is changed
	own  string // the file whose mode is
	d    time.Duration

	tools map[string]string // programs before all others of the host

	mu    sync.Mutex
	ops   int
	fault func(n int) string
}

func newGround(t *testing.T, d time.Duration) *ground {
	g := &ground{t: t, dir: scratch(t), d: d}
	g.main, g.own = filepath.Join(g.dir, "etc", "mail", "main.cf"), filepath.Join(g.dir, "etc", "mail", "postqueue")
	for name, text := range map[string]string{g.main: "relay = everybody\n", g.own: "a program\n"} {
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		must(t, os.WriteFile(name, []byte(text), 0o644))
	}
	must(t, os.MkdirAll(filepath.Join(g.dir, "etc", "rcS.d"), 0o755))
	return g
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// link is one connection to the ground. Its faults count the commands over all connections, the shell that holds the lock apart.
type link struct {
	g    *ground
	host *remotetest.Dir
	ctx  context.Context
	cut  context.CancelFunc
}

func (g *ground) connect(context.Context) (remote.Host, error) {
	ctx, cut := context.WithCancel(context.Background())
	g.t.Cleanup(cut)
	return &link{g, remotetest.NewDir(g.t, g.dir, g.tools), ctx, cut}, nil
}

func (l *link) Transport() remote.Transport { return l.host.Transport() }

func (l *link) Close() error { l.cut(); return nil }

func (l *link) Keep(ctx context.Context, c remote.Cmd, limit int, heard func([]byte)) (remote.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	return l.host.Keep(ctx, c, limit, heard)
}

func (l *link) Run(ctx context.Context, c remote.Cmd, limit int) (remote.Result, error) {
	lost := remote.Wrap("run a command on", "the ground", remote.ErrCut, errors.New("the connection was lost"))
	if l.ctx.Err() != nil {
		return remote.Result{}, lost
	}
	switch l.g.next() {
	case "fail":
		return remote.Result{Exit: 1}, nil
	case "before":
		l.cut()
		return remote.Result{}, lost
	case "half": // of its bytes
		c.Stdin = c.Stdin[:len(c.Stdin)/2]
		l.host.Run(ctx, c, limit)
		l.cut()
		return remote.Result{}, lost
	case "after":
		l.host.Run(ctx, c, limit)
		l.cut()
		return remote.Result{}, lost
	case "unseen": // it goes on, and nobody hears of it
		go l.host.Run(context.WithoutCancel(ctx), c, limit)
		l.cut()
		return remote.Result{}, lost
	case "kill":
		l.cut()
		panic(errKilled{})
	case "sleep":
		time.Sleep(2*l.g.d + 2*time.Second)
	}
	return l.host.Run(ctx, c, limit)
}

func (g *ground) next() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ops++
	if g.fault == nil {
		return ""
	}
	return g.fault(g.ops)
}

// tried is a stage that has nothing to build: the stage has its own tests.
type tried struct{ h remote.Host }

func (tried) Regenerate(context.Context) ([]GeneratedFile, error) { return nil, nil }
func (tried) Validate(context.Context) error                      { return nil }
func (tried) Start(context.Context) error                         { return nil }
func (tried) Unproven() string                                    { return "" }
func (t tried) Host() remote.Host                                 { return t.h }

func (g *ground) layout() journal.Layout {
	return journal.Layout{Dir: filepath.Join(g.dir, "lib"), Veto: filepath.Join(g.dir, "audit-only")}
}

func (g *ground) input(run string) Input {
	before := "relay = everybody\n"
	at := strings.Index(before, "everybody")
	r := shell{g.layout(), pace{grace: 1, patience: 5, root: g.dir}}.rooms()
	r.stage = func(_ context.Context, h remote.Host, _ Input, _ map[string][]byte) (candidate, error) {
		return tried{h}, nil
	}
	me := plan.Attr{Owner: "root", Group: "root", Mode: "0644"}
	less := me
	less.Mode = "0600"
	return Input{
		Host: plan.HostPlan{
			Name: "ground", Installs: []plan.Install{{MTA: "some"}},
			Changes: []plan.Change{
				{Kind: plan.EditFile, Path: g.main, PreHash: hash([]byte(before)), PostHash: hash([]byte("relay = nobody\n")),
					Edits: []plan.Edit{{Start: at, End: at + len("everybody"), OldHash: hash([]byte("everybody")), New: []byte("nobody")}}},
				{Kind: plan.ModeChange, Path: g.own, Before: &me, After: &less},
			},
			Commands: []plan.Commands{{MTA: "some", Reload: []plan.Command{{Argv: []string{"cp", g.main, filepath.Join(g.dir, "loaded")}}}}},
			Expect:   []plan.Expectation{{Rule: "open", Before: plan.Fail, After: plan.Pass}},
		},
		Run: run, About: journal.About{Command: "apply", User: "tester", Controller: "here"}, Layout: g.layout(), Dial: g.connect, Judge: g.judge,
		Timeout: g.d, floor: time.Second, rooms: &r,
	}
}

// judge reads the ground: there is a hole while the file says so, and mail is taken while there is a file.
func (g *ground) judge(ctx context.Context, h remote.Host, where Where) (*Judgement, error) {
	res, err := h.Run(ctx, remote.Script(`cat "$1"`, g.main), 1<<16)
	if err != nil {
		return nil, err
	}
	status, hole := plan.Pass, judge.Refused
	if where == Live && bytes.Contains(res.Stdout, []byte("everybody")) {
		status, hole = plan.Fail, judge.Relayed
	}
	mail := judge.Delivered
	if res.Exit != 0 {
		mail = judge.Dead
	}
	return &Judgement{
		Complete: true,
		Result:   &plan.Result{Installs: []plan.Install{{MTA: "some", Active: true}}, Findings: []plan.Finding{{Rule: "open", Status: status}}},
		Answers:  [][]judge.Answer{{{Question: relays, Outcome: hole}, {Question: local, Outcome: mail}}},
	}, nil
}

// state is what stands there: before, after, or what is neither.
func (g *ground) state() string {
	text, _ := os.ReadFile(g.main)
	info, err := os.Stat(g.own)
	if err != nil {
		return err.Error()
	}
	switch now := fmt.Sprintf("%s%o", text, info.Mode().Perm()); now {
	case "relay = everybody\n644":
		return "before"
	case "relay = nobody\n600":
		return "after"
	default:
		return now
	}
}

// left lists what no run may leave: a lock, a guard, a boot hook, a stage, a temporary file beside a live one.
func (g *ground) left() []string {
	var out []string
	for _, pattern := range []string{"lib/lock", "lib/*/guard", "lib/*/stage", "etc/rcS.d/*", "etc/mail/.*"} {
		found, _ := filepath.Glob(filepath.Join(g.dir, pattern))
		out = append(out, found...)
	}
	return out
}

func (g *ground) confirmed() bool {
	found, _ := filepath.Glob(filepath.Join(g.dir, "lib", "*", "end"))
	for _, f := range found {
		if text, _ := os.ReadFile(f); strings.TrimSpace(string(text)) == "confirmed" {
			return true
		}
	}
	return false
}

func TestGround(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root: what is saved must be root's")
	}
	g := newGround(t, time.Minute)
	o := Apply(t.Context(), g.input("r1"))
	if o.Ending != Changed || g.state() != "after" || len(g.left()) > 0 {
		t.Fatalf("it ended %s (%s): %q, left %v", o.Ending, o.Reason, g.state(), g.left())
	}
	if o := Apply(t.Context(), g.input("r2")); !o.Nothing || g.state() != "after" || len(g.left()) > 0 {
		t.Errorf("the same again ended %s (%s): %q, left %v", o.Ending, o.Reason, g.state(), g.left())
	}
	u := Undo{Input: g.input("r3"), Of: "r1"}
	u.About.Command = "rollback"
	if o := Rollback(t.Context(), u); o.Ending != RolledBack || o.Err != nil || g.state() != "before" || len(g.left()) > 0 {
		t.Fatalf("the rollback ended %s (%s): %q, left %v", o.Ending, o.Reason, g.state(), g.left())
	}
	u.Run = "r4"
	if o := Rollback(t.Context(), u); !o.Nothing || g.state() != "before" {
		t.Errorf("the rollback again ended %s (%s): %q", o.Ending, o.Reason, g.state())
	}
	u.Run, u.Of = "r5", "r3" // a rollback is a run too
	if o := Rollback(t.Context(), u); o.Ending != RolledBack || g.state() != "after" {
		t.Errorf("the rollback of the rollback ended %s (%s): %q", o.Ending, o.Reason, g.state())
	}
}

// TestGroundCopy: a host that has lost the run's folder gets it back from the controller.
func TestGroundCopy(t *testing.T) {
	t.Parallel()
	g, kept := changed(t)
	must(t, os.RemoveAll(filepath.Join(g.dir, "lib", "r1")))
	u := Undo{Input: g.input("r2"), Of: "r1"}
	if o := Rollback(t.Context(), u); o.Ending != Unchanged || o.Nothing || g.state() != "after" {
		t.Errorf("without a copy it ended %s (%s): %q", o.Ending, o.Reason, g.state())
	}
	u.Run, u.Copy = "r3", kept
	if o := Rollback(t.Context(), u); o.Ending != RolledBack || g.state() != "before" || len(g.left()) > 0 {
		t.Errorf("with a copy it ended %s (%s): %q, left %v", o.Ending, o.Reason, g.state(), g.left())
	}
}

// TestAround reads what surrounds the files that are changed.
func TestAround(t *testing.T) {
	g := newGround(t, time.Minute)
	for _, name := range []string{"etc/salt/minion", "etc/cron.d/pull"} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(g.dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(g.dir, name), []byte("0 3 * * * root ansible-pull -U x\n"), 0o644))
	}
	h, err := g.connect(t.Context())
	must(t, err)
	a, err := shell{g.layout(), pace{root: g.dir}}.around(t.Context(), h, "r1")
	must(t, err)
	if got := strings.Join(a.managers, " "); got != "salt ansible-pull" || a.keeper || a.quiet() != nil {
		t.Errorf("it finds %q, etckeeper %v, %v", got, a.keeper, a.quiet())
	}
	for text, want := range map[string]string{
		"# This file is managed by Puppet.\n": "puppet", "# Ansible managed\n": "ansible", "# relays for the chefs\n": "", "# managed by hand\n": "", "": "",
	} {
		if got := managed([]byte(text)); got != want {
			t.Errorf("%q is managed by %q, want %q", text, got, want)
		}
	}
}

// TestBusy: while a package manager has the lock under which it changes a host, none of its files is; what only looks like it stops nothing.
func TestBusy(t *testing.T) {
	const frontend, rpm = "var/lib/dpkg/lock-frontend", "var/lib/rpm/.rpm.lock"
	for name, c := range map[string]struct {
		file, lock, open string // the lock's line, INODE being the file's number; what process 826 has open
		busy             string
	}{
		"apt at work":           {frontend, "23: POSIX  ADVISORY  WRITE 826 00:28:INODE 0 EOF\n", frontend, "process 826 (apt get) has the lock of dpkg"},
		"rpm at work":           {rpm, "1: POSIX  ADVISORY  WRITE 826 fd:00:INODE 0 EOF\n", rpm, "process 826 (apt get) has the lock of rpm"},
		"nobody":                {frontend, "", frontend, ""},
		"who only reads":        {rpm, "1: POSIX  ADVISORY  READ 826 fd:00:INODE 0 EOF\n", rpm, ""},
		"who waits for it":      {frontend, "1: -> POSIX  ADVISORY  WRITE 826 00:28:INODE 0 EOF\n", frontend, ""},
		"another of its number": {frontend, "1: POSIX  ADVISORY  WRITE 826 00:29:INODE 0 EOF\n", "srv/data", ""},
		"another number":        {frontend, "1: POSIX  ADVISORY  WRITE 826 00:29:1INODE 0 EOF\n", frontend, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGround(t, time.Minute)
			at := func(name string) string { return filepath.Join(g.dir, name) }
			for _, d := range []string{filepath.Dir(c.file), "proc/826/fd"} {
				must(t, os.MkdirAll(at(d), 0o755))
			}
			must(t, os.WriteFile(at(c.file), nil, 0o640))
			info, err := os.Stat(at(c.file))
			must(t, err)
			inode := fmt.Sprint(info.Sys().(*syscall.Stat_t).Ino)
			must(t, os.WriteFile(at("proc/locks"), []byte(strings.ReplaceAll(c.lock, "INODE", inode)), 0o644))
			must(t, os.WriteFile(at("proc/826/comm"), []byte("apt\x1bget\n"), 0o644))
			must(t, os.Symlink("/"+c.open, at("proc/826/fd/3")))
			h, err := g.connect(t.Context())
			must(t, err)
			a, err := shell{g.layout(), pace{root: g.dir}}.around(t.Context(), h, "r1")
			must(t, err)
			if a.busy != c.busy || (a.quiet() != nil) != (c.busy != "") || c.busy != "" && !errors.Is(a.quiet(), ErrRefused) {
				t.Errorf("it finds %q, %v", a.busy, a.quiet())
			}
		})
	}
}

// TestGroundConflict: a file that somebody changed since stops a rollback, which touches nothing; --force keeps what it replaces.
func TestGroundConflict(t *testing.T) {
	t.Parallel()
	g, _ := changed(t)
	must(t, os.WriteFile(g.main, []byte("relay = friends\n"), 0o644))
	u := Undo{Input: g.input("r2"), Of: "r1"}
	u.Mask = "mh_masked() { cat; }"
	o := Rollback(t.Context(), u)
	if o.Ending != NeedsPerson || g.state() != "relay = friends\n600" || len(g.left()) > 0 {
		t.Fatalf("it ended %s (%s): %q, left %v", o.Ending, o.Reason, g.state(), g.left())
	}
	if len(o.Conflicts) != 1 || !strings.Contains(o.Conflicts[0].Diff, "-relay = everybody") || !strings.Contains(o.Conflicts[0].Diff, "+relay = friends") {
		t.Errorf("it shows %+v", o.Conflicts)
	}
	u.Run, u.Force = "r3", true
	if o := Rollback(t.Context(), u); o.Ending != RolledBack || g.state() != "before" {
		t.Errorf("with --force it ended %s (%s): %q", o.Ending, o.Reason, g.state())
	}
	found, _ := filepath.Glob(filepath.Join(g.dir, "lib", "r1", "displaced", "*"))
	if len(found) != 1 {
		t.Fatalf("displaced are %v", found)
	}
	if text, _ := os.ReadFile(found[0]); string(text) != "relay = friends\n" {
		t.Errorf("displaced is %q", text)
	}
}
