package postfix

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/txtar"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// TestEdit makes the edits of testdata/edit/*.txtar. The comment holds lines "fix: OP NAME VALUE" (OP@LISTENER for one listener,
// NAME@FILE:LINE for an entry in a file) and "error: TEXT"; the files are before/PATH and after/PATH.
func TestEdit(t *testing.T) {
	names, err := filepath.Glob("testdata/edit/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { editCase(t, name) })
	}
}

func editCase(t *testing.T, name string) {
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var fixes []mta.Fix
	wantErr, version := "", "3.10"
	for line := range strings.Lines(string(a.Comment)) {
		switch key, rest, _ := strings.Cut(strings.TrimSpace(line), ": "); key {
		case "fix":
			fixes = append(fixes, parseFix(t, rest))
		case "error":
			wantErr = rest
		case "version":
			version = rest
		}
	}
	before, after := map[string]string{}, map[string]string{}
	for _, f := range a.Files {
		text := strings.ReplaceAll(string(f.Data), "␍", "\r")
		if p, ok := strings.CutPrefix(f.Name, "before"); ok {
			before[p] = text
		} else if p, ok := strings.CutPrefix(f.Name, "after"); ok {
			after[p] = text
		}
	}
	cfg := configOf(t, before, version)
	files, err := edit(cfg, fixes)
	if wantErr != "" {
		if err == nil || !strings.Contains(err.Error(), wantErr) {
			t.Fatalf("error %v, want %q", err, wantErr)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range files {
		got[f.Path] = string(f.Data)
	}
	if d := cmp.Diff(after, got); d != "" {
		t.Error(d)
	}
}

func parseFix(t *testing.T, text string) mta.Fix {
	t.Helper()
	op, rest, _ := strings.Cut(text, " ")
	name, value, _ := strings.Cut(rest, " ")
	f := mta.Fix{Value: value}
	op, f.Listener, _ = strings.Cut(op, "@")
	name, place, _ := strings.Cut(name, "@")
	f.Op, f.Name = mta.Op(op), name
	if place != "" {
		file, line, _ := strings.Cut(place, ":")
		f.File = file
		for _, c := range line {
			f.Line = f.Line*10 + int(c-'0')
		}
	}
	return f
}

func configOf(t testing.TB, files map[string]string, version string) *mta.Config {
	t.Helper()
	s := &facts.Snapshot{Addrs: labAddrs, Hostname: "lab.example.edu"}
	if _, ok := files["/etc/postfix/master.cf"]; !ok {
		s = s.With(&facts.File{Path: "/etc/postfix/master.cf", Data: []byte(stockMaster)})
	}
	for p, text := range files {
		s = s.With(&facts.File{Path: p, Data: []byte(text)})
	}
	cfg, err := read(s, mta.Install{MTA: "postfix", Version: version, Config: "/etc/postfix", Active: true})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// FuzzEdit: whatever main.cf and master.cf hold, an edit gives files that hold the setting, every other logical line and every comment
// stays as it was, and no edit is no change.
func FuzzEdit(f *testing.F) {
	f.Add("a = b\nmynetworks = 127.0.0.0/8,\n# c\n  0.0.0.0/0\n", stockMaster, "mynetworks", "10.0.0.0/8", byte(0))
	f.Add("mynetworks =\r\n 127.0.0.0/8\r\nx=1\r\n", "smtp inet n - n - - smtpd\n  -o mynetworks=0.0.0.0/0\n", "mynetworks", "0.0.0.0/0", byte(3))
	f.Add("smtpd_relay_restrictions = permit", "smtp inet n - n - - smtpd -o { smtpd_relay_restrictions = permit, reject }", "smtpd_relay_restrictions", "reject_unauth_destination", byte(2))
	f.Add("# only\nk=\nk =v\n", stockMaster, "k", "", byte(1))
	for op := range byte(16) {
		f.Add("a =\n  # c\n  x, y,\n# d\n\n  z\nmyhostname=h.x\na = x y\r\n\tz\r\n", "smtp inet n - n - - smtpd\n  -o a=x,y\n  -o { a = x, y }\n", "", "", op)
		f.Add("mynetworks=127.0.0.0/8,10.0.0.0/8,\n 0.0.0.0/0,\n#x\n 1.2.3.4\nb=c", stockMaster, "", "zz", op)
		f.Add("smtpd_relay_restrictions = permit_mynetworks,\n reject,permit\n", stockMaster, "", "z", op)
	}
	f.Fuzz(func(t *testing.T, main, master, name, value string, op byte) {
		fuzzEdit(t, main, master, name, value, op)
	})
}

func fuzzEdit(t *testing.T, main, master, name, value string, op byte) {
	s := (&facts.Snapshot{Addrs: labAddrs, Hostname: "lab.example.edu"}).With(
		&facts.File{Path: "/etc/postfix/main.cf", Data: []byte(main)}, &facts.File{Path: "/etc/postfix/master.cf", Data: []byte(master)})
	in := mta.Install{Version: "3.10", Config: "/etc/postfix"}
	cfg, err := read(s, in)
	if err != nil {
		return
	}
	if files, err := edit(cfg, nil); err != nil || len(files) != 0 {
		t.Fatalf("no edit changed %d files: %v", len(files), err)
	}
	fix := mta.Fix{Name: name, Op: []mta.Op{mta.Set, mta.Unset, mta.Add, mta.Remove}[op%4], Value: value}
	if entries := cfg.Model.(*model).main.entries; op&4 != 0 && len(entries) > 0 { // a name, and with the next bit a word, that is there
		ent := entries[len(name)%len(entries)]
		fix.Name = ent.name
		if words := splitList(ent.value, true); op&8 != 0 && len(words) > 0 {
			fix.Value = words[len(value)%len(words)].text
		}
	}
	name = fix.Name
	files, err := edit(cfg, []mta.Fix{fix})
	if err != nil {
		return
	}
	after := s
	for _, f := range files {
		after = after.With(&facts.File{Path: f.Origin.Path, Data: f.Data})
		sameElsewhere(t, f, name)
	}
	again, err := read(after, in)
	if err != nil {
		if nameLen(value) != len(value) {
			return // a value with references may be one that Postfix refuses
		}
		t.Fatalf("after %+v: %v", fix, err)
	}
	holdsFix(t, again, cfg, fix)
}

// holdsFix checks that the configuration after the edit holds what was asked.
func holdsFix(t *testing.T, after, before *mta.Config, fix mta.Fix) {
	t.Helper()
	m, was := after.Model.(*model), before.Model.(*model)
	raw, _, set := m.raw(fix.Name, nil)
	want, _ := trimSpace(fix.Value)
	switch fix.Op {
	case mta.Set:
		v, err := was.expand(want, nil)
		if raw != want && !(err == nil && v == m.value(fix.Name, nil)) {
			t.Fatalf("set %s to %q gave %q", fix.Name, want, raw)
		}
	case mta.Unset:
		if _, ok := m.main.get(fix.Name); ok {
			t.Fatalf("unset %s left %q (%v)", fix.Name, raw, set)
		}
	case mta.Remove:
		// what is left are the other words, in their order
		e, ok := m.main.get(fix.Name)
		was, had := was.main.get(fix.Name)
		if ok && had && fix.Name != "mynetworks" && !strings.ContainsAny(was.value, "${}") && len(strings.Fields(want)) == 1 {
			if d := cmp.Diff(without(was.value, want), words(e.value), cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("remove %q from %q gave %q: %s", want, was.value, e.value, d)
			}
		}
	case mta.Add:
		if words := splitList(want, true); len(words) == 1 && !strings.ContainsAny(want, "${}") && !strings.Contains(raw, want) {
			t.Fatalf("add %q to %s gave %q", want, fix.Name, raw)
		}
	}
}

func words(list string) []string {
	var out []string
	for _, w := range splitList(list, true) {
		out = append(out, w.text)
	}
	return out
}

// without is a list without the first word that is member, and without a warn_if_reject that stood before it.
func without(list, member string) []string {
	all := words(list)
	for i, w := range all {
		if !strings.EqualFold(w, member) {
			continue
		}
		from := i
		if i > 0 && all[i-1] == "warn_if_reject" && len(all) > 1 {
			from--
		}
		return append(all[:from], all[i+1:]...)
	}
	return all
}

// sameElsewhere checks that nothing but the logical lines of name differs, comments and blank lines included.
func sameElsewhere(t *testing.T, f mta.File, name string) {
	t.Helper()
	if strings.HasSuffix(f.Path, "master.cf") {
		return
	}
	if d := cmp.Diff(others(f.Origin.Data, name), others(f.Data, name)); d != "" {
		t.Fatalf("another place changed: %s", d)
	}
}

// others are the logical lines of other names and the comments of a main.cf.
func others(data []byte, name string) []string {
	var out []string
	for _, e := range parseMain("main.cf", data).entries {
		if e.name != name {
			out = append(out, strings.TrimRight(e.text, "\r"))
		}
	}
	for _, line := range bytes.Split(data, []byte("\n")) {
		if i := firstText(line); i >= 0 && line[i] == '#' {
			out = append(out, string(line))
		}
	}
	return out
}

// FuzzParse: every logical line of a file is found again at its offsets; nothing is lost.
func FuzzParse(f *testing.F) {
	f.Add([]byte("a = b\n c\n#x\n\n d\ne=f"))
	f.Add([]byte("smtp inet n - n - - smtpd -o {a = b c} -o x=y\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, _ := logicalLines(data)
		for _, l := range lines {
			for i, at := range l.pos {
				if data[at] != l.text[i] {
					t.Fatalf("byte %d of %q is not at %d", i, l.text, at)
				}
			}
		}
		m := parseMain("main.cf", data)
		if len(m.entries)+len(m.broken) != len(lines) {
			t.Fatalf("%d lines gave %d entries and %d errors", len(lines), len(m.entries), len(m.broken))
		}
		s := parseMaster("master.cf", data)
		if len(s.services)+len(s.broken) != len(lines) {
			t.Fatalf("%d lines gave %d services and %d errors", len(lines), len(s.services), len(s.broken))
		}
	})
}

// FuzzExpand: no value makes the expander panic or run away.
func FuzzExpand(f *testing.F) {
	f.Add("${a?{$b}:{c}}$(d)$$${{a}=={b}?{x}:{y}}")
	f.Fuzz(func(t *testing.T, text string) {
		x := expander{get: func(name string) (string, bool) {
			if name == "a" {
				return "$b$b", true
			}
			return "v", name == "b"
		}}
		x.expand(text)
	})
}

// corpusDir is where published configurations lie, beside the repository or where MTAHARDEN_CORPUS says.
func corpusDir() string {
	if d := os.Getenv("MTAHARDEN_CORPUS"); d != "" {
		return d
	}
	return filepath.Join("..", "..", "..", "..", "shared", "corpus")
}
