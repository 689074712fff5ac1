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
