package exim

import (
	"bytes"
	"fmt"
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
	why                 map[string]int // cannot-tell of the reading, by its cause
	mute                map[string]int // cannot-tell of Exim's own
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
		if c.differ <= 12 {
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
	t.Logf("%d questions: %d agree, %d differ, %d cannot-tell by reading, %d by Exim", c.asked, c.told, c.differ, unsure, mute)
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

func newTally() *tally { return &tally{why: map[string]int{}, mute: map[string]int{}} }

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
		if files["/etc/exim4/"+name] == "" {
			files["/etc/exim4/"+name] = data
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
	for _, root := range shadowRoots(t) {
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

var _ = fmt.Sprint
