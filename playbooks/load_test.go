package playbooks

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// TestLoad runs testdata/*.txtar: playbook files that are loaded in order, and then "error" (what loading says), or "shown" (the merged
// rules) and "lint" (what lint says).
func TestLoad(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			var rules []Rule
			var failed error
			for _, f := range a.Files {
				if !strings.HasSuffix(f.Name, ".toml") {
					want[f.Name] = strings.TrimSpace(string(f.Data))
					continue
				}
				if failed == nil {
					rules, failed = Merge(rules, f.Name, f.Data)
				}
			}
			checkLoaded(t, want, rules, failed)
		})
	}
}

func checkLoaded(t *testing.T, want map[string]string, rules []Rule, failed error) {
	t.Helper()
	if said, ok := want["error"]; ok {
		if failed == nil || failed.Error() != said {
			t.Errorf("error %v, want %s", failed, said)
		}
		return
	}
	if failed != nil {
		t.Fatal(failed)
	}
	if shown, ok := want["shown"]; ok {
		text, err := TOML(rules)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(shown, strings.TrimSpace(string(text))); diff != "" {
			t.Error(diff)
		}
	}
	if lint, ok := want["lint"]; ok {
		if diff := cmp.Diff(lint, strings.Join(Lint(rules), "\n")); diff != "" {
			t.Error(diff)
		}
	}
}

func TestLoadSystems(t *testing.T) {
	own := fstest.MapFS{
		"own.toml":    {Data: []byte("[rule.vrfy]\nseverity = \"critical\"\n")},
		"notes.txt":   {Data: []byte("not a playbook")},
		"sub/no.toml": {Data: []byte("not = \"read\"")},
	}
	rules, err := Load(embedded, own)
	if err != nil {
		t.Fatal(err)
	}
	vrfy, err := Find(rules, "vrfy")
	if err != nil || vrfy.Severity != Critical || vrfy.Source != "baseline.toml, own.toml" || len(vrfy.Wants) != 3 || vrfy.TitleKo == "" {
		t.Errorf("%v %+v", err, vrfy)
	}
	before, err := Baseline()
	if err != nil {
		t.Fatal(err)
	}
	if old, _ := Find(before, "vrfy"); old.Severity != Medium {
		t.Error("merging changed the rules it was given")
	}
	if _, err := Find(rules, "vrfi"); err == nil || err.Error() != `no rule "vrfi" (did you mean "vrfy"?)` {
		t.Error(err)
	}
}

// TestBaseline: every rule that the program promises is there, in both languages, with its controls.
func TestBaselineRules(t *testing.T) {
	rules, err := Baseline()
	if err != nil {
		t.Fatal(err)
	}
	relay := "SRV-009 WST-008 U-31(2021) U-47(2026)"
	names := "SRV-005 WST-004 U-70(2021) U-48(2026)"
	for id, controls := range map[string]string{
		"open-relay": relay, "relay-width": relay, "relay-domains": relay, "vrfy": names, "expn": names,
		"queue-privilege": "SRV-010 WST-009 U-32(2021) U-46(2026)", "banner-version": "SRV-170 WST-113", "help-version": "SRV-170 WST-113",
		"mta-version": "SRV-007 WST-006 U-30(2021) U-45(2026)", "mta-needed": "SRV-004 WST-003",
		"config-drift": "SRV-009", "client-spoof": "SRV-009", BuiltIn: "SRV-009", "ssh-weak": "",
	} {
		r, err := Find(rules, id)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := strings.Join(r.Controls, " "); !strings.HasPrefix(got, controls) {
			t.Errorf("%s: controls %s", id, got)
		}
		for _, lang := range []string{"en", "ko"} {
			if text := Explain(r, lang); !strings.Contains(text, r.ID) || strings.Contains(text, "%!") {
				t.Errorf("%s in %s:\n%s", id, lang, text)
			}
		}
	}
}

// FuzzLoad: no input panics, every error has a place in the file or none, and what loads is shown and loads again to the same.
func FuzzLoad(f *testing.F) {
	f.Add("[rule.a]\ntitle = \"a\"\nseverity = \"low\"\nwants.any.x = { kind = \"note\", code = [\"drift\"] }\n")
	f.Add("[rule.a.wants.any.x]\nkind = \"setting\"\nsetting = \"s\"\nis = [\"\"]\nmin = 3\nfix = [{ name = \"s\", op = \"set\" }]\n")
	f.Add("rule = 3")
	f.Add("[rule.\"a,b\".wants]\n\"-\" = 1\n[[x]]")
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := Merge(nil, "fuzz.toml", []byte(text))
		if err != nil {
			var mistake *Error
			if !errors.As(err, &mistake) || mistake.Line < 0 || mistake.Col < 0 {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		Lint(rules)
		shown, err := TOML(rules)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Merge(nil, "fuzz.toml", shown)
		if err != nil {
			t.Fatalf("%v in\n%s", err, shown)
		}
		if diff := cmp.Diff(sorted(rules), sorted(again)); diff != "" {
			t.Fatal(diff)
		}
	})
}
