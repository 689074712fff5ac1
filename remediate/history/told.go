package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/journal"
)

// Told is how a run stands on a host, as the host itself tells it.
type Told struct {
	Run      string
	Command  string
	Of       string
	Started  time.Time
	Ticket   string
	User     string // who ran it, and where: "kim@jump1"
	Plan     string
	Over     bool         // the run has ended on the host
	Ending   apply.Ending // where it is not Over: Unchanged or NotKnown, or NeedsPerson where nobody will put the host back
	Sentence string
	Steps    []apply.StepReport
	Owed     []string
	Damaged  int // lines of the host's journal that cannot be read
}

// Read makes of a host's runs, all that it has, how each stands. base is the folder of all runs there: for what a person types.
func Read(records []journal.Record, base string, now time.Time) []Told {
	var out []Told
	for i := range records {
		r := &records[i]
		if !r.Folder {
			continue
		}
		t := told(r, base, now)
		if by := undoneBy(records, r); by != "" && t.Ending == apply.Changed {
			t.Ending, t.Sentence = apply.RolledBack, "rolled back by run "+by
		}
		out = append(out, t)
	}
	slices.SortStableFunc(out, func(a, b Told) int { return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Run, b.Run)) })
	return out
}

// undoneBy is the confirmed rollback of a run.
func undoneBy(records []journal.Record, r *journal.Record) string {
	for i := range records {
		o := &records[i]
		if o.About.Command == "rollback" && o.About.Of == r.Run {
			if e, _, _, over := apply.ReadBack(o, o.Now); over && e == apply.Changed {
				return o.Run
			}
		}
	}
	return ""
}

func told(r *journal.Record, base string, now time.Time) Told {
	ending, steps, why, over := apply.ReadBack(r, now)
	a := r.About
	t := Told{
		Run: r.Run, Command: cmp.Or(a.Command, "apply"), Of: a.Of, Started: a.Started, Ticket: a.Ticket, Plan: a.Plan, User: a.User, Over: over, Ending: ending,
		Steps: steps, Owed: r.Owed, Damaged: r.Damaged,
	}
	if a.Controller != "" {
		t.User += "@" + a.Controller
	}
	switch {
	case over && ending == apply.Changed && t.Command == "rollback":
		t.Ending, t.Sentence = apply.RolledBack, "rolled back run "+a.Of
	case over:
		o := apply.Outcome{Ending: ending, Reason: clean(why), Command: restore(base, r.Run)}
		t.Sentence = clean(o.Sentence("en"))
	default:
		t.open(r, base, now)
	}
	return t
}

// open says how a run stands that has not ended on its host.
func (t *Told) open(r *journal.Record, base string, now time.Time) {
	at := underWay(t.Steps)
	deadline := now.Add(r.Guard.Deadline.Sub(r.Now)).Local().Format(time.TimeOnly)
	switch {
	case r.Held():
		t.Ending, t.Sentence = apply.NotKnown, fmt.Sprintf("under way: %s, by %s", at, clean(r.Lock.Holder))
	case r.Armed():
		t.Ending = apply.NotKnown
		t.Sentence = fmt.Sprintf("not known: broken off at %s, the host restores itself by %s", at, deadline)
	case !apply.Crossed(r):
		t.Ending, t.Sentence = apply.Unchanged, "nothing was changed: broken off at "+at
		if r.Lock != nil {
			t.Sentence += "; the host is locked until the next apply or rollback, or until one types: " + restore(base, r.Run)
		}
	case r.Token == "confirm":
		t.Ending, t.Sentence = apply.NeedsPerson, "confirmed, and broken off before it had cleared up: the next apply or rollback does, or type: sh "+base+"/"+r.Run+"/confirm.sh"
	default:
		t.Ending = apply.NeedsPerson
		t.Sentence = fmt.Sprintf("a person is needed: broken off at %s, and no guard is armed: the next apply or rollback puts the host back, or type: %s", at, restore(base, r.Run))
	}
	if len(r.Owed) > 0 {
		t.Sentence += "; owed: " + strings.Join(r.Owed, ", ")
	}
}

func restore(base, run string) string { return "sh " + base + "/" + run + "/" + journal.FileRestore }

// underWay is the step that was begun last.
func underWay(steps []apply.StepReport) string {
	at := "its beginning"
	for _, s := range steps {
		if s.State != apply.Pending {
			at = string(s.Step)
		}
	}
	return at
}
