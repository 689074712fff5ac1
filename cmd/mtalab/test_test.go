package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Every package with a fuzz target is found, whichever test package of it has one; a target that fails is said, and the others are run.
func TestFuzz(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":          "module fuzzed\n\ngo 1.24\n",
		"in/in.go":        "package in\n",
		"in/in_test.go":   "package in\n\nimport \"testing\"\n\nfunc FuzzA(f *testing.F) { f.Fuzz(func(*testing.T, []byte) {}) }\n\nfunc FuzzB(f *testing.F) {\n\tf.Add(1)\n\tf.Fuzz(func(t *testing.T, n int) { t.Fatal(\"found\") })\n}\n",
		"ext/ext.go":      "package ext\n",
		"ext/ext_test.go": "package ext_test\n\nimport \"testing\"\n\nfunc FuzzC(f *testing.F) { f.Fuzz(func(*testing.T, string) {}) }\n",
		"none/none.go":    "package none\n",
		"bad/bad.go":      "package bad\n",
		"bad/bad_test.go": "package bad\n\nfunc FuzzD(f *testing.F) {}\n",
	} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	run := &testRun{out: &out, top: dir}
	err := run.fuzz(t.Context())
	if got, want := out.String(), "ok    fuzzed/ext FuzzC\nok    fuzzed/in FuzzA\nFAIL  fuzzed/in FuzzB\n"; got != want {
		t.Errorf("it says\n%s", got)
	}
	for _, want := range []string{"fuzzed/bad", "FuzzB in fuzzed/in", "found"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if err := (&testRun{out: &out, top: filepath.Join(dir, "none")}).fuzz(t.Context()); err == nil || !strings.Contains(err.Error(), "no fuzz target") {
		t.Errorf("nothing to fuzz: %v", err)
	}
}

// A stage that fails does not keep the later ones from running, and the run fails.
func TestStages(t *testing.T) {
	var out strings.Builder
	ran := 0
	run := &testRun{out: &out}
	good := func(context.Context) error { ran++; return nil }
	bad := func(context.Context) error { ran++; return errors.New("broken") }
	err := run.stages(t.Context(), []stage{{"one", good}, {"two", bad}, {"three", good}})
	if err == nil || ran != 3 || !strings.Contains(out.String(), "--- FAIL: two: broken") {
		t.Errorf("%v after %d stages: %s", err, ran, out.String())
	}
	if err := run.stages(t.Context(), []stage{{"one", good}}); err != nil {
		t.Error(err)
	}
}

// The seed of a run is the one given, else that of the commit, else always the same; it is said, and how to have it again.
func TestPickSeed(t *testing.T) {
	dir := t.TempDir()
	git := func(args ...string) string {
		c := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.org"}, args...)...)
		c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	picked := func(given string) (string, string) {
		t.Helper()
		var out strings.Builder
		run := &testRun{out: &out, top: dir, seed: given}
		run.pickSeed(t.Context())
		if !strings.HasSuffix(out.String(), "--seed "+run.seed+" picks the same samples again\n") {
			t.Errorf("it does not say how to repeat it: %s", out.String())
		}
		return run.seed, out.String()
	}
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(dir))
	if seed, said := picked(""); seed != usualSeed || !strings.Contains(said, "no commit") {
		t.Errorf("without git: %s", said)
	}
	git("init", "-q")
	if seed, said := picked(""); seed != usualSeed || !strings.Contains(said, "no commit") {
		t.Errorf("before the first commit: %s", said)
	}
	git("commit", "-q", "--allow-empty", "-m", "one")
	first, _ := picked("")
	git("commit", "-q", "--allow-empty", "-m", "two")
	second, _ := picked("")
	if first == second || second != git("rev-parse", "HEAD") {
		t.Errorf("the seeds of two commits are %s and %s", first, second)
	}
	if seed, _ := picked("mine"); seed != "mine" {
		t.Errorf("got %s", seed)
	}
}

// What runs side by side is all run though one of it fails, prints in one piece each, and fails as a whole.
func TestAtOnce(t *testing.T) {
	var out strings.Builder
	run := &testRun{out: &out, seed: "s"}
	one, two := make(chan bool), make(chan bool)
	err := run.atOnce(t.Context(), []part{
		{"good", func(r *testRun, _ context.Context) error { // each waits for the other: they do run side by side
			fmt.Fprintln(r.out, "a")
			close(one)
			<-two
			fmt.Fprintln(r.out, r.seed)
			return nil
		}},
		{"bad", func(r *testRun, _ context.Context) error {
			fmt.Fprintln(r.out, "b")
			<-one
			close(two)
			return errors.New("broken")
		}},
	})
	if err == nil || err.Error() != "bad: broken" {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"=== good\na\ns\n--- ok: good", "=== bad\nb\n--- FAIL: bad"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %q", want, out.String())
		}
	}
}

func TestExecArgs(t *testing.T) {
	for _, test := range []struct{ args, want []string }{
		{[]string{"h", "--", "ls", "-l", "--", ""}, []string{"ls", "-l", "--", ""}},
		{[]string{"h", "ls", "-l"}, []string{"ls", "-l"}},
		{[]string{"h", "--"}, []string{}},
	} {
		c := execCommand()
		if err := c.ParseFlags(test.args); err != nil {
			t.Fatal(err)
		}
		if where, argv := execArgs(c.Flags().Args()); where != "h" || !slices.Equal(argv, test.want) {
			t.Errorf("%q: got %q %q", test.args, where, argv)
		}
	}
}

func TestTiming(t *testing.T) {
	got := summary([]time.Duration{3, 1, 2})
	if diff := cmp.Diff(timing{1, 2, 3}, got, cmp.AllowUnexported(timing{})); diff != "" {
		t.Error(diff)
	}
}

// A release that the mirror has no longer is left out of the run, and what else went wrong is not. In a full run it is a fault too.
func TestReleaseGone(t *testing.T) {
	gone := func(host string) error {
		return fmt.Errorf("%s: cannot build: %w", host, &goneError{"deb11", errors.New("the mirror does not give bullseye")})
	}
	for _, full := range []bool{false, true} {
		var out strings.Builder
		run := &testRun{out: &out, full: full, lab: &Lab{Catalog: testCatalog(t)}}
		err := run.without(errors.Join(gone("deb11-exim"), errors.New("deb12-exim: no memory"), gone("deb11-postfix")))
		if err == nil || !strings.Contains(err.Error(), "no memory") || strings.Contains(err.Error(), "bullseye") != full {
			t.Errorf("full %v: %v", full, err)
		}
		if full {
			continue
		}
		if strings.Count(out.String(), "deb11 is left out") != 1 || run.without(errors.Join(gone("deb11-exim"))) != nil || run.without(nil) != nil {
			t.Errorf("said %q", out.String())
		}
		for recipe, want := range map[*Recipe]int{{Name: "exim/x", MTA: "exim"}: 2, {Name: "exim/y", MTA: "exim", Releases: []string{"deb11"}}: 0, {Name: "exim/z", Host: "deb11-exim"}: 0} {
			if hosts, err := recipe.hostsFor(run.lab.Catalog, "", true); err != nil || len(hosts) != want {
				t.Errorf("%s runs on %v (%v)", recipe.Name, hosts, err)
			}
			if _, err := recipe.hostsFor(run.lab.Catalog, "", false); err != nil {
				t.Error(err)
			}
		}
	}
}

// The questions are taken out of the project's own scripts, and a script without them is an error, not a comparison of equals.
func TestMute(t *testing.T) {
	for _, m := range asking() {
		script, err := os.ReadFile("../../" + m.File)
		if err != nil {
			t.Fatal(err)
		}
		text, err := m.apply(string(script))
		if err != nil || !strings.HasSuffix(text, m.Function+"() {\n\t:\n}\n\n"+m.Call+"\n") {
			t.Errorf("%s: %v: ends with %s", m.File, err, lastLines(text, 5))
		}
		if _, err := m.apply(text + "true\n"); err == nil {
			t.Errorf("%s: a script that ends otherwise was taken", m.File)
		}
	}
}

func TestFleet(t *testing.T) {
	entries := fleet([]Host{{Name: "a", Number: 1}, {Name: "b", Number: 2}}, 5)
	if got := strings.Join(hostNames(entries), " "); got != "a-01 b-01 a-02 b-02 a-03" || entries[3].Number != 2 {
		t.Errorf("got %s", got)
	}
}

func TestJudgesOf(t *testing.T) {
	report := `{"hosts":[{"name":"a","state":"ok","findings":[{"rule":"open-relay","evidence":[{"judge":"config","says":"refused"},{"judge":"mta","says":"cannot-tell"}]},
{"rule":"vrfy","evidence":[{"judge":"network","says":"refused"}]}]},{"name":"b","state":"STATE"}]}`
	if got, err := judgesOf([]byte(strings.ReplaceAll(report, "STATE", "ok")), 2); err != nil || got != "config" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := judgesOf([]byte(report), 2); err == nil {
		t.Error("a host that was not read is timed")
	}
	if _, err := judgesOf([]byte(strings.ReplaceAll(report, "STATE", "ok")), 3); err == nil {
		t.Error("a report of fewer hosts is timed")
	}
}
