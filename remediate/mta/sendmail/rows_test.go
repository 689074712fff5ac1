package sendmail

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
)

type row struct {
	name, place   string
	number, forms int
	site          site
}

// rows are the settings of testdata/rows.txt as configurations.
func rows(t *testing.T) []row {
	t.Helper()
	data, err := os.ReadFile("testdata/rows.txt")
	if err != nil {
		t.Fatal(err)
	}
	var list []row
	for line := range strings.Lines(string(data)) {
		f := strings.Split(line, "|")
		if line[0] == '#' {
			continue
		}
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		n, err := strconv.Atoi(f[4])
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		source := "OSTYPE(`linux')dnl\nFEATURE(`access_db', `hash -T<TMPF> /etc/mail/access')dnl\n" + f[1] + "\nMAILER(`local')dnl\nMAILER(`smtp')dnl\n"
		list = append(list, row{f[0], f[5], len(list), n, site{
			"/etc/mail/sendmail.mc": []byte(source), "/etc/mail/access": []byte(strings.Replace(f[2], " ", "\t", 1) + "\n"), "/etc/mail/relay-domains": []byte(f[3] + "\n"),
		}})
	}
	return list
}

// TestDifferenceRows: what each setting does to an outside client, sendmail and reading alike, and where the reading finds it. The forms
// go to one foreign domain from one client; a short run takes a quarter of them on the last system alone.
func TestDifferenceRows(t *testing.T) {
	list := roots(t)
	if short() {
		list = list[len(list)-1:]
	}
	all := rows(t)
	if short() {
		first := number(t, "MTAHARDEN_DIFFERENCE_SEED", 1) % 4
		all = slices.DeleteFunc(all, func(r row) bool { return r.number%4 != first })
	}
	sites := map[string]site{}
	for _, r := range all {
		sites[r.name] = r.site
	}
	for _, root := range list {
		snapshots := collected(t, root, sites)
		n := newTally()
		for _, r := range all {
			s := snapshots[r.name]
			if s == nil {
				t.Errorf("%s: not generated", r.name)
				continue
			}
			n.compare(t, r.name, s)
			r.check(t, s)
		}
		n.log(t)
	}
}

func (r row) check(t *testing.T, s *facts.Snapshot) {
	t.Helper()
	c, err := read(s, detect(s)[0])
	if err != nil {
		t.Fatal(err)
	}
	m := c.Model.(*model)
	// the collector asks about a client and a domain that no sound entry names; here it is the named ones
	list := questions(s, m.cf.path)[:16]
	foreign := afterAt(list[0].Recipient)
	through := map[judge.Judge]int{}
	for _, q := range list {
		q.addr, q.name, q.Recipient = "198.51.100.7", "probe.example.net", strings.ReplaceAll(q.Recipient, foreign, "example.org")
		a := m.evaluated(q)
		if a.Outcome == judge.Relayed {
			through[a.Judge]++
			at := fmt.Sprintf("%s:%d", filepath.Base(a.Because[0].File), a.Because[0].Line)
			if r.place != "" && at != r.place {
				t.Errorf("%s: %s is explained by %s, want %s: %v", r.name, q.Form, at, r.place, a.Because)
			}
		}
	}
	if through[judge.Config] != r.forms {
		t.Errorf("%s: %d of 16 forms relayed, want %d", r.name, through[judge.Config], r.forms)
	}
}
