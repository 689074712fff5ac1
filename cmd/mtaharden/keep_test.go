package main

import (
	"errors"
	"slices"
	"testing"
	"time"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/backup"
	"mtaharden/remediate/plan"
)

// TestKeep writes runs down as apply does, and finds the hosts of --rerun: those of the runs of the same plan, each as the last one left it.
func TestKeep(t *testing.T) {
	r := &reach{state: t.TempDir() + "/state"}
	rec, err := r.records()
	if err != nil {
		t.Fatal(err)
	}
	begin := func(run, digest string, at time.Time, hosts ...string) *change {
		ch := &change{changing: &changing{approval: approval{ticket: "OPS-1"}}, command: "apply", digest: digest, run: run, plan: &plan.Plan{}}
		for _, h := range hosts {
			ch.plan.Hosts = append(ch.plan.Hosts, plan.HostPlan{Name: h})
		}
		if err := rec.begin(t.Context(), ch, at); err != nil {
			t.Fatal(err)
		}
		return ch
	}
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	begin("20261122-110000.000", "aaaaaaaaaaaa", noon.Add(-time.Hour), "mx1", "mx9")
	begin("20261122-120000.000", "aaaaaaaaaaaa", noon, "mx1", "mx2", "mx3")
	for _, o := range []apply.Outcome{{Host: "mx1", Ending: apply.Changed}, {Host: "mx2", Ending: apply.RolledBack, Err: errors.New("x")}} {
		if err := rec.done("20261122-120000.000", o); err != nil {
			t.Fatal(err)
		}
	}
	begin("20261122-130000.000", "bbbbbbbbbbbb", noon.Add(time.Hour), "mx4")
	for _, c := range []struct {
		digest, set string
		want        []string
	}{{"aaaaaaaaaaaa", "failed", []string{"mx2"}}, {"aaaaaaaaaaaa", "unfinished", []string{"mx3", "mx9"}}, {"", "unfinished", []string{"mx4"}}, {"", "failed", nil}} {
		if got, err := rec.rerun(c.digest, c.set); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q %s: %v, %v", c.digest, c.set, got, err)
		}
	}
	begin("20261122-140000.000", "aaaaaaaaaaaa", noon.Add(2*time.Hour), "mx2")
	if err := rec.done("20261122-140000.000", apply.Outcome{Host: "mx2", Ending: apply.Changed}); err != nil {
		t.Fatal(err)
	}
	for set, want := range map[string][]string{"failed": nil, "unfinished": {"mx3", "mx9"}} {
		if got, err := rec.rerun("aaaaaaaaaaaa", set); err != nil || !slices.Equal(got, want) {
			t.Errorf("once the failed were run again, %s: %v, %v", set, got, err)
		}
	}
	begin("20261122-150000.000", "dddddddddddd", noon.Add(3*time.Hour), "mx5")
	begin("20261122-160000.000", "dddddddddddd", noon.Add(4*time.Hour), "mx5")
	for run, o := range map[string]apply.Outcome{
		"20261122-150000.000": {Host: "mx5", Ending: apply.RolledBack, Err: errors.New("x")}, "20261122-160000.000": {Host: "mx5", Ending: apply.NotBegun},
	} {
		if err := rec.done(run, o); err != nil {
			t.Fatal(err)
		}
	}
	for _, set := range []string{"failed", "unfinished"} {
		if got, err := rec.rerun("dddddddddddd", set); err != nil || !slices.Equal(got, []string{"mx5"}) {
			t.Errorf("a host that failed, and that the next run did not begin, is not %s: %v, %v", set, got, err)
		}
	}
	if _, err := rec.rerun("cccccccccccc", "failed"); err == nil {
		t.Error("a plan that was never applied was rerun")
	}
	m := backup.Manifest{Run: "20261122-120000.000", Items: []backup.Item{{Kind: plan.EditFile, Path: "/etc/a", Before: backup.State{Hash: backup.Hash([]byte("x")), Size: 1, Mode: "0644"}}}}
	if err := rec.keep(t.Context(), "mx1")(m, map[int][]byte{0: []byte("x")}); err != nil {
		t.Error(err)
	}
	if err := rec.finish("20261122-120000.000"); err != nil {
		t.Error(err)
	}
	if c, err := rec.store.Load("20261122-120000.000", "mx1"); err != nil || c.Bytes() != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestTouched: a rollback goes to every host that the run may have changed.
func TestTouched(t *testing.T) {
	r := &reach{state: t.TempDir() + "/state"}
	rec, err := r.records()
	if err != nil {
		t.Fatal(err)
	}
	const run = "20261122-120000.000"
	ch := &change{changing: &changing{}, command: "apply", run: run, plan: &plan.Plan{}}
	for _, h := range []string{"changed", "unwritten", "fault", "refused", "unbegun"} {
		ch.plan.Hosts = append(ch.plan.Hosts, plan.HostPlan{Name: h})
	}
	if err := rec.begin(t.Context(), ch, time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	for _, o := range []apply.Outcome{
		{Host: "changed", Run: run, Ending: apply.Changed}, {Host: "fault", Ending: apply.NotKnown, Reason: "a fault of this program"},
		{Host: "refused", Ending: apply.Unchanged, Reason: "refused"}, {Host: "unbegun", Ending: apply.NotBegun},
	} {
		if err := rec.done(run, o); err != nil {
			t.Fatal(err)
		}
	}
	if got := rec.touched(run); got != nil {
		t.Errorf("of a run that was broken off all hosts count, not %v", got)
	}
	if err := rec.finish(run); err != nil {
		t.Fatal(err)
	}
	if got := rec.touched(run); !slices.Equal(got, []string{"changed", "unwritten", "fault"}) {
		t.Errorf("touched are %v", got)
	}
}
