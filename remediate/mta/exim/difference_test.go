package exim

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// tally counts what became of the questions of a comparison.
type tally struct {
	asked, told, differ int
	either              int            // told by Exim alone, of ways none of which relays
	why                 map[string]int // cannot-tell of the reading, by its cause
	mute                map[string]int // cannot-tell of Exim's own
	shown               map[string]int
}

// compare holds the reading's answer against Exim's: it may be cannot-tell, never another one.
func (c *tally) compare(t *testing.T, where string, said, read judge.Answer) {
	t.Helper()
	c.asked++
	switch {
	case said.Outcome == judge.CannotTell:
		c.mute[cause(said)]++
	case read.Outcome == judge.CannotTell:
		c.why[cause(read)]++
	case said.Outcome != read.Outcome:
		c.differ++
		if c.shown[where]++; c.shown[where] <= 2 && len(c.shown) <= 15 {
			q := said.Question
			t.Errorf("%s: %s %s from %s tls=%v user=%q <%s> <%s>: Exim says %s (%s), the reading %s (%v)", where, q.Verb, q.Form, q.ClientAddr, q.TLS, q.User, q.Sender, q.Recipient, said.Outcome, said.Text, read.Outcome, read.Because)
		}
	default:
		c.told++
	}
}

// cause is a short word for why something cannot be told.
func cause(a judge.Answer) string {
	text := a.Text
	if len(a.Because) > 0 {
		text = a.Because[0].Text
	}
	if i := strings.IndexAny(text, "\n"); i >= 0 {
		text = text[:i]
	}
	return text[:min(len(text), 90)]
}

func (c *tally) report(t *testing.T) {
	t.Helper()
	unsure, mute := 0, 0
	for _, n := range c.why {
		unsure += n
	}
	for _, n := range c.mute {
		mute += n
	}
	t.Logf("%d questions: %d agree (%d of them told apart by Exim alone, none of the ways relays), %d differ, %d cannot-tell by reading, %d by Exim", c.asked, c.told, c.either, c.differ, unsure, mute)
	for _, m := range []map[string]int{c.why, c.mute} {
		keys := []string{}
		for k := range m {
			keys = append(keys, k)
		}
		slices.SortFunc(keys, func(a, b string) int { return m[b] - m[a] })
		for _, k := range keys[:min(len(keys), 15)] {
			t.Logf("  %4d %s", m[k], k)
		}
		t.Logf("  --")
	}
}

func newTally() *tally {
	return &tally{why: map[string]int{}, mute: map[string]int{}, shown: map[string]int{}}
}

// published are the files of one published host as they would lie on it, and whether Debian's generator makes its configuration.
func published(dir string) (files map[string]string, generate bool, err error) {
	files = map[string]string{}
	var all []string
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		return nil, false, err
	}
	text := map[string]string{}
	for _, path := range all {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, false, err
		}
		text[strings.TrimPrefix(path, dir+"/")] = string(data)
	}
	for name, data := range text {
		switch base := filepath.Base(name); {
		case strings.HasPrefix(name, "conf.d/"), base == "update-exim4.conf.conf", base == "exim4.conf.template", base == "exim4.conf.localmacros":
			files["/etc/exim4/"+name] = data
			generate = true
		}
	}
	if generate && text["exim.conf"] == "" {
		return files, true, nil
	}
	for _, base := range []string{"exim4.conf", "exim.conf", "configure", "exim2.conf"} {
		if data, ok := text[base]; ok {
			files = map[string]string{debWinner: data}
			break
		}
	}
	for name, data := range text { // parts go where the others name them
		for _, other := range text {
			for _, word := range strings.FieldsFunc(other, func(r rune) bool { return strings.ContainsRune(" \t\n\r\"{};:,", r) }) {
				if strings.HasPrefix(word, "/") && strings.HasSuffix(word, "/"+name) {
					files[word] = data
				}
			}
		}
		for _, dir := range []string{"/etc/exim4/", "/etc/exim/"} {
			if files[dir+name] == "" {
				files[dir+name] = data
			}
		}
	}
	return files, false, nil
}

// TestDifferenceCorpus collects every published configuration that a real Exim accepts, and compares what its sources say with what
// it answers to the collector's own questions.
func TestDifferenceCorpus(t *testing.T) {
	dir := corpusDir(t)
	if dir == "" {
		t.Skip("compares nothing: no corpus")
	}
	hosts, err := filepath.Glob(filepath.Join(dir, "exim", "*"))
	if err != nil || len(hosts) < 20 {
		t.Fatalf("%d hosts: %v", len(hosts), err)
	}
	script := facts.Script(Driver.Collect)
	roots := shadowRoots(t)
	if os.Getenv("MTAHARDEN_EXIM_CORPUS") != "all" { // a full run takes every release, another the one that the seed picks
		roots = roots[howMany("MTAHARDEN_DIFFERENCE_SEED", 1)%len(roots):][:1]
	}
	for _, root := range roots {
		s := startShadow(t, root)
		c, taken := newTally(), 0
		for _, host := range hosts {
			files, generate, err := published(host)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Base(host)
			r, err := s.ask(order{Files: files, Generate: generate, Collect: script})
			if err != nil {
				t.Fatal(err)
			}
			if r.Broken != "" {
				t.Logf("%s is not taken: %.150s", name, r.Broken)
				continue
			}
			taken++
			snap, err := facts.Parse(bytes.NewReader(r.Snapshot))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, in := range detect(snap) {
				if n := compareHost(t, s.version+" "+name, snap, in, c); n == 0 {
					t.Logf("%s: asked nothing: %s", name, snap.Fact("exim:1:not-asked"))
				}
			}
		}
		t.Logf("%s: %d of %d configurations taken", s.version, taken, len(hosts))
		c.report(t)
		if taken < 8 || c.told < 100 {
			t.Errorf("%s: %d configurations, %d answers compared: too few", s.version, taken, c.told)
		}
	}
}

// compareHost compares the answers of one installation and returns how many of Exim's there were.
func compareHost(t *testing.T, where string, s *facts.Snapshot, in mta.Install, c *tally) int {
	t.Helper()
	cfg, err := read(s, in)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return 0
	}
	said := map[judge.Question]judge.Answer{}
	n := 0
	for _, a := range answers(s, cfg) {
		if a.Judge == judge.MTA {
			said[a.Question] = a
			if a.Outcome != judge.CannotTell {
				n++
			}
		} else if m, ok := said[a.Question]; ok {
			c.compare(t, where, m, a)
		}
	}
	if m := cfg.Model.(*model); !m.agrees {
		t.Logf("%s: the ACLs are read otherwise than -bP config prints them", where)
	}
	return n
}

// sessionsOf are the dialogues put to each generated configuration, in the collector's words.
func sessionsOf(r *generator) []string {
	const rcpt = "EHLO probe.example.com|=plain|MAIL FROM:<probe@example.com>|RCPT TO:<probe@example.org>|RSET|=null-sender|MAIL FROM:<>|RCPT TO:<probe@example.org>|" +
		"RSET|=own-sender|MAIL FROM:<probe@mx.example.edu>|RCPT TO:<probe@sub.example.org>|RSET|=percent-name|MAIL FROM:<probe@example.com>|RCPT TO:<probe%example.org@mx.example.edu>|"
	const more = "EHLO probe.example.com|=plain|MAIL FROM:<other@sub.example.com>|RCPT TO:<probe@relay.example.net>|RSET|=domain|MAIL FROM:<probe@example.com>|RCPT TO:<other@mx.example.edu>|" +
		"RSET|=quoted|MAIL FROM:<probe@example.com>|RCPT TO:<\"probe@example.org\">|"
	const shows = "EHLO probe.example.com|VRFY root@mx.example.edu|VRFY probe7nobody@mx.example.edu|EXPN postmaster@mx.example.edu|EXPN root@mx.example.edu|HELP|"
	out := []string{"198.51.100.7 - " + rcpt, "198.51.100.7 - " + more, "198.51.100.7 - " + shows, "198.51.100.7,user=probe - " + rcpt}
	for _, client := range []string{"10.1.2.3", "203.0.113.9", "192.0.2.7", "127.0.0.1", "::1", "2001:db8::7", "10.9.9.1", "11.0.0.1", "192.168.3.4"} {
		if r.chance(45) {
			out = append(out, client+" - "+r.one(rcpt, more))
		}
	}
	if r.chance(25) {
		out = append(out, "198.51.100.7,tls - "+rcpt)
	}
	return out
}

// talkOf is a dialogue as the shadow carries it out.
func talkOf(asked string) talk {
	s := parseSession(asked, nil, nil, stages{})
	t := talk{TLS: s.TLS, Args: []string{"-bh", s.Client}}
	if s.User != "" {
		t.Args = append([]string{"-oMaa", "plain", "-oMai", s.User}, t.Args...)
	}
	for _, x := range s.Exchanges {
		t.Say = append(t.Say, x.Command)
	}
	return t
}

// modelOf is the reading of files that were put over a shadow's system.
func modelOf(t *testing.T, version, live, text, options string, addrs []string, open opener) *model {
	t.Helper()
	p, err := parse(splitLines(live, []byte(text)), open, nil, nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	m := &model{in: mta.Install{MTA: "exim", Config: live}, cfg: understand(p, open), names: map[string]string{"far": "example.org", "from": "example.com", "local": "mx.example.edu"}}
	if m.cfg.primary == "" {
		m.cfg.primary = "mx.example.edu"
	}
	m.cfg.qualify = m.cfg.option("qualify_domain", m.cfg.primary)
	m.cfg.version = version
	for _, a := range addrs {
		m.cfg.own = append(m.cfg.own, netip.MustParsePrefix(a))
	}
	if m.agrees = options == "" || sameACLs(options, p); !m.agrees {
		t.Errorf("the ACLs are read otherwise than -bP config prints them:\n%s\n%s", text, options)
	}
	m.trusted = m.cfg.trusted()
	m.cfg.trusts = m.trusted
	return m
}

func configOf(m *model) *mta.Config { return &mta.Config{Model: m} }

func howMany(name string, otherwise int) int {
	if n := atoi(os.Getenv(name)); n > 0 {
		return n
	}
	return otherwise
}

// TestDifferenceGenerated compares reading and Exim over random configurations.
func TestDifferenceGenerated(t *testing.T) {
	seed := int64(howMany("MTAHARDEN_DIFFERENCE_SEED", 1))
	configs := howMany("MTAHARDEN_EXIM_CONFIGS", 60)
	from := max(howMany("MTAHARDEN_EXIM_FROM", 0), 0) // of a run that is looked into
	for _, root := range shadowRoots(t) {
		s := startShadow(t, root)
		c := newTally()
		seen := map[string]int{}
		refused := 0
		for i := from; i < configs; i++ {
			g := newGenerator(seed*100003 + int64(i))
			text := g.configuration()
			g.files["/etc/exim4/made.conf"] = text
			asked := sessionsOf(g)
			o := order{Files: g.files, Config: "/etc/exim4/made.conf"}
			for _, a := range asked {
				o.Talks = append(o.Talks, talkOf(a))
			}
			r, err := s.ask(o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Broken != "" {
				refused++
				t.Logf("configuration %d is not taken: %s", i, r.Broken)
				continue
			}
			for k, n := range g.seen {
				seen[k] += n
			}
			open := func(path string) ([]byte, bool, bool) {
				data, ok := g.files[path]
				return []byte(data), ok, ok || strings.HasPrefix(path, "/etc/exim4/made/")
			}
			m := modelOf(t, s.number(), "/etc/exim4/made.conf", text, r.Options, s.addrs, open)
			before := c.differ
			for j, a := range asked {
				for _, said := range m.heard(parseSession(a, []byte(r.Heard[j][0]), []byte(r.Heard[j][1]), m.cfg.stages())) {
					if m.fromConfig(said.Question).Outcome != m.explain(said).Outcome {
						c.either++
					}
					c.compare(t, fmt.Sprintf("%s configuration %d", s.version, i), said, m.explain(said))
				}
			}
			if c.differ > before && len(c.shown) <= 5 {
				t.Logf("configuration %d:\n%s", i, text)
			}
		}
		t.Logf("%s: %d configurations, %d not taken", s.version, configs, refused)
		c.report(t)
		for _, word := range required {
			if seen[word] == 0 && configs >= 60 {
				t.Errorf("%s was never generated", word)
			}
		}
		if c.told < configs*10 || refused > configs/10 {
			t.Errorf("%s: %d answers compared, %d configurations refused: too few", s.version, c.told, refused)
		}
	}
}
