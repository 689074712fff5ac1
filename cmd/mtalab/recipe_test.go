package main

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRecipe(t *testing.T) {
	r, err := parseRecipe("postfix/open", []byte(`# A relay for all.
releases: deb12 deb13
role: mx
relay_networks: 192.0.2.0/24 2001:db8::/48
expect: open-relay fail
expect: vrfy pass
says: open-relay  older than the file
vantages: outside2 itself
port: 587
network: silent
family: 6
outside: accepts 16
outside: bang refused
outside: vrfy disclosed
itself: plain accepted
-- etc/postfix/main.cf --
mynetworks = 0.0.0.0/0
-- plant.sh --
true
`))
	if err != nil {
		t.Fatal(err)
	}
	r.Files = nil
	want := &Recipe{
		Name: "postfix/open", MTA: "postfix", Releases: []string{"deb12", "deb13"}, Role: "mx",
		RelayNetworks: []string{"192.0.2.0/24", "2001:db8::/48"}, Port: 587,
		Vantages: []string{"outside2", "itself"}, Network: "silent", IPv6: true,
		Expect: []Expectation{{"open-relay", "fail"}, {"vrfy", "pass"}},
		Says:   []Saying{{"open-relay", "older than the file"}},
		Meets: map[string]Stranger{
			"outside": {Accepts: 16, Forms: map[string]string{"bang": "refused"}, Asks: map[string]string{"vrfy": "disclosed"}},
			"itself":  {Accepts: -1, Forms: map[string]string{"plain": "accepted"}, Asks: map[string]string{}},
		},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
	if got, want := r.intent(), "role = \"mx\"\nrelay_networks = [\"192.0.2.0/24\", \"2001:db8::/48\"]\n"; got != want {
		t.Errorf("intent %q", got)
	}
}

func TestRecipeMistakes(t *testing.T) {
	for _, test := range []struct{ comment, want string }{
		{"", "nothing is expected"},
		{"expect: vrfy", "x/y:1"},
		{"# c\nexpect: vrfy bad", "x/y:2: \"bad\" is no status"},
		{"colour: red", "unknown key"},
		{"sound: no", "sound is yes"},
		{"sound: yes\nrelay_networks: 10.0.0.0", "relay_networks"},
		{"sound: yes\noutside: accepts 17", "not a count"},
		{"sound: yes\noutside: plain maybe", "cannot understand"},
		{"sound: yes\nport: 0", "no port"},
		{"sound: yes\nfamily: 4", "family is 6"},
		{"sound: yes\nnetwork: yes", "network is asked"},
		{"sound: yes\nsays: vrfy", "a rule and words"},
		{"sound: yes\noutside2: plain", "outside2: want dead"},
		{"sound: yes\njust words", "not a key"},
	} {
		if _, err := parseRecipe("x/y", []byte(test.comment+"\n")); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %q", test.comment, err, test.want)
		}
	}
	if _, err := parseRecipe("x/y", []byte("sound: yes\n-- ../etc/passwd --\nx\n")); err == nil {
		t.Error("a file above the root was taken")
	}
}

func FuzzRecipe(f *testing.F) {
	f.Add([]byte("expect: vrfy fail\noutside: accepts 3\n-- etc/x --\ny\n"))
	f.Add([]byte("sound: yes\nport: 25\noutside: dead\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecipe("postfix/x", data)
		if err != nil {
			return
		}
		if len(r.Expect) == 0 && !r.Sound {
			t.Error("a recipe that expects nothing")
		}
		for _, e := range r.Expect {
			if !slices.Contains(statuses(), e.Status) {
				t.Errorf("status %q", e.Status)
			}
		}
	})
}

// Every recipe of the project reads, and names hosts that the lab has.
func TestRecipesRead(t *testing.T) {
	c := testCatalog(t)
	recipes, err := loadRecipes(os.DirFS("../../testdata/lab"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d recipes", len(recipes))
	for _, r := range recipes {
		names, err := r.hostsFor(c, "", true)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := c.Select(names); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
}

func TestImplied(t *testing.T) {
	for _, test := range []struct {
		comment string
		want    Stranger
	}{
		{"expect: open-relay fail", Stranger{Accepts: -1, Some: true}},
		{"expect: open-relay error", Stranger{Accepts: -1, Dead: true}},
		{"expect: open-relay pass", Stranger{Accepts: 0}},
		{"sound: yes", Stranger{Accepts: 0}},
		{"expect: vrfy fail", Stranger{Accepts: 0, DeadToo: true}},
		{"expect: open-relay fail\noutside: accepts 3", Stranger{Accepts: 3}},
	} {
		r, err := parseRecipe("postfix/x", []byte(test.comment+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		got := r.implied()
		got.Forms, got.Asks = nil, nil
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.comment, diff)
		}
	}
	none := &Witness{Forms: map[string]bool{"plain": false}}
	if wrong := (Stranger{Accepts: -1, Some: true}).compare("outside", none); len(wrong) != 1 {
		t.Errorf("a closed relay passes as open: %q", wrong)
	}
}

func TestSample(t *testing.T) {
	var recipes []*Recipe
	for i := range 40 {
		recipes = append(recipes, &Recipe{Name: fmt.Sprintf("postfix/r%02d", i), MTA: "postfix"})
	}
	a, again, b := sample(recipes, 8, "one"), sample(recipes, 8, "one"), sample(recipes, 8, "two")
	names := func(l []*Recipe) (out []string) {
		for _, r := range l {
			out = append(out, r.Name)
		}
		return out
	}
	if len(a) != 8 || !slices.Equal(names(a), names(again)) || slices.Equal(names(a), names(b)) || !slices.IsSorted(names(a)) {
		t.Errorf("samples %v %v %v", names(a), names(again), names(b))
	}
	c := testCatalog(t)
	seen := map[string]bool{}
	for i := range 40 {
		hosts, err := recipes[0].hostsFor(c, fmt.Sprint(i), false)
		if err != nil || len(hosts) != 1 {
			t.Fatal(hosts, err)
		}
		seen[hosts[0]] = true
	}
	if len(seen) != 3 {
		t.Errorf("40 seeds meet only %v", seen)
	}
}

// smtpServer answers each line by a function, one connection after another, on the loopback.
func smtpServer(t *testing.T, greeting string, answer func(line string) string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "%s\r\n", greeting)
			for s := bufio.NewScanner(conn); s.Scan(); {
				fmt.Fprintf(conn, "%s\r\n", answer(s.Text()))
			}
			conn.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func TestWitness(t *testing.T) {
	dial := func(to netip.AddrPort) (net.Conn, error) { return net.Dial("tcp", to.String()) }
	var seen []string
	to := smtpServer(t, "220 mx.example.test ESMTP", func(line string) string {
		seen = append(seen, line)
		switch {
		case strings.HasPrefix(line, "RCPT") && strings.Contains(line, "%"):
			return "250 ok"
		case strings.HasPrefix(line, "RCPT"):
			return "550 5.7.1 no"
		case line == "VRFY alice":
			return "252 maybe"
		case strings.HasPrefix(line, "VRFY"):
			return "550 unknown"
		case strings.HasPrefix(line, "EXPN"):
			return "502 no"
		}
		return "250 ok"
	})
	w := caller{to: to, helo: "c.example.net", dial: dial}.witness(true, true)
	if w.accepted() != 3 || w.Asks["vrfy"] != "disclosed" || w.Asks["expn"] != "refused" || w.Dead != "" {
		t.Errorf("got %+v", w)
	}
	for _, line := range seen {
		if strings.HasPrefix(line, "DATA") {
			t.Error("the witness sent DATA")
		}
	}
	if !slices.Contains(seen, `RCPT TO:<@mx.example.test:relaytest@example.org>`) || !slices.Contains(seen, "MAIL FROM:<>") {
		t.Errorf("the forms are not as they should be: %q", seen)
	}
	o := Stranger{Accepts: 3, Forms: map[string]string{"plain": "refused", "percent-name": "accepted"}, Asks: map[string]string{"vrfy": "disclosed"}}
	if wrong := o.compare("outside", w); len(wrong) != 0 {
		t.Errorf("right, and said to be wrong: %q", wrong)
	}
	o = Stranger{Accepts: 16, Forms: map[string]string{"plain": "accepted"}, Asks: map[string]string{"expn": "disclosed"}}
	if wrong := o.compare("outside", w); len(wrong) != 3 {
		t.Errorf("three things are wrong, said were %q", wrong)
	}
	dead := caller{to: smtpServer(t, "421 go away", nil), dial: dial}.witness(true, true)
	if dead.Dead == "" || len(dead.Forms) != 0 {
		t.Errorf("a server that says 421 is not dead: %+v", dead)
	}
	if wrong := (Stranger{Accepts: -1, Dead: true}).compare("outside", w); len(wrong) != 1 {
		t.Errorf("a living server passes as dead: %q", wrong)
	}
}

func TestCompareFindings(t *testing.T) {
	j := &recipeJob{recipe: &Recipe{Expect: []Expectation{{"vrfy", "fail"}, {"expn", "pass"}, {"gone", "pass"}}}}
	findings := []auditFinding{{Rule: "vrfy", Status: "pass"}, {Rule: "vrfy", Status: "fail"}, {Rule: "expn", Status: "pass"}, {Rule: "x", Status: "unknown"}}
	if wrong := j.compare(findings); len(wrong) != 1 || !strings.Contains(wrong[0], "gone") {
		t.Errorf("got %q", wrong)
	}
	findings[1].Have, findings[2].Evidence = "VRFY answers", []auditEvidence{{Judge: "network", Says: "refused", Text: "502 no"}}
	j.recipe = &Recipe{Says: []Saying{{"vrfy", "answers"}, {"expn", "502"}, {"expn", "answers"}}}
	if wrong := j.compare(findings); len(wrong) != 1 || !strings.Contains(wrong[0], "expn does not say") {
		t.Errorf("got %q", wrong)
	}
	j.recipe = &Recipe{Sound: true}
	if wrong := j.compare(findings); len(wrong) != 2 {
		t.Errorf("a sound host with a fail and an unknown finding: %q", wrong)
	}
}

// The network judge of the audit is held against the witness, who shares no code with it.
func TestAgainstWitness(t *testing.T) {
	open, closed := &Witness{Forms: map[string]bool{"plain": true}}, &Witness{Forms: map[string]bool{"plain": false}}
	fail, unknown := []Expectation{{"open-relay", "fail"}}, []Expectation{{"open-relay", "unknown"}}
	for _, test := range []struct {
		name   string
		recipe Recipe
		heard  string
		met    *Witness
		wrong  bool
	}{
		{"both open", Recipe{Expect: fail}, "relayed", open, false},
		{"both closed", Recipe{}, "refused", closed, false},
		{"missed", Recipe{Expect: fail}, "refused", open, true},
		{"taken, perhaps as a friend", Recipe{Expect: fail}, "cannot-tell", open, false},
		{"refused, and not told", Recipe{}, "cannot-tell", closed, true},
		{"false alarm", Recipe{}, "relayed", closed, true},
		{"another form or listener", Recipe{Expect: fail}, "relayed", closed, false},
		{"nothing said", Recipe{}, "", closed, true},
		{"nobody to ask through", Recipe{Network: "silent"}, "", open, false},
		{"asked through a trusted one", Recipe{Network: "silent"}, "relayed", open, true},
		{"dead", Recipe{}, "", &Witness{Dead: "no greeting"}, false},
		{"not to be told", Recipe{Expect: unknown}, "refused", open, false},
		{"a fault of its own", Recipe{Expect: []Expectation{{"open-relay", "error"}}}, "cannot-tell", closed, false},
		{"the one is a friend, another was refused", Recipe{Expect: []Expectation{{"open-relay", "pass"}}}, "refused", open, false},
	} {
		j := &recipeJob{recipe: &test.recipe, heard: test.heard}
		if got := j.against(test.met); (len(got) > 0) != test.wrong {
			t.Errorf("%s: got %q", test.name, got)
		}
	}
	findings := []auditFinding{
		{Rule: "open-relay", Evidence: []auditEvidence{{"config", "relayed", ""}, {"network", "cannot-tell", ""}}},
		{Rule: "vrfy", Evidence: []auditEvidence{{"network", "refused", ""}}},
	}
	if got := networkSays(findings, ":25"); got != "cannot-tell" {
		t.Errorf("the network said %q", got)
	}
	findings = append(findings, auditFinding{Rule: "open-relay", Evidence: []auditEvidence{{"network", "refused", ""}}},
		auditFinding{Rule: "open-relay", Evidence: []auditEvidence{{"network", "relayed", ""}}})
	if got := networkSays(findings[:3], ":25") + " " + networkSays(findings, ":25"); got != "refused relayed" {
		t.Errorf("the network said %q", got)
	}
	other := []auditFinding{{Rule: "open-relay", Listener: "0.0.0.0:587", Evidence: []auditEvidence{{"network", "refused", ""}}}}
	if got := networkSays(other, ":25"); got != "" {
		t.Errorf("at another port the network said %q", got)
	}
	j := &recipeJob{recipe: &Recipe{Expect: fail}}
	disagree := auditFinding{Rule: "judges-disagree", Status: "fail"}
	if wrong := j.compare([]auditFinding{{Rule: "open-relay", Status: "fail"}, disagree}); len(wrong) != 1 {
		t.Errorf("judges that differ where nobody expects it: %q", wrong)
	}
}
