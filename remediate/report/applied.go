package report

import (
	"bytes"
	"fmt"
	"strings"

	"mtaharden/remediate/apply"
)

// endings lists how a host may be left, the gravest first.
func endings() []apply.Ending {
	return []apply.Ending{apply.Failed, apply.NotKnown, apply.NeedsPerson, apply.RolledBack, apply.NotBegun, apply.Unchanged, apply.Changed}
}

// outcome writes how an apply or a rollback left a host: the one sentence first.
func (t *text) outcome(b *bytes.Buffer, o *apply.Outcome) {
	t.painted(b, t.say.outcome, o.Sentence(t.o.Lang), endingColour(*o))
	if o.Run != "" {
		t.field(b, "  ", t.say.run, o.Run)
	}
	if good := o.Ending == apply.Changed || o.Nothing || o.Ending == apply.RolledBack && o.Err == nil; t.o.Verbose || !good && o.Run != "" {
		t.field(b, "  ", t.say.steps, stepLine(o.Steps))
	}
	for _, w := range o.Warnings {
		t.painted(b, t.say.warning, w, yellow)
	}
	for _, c := range o.Conflicts {
		fmt.Fprintf(b, "  %s  %s\n", t.paint(bold, t.say.conflict), clean(c.Path))
		for line := range strings.Lines(c.Diff) {
			t.diffLine(b, strings.TrimSuffix(line, "\n"))
		}
	}
	if !t.o.Diffs {
		return
	}
	for _, c := range o.Generated {
		fmt.Fprintf(b, "  %s  %s %s (%s)\n", t.paint(bold, t.say.changes), word(t.say.kinds, c.Kind), clean(c.Path), strings.Join(c.Rules, ", "))
		for line := range strings.Lines(c.Diff) {
			t.diffLine(b, strings.TrimSuffix(line, "\n"))
		}
	}
}

// painted is a field in a colour.
func (t *text) painted(b *bytes.Buffer, name, value, colour string) {
	var plain bytes.Buffer
	t.field(&plain, "  ", name, value)
	for line := range strings.Lines(plain.String()) {
		fmt.Fprintln(b, t.paint(colour, strings.TrimSuffix(line, "\n")))
	}
}

func endingColour(o apply.Outcome) string {
	switch o.Ending {
	case apply.Failed, apply.NotKnown, apply.NeedsPerson:
		return red
	case apply.Changed:
		return green
	}
	if o.Nothing && o.Stands == 0 || o.Err == nil && o.Ending == apply.RolledBack {
		return green
	}
	return yellow
}

// stepLine is the steps in a line: those that were not come to, or not called for, are left out.
func stepLine(steps []apply.StepReport) string {
	var out []string
	for _, s := range steps {
		switch {
		case s.State == apply.Pending, s.State == apply.Skipped:
		case s.State == apply.Done:
			out = append(out, string(s.Step))
		default:
			out = append(out, fmt.Sprintf("%s (%s)", s.Step, s.State))
		}
	}
	return strings.Join(out, " ")
}

// outcomes counts how the hosts were left.
func (t *text) outcomes(b *bytes.Buffer) {
	for _, e := range endings() {
		if n := t.sum.Outcomes[e]; n > 0 {
			fmt.Fprintf(b, "  %s: %d", word(t.say.endings, e), n)
		}
	}
}
