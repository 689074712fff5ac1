package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
)

// seenToy is a snapshot in which the toy carried mail: for clients within the entry that stays, for some that only 0.0.0.0/0 let in, for
// one that had logged in, for one whose mail was local, and for the host itself.
func seenToy(t *testing.T) *facts.Snapshot {
	t.Helper()
	frame := []string{"abcdef12 begin 1 none 1795262400", "abcdef12 seen toy"}
	for _, line := range []string{
		"10.3.2.1 - foreign 1204", "10.0.0.9 - foreign 50", "198.51.100.9 auth foreign 7", "203.0.113.4 - local 9",
		"127.0.0.1 - foreign 30", "192.0.2.1 - foreign 2",
	} {
		frame = append(frame, "|"+strings.ReplaceAll(line, " ", "\t")+"\t2026-11-20T17:02:00Z")
	}
	frame = append(frame, "abcdef12 end", "abcdef12 done")
	s, err := facts.Parse(strings.NewReader(strings.Join(frame, "\n") + "\n"))
	if err != nil || len(s.Seen("toy")) != 6 {
		t.Fatalf("%v, seen %v", err, s.Seen("toy"))
	}
	return s
}

func TestImpact(t *testing.T) {
	last := time.Date(2026, 11, 20, 17, 2, 0, 0, time.UTC)
	in := toyInput(t, masked())
	in.Snapshot = seenToy(t).With(masked(), &facts.File{Path: "/usr/bin/toyhelper"})
	in.Snapshot.Addrs = []string{"127.0.0.1/8", "192.0.2.1/24"}
	in.Installs[0].Answers = append(in.Installs[0].Answers,
		judge.Answer{Question: judge.Question{Class: judge.Localhost, Verb: judge.Rcpt, Form: "plain"}, Judge: judge.Config, Outcome: judge.Relayed})
	res := New(in)
	var got []string
	for _, i := range res.Impact {
		got = append(got, fmt.Sprintf("%s %d %s", i.Client, i.Count, i.Last.Format("2 Jan 15:04")))
		if i.Perhaps || !i.Last.Equal(last) {
			t.Errorf("%+v", i)
		}
	}
	want := []string{"10.3.2.1 1204 20 Nov 17:02", "192.0.2.1 2 20 Nov 17:02"}
	if !slices.Equal(got, want) {
		t.Errorf("would refuse %v, want %v", got, want)
	}
}

// TestImpactOfInstances: two instances of one MTA write one log, whose mail is counted once.
func TestImpactOfInstances(t *testing.T) {
	in := toyInput(t, masked())
	in.Snapshot = seenToy(t).With(masked(), &facts.File{Path: "/usr/bin/toyhelper"})
	in.Installs = append(in.Installs, in.Installs[0])
	told := map[string]int{}
	for _, i := range New(in).Impact {
		told[i.Client]++
	}
	if told["10.3.2.1"] != 1 {
		t.Errorf("told of %v", told)
	}
}

// TestImpactOfOthers: a fix that has nothing to do with relaying refuses nobody, and whoever is refused already is not counted again.
func TestImpactOfOthers(t *testing.T) {
	for _, text := range []string{"verify = yes\nnetworks = 10.0.0.0/24\n", "verify = yes\nnetworks = 10.0.0.0/24 2001:db8::/16\n"} {
		in := toyInput(t, &facts.File{Path: toyFile, Data: []byte(text), SHA256: hash([]byte(text))})
		in.Snapshot = seenToy(t).With(&facts.File{Path: toyFile, Data: []byte(text), SHA256: hash([]byte(text))}, &facts.File{Path: "/usr/bin/toyhelper"})
		if res := New(in); len(res.Changes) == 0 || len(res.Impact) != 0 {
			t.Errorf("%q: %d changes, impact %+v", text, len(res.Changes), res.Impact)
		}
	}
}
