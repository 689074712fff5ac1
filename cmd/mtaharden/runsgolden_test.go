package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/history"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenNoon is when the runs of the golden files began.
var goldenNoon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// goldenRecord is a run as a host has it: its journal is lines "STEP STATE text" with "; " between.
func goldenRecord(run, lines string, set func(*journal.Record)) journal.Record {
	r := journal.Record{Run: run, Folder: true, Now: goldenNoon, About: journal.About{
		Run: run, Command: "apply", Plan: "3f2a9c01d4e5", User: "kim", Controller: "jump1", Ticket: "OPS-4711", Started: goldenNoon,
	}}
	for n, line := range strings.Split(lines, "; ") {
		w := strings.SplitN(line+" ", " ", 3)
		r.Entries = append(r.Entries, journal.Entry{Seq: n + 1, Time: goldenNoon, Step: w[0], State: w[1], Text: strings.TrimSpace(w[2])})
	}
	if set != nil {
		set(&r)
	}
	return r
}

// goldenRuns are two hosts' runs of every ending, one host that was not reached, and one of which nothing was written down.
func goldenRuns(lang string) []jsonRun {
	const left = "save done; backup done; stage done; regenerate done; validate done; prove done; guard done"
	const right = left + "; swap doing; swap done; reload done"
	const all = right + "; verify done; confirm doing; confirm done"
	confirmed := func(r *journal.Record) { r.Token, r.End = "confirm", "confirmed" }
	broken := func(r *journal.Record) {
		r.Lock = &journal.Lock{Run: r.Run, Holder: "kim@jump1"}
		r.Owed = []string{"systemctl reload postfix"}
		r.Damaged = 1
	}
	of := func(run string) func(*journal.Record) {
		return func(r *journal.Record) {
			confirmed(r)
			r.About.Command, r.About.Of, r.About.Plan = "rollback", run, ""
		}
	}
	hosts := map[string][]journal.Record{
		"mx1.example.com": {
			goldenRecord("20261122-120000.000", all+"; restore doing; restore done by run 20261122-120600.000", confirmed),
			goldenRecord("20261122-120100.000", right+"; verify failed nothing listens on 0.0.0.0:25 any more; restore doing; restore done", nil),
			goldenRecord("20261122-120200.000", "save done; stage doing; restore doing; restore done", nil),
			goldenRecord("20261122-120300.000", right+"; restore doing; restore failed 1 failed: /etc/mail/x was not put back", nil),
			goldenRecord("20261122-120600.000", all, of("20261122-120000.000")),
		},
		"mx2.example.com": {
			goldenRecord("20261122-120000.000", all, confirmed),
			goldenRecord("20261122-120400.000", right, broken),
			goldenRecord("20261122-120500.000", all+"; restore doing; restore done by hand", confirmed),
		},
	}
	runs := []jsonRun{{ID: "20261122-120000.000", Command: "apply", Plan: "3f2a9c01d4e5", Ticket: "OPS-4711", User: "kim", Controller: "jump1", Program: "0.1.0", Started: &goldenNoon, Hosts: []jsonRunHost{}}}
	k := &runsCommand{}
	k.lang = lang
	r := &history.Run{Names: []string{"mx1.example.com", "mx2.example.com", "mx3.example.com", "mx4.example.com"}, Hosts: []history.Host{
		history.HostOf(apply.Outcome{Host: "mx3.example.com", Run: "20261122-120000.000", Ending: apply.Changed, Steps: []apply.StepReport{{Step: apply.Confirm, State: apply.Done}}}),
	}}
	for _, name := range r.Names {
		runs[0].Hosts = append(runs[0].Hosts, k.seen(r, name))
	}
	for _, name := range []string{"mx1.example.com", "mx2.example.com"} {
		f := found{name: name, state: report.OK, told: history.Read(hosts[name], "/var/lib/mtaharden", goldenNoon, lang)}
		runs = f.lay(runs, "")
	}
	away := found{name: "mx3.example.com", state: report.Unreachable, err: "cannot connect to mx3.example.com"}
	return away.lay(runs, "")
}

// TestRunsGolden holds what runs prints, in every format and language: a list, and one run in full.
func TestRunsGolden(t *testing.T) {
	for _, lang := range []string{"en", "ko"} {
		for _, format := range formats {
			for _, whole := range []bool{false, true} {
				k := &runsCommand{}
				k.lang, k.format = lang, format
				runs, name := goldenRuns(lang), "runs-"+format+"."+lang
				if whole {
					if format != "text" {
						continue
					}
					runs, name = runs[:1], "run-text."+lang
				}
				var b bytes.Buffer
				if err := k.report(&b, runs, whole); err != nil {
					t.Fatal(err)
				}
				got := strings.ReplaceAll(b.String(), goldenNoon.Local().Format(time.DateTime), goldenNoon.Format(time.DateTime))
				file := filepath.Join("testdata", name)
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		}
	}
}
