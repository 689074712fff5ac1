package apply

import (
	"time"

	"mtaharden/remediate/journal"
)

// ReadBack says of a run as its host has it how it ended, how far each step got, and what the journal says of a restore. over is false while
// the run has not ended: nothing is inferred from what is merely missing.
func ReadBack(r *journal.Record, now time.Time) (e Ending, steps []StepReport, why string, over bool) {
	rec := recordOf(r, now)
	for _, s := range Steps() {
		steps = append(steps, StepReport{Step: s, State: Pending})
	}
	e, over = rec.ending()
	if e == RolledBack || e == Failed {
		why = rec.why()
	}
	return e, rec.steps(steps), why, over
}

// Crossed says whether a run began to change live files.
func Crossed(r *journal.Record) bool { return r.State(string(Swap)) != "" }
