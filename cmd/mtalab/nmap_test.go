package main

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/probe"
)

// What nmap 7.93 printed of an open Exim and of a stock sendmail, shortened.
const scanXML = `<?xml version="1.0"?><nmaprun><host><ports><port protocol="tcp" portid="25"><state state="open"/>
<script id="smtp-commands" output="mx.lab.test Hello client7.example.net [198.51.100.7], SIZE 52428800, 8BITMIME, HELP, &#xa; Commands supported: AUTH HELO"/>
<script id="smtp-open-relay" output="Server is an open relay (4/16 tests)&#xa; MAIL FROM:&lt;&gt; -&gt; RCPT TO:&lt;relaytest@example.org&gt;&#xa; MAIL FROM:&lt;antispam@mx.lab.test&gt; -&gt; RCPT TO:&lt;relaytest@example.org&gt;&#xa; MAIL FROM:&lt;antispam@[10.87.0.43]&gt; -&gt; RCPT TO:&lt;@mx.lab.test:relaytest@example.org&gt;&#xa; SMTP RSET: failed to receive data: connection closed"/>
<script id="smtp-enum-users" output="&#xa;  RCPT, root&#xa;  RCPT, admin&#xa;  VRFY, root&#xa;"/>
</port></ports></host></nmaprun>`

func TestParseScan(t *testing.T) {
	got, err := parseScan([]byte(scanXML))
	if err != nil {
		t.Fatal(err)
	}
	want := &scan{
		Relay: "Server is an open relay (4/16 tests)", Forms: []string{"null-sender", "own-sender", "route-name"},
		Ehlo: []string{"8BITMIME", "HELP", "SIZE 52428800"}, Users: []string{"RCPT admin", "RCPT root", "VRFY root"},
		Trouble: []string{"SMTP RSET: failed to receive data: connection closed"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"RCPT", "VRFY"}, got.methods()); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "<nmaprun></nmaprun>", "no xml"} {
		if _, err := parseScan([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a scan", bad)
		}
	}
}

// Whether the server's second line came in the same read as its first decides if nmap keeps the first one's CR: both are the same word.
func TestParseScanCR(t *testing.T) {
	for _, words := range []string{"SMTP: EHLO 220 mx.lab.test ESMTP", "SMTP: EHLO 220 mx.lab.test ESMTP\r", "SMTP: EHLO 220 mx.lab.test ESMTP\r\n 502 5.5.2 Error"} {
		s := &scan{}
		s.relay(words)
		if s.Relay != "SMTP: EHLO 220 mx.lab.test ESMTP" {
			t.Errorf("%q is read as %q", words, s.Relay)
		}
	}
}

// Every form of ours is found again in nmap's words for it, and no other is.
func TestFormOf(t *testing.T) {
	for _, f := range relayForms() {
		fill := strings.NewReplacer("{srv}", "mx.lab.test", "{ip}", "2001:db8::19", "{d}", foreignDomain)
		if got := formOf("MAIL FROM:<" + fill.Replace(f.From) + "> -> RCPT TO:<" + fill.Replace(f.To) + ">"); got != f.Name {
			t.Errorf("%s is read as %q", f.Name, got)
		}
	}
	if got := formOf("MAIL FROM:<antispam@x> -> RCPT TO:<other@example.org>"); got != "" {
		t.Errorf("an unknown form is read as %q", got)
	}
}

func FuzzParseScan(f *testing.F) {
	f.Add([]byte(scanXML))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseScan(data)
		if err == nil && len(s.Forms) > strings.Count(string(data), "RCPT") {
			t.Errorf("%d forms", len(s.Forms))
		}
	})
}

// The project's own table holds: enough recipes, a reason for each difference and a difference for each reason.
func TestComparison(t *testing.T) {
	lab := os.DirFS("../../testdata/lab")
	recipes, err := loadRecipes(lab)
	if err != nil {
		t.Fatal(err)
	}
	table, err := loadComparison(lab, recipes)
	if err != nil {
		t.Fatal(err)
	}
	c, differ := testCatalog(t), 0
	for _, row := range table.Rows {
		if _, err := c.Select([]string{row.Host}); err != nil || row.Host == "" {
			t.Errorf("%s: %v", row.Name, err)
		}
		if len(row.Why) > 0 {
			differ++
		}
	}
	t.Logf("%d recipes, %d with a difference, %d reasons", len(table.Rows), differ, len(table.Reasons))
}

func TestComparisonMistakes(t *testing.T) {
	recipes := []*Recipe{{Name: "exim/a"}}
	const reasons = "[[reason]]\nid = \"r\"\nabout = \"relay\"\ntext = \"t\"\n"
	for _, test := range []struct{ text, want string }{
		{"[[recipe]]\nname = \"exim/b\"\n", "no recipe"},
		{"[[recipe]]\nname = \"exim/a\"\nprobe_says = \"none\"\n[[recipe]]\nname = \"exim/a\"\nprobe_says = \"none\"\n", "there twice"},
		{"[[recipe]]\nname = \"exim/a\"\nprobe_says = \"none\"\nnmap_relay = [\"plain\"]\n", "differ about relay"},
		{"[[recipe]]\nname = \"exim/a\"\nprobe_says = \"none\"\nnmap_lacks = [\"DSN\"]\n", "differ about commands"},
		{"[[recipe]]\nname = \"exim/a\"\nprobe_says = \"none\"\nprobe_tells = [\"VRFY\"]\n", "differ about users"},
		{"[[recipe]]\nname = \"exim/a\"\nnmap_says = \"Server is an open relay (1/16 tests)\"\nprobe_says = \"closed\"\n", "differ about verdict"},
		{reasons + "[[recipe]]\nname = \"exim/a\"\nprobe_says = \"none\"\nwhy = [\"r\"]\n", "where nothing differs"},
		{"[[recipe]]\nname = \"exim/a\"\nprobe_says = \"none\"\nprobe_maybe = [\"bang\"]\n", "differ about unproven"},
		{reasons + "[[recipe]]\nname = \"exim/a\"\nprobe_says = \"none\"\nnmap_relay = [\"bang\"]\nprobe_maybe = [\"bang\"]\nwhy = [\"r\"]\n", "a reason is given about relay"},
		{"[[recipe]]\nname = \"exim/a\"\nnmap_says = \"Server is an open relay (1/16 tests)\"\nprobe_says = \"closed\"\n", "differ about verdict"},
		{reasons + "[[recipe]]\nname = \"exim/a\"\nprobe_says = \"none\"\nwhy = [\"s\"]\n", "no reason is called"},
		{reasons, "for nothing"},
		{"colour = 1\n", "unknown key"},
		{"[[recipe]]\nname = \"exim/a\"\nprobe_says = \"none\"\n", "1 recipes are compared"},
	} {
		_, err := loadComparison(fstest.MapFS{"nmap.toml": {Data: []byte(test.text)}}, recipes)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %q", test.text, err, test.want)
		}
	}
}

// A row that was met otherwise than it stands in the table is wrong in each thing.
func TestAgainst(t *testing.T) {
	row := compared{Says: "a", Calls: "closed", Nmap: []string{"plain"}, Users: []string{"RCPT"}}
	if wrong := row.against(row); len(wrong) != 0 {
		t.Errorf("the same is wrong: %q", wrong)
	}
	met := compared{Says: "b", Probe: []string{"plain"}, Maybe: []string{"bang"}, Tells: []string{"VRFY"}, Lacks: []string{"DSN"}, Adds: []string{"X"}}
	if wrong := row.against(met); len(wrong) != 9 {
		t.Errorf("all nine differ, said are %q", wrong)
	}
	var c compared
	c.see(&probe.Report{
		Cases: []probe.Case{
			{Form: "bang", Verdict: probe.Relays}, {Form: "plain", Verdict: probe.Refused}, {Form: "quoted", TLS: true, Verdict: probe.Relays},
			{Form: "percent-name", Verdict: probe.Unproven}, {Form: "bang-name", Verdict: probe.Unproven}, {Form: "bang-name", Verdict: probe.Relays},
		},
		Services: []probe.Service{
			{Verb: judge.Vrfy, Outcome: judge.Disclosed}, {Verb: judge.Expn, Outcome: judge.Refused}, {Verb: judge.Help, Outcome: judge.Disclosed},
		},
		Plain: probe.Session{Extensions: []string{"DSN", "HELP"}},
	}, &scan{Ehlo: []string{"HELP", "XFOO"}})
	if diff := cmp.Diff(compared{Calls: "open", Probe: []string{"bang", "bang-name"}, Maybe: []string{"percent-name"}, Tells: []string{"VRFY"}, Lacks: []string{"DSN"}, Adds: []string{"XFOO"}}, c); diff != "" {
		t.Error(diff)
	}
}

// The verdict is of the gravest form, whatever their order.
func TestProbeVerdict(t *testing.T) {
	for _, test := range []struct {
		came []probe.Verdict
		want string
	}{
		{nil, "none"}, {[]probe.Verdict{probe.NotTested, probe.Deferred}, "none"}, {[]probe.Verdict{probe.Refused, probe.NotTested}, "closed"},
		{[]probe.Verdict{probe.Refused, probe.Unproven, probe.Refused}, "unproven"}, {[]probe.Verdict{probe.Unproven, probe.AcceptsAll}, "open"},
	} {
		r := &probe.Report{}
		for _, v := range test.came {
			r.Cases = append(r.Cases, probe.Case{Form: "plain", Verdict: v})
		}
		if got := probeVerdict(r); got != test.want {
			t.Errorf("%s: %s, want %s", test.came, got, test.want)
		}
	}
}
