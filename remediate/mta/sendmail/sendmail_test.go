package sendmail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/mta/mtatest"
)

// framed makes of an archive what the collector would have sent. A file of the archive is named "fact KEY", "file PATH", "out NAME"
// or "fail NAME"; of an "out" the exit status is 0, of a "fail" 1 and the text is its standard error.
func framed(t testing.TB, a *txtar.Archive) *facts.Snapshot {
	t.Helper()
	var b bytes.Buffer
	const nonce = "mh-0123456789abcdef"
	b.WriteString(nonce + " begin 1 digest 1795297675\n" + nonce + " fact root 1\n")
	body := func(data []byte) {
		for _, line := range strings.SplitAfter(string(data), "\n") {
			if line != "" {
				b.WriteString("|" + strings.TrimSuffix(line, "\n") + "\n")
			}
		}
		b.WriteString(nonce + " end\n")
	}
	for _, f := range a.Files {
		word, name, _ := strings.Cut(f.Name, " ")
		data := f.Data
		if strings.Contains(word, "cut-") {
			data = bytes.TrimSuffix(data, []byte("\n"))
		}
		if strings.Contains(word, "crlf-") {
			data = bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))
		}
		word = strings.TrimPrefix(strings.TrimPrefix(word, "crlf-"), "cut-")
		switch word {
		case "fact":
			fmt.Fprintf(&b, "%s fact %s %s\n", nonce, name, strings.TrimSpace(string(data)))
		case "file":
			sum := sha256.Sum256(data)
			fmt.Fprintf(&b, "%s file path=%s mode=81a4 links=1 uid=0 gid=0 mtime=1795297000 owner=root group=root size=%d sha256=%s\n", nonce, name, len(data), hex.EncodeToString(sum[:]))
			body(data)
		case "absent":
			fmt.Fprintf(&b, "%s file path=%s state=absent\n%s end\n", nonce, name, nonce)
		case "out":
			fmt.Fprintf(&b, "%s output name=%s exit=0\n", nonce, name)
			body(data)
		case "fail":
			fmt.Fprintf(&b, "%s output name=%s exit=1\n%s end\n%s stderr name=%s\n", nonce, name, nonce, nonce, name)
			body(data)
		}
	}
	b.WriteString(nonce + " done\n")
	s, err := facts.Parse(&b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCases runs every testdata/*.txtar: what the host has, the fixes, and what must come of both.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			runCase(t, a)
		})
	}
}

func runCase(t *testing.T, a *txtar.Archive) {
	want := map[string]string{}
	for _, f := range a.Files {
		if strings.HasPrefix(f.Name, "want ") || strings.HasPrefix(f.Name, "after ") {
			want[f.Name] = string(f.Data)
		}
	}
	s := framed(t, a)
	mtatest.Run(t, Driver, s)
	in := mta.Install{MTA: "sendmail", Config: "/etc/mail/sendmail.cf", Program: "/usr/sbin/sendmail"}
	if found := detect(s); len(found) > 0 {
		in = found[0]
	}
	c, err := read(s, in)
	if err != nil {
		check(t, want, "want error", err.Error()+"\n")
		return
	}
	check(t, want, "want settings", lines(c.Settings, func(s mta.Setting) string {
		return strings.TrimSpace(fmt.Sprintf("%s %s= %s @ %s:%d", s.Name, s.Listener, s.Value, filepath.Base(s.File), s.Line))
	}))
	check(t, want, "want trusted", lines(c.Trusted, func(e mta.Trust) string {
		return fmt.Sprintf("%s %s %s @ %s:%d fixes %d", e.ID, e.Kind, e.Net, filepath.Base(e.File), e.Line, len(e.Fix))
	}))
	check(t, want, "want notes", lines(c.Notes, func(n mta.Note) string {
		return fmt.Sprintf("%s @ %s:%d", n.Code, filepath.Base(n.File), n.Line)
	}))
	if w, ok := want["want answers"]; ok {
		var got strings.Builder
		for _, a := range answers(s, c) {
			q := a.Question
			fmt.Fprintf(&got, "%s %s %s %s %s %s\n", a.Judge, q.Verb, q.Class, q.Entry, q.Form, a.Outcome)
		}
		checkSome(t, w, got.String(), "answers")
	}
	checkEdit(t, a, s, c, want)
}

// checkEdit makes the fixes of the case's head and compares every file that comes of them.
func checkEdit(t *testing.T, a *txtar.Archive, s *facts.Snapshot, c *mta.Config, want map[string]string) {
	var fixes []mta.Fix
	for _, line := range strings.Split(string(a.Comment), "\n") {
		if rest, ok := strings.CutPrefix(line, "fix: "); ok {
			f := strings.SplitN(rest, " ", 3)
			f = append(f, "", "")
			fixes = append(fixes, mta.Fix{Name: f[0], Op: mta.Op(f[1]), Value: strings.ReplaceAll(f[2], `\n`, "\n")})
		}
	}
	if verb, ok := strings.CutPrefix(lastLine(a.Comment), "remedy: "); ok {
		for _, answer := range answers(s, c) {
			if string(answer.Question.Verb) == verb {
				fixes = append(fixes, remedy(c, answer)...)
			}
		}
		if len(fixes) == 0 {
			t.Fatalf("no remedy for %s", verb)
		}
	}
	if len(fixes) == 0 {
		return
	}
	files, err := edit(c, fixes)
	if err != nil {
		check(t, want, "want error", err.Error()+"\n")
		return
	}
	if _, ok := want["want error"]; ok {
		t.Fatalf("edit made no error, want %s", want["want error"])
	}
	got := map[string]string{}
	for _, f := range files {
		got["after "+f.Path] = string(f.Data)
	}
	for name, data := range want {
		if strings.HasPrefix(name, "after ") {
			have := strings.ReplaceAll(got[name], "\r\n", "~\n")
			if have != "" && !strings.HasSuffix(have, "\n") {
				have += "<no line end>\n"
			}
			if diff := cmp.Diff(data, have); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			delete(got, name)
		}
	}
	for name := range got {
		t.Errorf("%s was edited too", name)
	}
	// what was fixed once needs no second fix
	if again, err := edit(c, append(fixes, fixes...)); err != nil || len(again) != len(files) {
		t.Errorf("the same fixes twice: %d files, %v", len(again), err)
	}
}

func lastLine(b []byte) string {
	text := strings.TrimSpace(string(b))
	return text[strings.LastIndexByte(text, '\n')+1:]
}

func lines[T any](list []T, show func(T) string) string {
	var b strings.Builder
	for _, v := range list {
		b.WriteString(show(v) + "\n")
	}
	return b.String()
}

// check compares a whole list; lines beginning with "~" in settings say that only those named need to be there.
func check(t *testing.T, want map[string]string, name, got string) {
	t.Helper()
	w, ok := want[name]
	if !ok {
		return
	}
	if name == "want settings" || name == "want error" {
		checkSome(t, w, got, name)
		return
	}
	if diff := cmp.Diff(w, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// checkSome wants each line of want somewhere in got.
func checkSome(t *testing.T, want, got, what string) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(want), "\n") {
		if !strings.Contains(got, line) {
			t.Errorf("%s: %q is not in\n%s", what, line, got)
		}
	}
}

// corpus walks the published configurations, where they are at hand.
func corpus(t testing.TB, visit func(path string, data []byte)) {
	dir := os.Getenv("MTAHARDEN_CORPUS")
	if dir == "" {
		dir = "../../../../shared/corpus"
	}
	n := 0
	for _, sub := range []string{"sendmail", "malformed"} {
		filepath.WalkDir(filepath.Join(dir, sub), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Error(err)
				return nil
			}
			n++
			visit(path, data)
			return nil
		})
	}
	t.Logf("%d published files read", n)
}

// TestCorpus: every published configuration parses, no line is lost, and nothing changed is nothing written.
func TestCorpus(t *testing.T) {
	corpus(t, func(path string, data []byte) {
		whole(t, path, data)
		c := parseCF(path, data)
		name := filepath.Base(path)
		if strings.HasSuffix(name, ".cf") && strings.Contains(path, "sendmail") {
			if why := c.whole(); why != "" {
				t.Errorf("%s: %s", path, why)
			}
			for _, o := range c.options {
				if !o.known {
					t.Logf("%s:%d: option %s is not known", path, o.line.line, o.name)
				}
			}
		}
		m := readMC(path, data, func(string) ([]byte, bool) { return nil, false })
		if strings.HasSuffix(name, ".mc") && !strings.Contains(path, "malformed") {
			if err := m.err(); err != nil {
				t.Logf("%v", err)
			}
			if len(m.named("MAILER", "")) == 0 && !strings.Contains(name, "submit") && len(m.named("FEATURE", "nullclient")) == 0 {
				t.Errorf("%s: no MAILER was read", path)
			}
		}
	})
}

// whole fails unless the physical and the logical lines of data hold every byte once and in order.
func whole(t testing.TB, path string, data []byte) {
	at := 0
	for _, s := range physical(data) {
		if s.start != at || s.end <= s.start {
			t.Fatalf("%s: line %d begins at %d, not %d", path, s.line, s.start, at)
		}
		at = s.end
	}
	if at != len(data) {
		t.Fatalf("%s: %d bytes of %d are in lines", path, at, len(data))
	}
	at = 0
	for _, l := range logical(data) {
		if l.start != at {
			t.Fatalf("%s:%d: a line was lost", path, l.line)
		}
		at = l.end
	}
	if at != len(data) || !bytes.Equal(splice(data, nil), data) {
		t.Fatalf("%s: not every byte is in a logical line", path)
	}
}

// TestMalformed: what is no sendmail configuration gets an error, not a verdict.
func TestMalformed(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "comments": "# nothing\n\n", "html": "<html>\n<body>404</body>\n", "half": "V10/Berkeley\n",
	} {
		s := framed(t, &txtar.Archive{Files: []txtar.File{{Name: "file /etc/mail/sendmail.cf", Data: []byte(text)}}})
		c, err := read(s, mta.Install{Config: "/etc/mail/sendmail.cf"})
		if err == nil {
			t.Errorf("%s was read: %+v", name, c.Notes)
		}
	}
}
