package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"mtaharden/playbooks"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

func TestNobody(t *testing.T) {
	rules, err := playbooks.Baseline()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		snapshot *facts.Snapshot
		want     Status
	}{
		{&facts.Snapshot{Complete: true, Listeners: []facts.Listener{{Addr: "0.0.0.0:22"}}}, NotApplicable},
		{&facts.Snapshot{Complete: true, OS: facts.OS{Kernel: "Linux 6.1.0"}}, NotApplicable},
		{&facts.Snapshot{Complete: true, OS: facts.OS{Kernel: "AIX 7.2"}}, Unknown},
		{&facts.Snapshot{Listeners: []facts.Listener{{Addr: "0.0.0.0:22"}}}, Unknown},
		{&facts.Snapshot{Complete: true, Listeners: []facts.Listener{{Addr: "0.0.0.0:25"}}}, Unknown},
	} {
		res := New(Input{Snapshot: test.snapshot, Rules: rules})
		if of := slices.DeleteFunc(slices.Clone(rules), playbooks.Rule.OfTransport); len(res.Findings) != len(of) || len(of) != len(rules)-1 {
			t.Fatalf("%d findings of %d rules, %d of them about the mail server", len(res.Findings), len(rules), len(of))
		}
		for _, f := range res.Findings {
			if f.Status != test.want && f.Rule != "mta-needed" {
				t.Errorf("%s is %s, want %s", f.Rule, f.Status, test.want)
			}
		}
	}
}

// TestMeets: what each test of a setting accepts.
func TestMeets(t *testing.T) {
	four := int64(4)
	for _, c := range []struct {
		value string
		want  playbooks.Want
		ok    bool
	}{
		{"YES", playbooks.Want{Is: []string{"yes", "true"}}, true},
		{"no", playbooks.Want{Is: []string{"yes", "true"}}, false},
		{"", playbooks.Want{Is: []string{""}}, true},
		{"anyone", playbooks.Want{Not: []string{"anyone"}}, false},
		{"root", playbooks.Want{Not: []string{"anyone"}}, true},
		{"authwarnings, novrfy,NoExpn", playbooks.Want{Has: []string{"novrfy", "noexpn"}}, true},
		{"authwarnings,novrfy", playbooks.Want{Has: []string{"novrfy", "noexpn"}}, false},
		{"novrfyx", playbooks.Want{Has: []string{"novrfy"}}, false},
		{"a : b : c", playbooks.Want{Lacks: []string{"b"}}, false},
		{"a : bb : c", playbooks.Want{Lacks: []string{"b"}}, true},
		{"4", playbooks.Want{Min: &four}, true},
		{"3", playbooks.Want{Min: &four}, false},
		{"4", playbooks.Want{Max: &four}, true},
		{"5", playbooks.Want{Max: &four}, false},
		{"many", playbooks.Want{Max: &four}, false},
		{"a b", playbooks.Want{Matches: "b$"}, true},
		{"a b", playbooks.Want{Avoids: "b$"}, false},
	} {
		if got := meets(c.value, c.want); got != c.ok {
			t.Errorf("%q by %+v: %v", c.value, c.want, got)
		}
	}
}

func TestVersionLess(t *testing.T) {
	for _, c := range []struct {
		a, b string
		less bool
	}{
		{"8.9.3", "8.15.2", true}, {"8.15.2", "8.9.3", false}, {"4.98", "4.98", false}, {"4.98", "4.98.1", true}, {"4.98_RC3", "4.98", true},
		{"4.98-RC3", "4.97", false}, {"8.17.1.9", "8.17.2", true}, {"3.10.2", "3.9.14", false}, {"4.94.2-7", "4.94.2", false}, {"", "1", true},
		{"3.11-20250915", "3.11.6", true}, {"3.11-20250915", "3.11", true}, {"3.11-20250915", "3.10.13", false},
	} {
		if got := versionLess(c.a, c.b); got != c.less {
			t.Errorf("%s below %s: %v", c.a, c.b, got)
		}
	}
}

// TestServes: what is bound where takes which connections.
func TestServes(t *testing.T) {
	for _, c := range []struct {
		a, b string
		ok   bool
	}{
		{"0.0.0.0:25", "192.0.2.1:25", true}, {"0.0.0.0:25", "192.0.2.1:587", false}, {"0.0.0.0:25", "[2001:db8::1]:25", false},
		{"[::]:25", "[2001:db8::1]:25", true}, {"[::]:25", "192.0.2.1:25", true}, {"127.0.0.1:25", "192.0.2.1:25", false},
		{"0.0.0.0:25", "[::]:25", false}, {"*:25", "192.0.2.1:25", true}, {"unix:/x", "192.0.2.1:25", false},
	} {
		if got := serves(c.a, c.b); got != c.ok {
			t.Errorf("%s takes %s: %v", c.a, c.b, got)
		}
	}
	for l, want := range map[string]bool{"127.0.0.1:25": true, "[::1]:25": true, "[::ffff:127.0.0.1]:25": true, "0.0.0.0:25": false, "[::]:25": false, "192.0.2.1:25": false, "x": false} {
		if loopback(l) != want {
			t.Errorf("%s: loopback %v", l, !want)
		}
	}
}

// TestNetwork: what the network says of the address it dialled counts for the listener that serves it, and for no other.
func TestNetwork(t *testing.T) {
	bases, _ := loadCases(t)
	rules := baseline(t)
	c := testCase{Base: "postfix", Setup: setup{Listen: []string{"0.0.0.0:25", "192.0.2.9:587"}}}
	in := c.input(t, bases, rules)
	in.Network = []judge.Answer{{
		Question: judge.Question{Listener: "192.0.2.11:25", Class: judge.Outside, Form: "plain", Verb: judge.Rcpt, ClientAddr: "203.0.113.5"},
		Judge:    judge.Network, Outcome: judge.Relayed, Text: "250 2.1.5 Ok",
	}}
	res := New(in)
	checkFindings(t, res.Findings, "open-relay@0.0.0.0:25", "fail |250 2.1.5 Ok|")
	checkFindings(t, res.Findings, "judges-disagree", "fail |network says relayed|")
	for _, f := range res.Findings {
		if f.Rule == "open-relay" && f.Listener == "192.0.2.9:587" && f.Status == Fail {
			t.Error("an answer counts for a listener that it is not about")
		}
	}

	c = testCase{Base: "sendmail", Setup: setup{Basis: "manual"}}
	in = c.input(t, bases, rules)
	in.Network = []judge.Answer{{
		Question: judge.Question{Listener: "192.0.2.11:25", Class: judge.Outside, Form: "plain", Verb: judge.Rcpt, ClientAddr: "203.0.113.5"},
		Judge:    judge.Network, Outcome: judge.Refused, Text: "550 5.7.1 Relaying denied",
	}}
	checkFindings(t, New(in).Findings, "open-relay", "pass") // seen running by the network, whatever its basis
}

// TestManyEntries: tens of thousands of entries, bad ones and good ones, are judged in no time and told in few words.
func TestManyEntries(t *testing.T) {
	bases, _ := loadCases(t)
	rules := baseline(t)
	for _, value := range []string{"10.0.0.0/24", "0.0.0.0/1"} {
		in := testCase{Base: "postfix"}.input(t, bases, rules)
		j := &in.Installs[0]
		for i := range 30000 {
			e := mta.Trust{ID: fmt.Sprint("many", i), Kind: "client-net", Value: value, Net: netip.MustParsePrefix(value), Name: "mynetworks", Fix: []mta.Fix{{Name: "mynetworks", Op: mta.Remove, Value: value, Line: i}}}
			j.Config.Trusted = append(j.Config.Trusted, e)
			j.Answers = append(j.Answers, judge.Answer{Question: judge.Question{Class: judge.Inside, Entry: e.ID, Verb: judge.Rcpt, Form: "plain"}, Judge: judge.Config, Outcome: judge.Relayed})
		}
		begun := time.Now()
		res := New(in)
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("%s took %s", value, took)
		}
		for _, f := range res.Findings {
			if len(f.Have) > 2100 || len(f.Ko.Have) > 2100 {
				t.Errorf("%s says %d bytes", f.Rule, len(f.Have))
			}
		}
	}
}

// TestLoopbackUnasked: where no judge asked for strangers because none gets there, that is what the finding says.
func TestLoopbackUnasked(t *testing.T) {
	bases, _ := loadCases(t)
	in := testCase{Base: "postfix", Setup: setup{Listen: []string{"127.0.0.1:25", "127.0.0.1:26", "192.0.2.9:25"}}}.input(t, bases, baseline(t))
	local := func(listener string, o judge.Outcome) judge.Answer {
		return judge.Answer{Question: judge.Question{Listener: listener, Class: judge.Localhost, Verb: judge.Rcpt, Form: "plain"}, Judge: judge.Config, Outcome: o, Text: "does not start"}
	}
	in.Installs[0].Answers = []judge.Answer{local("127.0.0.1:25", judge.Relayed), local("127.0.0.1:26", judge.Dead)}
	findings := New(in).Findings
	checkFindings(t, findings, "open-relay@127.0.0.1:25", "pass |only this machine reaches 127.0.0.1:25|")
	checkFindings(t, findings, "open-relay@127.0.0.1:26", "error |does not start|")
	checkFindings(t, findings, "open-relay@192.0.2.9:25", "unknown |no judge answered|")
}
