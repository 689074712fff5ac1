package postfix

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
)

// elsewhere are the causes of a death that lie in the shadow's surroundings, not in what the evaluator reads: an address, a program, a
// file or a login service that the published host had. "specify at least one working instance" is none of them.
var elsewhere = []string{"inet_interfaces", "host not found", "proxy_interfaces", "open ", "unknown user", "No such file", "mail_owner", "setgid_group", "default_privs", "inet_protocols", "unsupported SASL", "bad numerical", "bad string length", "cannot be used as"}

// TestShadowCorpus asks real Postfixes the same twenty questions of every published configuration. In a run that is not full each
// configuration is asked of one release.
func TestShadowCorpus(t *testing.T) {
	roots := shadowRoots(t)
	dirs := corpusHosts(t, "postfix")
	if len(dirs) == 0 {
		t.Skip("compares nothing: no published configurations at hand")
	}
	all := os.Getenv("MTAHARDEN_POSTFIX_CORPUS") == "all"
	for i, root := range roots {
		s := startShadow(t, root)
		t.Run(s.minor(), func(t *testing.T) {
			t.Parallel()
			sum, accepted, refused := newComparison(), 0, 0
			for n, dir := range dirs {
				if !all && n%len(roots) != i {
					continue
				}
				k, dead := s.published(t, dir)
				switch {
				case dead == "" && k.asked > k.ends[string(judge.Dead)]:
					accepted++
				case dead == "" && k.asked > 0:
					refused++
				default:
					t.Logf("%s is not compared: %s %v", filepath.Base(dir), dead, k.unput)
				}
				for _, d := range k.differ {
					t.Errorf("%s: %s", filepath.Base(dir), d)
				}
				sum.add(k)
			}
			t.Logf("of %d published configurations %s accepts %d and %d stop its smtpd, as the evaluator says", len(dirs), s.minor(), accepted, refused)
			sum.report(t)
		})
	}
}

// published compares one configuration; dead is why the real Postfix does not accept it.
func (s *shadow) published(t *testing.T, dir string) (*comparison, string) {
	t.Helper()
	k := newComparison()
	snap, ok := corpusHost(t, dir)
	if !ok {
		return k, "it has no main.cf"
	}
	c := testCase{name: filepath.Base(dir), addrs: labAddrs, files: map[string]string{}}
	for _, name := range snap.Files("") {
		if f, _ := snap.File(name); f != nil {
			c.files[name] = string(f.Data)
		}
	}
	c.files["main.cf"] = strings.TrimRight(c.files["/etc/postfix/main.cf"], "\n") + "\n" + s.places()
	c.files["master.cf"] = onLoopback(c.files["/etc/postfix/master.cf"])
	delete(c.files, "/etc/postfix/main.cf")
	delete(c.files, "/etc/postfix/master.cf")
	c.files["/etc/mailname"] = "lab.example.edu\n" // the shadow has one
	cfg, err := c.readWith(s)
	if err != nil {
		return k, err.Error()
	}
	c.addTables(cfg.Model.(*model))
	if cfg, err = c.readWith(s); err != nil {
		return k, err.Error()
	}
	m := cfg.Model.(*model)
	if len(m.listeners) == 0 {
		return k, "no service takes mail from the network"
	}
	o := c.orderOf(m.routed(standard(m)))
	r, err := s.ask(o)
	if err != nil {
		return k, err.Error()
	}
	if why, _ := m.dead(m.listeners[0]); why == "" && len(r.Replies) > 0 && strings.HasPrefix(r.Replies[0], "dead") &&
		slices.ContainsFunc(elsewhere, func(cause string) bool { return strings.Contains(r.Replies[0], cause) }) {
		return k, r.Replies[0]
	}
	k.whole(m, o, r)
	return k, ""
}

// standard are twenty questions: the sixteen forms from outside, then localhost, a neighbour, IPv6, and mail for the host's own.
func standard(m *model) []ask {
	host := m.value("myhostname", m.listeners[0].smtpd)
	var out []ask
	add := func(q judge.Question, addr, name string) {
		q.Listener, q.ClientAddr, q.ClientName, q.Helo = m.listeners[0].addr, addr, name, "client7.example.net"
		q.TLS = m.wantsTLS(m.listeners[0].smtpd)
		out = append(out, ask{Q: q})
	}
	all := forms(host, "10.9.9.1")
	for _, q := range all {
		add(q, "198.51.100.7", "client7.example.net")
	}
	add(all[1], "127.0.0.1", "localhost")
	add(all[1], "10.9.9.50", "desk.lab.example.edu")
	add(all[1], "2001:db8::9", "six.example.net")
	own := all[1]
	own.Form, own.Recipient = "", "postmaster@"+host
	add(own, "198.51.100.7", "client7.example.net")
	return out
}

// places are the directories and accounts of the shadow's own Postfix, in place of the published host's.
func (s *shadow) places() string {
	var b strings.Builder
	for name, value := range parameters((&facts.Snapshot{}).WithOutputs(s.outputs()...), "postfix:/etc/postfix:d") {
		switch name {
		case "queue_directory", "daemon_directory", "command_directory", "data_directory", "mail_owner", "setgid_group", "default_privs", "shlib_directory", "meta_directory",
			"maillog_file", "syslog_name", "syslog_facility", "import_environment", "export_environment", "stress":
			fmt.Fprintf(&b, "%s = %s\n", name, value)
		}
	}
	return b.String()
}

// onLoopback is a master.cf whose SMTP services listen at their ports on 127.0.0.1; the stock one where there is none.
func onLoopback(text string) string {
	var b strings.Builder
	for _, s := range parseMaster("master.cf", []byte(text)).services {
		line := s.text
		if s.listens() {
			_, port := splitService(s.name)
			line = "127.0.0.1:" + port + strings.TrimPrefix(line, s.name)
		}
		if s.command == "smtpd" || s.command == "postscreen" || s.command == "trivial-rewrite" {
			fmt.Fprintln(&b, strings.TrimRight(line, " \n"))
		}
	}
	if b.Len() == 0 {
		return stockMaster
	}
	return b.String()
}

// addTables makes every table that is named and not published: an empty one, where Postfix reads its text or postmap builds it. Of the
// other kinds it is said that there is nothing: on the shadow's host there is not.
func (c *testCase) addTables(m *model) {
	for i := range m.main.entries {
		text, err := m.expand(m.main.entries[i].value, nil)
		if err != nil {
			continue
		}
		for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,\n\t{}", r) }) {
			word = strings.TrimLeft(word, "!")
			kind, path, isTable := strings.Cut(strings.TrimPrefix(word, "proxy:"), ":")
			if !isTable {
				kind, path = "file", word
			}
			_, known := c.files[path]
			switch {
			case known || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "/dev/"):
			case hashed[kind] != nil && m.supports(kind) || kind == "texthash" || kind == "cidr" || kind == "regexp" || kind == "pcre":
				c.files[path] = "# not published\n"
			case kind != "unix" && kind != "inet":
				c.absent = append(c.absent, path)
			}
		}
	}
	var names []string
	for i := range m.main.entries {
		text, _ := m.expand(m.main.entries[i].value, nil)
		names = append(names, text)
	}
	c.expanded = strings.Join(names, "\n")
}
