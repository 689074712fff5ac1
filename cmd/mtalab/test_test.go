package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFuzzTargets(t *testing.T) {
	got := fuzzTargets("FuzzA\nFuzzB\nok  \tmtaharden/x\t0.1s\n?   \tmtaharden/y\t[no test files]\nok  \tmtaharden/z\t0.1s\nFuzzC\nok  \tmtaharden/w\t(cached)\n")
	want := []fuzzTarget{{"mtaharden/x", "FuzzA"}, {"mtaharden/x", "FuzzB"}, {"mtaharden/w", "FuzzC"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
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
