package exim

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// The snapshots under testdata/hosts were made by the collector on Debian 11, 12 and 13. Each is judged, and what is said of it is
// compared with NAME.want (written anew with UPDATE=1). Whatever a host is, the reading never contradicts what Exim answered.
func TestHosts(t *testing.T) {
	files, err := filepath.Glob("testdata/hosts/*.snap")
	if err != nil || len(files) == 0 {
		t.Fatalf("no snapshots: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".snap")
		t.Run(name, func(t *testing.T) {
			s := parseSnapshot(t, file)
			got := ""
			for _, in := range detect(s) {
				got += told(t, s, in)
			}
			want := "testdata/hosts/" + name + ".want"
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			data, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(data), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// On a busy host `exim -bV` was stopped at its limit while the dialogues were had: that is no configuration which Exim does not take.
func TestVersionStopped(t *testing.T) {
	s := parseSnapshot(t, "testdata/hosts/deb11-open.snap")
	name := "exim:1:version"
	if _, ok := s.Output(name); !ok {
		t.Fatal("the snapshot holds no " + name)
	}
	s = s.WithOutputs(&facts.Output{Name: name, Exit: 124, State: facts.Timeout})
	answered := 0
	for _, in := range detect(s) {
		cfg, err := read(s, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range answers(s, cfg) {
			if a.Outcome == judge.Dead {
				t.Errorf("%s says dead: %s", a.Judge, a.Text)
			}
			if a.Judge == judge.Config && a.Outcome == judge.Relayed {
				answered++
			}
		}
	}
	if answered == 0 {
		t.Error("the configuration relays nothing")
	}
}

// TestAgain asks once more what was answered: the same, or nothing certain. Another client has an answer of his own.
func TestAgain(t *testing.T) {
	s := parseSnapshot(t, "testdata/hosts/deb12-senders.snap")
	told := 0
	for _, in := range detect(s) {
		cfg, err := read(s, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range answers(s, cfg) {
			b, ok := again(cfg, a.Question)
			if !ok || a.Judge != judge.Config || a.Outcome == judge.CannotTell {
				continue
			}
			told++
			if a.Outcome != b.Outcome {
				t.Errorf("%+v: first %s, then %s", a.Question, a.Outcome, b.Outcome)
			}
		}
		for client, want := range map[string]judge.Outcome{"127.0.0.1": judge.Relayed, "8.8.4.4": judge.Refused} {
			q := judge.Question{Class: judge.Outside, Form: "plain", ClientAddr: client, Verb: judge.Rcpt, Sender: "a@example.com", Recipient: "b@example.org"}
			if b, ok := again(cfg, q); !ok || b.Outcome != want || len(b.Because) == 0 {
				t.Errorf("%s: %v %s %v", client, ok, b.Outcome, b.Because)
			}
		}
	}
	if told < 10 {
		t.Errorf("%d answers", told)
	}
}

func parseSnapshot(t *testing.T, file string) *facts.Snapshot {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := facts.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// told is everything that is said of an installation, a line each.
func told(t *testing.T, s *facts.Snapshot, in mta.Install) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "install %s %s %s %s\n", in.MTA, in.Version, in.Config, in.Basis)
	c, err := read(s, in)
	if err != nil {
		return b.String() + "error " + err.Error() + "\n"
	}
	for _, n := range c.Notes {
		fmt.Fprintf(&b, "note %s %s:%d\n", n.Code, n.File, n.Line)
	}
	for _, tr := range c.Trusted {
		fmt.Fprintf(&b, "trust %s %s %s:%d\n", tr.Kind, tr.ID, tr.File, tr.Line)
	}
	said := map[judge.Question]judge.Answer{}
	for _, a := range answers(s, c) {
		q := a.Question
		fmt.Fprintf(&b, "%s %s %s %q %s %s <%s> <%s>: %s\n", a.Judge, q.Verb, q.Class, q.Entry, q.Form, q.ClientAddr, q.Sender, q.Recipient, a.Outcome)
		if a.Judge == judge.MTA {
			said[q] = a
			continue
		}
		m, ok := said[q]
		if ok && m.Outcome != judge.CannotTell && a.Outcome != judge.CannotTell && m.Outcome != a.Outcome {
			t.Errorf("%+v: the reading says %s (%s), Exim says %s (%s)", q, a.Outcome, a.Text, m.Outcome, m.Text)
		}
	}
	return b.String()
}
