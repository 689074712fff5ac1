package remediate

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mtaharden/playbooks"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta/all"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// TestRunInterrupted: the hosts under way end, those not begun are said to be so, and each is told once.
func TestRunInterrupted(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	var begun atomic.Int32
	dial := func(ctx context.Context) (remote.Host, error) {
		if begun.Add(1) == 2 {
			stop(errors.New("the user had enough"))
		}
		<-ctx.Done()
		return nil, remote.Wrap("connect to", "it", remote.ErrUnreachable, ctx.Err())
	}
	c := Config{Forks: 2, Now: time.Now}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		c.Targets = append(c.Targets, Target{Name: name, Dial: dial})
	}
	told := map[string]error{}
	Run(ctx, c, func(o Outcome) {
		if _, twice := told[o.Target.Name]; twice {
			t.Errorf("%s was told twice", o.Target.Name)
		}
		told[o.Target.Name] = o.Err
	})
	for name, err := range told {
		if notBegun := strings.Contains("cde", name); errors.Is(err, ErrNotBegun) != notBegun {
			t.Errorf("%s: %v", name, err)
		} else if notBegun && !strings.Contains(err.Error(), "the user had enough") {
			t.Errorf("%s: %v; it does not say why", name, err)
		}
	}
	if len(told) != 5 || begun.Load() != 2 {
		t.Errorf("%d hosts were told, not 5; %d were begun, not 2", len(told), begun.Load())
	}
}

// TestRunFault: a fault of the program at one host is that host's error, and the others are unaffected.
func TestRunFault(t *testing.T) {
	c := Config{Forks: 1, Now: time.Now, Targets: []Target{
		{Name: "faulty", Dial: func(context.Context) (remote.Host, error) { panic("for the test") }},
		{Name: "sound", Snapshot: &facts.Snapshot{Complete: true}},
	}}
	Run(t.Context(), c, func(o Outcome) {
		if (o.Err != nil) != (o.Target.Name == "faulty") || (o.Result != nil) != (o.Target.Name == "sound") {
			t.Errorf("%s: error %v, result %v", o.Target.Name, o.Err, o.Result)
		}
	})
}

// TestJudgeIncomplete: a snapshot whose end was not seen gives no pass and no not-applicable, in the guide's reading neither; a complete one does.
func TestJudgeIncomplete(t *testing.T) {
	rules, err := playbooks.Baseline()
	if err != nil {
		t.Fatal(err)
	}
	for _, complete := range []bool{true, false} {
		s := &facts.Snapshot{Complete: complete, Root: true, Listeners: []facts.Listener{{Addr: "0.0.0.0:22"}}}
		res := Judge(s, all.Drivers(), Target{Rules: rules}, time.Now())
		well := 0
		for _, f := range res.Findings {
			if f.Status == plan.Pass || f.Status == plan.NotApplicable || f.GuideStatus == plan.Pass {
				well++
			}
		}
		if complete != (well > 0) || len(res.Findings) == 0 {
			t.Errorf("complete %t: %d of %d findings say that nothing is wrong", complete, well, len(res.Findings))
		}
	}
	res := &plan.Result{Findings: []plan.Finding{
		{Status: plan.Pass, GuideStatus: plan.Pass, Words: plan.Words{Have: "x"}}, {Status: plan.NotApplicable}, {Status: plan.Fail}, {Status: plan.Waived},
	}}
	doubt(res)
	for i, want := range []plan.Status{plan.Unknown, plan.Unknown, plan.Fail, plan.Waived} {
		if got := res.Findings[i].Status; got != want {
			t.Errorf("finding %d is %s, not %s", i, got, want)
		}
	}
	if f := res.Findings[0]; f.GuideStatus != plan.Unknown || !strings.Contains(f.Have, "not read to the end") || !strings.HasSuffix(f.Have, "x") {
		t.Errorf("doubted: %+v", f)
	}
}
