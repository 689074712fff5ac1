package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"
	xssh "golang.org/x/crypto/ssh"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/backup"
	"mtaharden/remediate/history"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
)

// scriptHosts are hosts of the scripts: an SSH server each, whose commands find a directory of the script's over /var/lib.
type scriptHosts struct {
	t   *testing.T
	key string
	pub xssh.PublicKey
}

func newScriptHosts(t *testing.T) *scriptHosts {
	s := &scriptHosts{t: t}
	s.key, s.pub = remotetest.NewKeyFile(t, "")
	return s
}

// machine makes the shell that a host's commands run in: its /var/lib is dir/lib, its /etc dir/machine, which has little in it, and no systemd
// runs there. A guard's boot hook lands in dir/machine/rcS.d.
func (s *scriptHosts) machine(ts *testscript.TestScript, dir string) {
	ts.Check(os.MkdirAll(dir+"/machine/rcS.d", 0o755))
	for _, name := range []string{"alternatives", "group", "hosts", "ld.so.cache", "nsswitch.conf", "passwd"} {
		if _, err := os.Stat("/etc/" + name); err == nil {
			ts.Check(exec.Command("cp", "-a", "/etc/"+name, dir+"/machine/").Run())
		}
	}
	ts.Check(os.WriteFile(dir+"/shell", []byte(`#!/bin/sh
exec unshare -m --propagation private /bin/sh -c '
mount --bind `+dir+`/lib /var/lib && mount --bind `+dir+`/machine /etc || exit 1
[ ! -d /run/systemd/system ] || mount -t tmpfs none /run/systemd || exit 1
exec /bin/sh "$@"' sh "$@"
`), 0o755))
}

// start is the script command `mailhost NAME`: it adds a host to hosts.toml. Its /var/lib is NAME/lib, its configuration NAME/etc.
func (s *scriptHosts) start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: mailhost NAME")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir+"/lib", 0o755))
	ts.Check(os.MkdirAll(dir+"/etc", 0o755))
	ts.Check(os.WriteFile(dir+"/etc/main.cf", []byte("myhostname = "+args[0]+".example.com\n"), 0o644))
	s.machine(ts, dir)
	srv := &remotetest.Server{User: "root", Keys: []xssh.PublicKey{s.pub}, Shell: []string{dir + "/shell"}, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}
	port := srv.Start(s.t)
	f, err := os.OpenFile(ts.MkAbs("hosts.toml"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer f.Close()
	_, err = fmt.Fprintf(f, "[hosts.%q]\naddress = \"127.0.0.1\"\nport = %d\nidentity = %q\nknown_hosts = %q\nuser = \"root\"\n", args[0], port, s.key, srv.KnownHosts(s.t))
	ts.Check(err)
}

// passwords is the script command `passwordhosts N PASSWORD`: it writes hosts.toml with as many hosts, each of which lets ops in by this password alone.
func (s *scriptHosts) passwords(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: passwordhosts N PASSWORD")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	text := "[defaults]\naddress = \"127.0.0.1\"\nuser = \"ops\"\nidentity = []\n"
	for i := range n {
		srv := &remotetest.Server{User: "ops", Password: args[1]}
		text += fmt.Sprintf("[hosts.mx%d]\nport = %d\nknown_hosts = %q\n", i+1, srv.Start(s.t), srv.KnownHosts(s.t))
	}
	ts.Check(os.WriteFile(ts.MkAbs("hosts.toml"), []byte(text), 0o600))
}

// The lines that a run leaves in its journal, by how it ended.
var scriptRuns = map[string]string{
	"confirmed": "save done, backup done, stage done, guard done, swap doing, swap done, reload done, verify done, confirm doing, confirm done",
	"restored":  "save done, backup done, stage done, guard done, swap doing, swap done, reload done, verify failed, restore doing, restore done",
	"refused":   "save done, backup done, stage doing, stage failed, restore doing, restore done",
	"applied":   "save done, backup done, stage done, guard done, swap doing, swap done, reload done, verify done, confirm doing, confirm done",
	"broken":    "save done, backup done, stage done, guard done, swap doing, swap done",
}

// appliedText is what a run that was applied left of its file.
const appliedText = "myhostname = changed.example.com\n"

// run is the script command `hostrun NAME RUN HOW`: a run of HOW on a host, by the packages that an apply is made of, and written down here.
func (s *scriptHosts) run(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 || scriptRuns[args[2]] == "" {
		ts.Fatalf("usage: hostrun NAME RUN HOW")
	}
	name, run, how := args[0], args[1], args[2]
	dir := ts.MkAbs(name)
	h, l := remotetest.NewDir(s.t, dir, nil), journal.Layout{Dir: dir + "/lib/mtaharden", Veto: dir + "/veto"}
	started, err := time.Parse("20060102", run[:8])
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	about := journal.About{Run: run, Command: "apply", User: "kim", Controller: "jump1", Ticket: "OPS-4711", Plan: "3f2a9c01d4e5", Started: started}
	hold, err := journal.Begin(ctx, h, l, journal.Start{About: about, Holder: "kim@jump1"})
	ts.Check(err)
	want := backup.Want{Kind: plan.EditFile, Path: dir + "/etc/main.cf"}
	if how == "applied" {
		want.After = backup.State{Hash: backup.Hash([]byte(appliedText)), Size: int64(len(appliedText)), Mode: "0644"}
	}
	m, contents, err := backup.Save(ctx, h, l, run, []backup.Want{want}, backup.Saving{})
	ts.Check(err)
	if how == "applied" {
		ts.Check(os.WriteFile(dir+"/etc/new", []byte(appliedText), 0o644))
		ts.Check(os.Rename(dir+"/etc/new", dir+"/etc/main.cf"))
	}
	script := ""
	for _, line := range strings.Split(scriptRuns[how], ", ") {
		script += "mh_note " + strings.Replace(line, "done", "'done'", 1) + "\n"
	}
	switch how {
	case "confirmed", "applied":
		script += "mh_take confirm && mh_release\n"
	case "restored", "refused":
		script += "mh_take restore && mh_release\n"
	}
	_, _, err = l.Ask(ctx, h, run, script, 1<<20)
	ts.Check(err)
	if how == "broken" {
		cancel() // the connection is lost, and the lock stays
	}
	<-hold.Done()
	cancel()
	s.write(ts, name, *m, contents, history.Run{
		ID: run, Command: "apply", User: "kim", Controller: "jump1", Program: "0.1.0", Ticket: "OPS-4711", Plan: "3f2a9c01d4e5", Started: started, Names: []string{name},
	}, how)
}

// write writes a run down on the controller, as the run that made it would have.
func (s *scriptHosts) write(ts *testscript.TestScript, name string, m backup.Manifest, contents map[int][]byte, r history.Run, how string) {
	st, err := backup.OpenStateDir(ts.Getenv("XDG_STATE_HOME") + "/mtaharden")
	ts.Check(err)
	store, err := backup.OpenStore(st, strings.Fields(ts.Getenv("RECIPIENTS")))
	ts.Check(err)
	ts.Check(store.Keep(context.Background(), name, m, contents, r.Started))
	h := history.Open(st)
	ts.Check(h.Begin(context.Background(), r))
	ending := map[string]apply.Ending{"confirmed": apply.Changed, "applied": apply.Changed, "restored": apply.RolledBack, "refused": apply.Unchanged, "broken": ""}[how]
	if ending == "" {
		return
	}
	ts.Check(h.Done(r.ID, history.HostOf(apply.Outcome{Host: name, Run: r.ID, Ending: ending})))
	ts.Check(h.Finish(r.ID, r.Started.Add(time.Minute)))
}

// ageKey is the script command `agekey FILE`: it makes an age identity, and the copies of this controller are encrypted to it from then on.
func ageKey(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: agekey FILE")
	}
	id, err := age.GenerateX25519Identity()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(id.String()+"\n"), 0o600))
	ts.Setenv("RECIPIENTS", id.Recipient().String())
	ts.Check(os.WriteFile(ts.MkAbs("hosts.toml"), []byte("backup_recipients = [\""+id.Recipient().String()+"\"]\n"), 0o600))
}

// flip is the script command `flip PATTERN`: it changes a bit of each file that matches.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flip PATTERN")
	}
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("no file is %s", args[0])
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		ts.Check(err)
		data[len(data)/2] ^= 1
		ts.Check(os.WriteFile(f, data, 0o600))
	}
}

// TestChosen holds that prune decides for each host and side alone.
func TestChosen(t *testing.T) {
	at := func(day int) *time.Time {
		v := time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC)
		return &v
	}
	entries := []entry{
		{Side: sideController, Run: "r1", Host: "mx1", Made: at(1), Files: 1, Ended: true}, {Side: sideHost, Run: "r1", Host: "mx1", Made: at(1), Files: 1, Ended: true},
		{Side: sideController, Run: "r1", Host: "mx2", Made: at(1), Files: 1, Ended: true}, {Side: sideController, Run: "r2", Host: "mx1", Made: at(2), Files: 1, Ended: true},
		{Side: sideHost, Run: "r2", Host: "mx1", Made: at(2), Files: 1, Damage: []string{"x"}, Ended: true}, {Side: sideHost, Run: "r0", Host: "mx1", Made: at(1), Files: 1},
	}
	got := fmt.Sprint(chosen(entries, 1, 0, *at(20)))
	if got != "[0]" {
		t.Errorf("chosen: %s", got)
	}
	for text, want := range map[string]string{"90d": "2160h0m0s", "2w": "336h0m0s", "36h": "36h0m0s", "": "0s"} {
		if d, err := days(text); err != nil || d.String() != want {
			t.Errorf("%q: %v, %v", text, d, err)
		}
	}
	for _, text := range []string{"d", "-1d", "1y", "0d", "1.5d", "90d ", "-5h"} {
		if d, err := days(text); err == nil {
			t.Errorf("%q is %v", text, d)
		}
	}
}

var _ remote.Keeper = (*remotetest.Dir)(nil)
