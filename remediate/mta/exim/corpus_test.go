package exim

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// corpusDir is where published configurations lie beside the repository; "" where they do not.
func corpusDir(t *testing.T) string {
	dir := os.Getenv("MTAHARDEN_CORPUS")
	if dir == "" {
		dir = "../../../../shared/corpus"
	}
	if _, err := os.Stat(dir); err != nil {
		t.Logf("no corpus at %s: 0 files read", dir)
		return ""
	}
	return dir
}

// folderOpener answers for absolute names by the base name within one folder, as the published parts lie there.
func folderOpener(dir string) opener {
	return func(path string) ([]byte, bool, bool) {
		data, err := os.ReadFile(filepath.Join(dir, filepath.Base(path)))
		if err != nil {
			return nil, false, false
		}
		return data, true, true
	}
}

// Every line of every published file is a statement, a definition, a directive, or left out by a condition: none is lost.
func TestCorpus(t *testing.T) {
	dir := corpusDir(t)
	if dir == "" {
		return
	}
	read := 0
	err := filepath.WalkDir(filepath.Join(dir, "exim"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read++
		t.Run(strings.TrimPrefix(path, dir+"/"), func(t *testing.T) { checkCorpusFile(t, path, data) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files read", read)
	if read < 50 {
		t.Errorf("only %d files", read)
	}
}

func checkCorpusFile(t *testing.T, path string, data []byte) {
	if strings.HasSuffix(path, "update-exim4.conf.conf") {
		vars, odd := parseDC(data)
		if len(vars) < 5 || len(odd) > 0 {
			t.Errorf("%d variables, odd lines %v", len(vars), odd)
		}
		for _, v := range vars {
			if got := string(data[v.From:v.To]); got != v.Value {
				t.Errorf("%s: range holds %q, value %q", v.Name, got, v.Value)
			}
		}
		return
	}
	lines := splitLines(path, data)
	p, err := parse(lines, folderOpener(filepath.Dir(path)), nil, nil)
	if err != nil {
		if !strings.Contains(err.Error(), path+":") && !strings.Contains(err.Error(), filepath.Dir(path)) {
			t.Errorf("an error without a place: %v", err)
		}
		t.Logf("not taken: %v", err)
		return
	}
	checkNoLineLost(t, path, lines, p)
	c := understand(p, folderOpener(filepath.Dir(path)))
	c.primary = "mx.example.com"
	c.trusted()
	for _, client := range []string{"198.51.100.7", "127.0.0.1", "2001:db8::1"} {
		q := judge.Question{Class: judge.Outside, ClientAddr: client, Verb: judge.Rcpt, Sender: "probe@example.net", Recipient: "probe@example.org"}
		if out, _ := c.recipient(q); out == "" {
			t.Errorf("no outcome for %s", client)
		}
	}
	if out, err := apply(mta.File{Path: path, Data: data}, nil); err != nil || !bytes.Equal(out, data) {
		t.Errorf("written without an edit it is another file: %v", err)
	}
}

func checkNoLineLost(t *testing.T, path string, lines []physical, p *program) {
	t.Helper()
	known := map[place]bool{}
	for _, s := range p.Statements {
		for _, at := range s.Lines {
			known[at] = true
		}
	}
	for _, at := range append(p.Passed, p.Defined...) {
		known[at] = true
	}
	for _, l := range lines {
		text := strings.TrimSpace(l.Text)
		if text == "" || text[0] == '#' || known[l.place] {
			continue
		}
		word, _ := cutWord(text)
		switch word {
		case ".ifdef", ".ifndef", ".elifdef", ".elifndef", ".else", ".endif", ".include", ".include_if_exists":
		default:
			t.Errorf("%s is lost: %q", l.place, l.Text)
		}
	}
}

// What is no configuration of Exim at all gives an error or no verdict, never a pass.
func TestMalformed(t *testing.T) {
	dir := corpusDir(t)
	if dir == "" {
		return
	}
	read := 0
	err := filepath.WalkDir(filepath.Join(dir, "malformed"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read++
		if vars, odd := parseDC(data); len(vars) > 5 && strings.Contains(path, "update-exim4") {
			if len(odd) == 0 {
				t.Errorf("%s: an unfilled placeholder is taken for a value", path)
			}
			return nil
		}
		p, err := parse(splitLines(path, data), folderOpener(filepath.Dir(path)), nil, nil)
		if err != nil {
			return nil
		}
		m := &model{cfg: understand(p, folderOpener(filepath.Dir(path))), agrees: true}
		q := judge.Question{Class: judge.Outside, ClientAddr: strangers[0], Verb: judge.Rcpt, Recipient: "probe@example.org"}
		if a := m.fromConfig(q); a.Outcome != judge.CannotTell {
			t.Errorf("%s: %s (%s)", path, a.Outcome, a.Text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files read", read)
}
