package exim

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/tools/txtar"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// hostWith is a snapshot of a host with these files. Where Debian's variables are among them and no exim4.conf, the generated file is
// made as the generator would.
func hostWith(files map[string][]byte) (*facts.Snapshot, mta.Install) {
	live := debWinner
	if files[debWinner] == nil && files[debConf] != nil {
		live = debOutput
	}
	in := mta.Install{MTA: "exim", Program: "/usr/sbin/exim4", Config: live}
	frame := "mh-0123456789abcdef begin 1 0 1795298848\nmh-0123456789abcdef fact root 1\nmh-0123456789abcdef fact exim:1:program /usr/sbin/exim4\nmh-0123456789abcdef fact exim:1:file " + live +
		"\nmh-0123456789abcdef fact exim:debian:tool 4.98.2-1\nmh-0123456789abcdef done\n"
	s, err := facts.Parse(strings.NewReader(frame))
	if err != nil {
		panic(err)
	}
	at := time.Unix(1795298000, 0)
	for _, absent := range []string{debConf, debWinner, debTemplate, debLocal, debSplit + "/main/000_localmacros"} {
		s = s.With(&facts.File{Path: absent, State: facts.Absent})
	}
	for name, data := range files {
		s = s.With(&facts.File{Path: name, Data: data, ModTime: at})
	}
	if live == debOutput && files[debOutput] == nil {
		m := &model{in: in, key: "exim:1", snapshot: s}
		d := &debian{}
		d.vars, _ = parseDC(files[debConf])
		d.generate(m.open, m.folder, "4.98.2-1", "")
		var out bytes.Buffer
		for _, l := range d.lines {
			out.WriteString(l.Text + "\n")
		}
		s = s.With(&facts.File{Path: debOutput, Data: out.Bytes(), ModTime: at.Add(time.Second)})
	}
	return s, in
}

// Cases are testdata/edit/*.txtar: lines "fix: OP NAME = VALUE [@ FILE:LINE]", or "fix: trust ID", and "error: TEXT"; the files, and
// under after/ those that must come out.
func TestEdit(t *testing.T) {
	cases, err := filepath.Glob("testdata/edit/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { editCase(t, file) })
	}
}

func editCase(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ar := txtar.Parse(data)
	files, after := map[string][]byte{}, map[string]string{}
	for _, f := range ar.Files {
		body := bytes.ReplaceAll(f.Data, []byte("<CR>"), []byte("\r"))
		if name, ok := strings.CutPrefix(f.Name, "after"); ok {
			after[name] = string(body)
		} else {
			files[f.Name] = body
		}
	}
	s, in := hostWith(files)
	c, err := read(s, in)
	if err != nil {
		t.Fatal(err)
	}
	var fixes []mta.Fix
	wantErr := ""
	for _, line := range strings.Split(string(ar.Comment), "\n") {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "fix":
			fixes = append(fixes, fixOf(t, c, value)...)
		case "error":
			wantErr = value
		}
	}
	out, err := edit(c, fixes)
	if wantErr != "" {
		if err == nil || !strings.Contains(err.Error(), wantErr) {
			t.Errorf("error %v, want %q", err, wantErr)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range out {
		got[f.Path] = string(f.Data)
	}
	if diff := cmp.Diff(after, got); diff != "" {
		t.Error(diff)
	}
}

func fixOf(t *testing.T, c *mta.Config, value string) []mta.Fix {
	t.Helper()
	if id, ok := strings.CutPrefix(value, "trust "); ok {
		for _, tr := range c.Trusted {
			if tr.ID == id {
				return tr.Fix
			}
		}
		t.Fatalf("no entry %q in %+v", id, c.Trusted)
	}
	value, at, _ := strings.Cut(value, " @ ")
	op, rest := cutWord(value)
	name, v, _ := strings.Cut(rest, " = ")
	fix := mta.Fix{Name: strings.TrimSpace(name), Op: mta.Op(op), Value: strings.ReplaceAll(v, `\n`, "\n")}
	if file, line, ok := strings.Cut(at, ":"); ok {
		fix.File = file
		fix.Line, _ = strconv.Atoi(line)
	}
	return []mta.Fix{fix}
}

// An edit changes what it was asked to and not one byte more.
func FuzzEdit(f *testing.F) {
	f.Add("smtp_banner = x\nhostlist h = 10.0.0.0/8 : \\\n  # office\n  192.168.0.1\nbegin acl\n", "smtp_banner", "$primary_hostname ESMTP", uint8(0))
	f.Add("# c\r\nacl_smtp_vrfy = \\\r\n  accept\r\n", "acl_smtp_vrfy", "", uint8(1))
	f.Add("hostlist h = <; 10.0.0.0/8 ; ::1", "hostlist h", "10.0.0.0/8", uint8(2))
	f.Add("hostlist h = 1.2.3.4\n.ifdef A\nx = 1\n.endif\n", "hostlist h", "5.6.7.8", uint8(3))
	f.Fuzz(func(t *testing.T, text, name, value string, op uint8) {
		s, in := hostWith(map[string][]byte{debWinner: []byte(text)})
		c, err := read(s, in)
		if err != nil {
			return
		}
		fix := mta.Fix{Name: name, Op: []mta.Op{mta.Set, mta.Unset, mta.Remove, mta.Add}[op%4], Value: value}
		out, err := edit(c, []mta.Fix{fix})
		if err != nil || len(out) == 0 {
			return
		}
		if strings.ContainsAny(name+value, "\r\n\x00") {
			t.Fatalf("a line break was let in: %q", out[0].Data)
		}
		before := c.Model.(*model).cfg
		s, in = hostWith(map[string][]byte{debWinner: out[0].Data})
		again, err := read(s, in)
		if err != nil {
			return // a value may hold anything, a macro's name too: validating is a step of its own
		}
		after := again.Model.(*model).cfg
		if got, want := len(after.prog.Statements), len(before.prog.Statements); fix.Op == mta.Remove && got != want {
			t.Fatalf("%d statements, before %d: %q", got, want, out[0].Data)
		}
		checkOthers(t, before, after, name)
	})
}

// checkOthers: no option but the one that was edited has another text.
func checkOthers(t *testing.T, before, after *config, name string) {
	t.Helper()
	if after.macro(name) != nil || before.macro(name) != nil {
		return
	}
	for key, o := range before.options {
		if key == name {
			continue
		}
		if n := after.options[key]; n == nil || n.Statement.Raw != o.Statement.Raw {
			t.Fatalf("%s was %q, is %+v", key, o.Statement.Raw, n)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("A = b\n.ifdef A\nx = A\\\n # c\n  d\n.else\ny\n.endif\nbegin acl\nr:\n accept hosts = :\n")
	f.Add(".include /x\n.elifdef\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines := splitLines("/f", []byte(text))
		joined := ""
		for _, l := range lines {
			joined += l.Text + "\n"
		}
		if strings.TrimRight(joined, "\n") != strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n") && !strings.HasSuffix(text, "\r") {
			t.Fatalf("lines %q of %q", joined, text)
		}
		p, err := parse(lines, func(string) ([]byte, bool, bool) { return []byte("z = 1\n"), true, true }, nil, []string{"_HAVE_X"})
		if err != nil {
			return
		}
		checkNoLineLost(t, "/f", lines, p)
		understand(p, func(string) ([]byte, bool, bool) { return nil, false, false }).trusted()
	})
}

func FuzzLists(f *testing.F) {
	f.Add("10.0.0.0/8 : ::::1 : <; x", "10.0.0.1")
	f.Add("<; 10.0.0.0/8 ; ::1", "::1")
	f.Add("${if exists{/x}{/x}fail}", "a")
	f.Add("+", "0")
	f.Add("0 ::x", "0")
	f.Add("", "0")
	f.Fuzz(func(t *testing.T, list, subject string) {
		if !strings.ContainsAny(list, "\\\r\n\t#\f\v") {
			var got []string
			for _, s := range first(spans(list, 0)) {
				got = append(got, s.item)
			}
			want := splitList(list)
			if n := len(got); n == len(want)+1 && got[n-1] == "" {
				got = got[:n-1]
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" && strings.TrimSpace(list) == list && !strings.Contains(list, "\u00a0") && isASCII(list) {
				t.Fatalf("%q: %s", list, diff)
			}
		}
		c := understand(&program{}, func(string) ([]byte, bool, bool) { return []byte(list), true, true })
		e := newEvaluator(c, question(subject))
		for _, kind := range []string{"hostlist", "domainlist", "addresslist", "localpartlist"} {
			if v := e.matchList(list, kind, 0, domainMatcher(subject)); v&(maybe|later) == 0 { // later: a list that is not there defers
				t.Fatalf("%s %q: no answer", kind, list)
			}
		}
		e.matchList(list, "hostlist", 0, matchHost)
		e.matchList(list, "addresslist", 0, addressMatcher(subject))
		e.matchList(list, "localpartlist", 0, plainMatcher(subject))
	})
}

func first[T, U any](a T, _ U) T { return a }

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 126 || r < 32 }) < 0
}

func FuzzSession(f *testing.F) {
	f.Add("198.51.100.7 - EHLO x|=plain|MAIL FROM:<>|RCPT TO:<a@b>|", "220 x\n250-a\n250 b\n250 ok\n550 no\n", ">>> using ACL \"r\"\n>>> processing \"deny\" (/f 3)\nLOG: rejected RCPT <a@b>: no\n")
	f.Fuzz(func(t *testing.T, asked, stdout, stderr string) {
		s := parseSession(asked, []byte(stdout), []byte(stderr), stages{mail: len(stdout)%2 == 0})
		m := &model{cfg: understand(&program{}, func(string) ([]byte, bool, bool) { return nil, false, false }), names: map[string]string{}}
		for _, a := range m.heard(s) {
			if a.Outcome == "" || a.Judge == "" {
				t.Fatalf("an answer without an outcome: %+v", a)
			}
		}
	})
}

func FuzzDC(f *testing.F) {
	f.Add("dc_relay_nets='10.0.0.0/8'\n# c\ndc_x=\"a\" # d\r\nA=b\n")
	f.Fuzz(func(t *testing.T, text string) {
		vars, _ := parseDC([]byte(text))
		for _, v := range vars {
			if v.From > v.To || v.To > len(text) || text[v.From:v.To] != v.Value {
				t.Fatalf("%+v of %q", v, text)
			}
		}
	})
}
