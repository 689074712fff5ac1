package sendmail

import (
	"bytes"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"mtaharden/remediate/mta"
)

// oldCF are published configurations from before check_rcpt, which relay for everybody.
var oldCF = []string{"386bsd-etc", "os2-warp"}

// TestCorpusHosts reads each published host as a whole, edits nothing, and sets a privacy word in it.
func TestCorpusHosts(t *testing.T) {
	hosts := map[string][]txtar.File{}
	corpus(t, func(path string, data []byte) {
		if host := filepath.Base(filepath.Dir(path)); strings.Contains(path, "/sendmail/") {
			hosts[host] = append(hosts[host], txtar.File{Name: "file /etc/mail/" + filepath.Base(path), Data: data})
		}
	})
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		t.Run(host, func(t *testing.T) { corpusHost(t, host, hosts[host]) })
	}
}

func corpusHost(t *testing.T, host string, files []txtar.File) {
	has := func(name string) bool {
		return slices.ContainsFunc(files, func(f txtar.File) bool { return f.Name == "file /etc/mail/"+name })
	}
	a := &txtar.Archive{Files: files}
	if !has("sendmail.cf") {
		a.Files = append(a.Files, txtar.File{Name: "file /etc/mail/sendmail.cf", Data: []byte("V10/Berkeley\nO LogLevel=9\nMlocal, P=/bin/mail, F=l, A=x\nScheck_rcpt\n")})
	}
	if has("sendmail.mc") {
		a.Files = append(a.Files, txtar.File{Name: "fact sendmail:mc:/etc/mail/sendmail.cf", Data: []byte("/etc/mail/sendmail.mc")})
	}
	s := framed(t, a)
	c, err := read(s, mta.Install{Config: "/etc/mail/sendmail.cf"})
	if err != nil {
		t.Fatal(err)
	}
	if files, err := edit(c, nil); err != nil || len(files) > 0 {
		t.Errorf("no fix edits %d files: %v", len(files), err)
	}
	old := slices.ContainsFunc(c.Notes, func(n mta.Note) bool { return n.Code == "pre-8.9" })
	if old != slices.Contains(oldCF, host) {
		t.Errorf("it is taken for a configuration from before 8.9: %t", old)
	}
	for _, n := range c.Notes {
		// sendmail 5 had options of its own
		if n.Code == "unknown-line" || n.Code == "unknown-option" && !old {
			t.Errorf("%s:%d: %s", n.File, n.Line, n.Text)
		}
	}
	corpusEdit(t, c)
}

// corpusEdit adds a privacy word and looks for it in what comes out; all other lines must be there still, in order.
func corpusEdit(t *testing.T, c *mta.Config) {
	files, err := edit(c, []mta.Fix{{Name: "PrivacyOptions", Op: mta.Add, Value: "noetrn"}})
	if err != nil {
		t.Logf("not edited: %v", err)
		return
	}
	for _, f := range files {
		if !bytes.Contains(f.Data, []byte("noetrn")) {
			t.Errorf("%s lacks what was set", f.Path)
		}
		before, after := strings.SplitAfter(string(f.Origin.Data), "\n"), strings.SplitAfter(string(f.Data), "\n")
		changed := 0
		for i, j := 0, 0; i < len(before) && j < len(after); {
			switch {
			case before[i] == after[j]:
				i, j = i+1, j+1
			case j+1 < len(after) && before[i] == after[j+1]:
				changed, j = changed+1, j+1
			default:
				changed, i, j = changed+1, i+1, j+1
			}
		}
		if changed != 1 {
			t.Errorf("%s: %d lines changed", f.Path, changed)
		}
	}
	if files, err := edit(c, []mta.Fix{{Name: "PrivacyOptions", Op: mta.Add, Value: "authwarnings"}}); err == nil {
		t.Logf("authwarnings: %d files edited", len(files))
	}
}
