package apply

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/plan"
)

// TestLost holds what counts as lost to a table: before and after are outcomes of one question.
func TestLost(t *testing.T) {
	q := func(class judge.Class, form string) judge.Question {
		return judge.Question{Class: class, Form: form, Verb: judge.Rcpt}
	}
	user := judge.Question{Class: judge.Outside, Form: "plain", User: "u", Verb: judge.Rcpt}
	inside := judge.Question{Class: judge.Inside, Entry: "mynetworks 10.0.0.0/8", Form: "plain", Verb: judge.Rcpt}
	beside := judge.Question{Class: judge.Beside, Entry: "dc_relay_nets 203.0.0.0/8", ClientAddr: "204.0.0.0", Form: "local", Verb: judge.Rcpt}
	neighbour := judge.Question{Class: judge.Localhost, ClientAddr: "127.255.255.255", Form: "local", Verb: judge.Rcpt}
	changes := []plan.Change{{Path: "/x"}}
	for _, c := range []struct {
		name          string
		q             judge.Question
		before, after judge.Outcome // after "": not asked any more
		changes       []plan.Change
		lost          string
	}{
		{"local mail from outside is refused", q(judge.Outside, "local"), judge.Delivered, judge.Refused, changes, "delivery to its own recipients from a client from outside is lost"},
		{"it is deferred", q(judge.Outside, "local"), judge.Delivered, judge.Deferred, changes, "delivery to its own recipients"},
		{"the listener is dead", q(judge.Outside, "local"), judge.Delivered, judge.Dead, changes, "delivery to its own recipients"},
		{"it goes on", q(judge.Outside, "local"), judge.Delivered, judge.Delivered, changes, ""},
		{"it was refused before", q(judge.Outside, "local"), judge.Refused, judge.Dead, changes, ""},
		{"it could not be told before", q(judge.Outside, "local"), judge.CannotTell, judge.Refused, changes, ""},
		{"no judge can tell after", q(judge.Outside, "local"), judge.Delivered, judge.CannotTell, changes, ""},
		{"nobody asks any more", q(judge.Outside, "local"), judge.Delivered, "", changes, "delivery to its own recipients"},
		{"the hole is closed", q(judge.Outside, "plain"), judge.Relayed, judge.Refused, changes, ""},
		{"this machine relays no more", q(judge.Localhost, "plain"), judge.Relayed, judge.Refused, changes, "relaying for this machine is lost"},
		{"the own network relays no more", q(judge.Own, "plain"), judge.Relayed, judge.Refused, changes, "relaying for its own network is lost"},
		{"a routed form of the own network", q(judge.Own, "percent"), judge.Relayed, judge.Refused, changes, ""},
		{"who logged in relays no more", user, judge.Relayed, judge.Refused, changes, "relaying for a logged-in user is lost"},
		{"an entry that the plan takes away", inside, judge.Relayed, judge.Refused, changes, ""},
		{"nobody asks beside an entry that is gone", beside, judge.Delivered, "", changes, ""},
		{"nobody asks beside an entry of an installation that the plan leaves", beside, judge.Delivered, "", nil, "delivery to its own recipients"},
		{"the neighbour of 128.0.0.0/1", neighbour, judge.Delivered, "", changes, ""},
		{"the neighbour is refused", neighbour, judge.Delivered, judge.Refused, changes, "delivery to its own recipients"},
		{"nobody asks about this machine", q(judge.Localhost, "local"), judge.Delivered, "", changes, "delivery to its own recipients"},
		{"an entry of an installation that the plan leaves", inside, judge.Relayed, judge.Refused, nil, "relaying for a client let in by mynetworks 10.0.0.0/8 is lost"},
	} {
		h := plan.HostPlan{Installs: []plan.Install{{MTA: "m"}}, Changes: c.changes}
		of := func(o judge.Outcome) *Judgement {
			j := &Judgement{Complete: true, Result: &plan.Result{Installs: []plan.Install{{MTA: "m"}}}, Answers: [][]judge.Answer{nil}}
			if o != "" {
				j.Answers[0] = []judge.Answer{{Question: c.q, Judge: judge.MTA, Outcome: o}}
			}
			return j
		}
		for _, where := range []Where{Live, InStage} {
			got := strings.Join(Lost(h, of(c.before), of(c.after), where), "; ")
			if (got == "") != (c.lost == "") || !strings.Contains(got, c.lost) {
				t.Errorf("%s: lost %q, want %q", c.name, got, c.lost)
			}
			if got != "" && strings.HasSuffix(got, " was not asked about again") != (c.after == "" && where == InStage) {
				t.Errorf("%s, where %v: %q", c.name, where, got)
			}
		}
	}
}

// TestLostBack: of an entry that went with what a rollback took away nobody asks any more, and no mail is said to be lost by that. What is asked
// and refused is lost.
func TestLostBack(t *testing.T) {
	inside := judge.Question{Class: judge.Inside, Entry: "mynetworks 127.0.0.0/8", Form: "plain", Verb: judge.Rcpt}
	machine := judge.Question{Class: judge.Localhost, ClientAddr: "127.0.0.1", Form: "plain", Verb: judge.Rcpt}
	of := func(answers ...judge.Answer) *Judgement {
		return &Judgement{Complete: true, Result: &plan.Result{Installs: []plan.Install{{MTA: "m"}}}, Answers: [][]judge.Answer{answers}}
	}
	is := func(q judge.Question, o judge.Outcome) judge.Answer {
		return judge.Answer{Question: q, Judge: judge.MTA, Outcome: o}
	}
	before := of(is(inside, judge.Relayed), is(machine, judge.Relayed))
	for _, c := range []struct {
		name  string
		after *Judgement
		lost  []string
	}{
		{"the entry is gone", of(is(machine, judge.Relayed)), nil},
		{"the entry's client is refused", of(is(inside, judge.Refused), is(machine, judge.Relayed)), []string{"relaying for a client let in by mynetworks 127.0.0.0/8 is lost"}},
		{"this machine is not asked about", of(is(inside, judge.Relayed)), []string{"relaying for this machine is lost"}},
	} {
		if d := cmp.Diff(c.lost, LostBack(before, c.after)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// TestLoginFromElsewhere: who has logged in is asked about at a stranger's address, which is another one where the plan takes a network away.
func TestLoginFromElsewhere(t *testing.T) {
	of := func(addr string, o judge.Outcome) *Judgement {
		q := judge.Question{Class: judge.Outside, Form: "plain", ClientAddr: addr, User: "u", Verb: judge.Rcpt}
		return &Judgement{Complete: true, Result: &plan.Result{Installs: []plan.Install{{MTA: "m"}}}, Answers: [][]judge.Answer{{{Question: q, Outcome: o}}}}
	}
	h := plan.HostPlan{Installs: []plan.Install{{MTA: "m"}}, Changes: []plan.Change{{Path: "/x"}}}
	for _, where := range []Where{Live, InStage} {
		if lost := Lost(h, of("203.0.113.9", judge.Relayed), of("198.51.100.7", judge.Relayed), where); len(lost) > 0 {
			t.Errorf("%v: %q", where, lost)
		}
		if lost := Lost(h, of("203.0.113.9", judge.Relayed), of("198.51.100.7", judge.Refused), where); len(lost) != 1 {
			t.Errorf("%v, refused: %q", where, lost)
		}
	}
}

// TestPlannedLoss: what the own network loses is meant where it rode on a hole that let strangers in too, or on a line that the plan changes;
// never where the inventory declares the network.
func TestPlannedLoss(t *testing.T) {
	own := judge.Question{Class: judge.Own, Form: "plain", ClientAddr: "10.1.2.3", Verb: judge.Rcpt}
	open := judge.Question{Class: judge.Outside, Form: "plain", ClientAddr: "203.0.113.9", Verb: judge.Rcpt}
	diff := "--- /m\n+++ /m\n@@ -40,4 +40,3 @@\n a\n b\n-mynetworks = 10.0.0.0/7\n c\n"
	for _, c := range []struct {
		name     string
		outside  judge.Outcome
		line     int
		declared string
		lost     bool
	}{
		{"a hole for everybody", judge.Relayed, 0, "", false},
		{"a line that the plan changes", judge.Refused, 42, "", false},
		{"a line that it leaves", judge.Refused, 43, "", true},
		{"nothing known", judge.Refused, 0, "", true},
		{"a declared network, in a hole for everybody", judge.Relayed, 42, "10.1.0.0/16", true},
		{"another declared network", judge.Relayed, 42, "10.2.0.0/16", false},
	} {
		h := plan.HostPlan{Installs: []plan.Install{{MTA: "m"}}, Changes: []plan.Change{{Path: "/m", Diff: diff}}}
		if c.declared != "" {
			h.Intent.RelayNetworks = []netip.Prefix{netip.MustParsePrefix(c.declared)}
		}
		of := func(outside, mine judge.Outcome, because ...judge.Line) *Judgement {
			return &Judgement{Complete: true, Result: &plan.Result{Installs: []plan.Install{{MTA: "m"}}}, Answers: [][]judge.Answer{{
				{Question: open, Outcome: outside}, {Question: own, Outcome: mine, Because: because},
			}}}
		}
		lost := Lost(h, of(c.outside, judge.Relayed, judge.Line{File: "/m", Line: c.line}), of(judge.Refused, judge.Refused), InStage)
		if (len(lost) > 0) != c.lost {
			t.Errorf("%s: lost %q", c.name, lost)
		}
	}
}

// TestPlannedDefault: a network that a default let in is taken away on purpose where the plan sets what stood for it, and that alone.
func TestPlannedDefault(t *testing.T) {
	own := judge.Question{Class: judge.Own, Form: "plain", ClientAddr: "fd00::1", Verb: judge.Rcpt}
	for _, c := range []struct {
		name string
		diff string
		line judge.Line
		lost bool
	}{
		{"it is set", "+++ /m\n@@ -1,1 +1,2 @@\n a\n+mynetworks = 127.0.0.0/8\n", judge.Line{Text: "mynetworks holds [fd00::]/64"}, false},
		{"without spaces", "+++ /m\n@@ -1,1 +1,2 @@\n a\n+mynetworks=127.0.0.0/8\n", judge.Line{Text: "mynetworks holds [fd00::]/64"}, false},
		{"another is set", "+++ /m\n@@ -1,1 +1,2 @@\n a\n+mynetworks_style = host\n", judge.Line{Text: "mynetworks holds [fd00::]/64"}, true},
		{"it stands there already", "+++ /m\n@@ -1,2 +1,2 @@\n mynetworks = 127.0.0.0/8\n-a = 1\n+a = 2\n", judge.Line{Text: "mynetworks holds [fd00::]/64"}, true},
		{"it is taken out", "+++ /m\n@@ -1,2 +1,1 @@\n-mynetworks = 127.0.0.0/8\n a\n", judge.Line{Text: "mynetworks holds [fd00::]/64"}, true},
		{"a line of another file", "+++ /m\n@@ -1,1 +1,2 @@\n a\n+mynetworks = 127.0.0.0/8\n", judge.Line{File: "/t", Line: 3, Text: "mynetworks holds [fd00::]/64"}, true},
		{"no word", "+++ /m\n@@ -1,1 +1,2 @@\n a\n+ = 1\n", judge.Line{}, true},
	} {
		h := plan.HostPlan{Installs: []plan.Install{{MTA: "m"}}, Changes: []plan.Change{{Path: "/m", Diff: c.diff}}}
		of := func(o judge.Outcome) *Judgement {
			return &Judgement{Complete: true, Result: &plan.Result{Installs: []plan.Install{{MTA: "m"}}}, Answers: [][]judge.Answer{{
				{Question: own, Outcome: o, Because: []judge.Line{c.line}},
			}}}
		}
		if lost := Lost(h, of(judge.Relayed), of(judge.Refused), InStage); (len(lost) > 0) != c.lost {
			t.Errorf("%s: lost %q", c.name, lost)
		}
	}
}

// TestLostOffers: what a listener offered everybody it still offers, AUTH under TLS alone being enough.
func TestLostOffers(t *testing.T) {
	full := Offer{Listener: "0.0.0.0:25", Alive: true, StartTLS: true, Auth: []string{"PLAIN", "PLAIN"}}
	with := func(f func(*Offer)) Offer { o := full; f(&o); return o }
	for _, c := range []struct {
		name          string
		before, after Offer
		lost          string
	}{
		{"the same", full, full, ""},
		{"AUTH only under TLS", full, with(func(o *Offer) { o.Auth = []string{"PLAIN"} }), ""},
		{"no AUTH", full, with(func(o *Offer) { o.Auth = nil }), "does not offer AUTH"},
		{"no STARTTLS", full, with(func(o *Offer) { o.StartTLS = false }), "does not offer STARTTLS"},
		{"no greeting", full, with(func(o *Offer) { o.Alive = false }), "does not greet"},
		{"not asked after", full, with(func(o *Offer) { o.Error = "over" }), "cannot be asked"},
		{"not asked before", with(func(o *Offer) { o.Error = "over" }), with(func(o *Offer) { o.Alive = false }), ""},
	} {
		got := strings.Join(lostOffers([]Offer{c.before}, []Offer{c.after}, &plan.Result{}), "; ")
		if (got == "") != (c.lost == "") || !strings.Contains(got, c.lost) {
			t.Errorf("%s: lost %q, want %q", c.name, got, c.lost)
		}
	}
}

// TestWidened: who called an address calls what listens on every address of its family and port now.
func TestWidened(t *testing.T) {
	narrow := []string{"127.0.0.1:25", "[::1]:25"}
	at := func(greets bool, listen ...string) *Judgement {
		j := &Judgement{Complete: true, Result: &plan.Result{Installs: []plan.Install{{MTA: "m", Active: true, Listen: listen}}}, Answers: make([][]judge.Answer, 1)}
		for _, l := range listen {
			j.Answers[0] = append(j.Answers[0], judge.Answer{Outcome: judge.Relayed, Question: judge.Question{Class: judge.Localhost, Form: "plain", Verb: judge.Rcpt, Listener: l}})
			j.Offers = append(j.Offers, Offer{Listener: l, Alive: greets})
			j.Result.Findings = append(j.Result.Findings, plan.Finding{Rule: "good", Listener: l, Status: plan.Pass})
		}
		return j
	}
	h := plan.HostPlan{Installs: []plan.Install{{MTA: "m", Listen: narrow}}}
	for _, l := range narrow {
		h.Expect = append(h.Expect, plan.Expectation{Rule: "good", Listener: l, Before: plan.Pass, After: plan.Pass})
	}
	for _, c := range []struct {
		name  string
		after *Judgement
		lost  []string
		unmet int
	}{
		{"both families", at(true, "0.0.0.0:25", "[::]:25"), nil, 0},
		{"it does not greet", at(false, "0.0.0.0:25", "[::]:25"), []string{"127.0.0.1:25 does not greet any more", "[::1]:25 does not greet any more"}, 0},
		{"one family", at(true, "0.0.0.0:25"), []string{"nothing listens on [::1]:25 any more", "relaying for this machine at [::1]:25 is lost"}, 1},
		{"another port", at(true, "0.0.0.0:26", "[::1]:25"), []string{"nothing listens on 127.0.0.1:25 any more", "relaying for this machine at 127.0.0.1:25 is lost"}, 1},
	} {
		if d := cmp.Diff(c.lost, Lost(h, at(true, narrow...), c.after, Live)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
		if unmet, _ := Unmet(h, c.after, Live); len(unmet) != c.unmet {
			t.Errorf("%s: unmet %q", c.name, unmet)
		}
	}
}

// TestUnmet: what the plan expects holds at each listener live, and over all of them in the stage.
func TestUnmet(t *testing.T) {
	h := plan.HostPlan{Installs: []plan.Install{{MTA: "m"}}, Expect: []plan.Expectation{
		{Rule: "hole", Listener: "a:25", Before: plan.Fail, After: plan.Pass}, {Rule: "good", Before: plan.Pass, After: plan.Pass},
		{Rule: "left", Before: plan.Fail, After: plan.Fail}, {Rule: "hole", Listener: "b:25", Before: plan.Fail, After: plan.Fail},
	}}
	f := func(rule, listener string, s plan.Status) plan.Finding {
		return plan.Finding{Rule: rule, Listener: listener, Status: s}
	}
	for _, c := range []struct {
		name     string
		where    Where
		findings []plan.Finding
		unmet    string
		doubt    string
	}{
		{"all is well", Live, []plan.Finding{f("hole", "a:25", plan.Pass), f("good", "", plan.Pass), f("left", "", plan.Fail)}, "", ""},
		{"the hole is there", Live, []plan.Finding{f("hole", "a:25", plan.Fail), f("good", "", plan.Pass)}, "hole at a:25 is fail", ""},
		{"something good is a person's now", Live, []plan.Finding{f("hole", "a:25", plan.Pass), f("good", "", plan.Review)}, "", "good is for a person"},
		{"nobody can tell, live", Live, []plan.Finding{f("hole", "a:25", plan.Unknown), f("good", "", plan.Pass)}, "hole at a:25 is unknown", ""},
		{"nobody can tell, in the stage", InStage, []plan.Finding{f("hole", "", plan.Unknown), f("good", "", plan.Pass)}, "", "hole cannot be told"},
		{"it is not judged, in the stage", InStage, []plan.Finding{f("good", "", plan.Pass)}, "", "hole was not judged"},
		{"the stage has no listeners", InStage, []plan.Finding{f("hole", "", plan.Pass), f("good", "", plan.Pass)}, "", ""},
		{"something good went", InStage, []plan.Finding{f("hole", "", plan.Pass), f("good", "", plan.Error)}, "good is error", ""},
		{"the listeners are alike now", Live, []plan.Finding{f("hole", "", plan.Pass), f("good", "", plan.Pass)}, "", ""},
		{"they differ where they were alike", Live, []plan.Finding{f("hole", "a:25", plan.Pass), f("good", "a:25", plan.Pass), f("good", "b:25", plan.Fail)}, "good at b:25 is fail", ""},
		{"a listener that the plan leaves open, in the stage", InStage, []plan.Finding{f("hole", "a:25", plan.Pass), f("hole", "b:25", plan.Fail), f("good", "", plan.Pass)}, "", ""},
		{"a listener that nobody planned to leave, in the stage", InStage, []plan.Finding{f("hole", "a:25", plan.Pass), f("hole", "c:25", plan.Fail), f("good", "", plan.Pass)}, "hole at c:25 is fail", ""},
		{"the listener is gone", Live, []plan.Finding{f("hole", "b:25", plan.Pass), f("good", "", plan.Pass)}, "hole a:25 is not judged any more", "hole was not judged"},
	} {
		j := &Judgement{Complete: true, Result: &plan.Result{Installs: []plan.Install{{MTA: "m"}}, Findings: c.findings}}
		unmet, doubt := Unmet(h, j, c.where)
		u, d := strings.Join(unmet, "; "), strings.Join(doubt, "; ")
		if !strings.HasPrefix(u, c.unmet) || (u == "") != (c.unmet == "") || !strings.HasPrefix(d, c.doubt) || (d == "") != (c.doubt == "") {
			t.Errorf("%s: %q, %q; want %q, %q", c.name, u, d, c.unmet, c.doubt)
		}
	}
	if unmet, _ := Unmet(h, &Judgement{Result: &plan.Result{}}, Live); len(unmet) == 0 {
		t.Error("a host that was not read to the end meets what the plan expects")
	}
}

// TestUnmetByService: that a service is stopped cannot be seen in the stage, and is looked for live; what files mend is looked for in both.
func TestUnmetByService(t *testing.T) {
	stop := plan.Change{Kind: plan.Unit, Rules: []string{"needed"}, Service: &plan.Service{Before: plan.Running{Active: true}}}
	edit := plan.Change{Kind: plan.EditFile, Rules: []string{"needed"}}
	j := &Judgement{Complete: true, Result: &plan.Result{Installs: []plan.Install{{MTA: "m"}}, Findings: []plan.Finding{{Rule: "needed", Status: plan.Fail}}}}
	for _, c := range []struct {
		name    string
		changes []plan.Change
		where   Where
		unmet   int
	}{
		{"in the stage", []plan.Change{stop}, InStage, 0}, {"live", []plan.Change{stop}, Live, 1},
		{"a file too, in the stage", []plan.Change{stop, edit}, InStage, 1}, {"no change, in the stage", nil, InStage, 1},
	} {
		h := plan.HostPlan{Installs: []plan.Install{{MTA: "m"}}, Changes: c.changes, Expect: []plan.Expectation{{Rule: "needed", Before: plan.Fail, After: plan.Pass}}}
		if unmet, doubt := Unmet(h, j, c.where); len(unmet) != c.unmet || len(doubt) != 0 {
			t.Errorf("%s: %q, in doubt %q", c.name, unmet, doubt)
		}
	}
}

// TestRefusals reads lines of three MTAs' logs: who is turned away as a stranger or by a broken server, and had been taken before.
func TestRefusals(t *testing.T) {
	const log = `Nov 22 02:00:01 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from unknown[198.51.100.7]: 454 4.7.1 <a@example.org>: Relay access denied; from=<b@example.net>
Nov 22 02:00:02 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from unknown[10.3.2.1]: 454 4.7.1 <a@example.org>: Relay access denied; from=<b@example.net>
Nov 22 02:00:03 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from unknown[10.3.2.2]: 550 5.1.1 <x@lab.test>: Recipient address rejected: User unknown; from=<b@example.net>
Nov 22 02:00:04 mx sm-mta[9]: 2A: ruleset=check_rcpt, arg1=<a@example.org>, relay=[10.3.2.3], reject=550 5.7.1 <a@example.org>... Relaying denied
2026-11-22 02:00:05 H=(x) [10.3.2.4] F=<b@example.net> rejected RCPT <a@example.org>: relay not permitted
2026-11-22 02:00:06 H=(x) [IPv6:2001:db8::5] F=<b@example.net> rejected RCPT <a@example.org>: relay not permitted
Nov 22 02:00:07 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from unknown[10.3.2.6]: 451 4.3.5 <a@example.org>: Recipient address rejected: Server configuration error
`
	seen := []string{"10.3.2.1", "10.3.2.2", "10.3.2.3", "10.3.2.4", "2001:db8::5", "10.3.2.6"}
	h := plan.HostPlan{Impact: []plan.Impact{{Client: "10.3.2.3"}}}
	got := refusals(h, seen, parseRefusals(log))
	want := []string{"10.3.2.1", "10.3.2.4", "10.3.2.6", "2001:db8::5"}
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i, w := range want {
		if !strings.HasPrefix(got[i], w+",") {
			t.Errorf("got %q, want it to be of %s", got[i], w)
		}
	}
}

func FuzzRefusals(f *testing.F) {
	f.Add("NOQUEUE: reject: RCPT from unknown[198.51.100.7]: 454 4.7.1 <a@example.org>: Relay access denied")
	f.Fuzz(func(t *testing.T, log string) {
		for _, r := range parseRefusals(log) {
			if !r.Client.IsValid() || len(r.Text) > 64 || strings.ContainsAny(r.Text, "\n\x1b") {
				t.Errorf("%q gives %v", log, r)
			}
		}
		parseMark(log)
	})
}
