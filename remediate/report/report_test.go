package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-runewidth"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/plan"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is a run of four hosts: one with findings of every status, one that was not reached, one cut off, one that tries to be clever.
func sample() (Run, []*Host) {
	begun := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	run := Run{ID: "20261121-120000", Command: "plan", Started: begun, Playbooks: []string{"baseline"}, Hosts: []string{"mx1.example.com", "mx2.example.com", "mx3.example.com", "evil.example.com"}}
	finding := func(rule string, s plan.Status, severity plan.Severity) plan.Finding {
		return plan.Finding{
			Rule: rule, MTA: "postfix", Status: s, Severity: severity, Controls: []string{"SRV-009", "U-47(2026)"},
			Words: plan.Words{Title: "title of " + rule, Why: "why " + rule, Have: "mynetworks = 0.0.0.0/0", Want: "mynetworks narrower", Manual: "do it by hand", GuideText: "the letter"},
			Ko:    plan.Words{Title: rule + " 제목", Why: rule + " 사유", Have: "mynetworks = 0.0.0.0/0", Want: "mynetworks 범위 축소", Manual: "수동으로 조치", GuideText: "가이드 문구"},
		}
	}
	open := finding("open-relay", plan.Fail, "critical")
	open.File, open.Line, open.Listener, open.Fixable, open.Proof, open.GuideStatus = "/etc/postfix/main.cf", 12, "0.0.0.0:25", true, plan.ByEvaluator, plan.Pass
	open.Evidence = []plan.Evidence{{Judge: judge.Config, Says: judge.Relayed, Text: "permit_mynetworks matches 0.0.0.0/0", Because: []judge.Line{
		{File: "/etc/postfix/main.cf", Line: 12, Text: "permit_mynetworks matches 192.0.2.1 by 0.0.0.0/0"}, {File: "/etc/postfix/master.cf", Line: 9, Text: "-o smtpd_relay_restrictions=permit_mynetworks,reject"}, {Text: "default\x1b[2J"},
	}}, {Judge: judge.Network, Says: judge.Relayed, Text: "250 2.1.5 Ok"}}
	waived := finding("banner-version", plan.Waived, "low")
	waived.Waiver = &plan.Waiver{Rule: "banner-version", Reason: "ticket 4711", Expires: time.Date(2027, 3, 31, 0, 0, 0, 0, time.UTC)}
	res := &plan.Result{
		OS:       plan.OS{ID: "debian", Version: "12", Kernel: "Linux 6.1.0"},
		Installs: []plan.Install{{MTA: "postfix", Version: "3.7.11", Package: "postfix 3.7.11-0+deb12u1", Active: true, Listen: []string{"0.0.0.0:25"}, Config: "/etc/postfix"}},
		Findings: []plan.Finding{
			finding("vrfy", plan.Pass, "medium"), open, finding("mta-version", plan.Review, "high"), finding("relay-width", plan.Unknown, "high"),
			finding("help-version", plan.Error, "low"), waived, finding("expn", plan.NotApplicable, "medium"),
		},
		Changes: []plan.Change{{
			Path: "/etc/postfix/main.cf", Kind: plan.EditFile, Rules: []string{"open-relay"},
			Diff: "--- /etc/postfix/main.cf\n+++ /etc/postfix/main.cf\n@@ -12 +12 @@\n-mynetworks = 0.0.0.0/0\n+mynetworks = 127.0.0.0/8\n",
		}},
		Commands: []plan.Commands{{MTA: "postfix", Validate: []plan.Command{{Argv: []string{"postfix", "check"}}}, Reload: []plan.Command{{Argv: []string{"postfix", "reload"}}}}},
		Impact:   []plan.Impact{{MTA: "postfix", Client: "10.3.2.1", Count: 1204, Last: time.Date(2026, 11, 20, 17, 2, 0, 0, time.UTC)}},
		Problems: []string{"mail log not readable"},
	}
	evil := finding("vrfy", plan.Fail, "medium")
	evil.Have = "=cmd|' /C calc'!A0 \x1b]0;pwned\x07\x1b[2J\u009b31m\u202eabc\r\nfake: PASS"
	evil.Ko.Have = evil.Have
	return run, []*Host{
		{Name: "mx2.example.com", Address: "192.0.2.12", State: Unreachable, Error: "cannot connect to mx2.example.com: connection refused"},
		{Name: "mx1.example.com", Address: "192.0.2.11", State: OK, Result: res},
		{Name: "mx3.example.com", Address: "192.0.2.13", State: Incomplete, Error: "not read to the end"},
		{Name: "evil.example.com", Address: "192.0.2.66", State: OK, Result: &plan.Result{
			Installs: []plan.Install{{MTA: "postfix", Version: "1\x1b[31m", Config: "/etc/\x07"}, {MTA: "exim", Version: "4"}}, Findings: []plan.Finding{evil},
		}},
	}
}

func render(t *testing.T, format string, o Options) string {
	t.Helper()
	var b bytes.Buffer
	h, err := New(format, &b, o)
	if err != nil {
		t.Fatal(err)
	}
	run, hosts := sample()
	if err := h.Begin(run); err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts {
		if err := h.Host(host); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.End(run.Started.Add(4 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestGolden compares every format in every language with testdata; go test -update writes them anew.
func TestGolden(t *testing.T) {
	for _, format := range Formats() {
		for _, lang := range Languages() {
			for name, o := range map[string]Options{"": {Lang: lang, Diffs: true}, "-verbose": {Lang: lang, Verbose: true, Width: 72}, "-colour": {Lang: lang, Color: true}} {
				if name != "" && format != "text" {
					continue
				}
				got := render(t, format, o)
				file := filepath.Join("testdata", format+name+"."+lang)
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
					t.Errorf("%s: %s", file, diff)
				}
			}
		}
	}
}

// TestHarmless: nothing that a host said reaches a terminal as a command, in any format.
func TestHarmless(t *testing.T) {
	for _, format := range Formats() {
		for _, r := range render(t, format, Options{Verbose: true, Diffs: true}) {
			if r != '\n' && r != '\r' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
				t.Errorf("%s holds %U", format, r)
			}
		}
		if format != "csv" && strings.ContainsRune(render(t, format, Options{}), '\r') {
			t.Errorf("%s holds a carriage return", format)
		}
	}
}

// TestJSON: one document with hosts in the run's order, every status counted, lists never null, and text that survives.
func TestJSON(t *testing.T) {
	var doc struct {
		Schema string
		Hosts  []struct {
			Name, State string
			Findings    []struct {
				Rule, Have string
				Evidence   []any
			}
			Changes, Steps []any
			Outcome        string
		}
		Summary map[string]int
	}
	text := render(t, "json", Options{})
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, h := range doc.Hosts {
		names = append(names, h.Name)
	}
	run, hosts := sample()
	if diff := cmp.Diff(run.Hosts, names); diff != "" || doc.Schema != "mtaharden/1" {
		t.Error(diff, doc.Schema)
	}
	want := map[string]int{"hosts": 4, "unreachable": 1, "incomplete": 1, "pass": 1, "fail": 2, "unknown": 1, "review": 1, "waived": 1, "error": 1, "not_applicable": 1}
	if diff := cmp.Diff(want, doc.Summary); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(text, "null") {
		t.Error("a list is null")
	}
	if got := doc.Hosts[3].Findings[0].Have; got != hosts[3].Result.Findings[0].Have {
		t.Errorf("the text came back as %q", got)
	}
}

func TestJSONLines(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(render(t, "jsonl", Options{})), "\n")
	if len(lines) != 10 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, l := range lines {
		var one struct{ Schema, Run, Host, State string }
		if err := json.Unmarshal([]byte(l), &one); err != nil || one.Host == "" || one.Schema != Schema || one.Run == "" {
			t.Errorf("%v in %s", err, l)
		}
	}
}

func TestCSV(t *testing.T) {
	text := render(t, "csv", Options{})
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) != 11 {
		t.Fatalf("%v, %d rows", err, len(rows))
	}
	if strings.Count(text, "\r\n") != len(rows) {
		t.Error("lines do not end in CRLF")
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				t.Errorf("a spreadsheet would run %q", cell)
			}
		}
	}
	for in, want := range map[string]string{"=1+1": "'=1+1", " @x": "' @x", "-1": "'-1", "a=1": "a=1", "": "", "＝1": "'＝1", "\t=1": "' =1", "\r=1": "'␍=1"} {
		if got := harmless(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// TestAligned: values stand in one column though Korean letters are two columns wide.
func TestAligned(t *testing.T) {
	for _, lang := range Languages() {
		w := wordsOf(lang)
		column := -1
		for line := range strings.Lines(render(t, "text", Options{Lang: lang})) {
			for _, label := range []string{w.have, w.want, w.why, w.controls} {
				rest, ok := strings.CutPrefix(line, "    "+label+" ")
				if !ok {
					continue
				}
				at := runewidth.StringWidth(line) - runewidth.StringWidth(strings.TrimLeft(rest, " "))
				if column >= 0 && at != column {
					t.Errorf("%s: column %d, others %d: %q", lang, at, column, line)
				}
				column = at
			}
		}
		if column < 0 {
			t.Errorf("%s: no field found", lang)
		}
	}
}

// broken is a writer whose disk is full.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestWriteFails(t *testing.T) {
	run, hosts := sample()
	for _, format := range Formats() {
		h, err := New(format, broken{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		errs := []error{h.Begin(run)}
		for _, host := range hosts {
			errs = append(errs, h.Host(host))
		}
		if errors.Join(append(errs, h.End(run.Started))...) == nil {
			t.Errorf("%s: a report that was not written is no error", format)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct{ format, lang, want string }{{"jsn", "en", `did you mean "json"`}, {"pdf", "en", "one of text"}, {"text", "fr", "one of en, ko"}} {
		if _, err := New(c.format, &bytes.Buffer{}, Options{Lang: c.lang}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v", c.format, c.lang, err)
		}
	}
}
