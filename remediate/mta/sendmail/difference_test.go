package sendmail

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// The reading of a configuration is held against what a real sendmail answers in test mode. Each configuration is laid into an installed
// system (the lower layer of an overlay: nothing in it is changed) in namespaces of its own, generated with its own m4 and makemap, and
// collected by the collector that an audit runs. MTAHARDEN_SENDMAIL_ROOTS lists such systems, parted by blanks, a system's layers parted
// by colons; MTAHARDEN_SENDMAIL_GENERATED says how many configurations to generate for each, MTAHARDEN_SENDMAIL_CORPUS how many of the
// published ones to take ("all" without it), MTAHARDEN_DIFFERENCE_SEED from what.

//go:embed testdata/enter.sh
var enter string

//go:embed testdata/within.sh
var within_ string

// roots are the systems named; a test that has none compares nothing and says so, rather than pass.
func roots(t *testing.T) []string {
	t.Helper()
	list := strings.Fields(os.Getenv("MTAHARDEN_SENDMAIL_ROOTS"))
	if len(list) == 0 {
		t.Skip("compares nothing: MTAHARDEN_SENDMAIL_ROOTS names no installed sendmail")
	}
	return list
}

// A site is the files of one configuration by their absolute path.
type site map[string][]byte

// collected lays the sites into the system under root one after the other and returns what the collector said of each, nil where the
// configuration could not be generated.
func collected(t *testing.T, root string, sites map[string]site) map[string]*facts.Snapshot {
	t.Helper()
	dir := t.TempDir()
	for name, files := range sites {
		for path, data := range files {
			write(t, filepath.Join(dir, "in", name, path), data)
		}
	}
	write(t, filepath.Join(dir, "collect.sh"), []byte(facts.Script(Driver.Collect)))
	write(t, filepath.Join(dir, "within.sh"), []byte(within_))
	if err := os.MkdirAll(filepath.Join(dir, "out"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-m", "-n", "-p", "-u", "-f", "--kill-child", "sh", "-c", enter, "sh", root, t.TempDir(), dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", root, err, out)
	}
	snapshots := map[string]*facts.Snapshot{}
	for name := range sites {
		data, err := os.ReadFile(filepath.Join(dir, "out", name+".snap"))
		if err != nil {
			made, _ := os.ReadFile(filepath.Join(dir, "out", name+".make"))
			t.Logf("%s: not generated: %s", name, bytes.TrimSpace(made))
			continue
		}
		s, err := facts.Parse(bytes.NewReader(data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		snapshots[name] = s
	}
	return snapshots
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// tallied counts what came of the comparison.
type tallied struct {
	version                            string
	configurations, refused, questions int
	outcomes                           map[judge.Outcome]int
	open                               map[string]int // cannot-tell by its cause
}

func newTally() *tallied {
	return &tallied{outcomes: map[judge.Outcome]int{}, open: map[string]int{}}
}

func (n *tallied) log(t *testing.T) {
	open := 0
	for _, c := range n.open {
		open += c
	}
	t.Logf("sendmail %s: %d configurations, %d more refused by sendmail; %d questions, %v, %d cannot-tell", n.version, n.configurations, n.refused, n.questions, n.outcomes, open)
	for _, why := range slices.Sorted(maps.Keys(n.open)) {
		t.Logf("cannot-tell %d: %s", n.open[why], why)
	}
}

// compare holds the reading of one snapshot against sendmail's own answers.
func (n *tallied) compare(t *testing.T, name string, s *facts.Snapshot) {
	t.Helper()
	found := detect(s)
	if len(found) == 0 {
		t.Errorf("%s: no sendmail was found", name)
		return
	}
	c, err := read(s, found[0])
	if err != nil {
		n.refused++
		t.Logf("%s: %v", name, err)
		return
	}
	m := c.Model.(*model)
	if m.said == nil || m.said.why() != "" {
		n.refused++
		t.Logf("%s: sendmail does not answer: %s%s", name, m.noask, m.whyNot())
		return
	}
	n.configurations++
	n.version = found[0].Version
	for _, q := range questions(s, m.cf.path) {
		says, reads := m.mtaAnswer(s, q), m.raw(c, q)
		n.questions++
		if says.Outcome == judge.CannotTell {
			n.open["sendmail: "+cause(says.Text)]++
			continue
		}
		n.outcomes[says.Outcome]++
		if reads.Outcome == judge.CannotTell {
			n.open[cause(reads.Text)]++
			continue
		}
		if reads.Outcome != says.Outcome {
			t.Errorf("%s: question %d %+v:\n  sendmail %s: %s\n  reading  %s: %s\n  %v", name, q.n, q.Question, says.Outcome, says.Text, reads.Outcome, reads.Text, reads.Because)
		}
		if len(reads.Because) == 0 && q.Verb == judge.Rcpt {
			t.Errorf("%s: question %d %+v: %s and no reason", name, q.n, q.Question, reads.Outcome)
		}
	}
}

// cause is a text without what differs from question to question.
func cause(text string) string {
	if i := strings.Index(text, ": "); i >= 0 && !strings.HasPrefix(text, "map ") {
		text = text[:i]
	}
	return text
}

func (m *model) whyNot() string {
	if m.said == nil {
		return "not asked"
	}
	return m.said.why()
}

// raw is the reading before it is held against sendmail's answer.
func (m *model) raw(c *mta.Config, q asked) judge.Answer {
	if q.Verb == judge.Rcpt {
		return m.evaluated(q)
	}
	return m.enumerated(c, q)
}

// TestDifferenceCorpus: the published configurations.
func TestDifferenceCorpus(t *testing.T) {
	list := roots(t)
	hosts := map[string]site{}
	corpus(t, func(path string, data []byte) {
		if !strings.Contains(path, "/sendmail/") {
			return
		}
		host, file := filepath.Base(filepath.Dir(path)), filepath.Base(path)
		for _, made := range []string{"cf", "mc"} { // each with its own .cf, and with the one that m4 makes of its .mc
			if strings.HasSuffix(file, ".mc") && file != "submit.mc" && made == "mc" {
				file = "sendmail.mc"
			} else if file == "sendmail.mc" || file == "sendmail.cf" && made == "mc" {
				continue
			}
			if hosts[host+"-"+made] == nil {
				hosts[host+"-"+made] = site{}
			}
			hosts[host+"-"+made]["/etc/mail/"+file] = data
		}
	})
	for name, files := range hosts {
		if files["/etc/mail/sendmail.cf"] == nil && files["/etc/mail/sendmail.mc"] == nil {
			delete(hosts, name)
		}
	}
	if len(hosts) == 0 {
		t.Skip("compares nothing: no published configurations at hand")
	}
	for i, root := range list {
		t.Run(fmt.Sprint("system ", i+1), func(t *testing.T) {
			n := newTally()
			snapshots := collected(t, root, sample(t, hosts, i))
			for _, name := range slices.Sorted(maps.Keys(snapshots)) {
				n.compare(t, name, snapshots[name])
			}
			n.log(t)
			if n.configurations == 0 && len(snapshots) > 8 {
				t.Error("sendmail took none of the configurations")
			}
		})
	}
}

// TestDifferenceSites: the cases of testdata/sites, with what both judges must say and where the reading must find it. A line is
// "want CLASS ENTRY FORM OUTCOME PLACE… @LISTENER", or "want VERB CLASS OUTCOME PLACE…"; a place is FILE or FILE:LINE, in order.
func TestDifferenceSites(t *testing.T) {
	list := roots(t)
	files, err := filepath.Glob("testdata/sites/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	sites, wants := map[string]site{}, map[string][]string{}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		sites[name] = site{}
		for _, f := range a.Files {
			sites[name][f.Name] = f.Data
		}
		for line := range strings.Lines(string(a.Comment)) {
			if rest, ok := strings.CutPrefix(line, "want "); ok {
				wants[name] = append(wants[name], strings.TrimSpace(rest))
			}
		}
	}
	for i, root := range list {
		if short() && i != number(t, "MTAHARDEN_DIFFERENCE_SEED", 1)%len(list) {
			continue
		}
		t.Run(fmt.Sprint("system ", i+1), func(t *testing.T) {
			n := newTally()
			snapshots := collected(t, root, sites)
			for _, name := range slices.Sorted(maps.Keys(sites)) {
				if snapshots[name] == nil {
					t.Errorf("%s: not generated", name)
					continue
				}
				n.compare(t, name, snapshots[name])
				expect(t, name, snapshots[name], wants[name])
			}
			n.log(t)
		})
	}
}

// expect looks for each wanted answer among those of both judges.
func expect(t *testing.T, name string, s *facts.Snapshot, wants []string) {
	t.Helper()
	c, err := read(s, detect(s)[0])
	if err != nil {
		t.Fatal(err)
	}
	all := answers(s, c)
	for _, want := range wants {
		f := strings.Fields(want)
		verb, class, entry, form, rest := judge.Rcpt, f[0], strings.TrimPrefix(f[1], "-"), f[2], f[3:]
		if f[0] == "expn" || f[0] == "vrfy" {
			verb, class, entry, form, rest = judge.Verb(strings.ToUpper(f[0])), f[1], "", "", f[2:]
		}
		listener := ""
		if last := rest[len(rest)-1]; last[0] == '@' {
			listener, rest = last[1:], rest[:len(rest)-1]
		}
		met := false
		for _, a := range all {
			q := a.Question
			if q.Verb != verb || string(q.Class) != class || q.Entry != entry || q.Form != form || q.Listener != listener || verb == judge.Rcpt && q.Class == judge.Outside && q.ClientName == "" {
				continue
			}
			if a.Judge == judge.MTA && a.Outcome != judge.CannotTell && string(a.Outcome) != rest[0] {
				t.Errorf("%s: want %s: sendmail %s: %s", name, want, a.Outcome, a.Text)
			}
			if a.Judge != judge.Config {
				continue
			}
			met = met || string(a.Outcome) == rest[0]
			if string(a.Outcome) != rest[0] || !placed(a.Because, rest[1:]) {
				t.Errorf("%s: want %s: reading %s: %s: %v", name, want, a.Outcome, a.Text, a.Because)
			}
		}
		if !met {
			t.Errorf("%s: want %s: nobody says so", name, want)
		}
	}
}

func placed(lines []judge.Line, places []string) bool {
	if len(lines) < len(places) {
		return false
	}
	for i, p := range places {
		have := filepath.Base(lines[i].File)
		if strings.Contains(p, ":") {
			have += fmt.Sprintf(":%d", lines[i].Line)
		}
		if have != p {
			return false
		}
	}
	return true
}

// short says that a part of the comparison is to do: the cases then run on one system.
func short() bool {
	count := os.Getenv("MTAHARDEN_SENDMAIL_CORPUS")
	return count != "" && count != "all"
}

// sample takes some of the sites, others for each system.
func sample(t *testing.T, sites map[string]site, system int) map[string]site {
	t.Helper()
	if !short() {
		return sites
	}
	names := slices.Sorted(maps.Keys(sites))
	r := rand.New(rand.NewPCG(uint64(number(t, "MTAHARDEN_DIFFERENCE_SEED", 1)), uint64(system)))
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	some := map[string]site{}
	for _, name := range names[:min(number(t, "MTAHARDEN_SENDMAIL_CORPUS", 0), len(names))] {
		some[name] = sites[name]
	}
	return some
}
