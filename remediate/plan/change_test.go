package plan

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"mtaharden/playbooks"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/remote"
)

// toy is a driver of a mail server with one file of "name = value" lines, whose evaluator reads two of them: networks, a list of who may
// relay, and verify, whether VRFY answers. A line "secret = x" is masked.
func toy() *mta.Driver {
	return &mta.Driver{
		Name: "toy", Read: readToy, Answers: answerToy, Edit: editToy,
		Regenerate: func(_ mta.Install, paths []string) []remote.Cmd {
			return []remote.Cmd{{Argv: append([]string{"toymap"}, paths...)}}
		},
		Validate: func(mta.Install) []remote.Cmd { return []remote.Cmd{{Argv: []string{"toy", "check"}}} },
		Reload: func(*facts.Snapshot, mta.Install) []remote.Cmd {
			return []remote.Cmd{{Argv: []string{"toy", "reload"}}}
		},
	}
}

const toyFile = "/etc/toy.conf"

func readToy(s *facts.Snapshot, in mta.Install) (*mta.Config, error) {
	f, ok := s.File(toyFile)
	if !ok {
		return nil, errors.New("cannot read /etc/toy.conf: not there")
	}
	c := &mta.Config{Install: in, Files: []mta.File{{Path: toyFile, Data: f.Data, Origin: f}}}
	line := 0
	for text := range strings.Lines(string(f.Data)) {
		line++
		name, value, ok := strings.Cut(strings.TrimSpace(text), " = ")
		if !ok {
			continue
		}
		at := mta.Origin{File: toyFile, Line: line, How: "file"}
		c.Settings = append(c.Settings, mta.Setting{Name: name, Value: value, Raw: value, Origin: at})
		if name != "networks" {
			continue
		}
		for _, word := range strings.Fields(value) {
			net, _ := netip.ParsePrefix(word)
			c.Trusted = append(c.Trusted, mta.Trust{
				ID: word, Kind: "client-net", Value: word, Net: net, Name: name, Origin: at,
				Fix: []mta.Fix{{Name: name, Op: mta.Remove, Value: word}},
			})
		}
	}
	return c, nil
}

func answerToy(_ *facts.Snapshot, c *mta.Config) []judge.Answer {
	outside := netip.MustParseAddr("198.51.100.7")
	out := []judge.Answer{}
	say := func(q judge.Question, o judge.Outcome, text string) {
		out = append(out, judge.Answer{Question: q, Judge: judge.Config, Outcome: o, Text: text, Because: []judge.Line{{File: toyFile, Line: 1, Text: text}}})
	}
	relay := judge.Refused
	for _, t := range c.Trusted {
		say(judge.Question{Class: judge.Inside, Entry: t.ID, Verb: judge.Rcpt, Form: "plain"}, judge.Relayed, t.Value)
		if t.Net.IsValid() && t.Net.Contains(outside) {
			relay = judge.Relayed
		}
	}
	say(judge.Question{Class: judge.Outside, Verb: judge.Rcpt, Form: "plain"}, relay, "networks")
	verify := judge.Refused
	if v, ok := c.Setting("verify", ""); ok && v.Value != "no" {
		verify = judge.Disclosed
	}
	say(judge.Question{Class: judge.Outside, Verb: judge.Vrfy}, verify, "verify")
	return out
}

func editToy(c *mta.Config, fixes []mta.Fix) ([]mta.File, error) {
	out := c.Files[0]
	lines := strings.SplitAfter(string(out.Data), "\n")
	for _, f := range fixes {
		at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, f.Name+" = ") })
		if f.Name == "unplaceable" {
			return nil, fmt.Errorf("cannot place %s: %s:1", f.Name, toyFile)
		}
		if at < 0 {
			lines = append(lines, f.Name+" = "+f.Value+"\n")
			continue
		}
		switch f.Op {
		case mta.Set:
			lines[at] = f.Name + " = " + f.Value + "\n"
		case mta.Remove:
			lines[at] = strings.Replace(lines[at], " "+f.Value, "", 1)
		}
	}
	out.Data = []byte(strings.Join(lines, ""))
	return []mta.File{out}, nil
}

// toyRules are rules for the toy, the relay ones of baseline among them.
func toyRules(t testing.TB) []playbooks.Rule {
	t.Helper()
	var out []playbooks.Rule
	for _, r := range baseline(t) {
		if r.ID == "open-relay" || r.ID == "relay-width" {
			out = append(out, r)
		}
	}
	out, err := playbooks.Merge(out, "toy.toml", []byte(`
[rule.vrfy]
title = "VRFY"
severity = "medium"
wants.toy.ask = { kind = "answer", verb = "VRFY", class = ["outside"], bad = ["disclosed"], fix = [{ name = "verify", op = "set", value = "no" }] }
[rule.helper]
title = "helper"
severity = "low"
wants.toy.mode = { kind = "mode", path = ["/usr/bin/toyhelper"], deny = "0001" }
[rule.clash]
title = "wants VRFY on"
severity = "low"
wants.toy.on = { kind = "setting", setting = "verify", is = ["maybe"], fix = [{ name = "verify", op = "set", value = "maybe" }] }
[rule.unplaceable]
title = "cannot be placed"
severity = "low"
wants.toy.on = { kind = "setting", setting = "unplaceable", is = ["x"], missing = "fail", fix = [{ name = "unplaceable", op = "set", value = "x" }] }
`))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func toyInput(t testing.TB, file *facts.File) Input {
	t.Helper()
	helper := &facts.File{Path: "/usr/bin/toyhelper", Mode: 0o755, Owner: "root", Group: "toy"}
	s := (&facts.Snapshot{Complete: true}).With(file, helper)
	in := Input{Snapshot: s, Rules: toyRules(t), Now: now()}
	install := mta.Install{MTA: "toy", Version: "1.0", Active: true, Basis: mta.Lab}
	c, err := readToy(s, install)
	if err != nil {
		t.Fatal(err)
	}
	in.Installs = []Judged{{Driver: toy(), Install: install, Config: c, Answers: answerToy(s, c)}}
	return in
}

func find(t *testing.T, res *Result, rule string) Finding {
	t.Helper()
	for _, f := range res.Findings {
		if f.Rule == rule {
			return f
		}
	}
	t.Fatalf("no finding of %s", rule)
	return Finding{}
}

const toyText = "# a comment that stays\nverify = yes\nsecret = ‹secret 3f2a›\nnetworks = 10.0.0.0/24 0.0.0.0/0\n"

// toyOriginal is what lies on the host: the secret is not the mark's length.
const toyOriginal = "# a comment that stays\nverify = yes\nsecret = tops3cret-and-longer-than-the-mark\nnetworks = 10.0.0.0/24 0.0.0.0/0\n"

func masked() *facts.File {
	at := strings.Index(toyText, "‹")
	return &facts.File{
		Path: toyFile, Data: []byte(toyText), SHA256: hash([]byte(toyOriginal)), Size: int64(len(toyOriginal)),
		Masks: []facts.Mask{{Offset: at, Length: len("‹secret 3f2a›"), Origin: len("tops3cret-and-longer-than-the-mark")}},
	}
}

func TestChanges(t *testing.T) {
	res := New(toyInput(t, masked()))
	for rule, want := range map[string]struct {
		fixable bool
		proof   Proof
		manual  string
	}{
		"open-relay":  {true, ByEvaluator, ""}, // its own answer has no remedy here: the fix of relay-width mends it along the way
		"relay-width": {true, ByEvaluator, ""},
		"vrfy":        {true, ByEvaluator, ""},
		"helper":      {true, AtApply, ""},
		"clash":       {false, "", "contradicts"},
		"unplaceable": {false, "", "cannot place unplaceable"},
	} {
		f := find(t, res, rule)
		if f.Status != Fail || f.Fixable != want.fixable || f.Proof != want.proof || !strings.Contains(f.Manual, want.manual) {
			t.Errorf("%s: status %s, fixable %v, proof %q, manual %q", rule, f.Status, f.Fixable, f.Proof, f.Manual)
		}
	}
	if len(res.Changes) != 2 {
		t.Fatalf("changes: %+v", res.Changes)
	}
	edit, mode := res.Changes[0], res.Changes[1]
	wantDiff := `--- /etc/toy.conf
+++ /etc/toy.conf
@@ -1,4 +1,4 @@
 # a comment that stays
-verify = yes
+verify = no
 secret = ‹secret 3f2a›
-networks = 10.0.0.0/24 0.0.0.0/0
+networks = 10.0.0.0/24
`
	if edit.Diff != wantDiff || edit.Kind != EditFile || edit.PreHash != hash([]byte(toyOriginal)) || edit.PostHash != "" {
		t.Errorf("edit %+v\n%s", edit, edit.Diff)
	}
	after, err := Patch([]byte(toyOriginal), edit.Edits)
	if err != nil {
		t.Fatal(err)
	}
	if want := "# a comment that stays\nverify = no\nsecret = tops3cret-and-longer-than-the-mark\nnetworks = 10.0.0.0/24\n"; string(after) != want {
		t.Errorf("the original becomes\n%s", after)
	}
	if mode.Kind != ModeChange || mode.Before.Mode != "0755" || mode.After.Mode != "0754" || mode.Path != "/usr/bin/toyhelper" {
		t.Errorf("mode %+v", mode)
	}
	if got := fmt.Sprint(res.Commands); !strings.Contains(got, "toymap /etc/toy.conf") || !strings.Contains(got, "toy check") || !strings.Contains(got, "toy reload") {
		t.Errorf("commands %s", got)
	}
	if res.Installs[0].MTA != "toy" || slices.Contains(edit.Rules, "clash") {
		t.Errorf("rules %v", edit.Rules)
	}
}

// TestSecondPlan: a host that was mended has nothing left to change.
func TestSecondPlan(t *testing.T) {
	res := New(toyInput(t, masked()))
	after, err := Patch([]byte(toyOriginal), res.Changes[0].Edits)
	if err != nil {
		t.Fatal(err)
	}
	again := toyInput(t, &facts.File{Path: toyFile, Data: after, SHA256: hash(after)})
	again.Rules = slices.DeleteFunc(again.Rules, func(r playbooks.Rule) bool { return r.ID == "clash" }) // it wants the opposite of vrfy
	again.Snapshot = again.Snapshot.With(&facts.File{Path: "/usr/bin/toyhelper", Mode: 0o754})
	if res := New(again); len(res.Changes) != 0 {
		t.Errorf("changes %+v", res.Changes)
	}
}

// TestOverruled: where the file says already what a fix would write, and the daemon's command line overrules it, there is nothing to apply: a person
// has to mend it.
func TestOverruled(t *testing.T) {
	text := []byte("verify = no\nnetworks = 10.0.0.0/24\n")
	in := toyInput(t, &facts.File{Path: toyFile, Data: text, SHA256: hash(text)})
	in.Rules = slices.DeleteFunc(in.Rules, func(r playbooks.Rule) bool { return r.ID == "clash" })
	in.Installs[0].Answers = append(in.Installs[0].Answers, judge.Answer{
		Question: judge.Question{Class: judge.Outside, Verb: judge.Vrfy}, Judge: judge.MTA, Outcome: judge.Disclosed, Text: "-Overify=yes",
	})
	res := New(in)
	if f := find(t, res, "vrfy"); f.Status != Fail || f.Fixable || !strings.Contains(f.Manual, "the files say so already") {
		t.Errorf("%s, fixable %v: %s", f.Status, f.Fixable, f.Manual)
	}
	if f := find(t, res, "helper"); !f.Fixable || len(res.Changes) != 1 {
		t.Errorf("beside it: fixable %v, %+v", f.Fixable, res.Changes)
	}
	// Somebody edited the source, and what the server reads was not made of it since.
	for _, code := range []string{"pending", "drift"} {
		in.Installs[0].Config.Notes = []mta.Note{{Code: code, Text: "it differs"}}
		if f := find(t, New(in), "vrfy"); f.Fixable || !strings.Contains(f.Manual, "was not made of them") || strings.Contains(f.Manual, "overrules") {
			t.Errorf("%s: fixable %v: %s", code, f.Fixable, f.Manual)
		}
	}
}

// TestPanel: what a panel generates is judged, and left to the panel.
func TestPanel(t *testing.T) {
	in := toyInput(t, masked())
	in.Installs[0].Install.Panel = "cPanel"
	res := New(in)
	if f := find(t, res, "vrfy"); f.Fixable || !strings.Contains(f.Manual, "cPanel") || len(res.Changes) != 0 {
		t.Errorf("%+v, %d changes", f, len(res.Changes))
	}
}

// TestWaivedIsLeft: nothing is planned for a finding that somebody answers for.
func TestWaivedIsLeft(t *testing.T) {
	in := toyInput(t, masked())
	in.Intent.Waivers = []Waiver{{Rule: "vrfy", Reason: "asked for", Expires: now().AddDate(0, 1, 0)}}
	res := New(in)
	f := find(t, res, "vrfy")
	if f.Status != Waived || f.Fixable || strings.Contains(res.Changes[0].Diff, "verify = no") {
		t.Errorf("%s fixable %v\n%s", f.Status, f.Fixable, res.Changes[0].Diff)
	}
}

// TestEditsRefuse: an edit that touches a secret, or writes one, is no edit.
func TestEditsRefuse(t *testing.T) {
	before := []byte("a = 1\nsecret = ‹x›\n")
	mask := []facts.Mask{{Offset: 15, Length: len("‹x›"), Origin: 9}}
	for name, after := range map[string]string{
		"gone":    "a = 1\n",
		"changed": "a = 1\nsecret = none\n",
		"copied":  "a = ‹x›\nsecret = ‹x›\n",
		"wrapped": "a = 1\nsecret = !‹x›!\n",
	} {
		if edits, err := editsOf(before, []byte(after), mask); err == nil {
			t.Errorf("%s: %+v", name, edits)
		}
	}
	if _, err := editsOf(before, before, []facts.Mask{{Offset: 20, Length: 5}}); err == nil {
		t.Error("a mask beyond the file was taken")
	}
}

// FuzzEdits: whatever is edited beside the masks, the edits made for the masked text turn the original into the same edit of the original.
func FuzzEdits(f *testing.F) {
	f.Add("a = 1\nsecret = MARK\nb = 2\n", "a = 2\nsecret = MARK\nb = 2\n", "tops3cret")
	f.Add("MARK", "xMARKy", "")
	f.Add("a\r\nMARK\r\n\xff\xfe", "a\r\nMARK\r\n\xff", "s\n")
	f.Add("MARK MARK\n", "MARK\nMARK\n", "longer than the mark")
	f.Fuzz(func(t *testing.T, before, after, secret string) {
		// A mark of one byte cannot come about by joining two pieces of text, so that every one in the outcome is a masked secret.
		const mark = "\x01"
		before, after = strings.ReplaceAll(before, "MARK", mark), strings.ReplaceAll(after, "MARK", mark)
		if len(before)+len(after) > 4096 || !strings.Contains(before, mark) {
			return
		}
		var masks []facts.Mask
		for at := 0; ; {
			i := strings.Index(before[at:], mark)
			if i < 0 {
				break
			}
			masks = append(masks, facts.Mask{Offset: at + i, Length: len(mark), Origin: len(secret)})
			at += i + len(mark)
		}
		edits, err := editsOf([]byte(before), []byte(after), masks)
		if err != nil {
			return
		}
		original := strings.ReplaceAll(before, mark, secret)
		got, err := Patch([]byte(original), edits)
		if err != nil {
			t.Fatalf("%v: %+v", err, edits)
		}
		if want := strings.ReplaceAll(after, mark, secret); !bytes.Equal(got, []byte(want)) {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

func TestPatchRefuses(t *testing.T) {
	edits, err := editsOf([]byte("a\nb\n"), []byte("a\nc\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"a\nx\n", "", "a\n"} {
		if _, err := Patch([]byte(data), edits); err == nil {
			t.Errorf("an edit of %q was taken", data)
		}
	}
}
