package apply

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// The words of a run's token: who has it decides how the run ends.
const (
	tokenConfirm = "confirm"
	tokenRestore = "restore"
	tokenNext    = "next" // a later run of the controller's, or a rollback
)

// restoring is the journal's word for what puts a run back: no step of its own in a report.
const restoring Step = "restore"

// entry is a line of the host's journal.
type entry struct {
	Step  Step
	State StepState
	Text  string
}

// record is a run as its host has it.
type record struct {
	Entries  []entry
	Token    string    // "" while nobody has it
	Locked   bool      // the host's lock is this run's
	Holder   bool      // the shell that held the lock lives
	Armed    bool      // a guard waits, or is at work
	Deadline time.Time // of the guard, by this machine's clock
	Owed     []string
}

// ending is how the run ended; over is false while it has not: nothing is made of what is merely missing.
func (r *record) ending() (e Ending, over bool) {
	swapped := r.has(Swap, Doing)
	switch last := r.last(restoring); {
	case last != Broken && r.Locked:
		return "", false // whatever the journal says, what it left is not cleared up
	case last == Broken:
		return Failed, true
	case last == Done && swapped:
		return RolledBack, true
	case last == Done:
		return Unchanged, true
	case last == Doing:
		return "", false
	}
	// Where a rollback had put it back and was itself undone, it stands again.
	return Changed, r.Token == tokenConfirm && r.last(Confirm) == Done
}

// has says whether the journal has an entry.
func (r *record) has(s Step, state StepState) bool {
	return slices.ContainsFunc(r.Entries, func(e entry) bool { return e.Step == s && e.State == state })
}

// last is the state that a step came to, "" where it was not begun.
func (r *record) last(s Step) StepState {
	for _, e := range slices.Backward(r.Entries) {
		if e.Step == s {
			return e.State
		}
	}
	return ""
}

// why is what the journal says of a restore, else of the step that failed before it. Where it says nothing more is known than that nobody confirmed.
func (r *record) why() string {
	failed := r.last(restoring) == Broken
	for _, e := range slices.Backward(r.Entries) {
		if e.Step == restoring && e.State != Undone && e.Text != "" && (failed || e.State != Broken) {
			return e.Text
		}
	}
	for _, e := range slices.Backward(r.Entries) {
		if e.State == Broken && e.Step != restoring && e.Text != "" {
			return string(e.Step) + " failed: " + e.Text
		}
	}
	return cmp.Or(strings.Join(r.Owed, ", "), "it was not confirmed")
}

// steps are the report's with what the host says of them. What was done and then put back is undone.
func (r *record) steps(known []StepReport) []StepReport {
	back := r.last(restoring) == Done
	out := slices.Clone(known)
	for i := range out {
		if s := r.last(out[i].Step); s != "" {
			out[i].State = s
		}
		right := slices.Contains([]Step{Swap, Reload}, out[i].Step)
		if back && right && out[i].State != Pending && out[i].State != Broken {
			out[i].State = Undone
		}
		if back && out[i].State == Doing {
			out[i].State = Broken
		}
	}
	return out
}

// next is what a run that finds another's lock has to do.
type next string

const (
	nextRefuse  next = "refuse"  // the other is at work
	nextWait    next = "wait"    // its guard is armed: until the deadline, and then look again
	nextRecover next = "recover" // its shell is gone and no guard is armed
)

// found decides what to do about another run's lock.
func (r *record) found() next {
	switch {
	case r.Holder:
		return nextRefuse
	case r.Armed:
		return nextWait
	}
	return nextRecover
}
