package plan

import (
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"mtaharden/playbooks"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// now is the moment of every test.
func now() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

// setup is an installation in a data file, or what a case changes of one.
type setup struct {
	MTA, Version, Package, Basis string
	Listen                       []string
	Stopped                      bool
	Fixed, Features              []string
	Unread                       []string
	ReadError                    string `toml:"read_error"`
	Setting                      []struct {
		Name, Value, Raw, Listener, File string
		Line                             int
		How                              string
		Gone                             bool
	}
	Trust []struct {
		ID, Kind, Value, Net, Name, File string
		Line                             int
		Says                             string // what the evaluator says of a client within
	}
	Answer []struct {
		Judge, Listener, Class, Form, Entry, Client, User, Sender, Verb, Says, Text, File string
		Line                                                                              int
	}
	Again []struct{ Client, Sender, Says, Text string } // what the driver says when it is asked once more, for a client or a sender
	Note  []struct {
		Code, Text, File string
		Line             int
	}
	Path []struct {
		Path, Owner, Group string
		Mode               uint32
		State              string
	}
	Listener []struct {
		Addr string
		PID  int
	}
	Process []struct {
		PID       int
		Exe       string
		Container string
		Start     time.Time
	}
	Read []struct { // files that reading the configuration read
		Path    string
		Changed time.Time
	}
}

type testCase struct {
	Name   string
	Base   string // an installation of base.toml, "" for a host without any
	Setup  setup
	Role   string
	Relay  []string
	Waiver []struct {
		Rule, Reason string
		Expires      time.Time
	}
	Incomplete bool
	NoRoot     bool
	Legacy     []string // broken algorithms by which the host was reached
	network
	// Want holds what findings must come to, by "rule", "mta/rule" or "rule@listener": words that must all be true of it, as
	// "fail guide=pass main.cf:12 fixable", and texts in Have between bars.
	Want  map[string]string
	Lacks string // what no finding's Have holds
	// Evidence holds, by rule, words that some judge's evidence must have.
	Evidence map[string]string
}

// input makes the Input of a case.
func (c testCase) input(t *testing.T, bases map[string]setup, rules []playbooks.Rule) Input {
	t.Helper()
	in := Input{Snapshot: &facts.Snapshot{Complete: !c.Incomplete, Root: !c.NoRoot, Listeners: []facts.Listener{{Addr: "0.0.0.0:22", PID: 1}}}, Rules: rules, Now: now()}
	in.Intent.Role, in.Snapshot.Transport.Legacy = c.Role, c.Legacy
	for _, r := range c.Relay {
		in.Intent.RelayNetworks = append(in.Intent.RelayNetworks, netip.MustParsePrefix(r))
	}
	for _, w := range c.Waiver {
		in.Intent.Waivers = append(in.Intent.Waivers, Waiver{w.Rule, w.Reason, w.Expires})
	}
	layers := []setup{c.Setup}
	if c.Base != "" {
		base, ok := bases[c.Base]
		if !ok {
			t.Fatalf("no base %q", c.Base)
		}
		layers = []setup{base, c.Setup}
		in.Installs = []Judged{judgedOf(layers)}
	}
	var files []*facts.File
	for _, l := range layers {
		for _, p := range l.Path {
			files = append(files, &facts.File{Path: p.Path, Mode: fs.FileMode(p.Mode), Owner: p.Owner, Group: p.Group, State: facts.State(p.State)})
		}
		for _, s := range l.Listener {
			in.Snapshot.Listeners = append(in.Snapshot.Listeners, facts.Listener{Addr: s.Addr, PID: s.PID})
		}
		for _, p := range l.Process {
			in.Snapshot.Processes = append(in.Snapshot.Processes, facts.Process{PID: p.PID, Exe: p.Exe, Container: p.Container, Start: p.Start})
		}
	}
	in.Snapshot = in.Snapshot.With(files...)
	c.network.add(t, &in)
	return in
}

// judgedOf lays the layers over each other: settings by name, answers by question.
func judgedOf(layers []setup) Judged {
	in := mta.Install{Active: true}
	c := &mta.Config{}
	var j Judged
	for _, l := range layers {
		in.MTA, in.Version = or(l.MTA, in.MTA), or(l.Version, in.Version)
		in.Package, in.Basis = or(l.Package, in.Package), mta.Basis(or(l.Basis, string(in.Basis)))
		if l.Listen != nil {
			in.Listen = l.Listen
		}
		if l.Fixed != nil {
			in.Fixed = l.Fixed
		}
		in.Active = in.Active && !l.Stopped
		in.Features = append(in.Features, l.Features...)
		if l.ReadError != "" {
			j.Err = fmt.Errorf("%s", l.ReadError)
		}
		for _, u := range l.Unread {
			c.Unread = append(c.Unread, mta.Unread{What: u, Why: "not readable"})
		}
		for _, n := range l.Note {
			c.Notes = append(c.Notes, mta.Note{Code: n.Code, Text: n.Text, Origin: mta.Origin{File: n.File, Line: n.Line}})
		}
		for _, r := range l.Read {
			c.Files = append(c.Files, mta.File{Path: r.Path, Origin: &facts.File{Path: r.Path, ModTime: r.Changed}})
		}
		j.Answers = layAnswers(j.Answers, l)
		laySettings(c, l)
		for _, e := range l.Trust {
			net, _ := netip.ParsePrefix(e.Net)
			c.Trusted = append(c.Trusted, mta.Trust{
				ID: e.ID, Kind: e.Kind, Value: e.Value, Net: net, Name: e.Name, Origin: mta.Origin{File: e.File, Line: e.Line},
				Fix: []mta.Fix{{Name: e.Name, Op: mta.Remove, Value: e.Value}},
			})
		}
	}
	j.Driver = driverOf(layers)
	if in.Package == "none" {
		in.Package = ""
	}
	j.Install, j.Config, c.Install = in, c, in
	if j.Err != nil {
		j.Config, j.Answers = nil, nil // as in a run: what cannot be read is not asked
	}
	return j
}

// driverOf is a driver that can be asked again, where a layer says what it answers; else none.
func driverOf(layers []setup) *mta.Driver {
	var d *mta.Driver
	for _, l := range layers {
		for _, e := range l.Again {
			var before func(*mta.Config, judge.Question) (judge.Answer, bool)
			if d != nil {
				before = d.Again
			}
			d = &mta.Driver{Name: "any", Again: func(c *mta.Config, q judge.Question) (judge.Answer, bool) {
				if (e.Client == "" || e.Client == q.ClientAddr) && (e.Sender == "" || e.Sender == q.Sender) {
					return judge.Answer{Question: q, Judge: judge.Config, Outcome: judge.Outcome(e.Says), Text: e.Text}, true
				}
				if before == nil {
					return judge.Answer{}, false
				}
				return before(c, q)
			}}
		}
	}
	return d
}

func layAnswers(have []judge.Answer, l setup) []judge.Answer {
	for _, e := range l.Trust {
		if e.Says != "" {
			q := judge.Question{Class: judge.Inside, Entry: e.ID, Verb: judge.Rcpt, Form: "plain"}
			have = append(have, judge.Answer{Question: q, Judge: judge.Config, Outcome: judge.Outcome(e.Says), Text: e.Value})
		}
	}
	for _, a := range l.Answer {
		q := judge.Question{Listener: a.Listener, Class: judge.Class(or(a.Class, "outside")), Form: a.Form, Entry: a.Entry, ClientAddr: a.Client, User: a.User, Sender: a.Sender, Verb: judge.Verb(or(a.Verb, "RCPT"))}
		if q.Verb == judge.Rcpt && q.Form == "" {
			q.Form = "plain"
		}
		n := judge.Answer{Question: q, Judge: judge.Judge(or(a.Judge, "config")), Outcome: judge.Outcome(a.Says), Text: a.Text}
		if a.File != "" {
			n.Because = []judge.Line{{File: a.File, Line: a.Line, Text: a.Text}}
		}
		same := func(b judge.Answer) bool { return b.Question == q && b.Judge == n.Judge }
		if i := slices.IndexFunc(have, same); i >= 0 {
			have[i] = n
			continue
		}
		have = append(have, n)
	}
	return have
}

func laySettings(c *mta.Config, l setup) {
	for _, s := range l.Setting {
		n := mta.Setting{Name: s.Name, Value: s.Value, Raw: or(s.Raw, s.Value), Listener: s.Listener, Origin: mta.Origin{File: s.File, Line: s.Line, How: s.How}}
		c.Settings = slices.DeleteFunc(c.Settings, func(o mta.Setting) bool { return o.Name == s.Name && o.Listener == s.Listener })
		if !s.Gone {
			c.Settings = append(c.Settings, n)
		}
	}
}

func loadCases(t *testing.T) (map[string]setup, []testCase) {
	t.Helper()
	var bases map[string]setup
	decode(t, filepath.Join("testdata", "base.toml"), &bases)
	var all []testCase
	names, err := filepath.Glob(filepath.Join("testdata", "cases-*.toml"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range names {
		var file struct{ Case []testCase }
		decode(t, name, &file)
		all = append(all, file.Case...)
	}
	return bases, all
}

func decode(t *testing.T, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := toml.Decode(string(data), v)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, k := range meta.Undecoded() {
		t.Fatalf("%s: unknown key %s", name, k)
	}
}

func baseline(t testing.TB) []playbooks.Rule {
	t.Helper()
	rules, err := playbooks.Baseline()
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// TestCases judges every case of testdata, and holds the set to its promise: every rule fails at least once and passes at least once.
func TestCases(t *testing.T) {
	bases, cases := loadCases(t)
	rules := baseline(t)
	came := map[string]map[Status]bool{}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			res := New(c.input(t, bases, rules))
			for _, f := range res.Findings {
				if came[f.Rule] == nil {
					came[f.Rule] = map[Status]bool{}
				}
				came[f.Rule][f.Status] = true
				if c.Lacks != "" && strings.Contains(f.Have, c.Lacks) {
					t.Errorf("%s says %q", f.Rule, f.Have)
				}
				if f.Title == "" || f.Ko.Title == "" || f.Have == "" || f.Ko.Have == "" || f.Want == "" || f.Ko.Want == "" {
					t.Errorf("%s@%s lacks a text: %+v", f.Rule, f.Listener, f.Words)
				}
			}
			for rule, text := range c.Evidence {
				if !slices.ContainsFunc(res.Findings, func(f Finding) bool {
					return f.Rule == rule && slices.ContainsFunc(f.Evidence, func(e Evidence) bool { return strings.Contains(e.Text, text) })
				}) {
					t.Errorf("no evidence of %s has %q", rule, text)
				}
			}
			for key, want := range c.Want {
				checkFindings(t, res.Findings, key, want)
			}
			c.network.check(t, c.input(t, bases, rules))
		})
	}
	for _, r := range rules {
		all := []Status{Pass, Fail}
		if r.OfTransport() {
			all = []Status{Status(r.Wants[0].Result)} // a host that was reached as it should be has no finding of it
		}
		for _, s := range all {
			if !came[r.ID][s] {
				t.Errorf("no case in which %s comes to %s", r.ID, s)
			}
		}
	}
}

func checkFindings(t *testing.T, findings []Finding, key, want string) {
	t.Helper()
	rule, listener, _ := strings.Cut(key, "@")
	name := ""
	if head, rest, ok := strings.Cut(rule, "/"); ok {
		name, rule = head, rest
	}
	found := 0
	for _, f := range findings {
		if name != "" && f.MTA != name || rule != "*" && f.Rule != rule || listener != "" && f.Listener != listener {
			continue
		}
		found++
		text := ""
		if head, quoted, ok := strings.Cut(want, "|"); ok {
			want, text = head, strings.TrimSuffix(quoted, "|")
		}
		have := []string{string(f.Status), "guide=" + string(f.GuideStatus), fmt.Sprintf("%s:%d", f.File, f.Line)}
		for _, word := range strings.Fields(want) {
			if !slices.Contains(have, word) {
				t.Errorf("%s: want %s, have %v: %s", key, word, have, f.Have)
			}
		}
		if !strings.Contains(f.Have, text) {
			t.Errorf("%s: have %q lacks %q", key, f.Have, text)
		}
	}
	if found == 0 {
		t.Errorf("no finding %s", key)
	}
}
