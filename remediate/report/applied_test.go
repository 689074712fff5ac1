package report

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/plan"
)

// ended is a run over hosts that end in each of the ways that there are.
func ended(command string) (Run, []*Host) {
	begun := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	run := Run{ID: "20261122-020000.000", Command: command, Started: begun, Playbooks: []string{"baseline"}, Plan: "3f2a9c01d4e5", User: "kim", Controller: "jump1",
		Program: "mtaharden 1 (sha256 0123456789ab)", Ticket: "CHG-4711", Note: "agreed on 20 Nov\x1b[2J"}
	if command == "rollback" {
		run.Of, run.Plan = "20261121-020000.000", ""
	}
	_, hosts := sample()
	left := *hosts[1].Result // what an apply found at its end: a hole that the plan did not mend, and what people decide
	left.Findings = left.Findings[:3]
	steps := func(last apply.Step, state apply.StepState, why string) []apply.StepReport {
		var out []apply.StepReport
		past := false
		for _, s := range apply.Steps() {
			r := apply.StepReport{Step: s, State: apply.Done}
			switch {
			case past:
				r.State = apply.Pending
			case s == last:
				r.State, r.Error, past = state, why, true
			}
			out = append(out, r)
		}
		return out
	}
	why := func(s string) error { return errors.New(s) }
	outcomes := []apply.Outcome{
		{Ending: apply.Changed, Run: run.ID, Steps: steps(apply.Confirm, apply.Done, ""), Result: &left,
			Warnings: []string{"puppet is set up on this host: it may undo the change"},
			Generated: []plan.Change{{Path: "/etc/mail/access.db", Kind: plan.Generated, Rules: []string{"open-relay"},
				Diff: "-203 RELAY\n+\x1b[2J\n"}}},
		{Ending: apply.Unchanged, Nothing: true, Result: &left},
		{Ending: apply.Unchanged, Run: run.ID, Steps: steps(apply.Backup, apply.Broken, "stale"), Err: apply.ErrStale,
			Reason: "stale: /etc/postfix/main.cf is not what the plan was made for: make the plan anew"},
		{Ending: apply.RolledBack, Run: run.ID, Steps: steps(apply.Verify, apply.Broken, "lost"), Err: why("lost"), Reason: "0.0.0.0:25 does not offer AUTH any more"},
		{Ending: apply.RolledBack, Run: run.ID, Steps: steps(apply.Confirm, apply.Done, ""), Result: &left},
		{Ending: apply.Failed, Run: run.ID, Err: why("x"), Reason: "the disk is full", Command: "sh /var/lib/mtaharden/20261122-020000.000/restore.sh"},
		{Ending: apply.NotKnown, Run: run.ID, Err: why("x"), Reason: "the connection was lost", Until: begun.Add(4 * time.Minute)},
		{Ending: apply.NeedsPerson, Run: run.ID, Err: why("x"), Reason: "files hold what neither the run nor anybody before it put there: /etc/postfix/main.cf",
			Command: "--force replaces them, and keeps what stands there", Conflicts: []apply.Conflict{{Path: "/etc/postfix/main.cf", Diff: "--- before\n+++ run\n-relay\n+none\n--- run\n+++ now\n-none\n+some\n"}}},
		{Ending: apply.NotBegun, Err: why("x"), Reason: "1 of 9 hosts did not end well, 0 may"},
	}
	var out []*Host
	for i := range outcomes {
		name := "mx" + string(rune('1'+i)) + ".example.com"
		outcomes[i].Host = name
		run.Hosts = append(run.Hosts, name)
		out = append(out, &Host{Name: name, Address: "192.0.2." + string(rune('1'+i)), State: OK, Result: outcomes[i].Result, Apply: &outcomes[i]})
	}
	return run, out
}

// TestGoldenEndings compares the reports of apply and rollback, every ending in them, with testdata; go test -update writes them anew.
func TestGoldenEndings(t *testing.T) {
	zone := time.Local
	time.Local = time.UTC // a sentence names the time of day
	t.Cleanup(func() { time.Local = zone })
	for _, command := range []string{"apply", "rollback"} {
		for _, format := range Formats() {
			for _, lang := range Languages() {
				var b bytes.Buffer
				h, err := New(format, &b, Options{Lang: lang, Diffs: true})
				if err != nil {
					t.Fatal(err)
				}
				run, hosts := ended(command)
				err = h.Begin(run)
				for _, host := range hosts {
					err = errors.Join(err, h.Host(host))
				}
				if err = errors.Join(err, h.End(run.Started.Add(time.Minute))); err != nil {
					t.Fatal(err)
				}
				if strings.ContainsRune(b.String(), '\x1b') {
					t.Errorf("%s of %s holds an escape sequence", format, command)
				}
				file := filepath.Join("testdata", command+"-"+format+"."+lang)
				if *update {
					if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), b.String()); diff != "" {
					t.Errorf("%s: %s", file, diff)
				}
			}
		}
	}
}
