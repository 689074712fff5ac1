package postfix

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// testCase is a configuration with what is expected of it: a txtar whose comment holds
//
//	version: 3.10 3.7 3.5        the versions it holds for (default: all three)
//	addrs: 10.9.9.1/24           the host's own addresses (default: that and loopback)
//	accepts: N [from ADDR NAME]  how many of the 16 classic relay forms are taken
//	dead:                        the listener serves nobody
//	ask: KEY=VALUE … => OUTCOME  one question; keys addr name helo user tls from to listener
//
// and whose files are main.cf, master.cf (default: smtpd on port 25) and tables by absolute path.
type testCase struct {
	name     string
	versions []string
	addrs    []string
	accepts  []acceptance
	dead     bool
	asks     []asked
	files    map[string]string
	absent   []string // files that are known not to exist
	expanded string   // main.cf's values without references, where tables are named by them
}

type acceptance struct {
	n          int
	addr, name string
}

type asked struct {
	q    judge.Question
	want judge.Outcome
}

const stockMaster = "smtp inet n - n - - smtpd\n"

var labAddrs = []string{"127.0.0.1/8", "10.9.9.1/24", "::1/128"}

func loadCases(t *testing.T, glob string) []testCase {
	t.Helper()
	names, err := filepath.Glob(glob)
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases in %s: %v", glob, err)
	}
	var out []testCase
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := parseCase(filepath.Base(name), data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out = append(out, c)
	}
	return out
}

func parseCase(name string, data []byte) (testCase, error) {
	a := txtar.Parse(data)
	c := testCase{name: name, versions: []string{"3.5", "3.7", "3.10"}, addrs: labAddrs, files: map[string]string{}}
	for _, f := range a.Files {
		c.files[f.Name] = string(f.Data)
	}
	for line := range strings.Lines(string(a.Comment)) {
		key, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		rest = strings.TrimSpace(rest)
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		switch key {
		case "version":
			c.versions = strings.Fields(rest)
		case "addrs":
			c.addrs = strings.Fields(rest)
		case "dead":
			c.dead = true
		case "accepts":
			f := strings.Fields(rest)
			n, err := strconv.Atoi(f[0])
			if err != nil {
				return c, err
			}
			ac := acceptance{n, "198.51.100.7", "client7.example.net"}
			if len(f) == 4 {
				ac.addr, ac.name = f[2], f[3]
			}
			c.accepts = append(c.accepts, ac)
		case "ask":
			q, err := parseAsk(rest)
			if err != nil {
				return c, err
			}
			c.asks = append(c.asks, q)
		default:
			return c, fmt.Errorf("unknown line %q", line)
		}
	}
	return c, nil
}

func parseAsk(text string) (asked, error) {
	body, want, ok := strings.Cut(text, "=>")
	if !ok {
		return asked{}, fmt.Errorf("no => in %q", text)
	}
	q := judge.Question{ClientAddr: "198.51.100.7", ClientName: "client7.example.net", Helo: "client7.example.net", Verb: judge.Rcpt,
		Class: judge.Outside, Form: "plain", Sender: "antispam@example.com", Recipient: "relaytest@example.org"}
	for _, f := range strings.Fields(body) {
		key, value, _ := strings.Cut(f, "=")
		switch key {
		case "addr":
			q.ClientAddr = value
		case "name":
			q.ClientName = value
		case "helo":
			q.Helo = value
		case "user":
			q.User = value
		case "tls":
			q.TLS = value == "yes"
		case "from":
			q.Sender = value
		case "to":
			q.Recipient = value
		case "form":
			q.Form = value
		case "listener":
			q.Listener = value
		case "verb":
			q.Verb = judge.Verb(value)
		default:
			return asked{}, fmt.Errorf("unknown key %q", key)
		}
	}
	return asked{q, judge.Outcome(strings.TrimSpace(want))}, nil
}

// forms are the 16 classic relay forms for a host of that name and address.
func forms(host, ip string) []judge.Question {
	const d, f = "example.org", "antispam"
	lit := f + "@[" + ip + "]"
	list := [][3]string{
		{"null-sender", "", "relaytest@" + d},
		{"plain", f + "@" + d, "relaytest@" + d},
		{"own-sender", f + "@" + host, "relaytest@" + d},
		{"literal-sender", lit, "relaytest@" + d},
		{"percent-literal", lit, "relaytest%" + d + "@[" + ip + "]"},
		{"percent-name", lit, "relaytest%" + d + "@" + host},
		{"quoted", lit, `"relaytest@` + d + `"`},
		{"quoted-percent", lit, `"relaytest%` + d + `"`},
		{"double-at-literal", lit, "relaytest@" + d + "@[" + ip + "]"},
		{"quoted-literal", lit, `"relaytest@` + d + `"@[` + ip + "]"},
		{"double-at-name", lit, "relaytest@" + d + "@" + host},
		{"route-literal", lit, "@[" + ip + "]:relaytest@" + d},
		{"route-name", lit, "@" + host + ":relaytest@" + d},
		{"bang", lit, d + "!relaytest"},
		{"bang-literal", lit, d + "!relaytest@[" + ip + "]"},
		{"bang-name", lit, d + "!relaytest@" + host},
	}
	var out []judge.Question
	for _, x := range list {
		out = append(out, judge.Question{Form: x[0], Sender: x[1], Recipient: x[2], Verb: judge.Rcpt, Class: judge.Outside})
	}
	return out
}

// snapshot makes what a collect of such a host would have given, without postconf's output: the built-in defaults serve.
func (c testCase) snapshot() *facts.Snapshot {
	s := &facts.Snapshot{Addrs: c.addrs, Hostname: "lab.example.edu", OS: facts.OS{ID: "debian"}}
	files := []*facts.File{{Path: "/etc/postfix/main.cf", Data: []byte(c.files["main.cf"])}, {Path: "/etc/postfix/master.cf", Data: []byte(c.master())}}
	for name, text := range c.files {
		if strings.HasPrefix(name, "/") {
			files = append(files, &facts.File{Path: name, Data: []byte(text)})
		}
	}
	for _, word := range strings.FieldsFunc(c.files["main.cf"], func(r rune) bool { return strings.ContainsRune(" ,\n\t=", r) }) {
		_, path, ok := strings.Cut(strings.TrimPrefix(word, "proxy:"), ":")
		if _, known := c.files[path]; ok && !known && strings.HasPrefix(path, "/") {
			files = append(files, &facts.File{Path: path, State: facts.Absent}, &facts.File{Path: path + ".db", State: facts.Absent})
		}
	}
	for _, path := range c.absent {
		files = append(files, &facts.File{Path: path, State: facts.Absent})
	}
	return s.With(files...)
}

func (c testCase) master() string {
	if m, ok := c.files["master.cf"]; ok {
		return m
	}
	return stockMaster
}

// readWith reads the case as on the shadow's host, with that Postfix's own defaults.
func (c testCase) readWith(s *shadow) (*mta.Config, error) {
	return read(c.snapshot().WithOutputs(s.outputs()...), mta.Install{MTA: "postfix", Version: s.Version, Config: "/etc/postfix"})
}

func (c testCase) config(t *testing.T, version string) (*facts.Snapshot, *mta.Config) {
	t.Helper()
	s := c.snapshot()
	cfg, err := read(s, mta.Install{MTA: "postfix", Version: version, Config: "/etc/postfix"})
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	return s, cfg
}

// listenerOf is the listener that a question names, or the first.
func listenerOf(m *model, q judge.Question) (listener, bool) {
	if q.Listener != "" {
		return m.find(q.Listener)
	}
	if len(m.listeners) == 0 {
		return listener{}, false
	}
	return m.listeners[0], true
}

func (c testCase) matrix(m *model, ac acceptance) []judge.Question {
	out := forms(m.value("myhostname", nil), "10.9.9.1")
	for i := range out {
		out[i].ClientAddr, out[i].ClientName, out[i].Helo = ac.addr, ac.name, ac.name
	}
	return out
}

// unquoted is an envelope address as smtpd holds it: without quotes.
func unquoted(q judge.Question) judge.Question {
	q.Recipient = strings.ReplaceAll(q.Recipient, `"`, "")
	return q
}

// TestJudge evaluates every case of testdata/judge.
func TestJudge(t *testing.T) {
	for _, c := range loadCases(t, "testdata/judge/*.txtar") {
		for _, version := range c.versions {
			t.Run(strings.TrimSuffix(c.name, ".txtar")+"/"+version, func(t *testing.T) { c.judge(t, version) })
		}
	}
}

func (c testCase) judge(t *testing.T, version string) {
	_, cfg := c.config(t, version)
	m := cfg.Model.(*model)
	if len(m.listeners) == 0 {
		t.Fatal("no listener")
	}
	why, _ := m.dead(m.listeners[0])
	if c.dead != (why != "") {
		t.Errorf("dead: %q, want %v", why, c.dead)
	}
	for _, ac := range c.accepts {
		n := 0
		var taken []string
		for _, q := range c.matrix(m, ac) {
			a := m.reply(unquoted(q), m.listeners[0])
			if a.Outcome == judge.CannotTell {
				t.Errorf("%s from %s: cannot tell: %s", q.Form, ac.addr, a.Text)
			}
			if a.Outcome == judge.Relayed || a.Outcome == judge.Delivered {
				n++
				taken = append(taken, q.Form)
			}
		}
		if n != ac.n {
			t.Errorf("from %s: %d forms taken, want %d: %v", ac.addr, n, ac.n, taken)
		}
	}
	for _, k := range c.asks {
		l, ok := listenerOf(m, k.q)
		if !ok {
			t.Errorf("no listener %q among %v", k.q.Listener, listenAddrs(m))
			continue
		}
		if a := m.reply(unquoted(k.q), l); a.Outcome != k.want {
			t.Errorf("%s from %s (%s) <%s> to <%s>: %s (%s), want %s", k.q.Listener, k.q.ClientAddr, k.q.ClientName, k.q.Sender, k.q.Recipient, a.Outcome, a.Text, k.want)
		}
	}
}

func listenAddrs(m *model) []string {
	var out []string
	for _, l := range m.listeners {
		out = append(out, l.addr)
	}
	return slices.Clip(out)
}
