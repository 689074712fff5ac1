package main

import (
	"fmt"
	"testing"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/report"
)

// TestExitFor holds what one host adds to the exit status, and that a host on which a run was more than begun counts as reached, whatever
// failed on it then.
func TestExitFor(t *testing.T) {
	auth := fmt.Errorf("no new login: %w", remote.ErrAuth)
	for _, c := range []struct {
		command string
		o       apply.Outcome
		state   report.State
		exit    int
	}{
		{"apply", apply.Outcome{Ending: apply.Changed}, report.OK, 0},
		{"apply", apply.Outcome{Ending: apply.Unchanged, Nothing: true}, report.OK, 0},
		{"apply", apply.Outcome{Ending: apply.Unchanged, Err: apply.ErrStale}, report.OK, exitAsItWas},
		{"apply", apply.Outcome{Ending: apply.Unchanged, Err: auth}, report.AuthFailed, exitUnreachable},
		{"apply", apply.Outcome{Ending: apply.RolledBack, Err: auth}, report.OK, exitRolledBack},
		{"apply", apply.Outcome{Ending: apply.Failed, Err: auth}, report.OK, exitPerson},
		{"apply", apply.Outcome{Ending: apply.NotKnown, Err: remote.ErrUnreachable}, report.OK, exitPerson},
		{"apply", apply.Outcome{Ending: apply.NotBegun}, report.OK, exitAsItWas},
		{"rollback", apply.Outcome{Ending: apply.RolledBack}, report.OK, 0},
		{"rollback", apply.Outcome{Ending: apply.NeedsPerson}, report.OK, exitPerson},
	} {
		if got := hostState(c.o); got != c.state {
			t.Errorf("%s %s (%v): state %s, want %s", c.command, c.o.Ending, c.o.Err, got, c.state)
		}
		if got := exitFor(c.command, c.o); got != c.exit {
			t.Errorf("%s %s (%v): exit %d, want %d", c.command, c.o.Ending, c.o.Err, got, c.exit)
		}
	}
}
