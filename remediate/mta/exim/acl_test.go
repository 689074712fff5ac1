package exim

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"mtaharden/remediate/judge"
)

// The cases under testdata/acl are configurations over which reading and Exim once disagreed, or might. A file holds a configuration
// ("conf"), the files that it names, and in its comment lines of
//
//	CLIENT[,user=NAME][,tls] <SENDER> <RECIPIENT> OUTCOME [FILE:LINE …]
//
// with what reading comes to and places of its chain in order; "cannot-tell" where Exim may say anything. Exim's own answers are
// compared where MTAHARDEN_EXIM_ROOTS names a system.
type aclCase struct {
	name    string
	conf    string
	files   map[string]string
	ask     []string
	outcome []judge.Outcome
	places  [][]string
}

func aclCases(t *testing.T) []aclCase {
	t.Helper()
	names, err := filepath.Glob("testdata/acl/*.txtar")
	if err != nil || len(names) < 10 {
		t.Fatalf("%d cases: %v", len(names), err)
	}
	var out []aclCase
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		c := aclCase{name: strings.TrimSuffix(filepath.Base(name), ".txtar"), files: map[string]string{}}
		for _, f := range a.Files {
			if f.Name == "conf" {
				c.conf = "primary_hostname = mx.example.edu\nqualify_domain = mx.example.edu\n" + string(f.Data)
			} else {
				c.files["/etc/exim4/made/"+f.Name] = string(f.Data)
			}
		}
		for line := range strings.Lines(string(a.Comment)) {
			w := strings.Fields(line)
			if len(w) < 4 || !strings.HasPrefix(w[1], "<") {
				continue // prose
			}
			c.ask = append(c.ask, fmt.Sprintf("%s - EHLO probe.example.com|=%s|MAIL FROM:%s|RCPT TO:%s|", w[0], formOf(w[2]), w[1], w[2]))
			c.outcome = append(c.outcome, judge.Outcome(w[3]))
			c.places = append(c.places, w[4:])
		}
		if c.conf == "" || len(c.ask) == 0 {
			t.Fatalf("%s asks nothing", name)
		}
		out = append(out, c)
	}
	return out
}

// formOf is the word of the form that a recipient has.
func formOf(recipient string) string {
	switch {
	case strings.HasPrefix(recipient, `<"`):
		return "quoted"
	case strings.Contains(recipient, "%"):
		return "percent-name"
	}
	return "plain"
}

func (c aclCase) model(t *testing.T, version string, addrs []string) *model {
	return modelOf(t, version, "/etc/exim4/made.conf", c.conf, "", addrs, func(path string) ([]byte, bool, bool) {
		data, ok := c.files[path]
		return []byte(data), ok, ok || strings.HasPrefix(path, "/etc/exim4/made/")
	})
}

func TestACL(t *testing.T) {
	for _, c := range aclCases(t) {
		t.Run(c.name, func(t *testing.T) {
			m := c.model(t, "4.94.2", []string{"127.0.0.1/8", "::1/128", "10.9.9.1/24"})
			for i, asked := range c.ask {
				s := parseSession(asked, nil, nil, stages{})
				x := s.Exchanges[2]
				q := judge.Question{Class: judge.Outside, Form: x.Form, ClientAddr: s.Client, Helo: "probe.example.com", User: s.User, TLS: s.TLS, Verb: judge.Rcpt, Sender: x.Sender,
					Recipient: strings.TrimSuffix(strings.TrimPrefix(x.Command, "RCPT TO:<"), ">")}
				a := m.fromConfig(q)
				if a.Outcome != c.outcome[i] {
					t.Errorf("%s: %s (%v), want %s", asked, a.Outcome, a.Because, c.outcome[i])
				}
				if want := c.places[i]; !inOrder(a.Because, want) {
					t.Errorf("%s: %v, want %v", asked, a.Because, want)
				}
			}
		})
	}
}

// inOrder says whether the places stand in a chain in this order; a place is BASE:LINE. The lines that every case is given do not count.
func inOrder(because []judge.Line, want []string) bool {
	for _, b := range because {
		line := b.Line
		base := filepath.Base(b.File)
		if base == "made.conf" {
			base, line = "conf", line-2
		}
		if len(want) > 0 && want[0] == fmt.Sprintf("%s:%d", base, line) {
			want = want[1:]
		}
	}
	return len(want) == 0
}

// TestDifferenceCases puts the same cases to a real Exim.
func TestDifferenceCases(t *testing.T) {
	for _, root := range shadowRoots(t) {
		s := startShadow(t, root)
		tl := newTally()
		for _, c := range aclCases(t) {
			files := map[string]string{"/etc/exim4/made.conf": c.conf}
			for k, v := range c.files {
				files[k] = v
			}
			o := order{Files: files, Config: "/etc/exim4/made.conf"}
			for _, a := range c.ask {
				o.Talks = append(o.Talks, talkOf(a))
			}
			r, err := s.ask(o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Broken != "" {
				t.Errorf("%s: %s is not taken: %s", s.version, c.name, r.Broken)
				continue
			}
			m := c.model(t, s.number(), s.addrs)
			for i, a := range c.ask {
				for _, said := range m.heard(parseSession(a, []byte(r.Heard[i][0]), []byte(r.Heard[i][1]), m.cfg.stages())) {
					tl.compare(t, s.version+" "+c.name, said, m.explain(said))
				}
			}
		}
		tl.report(t)
		if tl.told < 30 {
			t.Errorf("%d answers compared: too few", tl.told)
		}
	}
}
