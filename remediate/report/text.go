package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/plan"
)

// text writes for people: each host as it is done, and the sum at the end.
type text struct {
	w   io.Writer
	o   Options
	say words
	sum Summary
	fleet
}

func newText(w io.Writer, o Options) *text {
	if o.Width <= 0 {
		o.Width = 100
	}
	return &text{w: w, o: o, say: wordsOf(o.Lang)}
}

// Begin heads the report of a run that changes hosts with who does what on whose word.
func (t *text) Begin(r Run) error {
	if r.User == "" {
		return nil
	}
	words := []string{r.Command, r.ID}
	if r.Of != "" {
		words[0] = fmt.Sprintf(t.say.undoes, r.Command, r.Of)
	}
	for _, w := range [][2]string{{"", r.User + "@" + r.Controller}, {t.say.planned + " ", r.Plan}, {t.say.ticket + " ", r.Ticket}, {"", r.Note}} {
		if w[1] != "" {
			words = append(words, w[0]+w[1])
		}
	}
	_, err := fmt.Fprintf(t.w, "%s\n\n", t.paint(bold, clean(strings.Join(words, "  "))))
	return err
}

// Host writes one host in a single write, so that hosts never run into each other.
func (t *text) Host(h *Host) error {
	t.sum.Add(h)
	t.fleet.add(h)
	var b bytes.Buffer
	t.head(&b, h)
	if h.Apply != nil {
		t.outcome(&b, h.Apply)
	}
	if h.Result != nil {
		t.findings(&b, h)
		if t.o.Diffs && h.Apply == nil {
			t.plan(&b, h.Result)
		}
		for _, p := range h.Result.Problems {
			t.field(&b, "  ", t.say.problems, p)
		}
	}
	b.WriteByte('\n')
	_, err := t.w.Write(b.Bytes())
	return err
}

func (t *text) head(b *bytes.Buffer, h *Host) {
	line := t.paint(bold, clean(h.Name))
	if h.Address != "" && h.Address != h.Name {
		line += " (" + clean(h.Address) + ")"
	}
	if h.State != OK {
		line += "  " + t.paint(red, t.say.state[h.State])
	}
	fmt.Fprintln(b, line)
	if h.Error != "" {
		fmt.Fprintf(b, "  %s\n", clean(h.Error))
	}
	if h.Result == nil {
		return
	}
	if os := h.Result.OS; os.ID != "" {
		fmt.Fprintf(b, "  %s\n", clean(strings.TrimSpace(os.ID+" "+os.Version+"  "+os.Kernel)))
	}
	for _, i := range h.Result.Installs {
		what := clean(strings.TrimSpace(i.MTA + " " + i.Instance + " " + i.Version))
		if i.Package != "" {
			what += " [" + clean(i.Package) + "]"
		}
		if len(i.Listen) > 0 {
			what += "  " + clean(strings.Join(i.Listen, " "))
		}
		fmt.Fprintf(b, "  %s  %s\n", what, clean(i.Config))
	}
}

// findings lists what a person has to look at, the worst first, and folds the rest into one line.
func (t *text) findings(b *bytes.Buffer, h *Host) {
	shown := make([]*plan.Finding, 0, len(h.Result.Findings))
	passed, absent := 0, 0
	for i := range h.Result.Findings {
		f := &h.Result.Findings[i]
		switch {
		case f.Status == plan.Pass && !t.o.Verbose:
			passed++
		case f.Status == plan.NotApplicable && !t.o.Verbose:
			absent++
		default:
			shown = append(shown, f)
		}
	}
	slices.SortStableFunc(shown, func(a, b *plan.Finding) int {
		if d := order(a.Status) - order(b.Status); d != 0 {
			return d
		}
		return a.Severity.Rank() - b.Severity.Rank()
	})
	width := t.statusWidth()
	for i, f := range shown {
		if slices.ContainsFunc(shown[:i], func(g *plan.Finding) bool { return twin(f, g) }) {
			continue
		}
		listeners := f.Listener
		for _, g := range shown[i+1:] {
			if twin(f, g) && g.Listener != "" {
				listeners += " " + g.Listener
			}
		}
		t.finding(b, h, f, listeners, width)
	}
	switch {
	case absent > 0 && len(h.Result.Installs) == 0 && absent == len(h.Result.Findings):
		fmt.Fprintf(b, "  %s\n", clean(h.Result.Findings[0].In(t.o.Lang).Have)) // why none applies is one sentence for all
	case passed+absent > 0:
		fmt.Fprintf(b, "  "+t.say.folded+"\n", passed, absent)
	}
}

// twin says whether two findings tell the same of two listeners: text tells it once.
func twin(a, b *plan.Finding) bool {
	return a.Rule == b.Rule && a.Install == b.Install && a.Status == b.Status && a.Have == b.Have && a.File == b.File && a.Line == b.Line
}

func order(s plan.Status) int { return slices.Index(plan.Statuses(), s) }

func (t *text) statusWidth() int {
	width := 0
	for s, name := range t.say.status {
		if s != plan.NotApplicable || t.o.Verbose {
			width = max(width, runewidth.StringWidth(name))
		}
	}
	return width
}

func (t *text) finding(b *bytes.Buffer, h *Host, f *plan.Finding, listeners string, width int) {
	w := f.In(t.o.Lang)
	status := runewidth.FillRight(t.say.status[f.Status], width)
	line := fmt.Sprintf("  %s  %s  %s [%s]", t.paint(colour(f.Status), status), f.Rule, clean(w.Title), t.say.severity[f.Severity])
	if several(h.Result.Installs) && f.Install >= 0 && f.Install < len(h.Result.Installs) {
		i := h.Result.Installs[f.Install]
		line += "  " + clean(strings.TrimSpace(i.MTA+" "+i.Instance))
	}
	if listeners != "" {
		line += "  " + clean(listeners)
	}
	fmt.Fprintln(b, line)
	indent := strings.Repeat(" ", 4)
	t.field(b, indent, t.say.have, w.Have)
	t.field(b, indent, t.say.want, w.Want)
	if f.File != "" {
		place := f.File
		if f.Line > 0 {
			place += ":" + strconv.Itoa(f.Line)
		}
		t.field(b, indent, t.say.place, place)
	}
	if f.Status != plan.Pass && f.Status != plan.NotApplicable {
		t.field(b, indent, t.say.why, w.Why)
	}
	t.field(b, indent, t.say.controls, strings.Join(f.Controls, " "))
	if f.GuideStatus != "" && f.GuideStatus != f.Status {
		t.field(b, indent, t.say.guide, t.say.status[f.GuideStatus]+" — "+w.GuideText)
	}
	switch {
	case f.Fixable && h.Apply != nil: // found when the change was over: no plan holds it
		t.field(b, indent, t.say.fixable, t.say.mendable)
	case f.Fixable:
		t.field(b, indent, t.say.fixable, t.say.proofs[f.Proof])
	case f.Status == plan.Fail || f.Status == plan.Review || f.Status == plan.Error:
		t.field(b, indent, t.say.todo, w.Manual)
	}
	for _, e := range f.Evidence {
		t.evidence(b, indent, e)
	}
}

// evidence shows what a judge said and the line that decided; verbose, the whole chain that led to that.
func (t *text) evidence(b *bytes.Buffer, indent string, e plan.Evidence) {
	said := t.say.judges[string(e.Judge)] + ": " + word(t.say.says, string(e.Says))
	if e.Text != "" {
		said += ": " + e.Text
	}
	t.field(b, indent, t.say.evidence, said)
	chain := e.Because
	if !t.o.Verbose {
		chain = chain[:min(len(chain), 1)]
	}
	for _, l := range chain {
		if line := strings.TrimPrefix(lineAt(l)+": "+l.Text, ": "); line != e.Text {
			t.field(b, indent, "", line)
		}
	}
}

// lineAt is a place of a configuration: FILE:LINE, FILE, or nothing.
func lineAt(l judge.Line) string {
	if l.File == "" || l.Line <= 0 {
		return l.File
	}
	return l.File + ":" + strconv.Itoa(l.Line)
}

func several(installs []plan.Install) bool { return len(installs) > 1 }

// labelWidth is the room for a field's name, in columns: Korean letters take two.
func (t *text) labelWidth() int {
	width := 0
	for _, l := range []string{t.say.have, t.say.want, t.say.why, t.say.place, t.say.controls, t.say.todo, t.say.guide, t.say.fixable, t.say.evidence} {
		width = max(width, runewidth.StringWidth(l))
	}
	return width
}

// field writes a name and a value that may run over several lines. An empty value is left out.
func (t *text) field(b *bytes.Buffer, indent, name, value string) {
	if value == "" {
		return
	}
	label := runewidth.FillRight(name, t.labelWidth())
	hang := strings.Repeat(" ", len(indent)+runewidth.StringWidth(label)+2)
	for i, line := range wrap(clean(value), max(t.o.Width-len(hang), 30)) {
		if i == 0 {
			fmt.Fprintf(b, "%s%s  %s\n", indent, label, line)
			continue
		}
		fmt.Fprintf(b, "%s%s\n", hang, line)
	}
}

// wrap breaks a text at blanks into lines of at most width columns; a longer word is left whole.
func wrap(s string, width int) []string {
	var lines []string
	line, used := "", 0
	for _, word := range strings.Fields(s) {
		n := runewidth.StringWidth(word)
		if line != "" && used+1+n > width {
			lines = append(lines, line)
			line, used = "", 0
		}
		if line != "" {
			line, used = line+" ", used+1
		}
		line, used = line+word, used+n
	}
	return append(lines, line)
}

// plan shows the changes, the commands behind them and the mail they would refuse.
func (t *text) plan(b *bytes.Buffer, r *plan.Result) {
	if len(r.Changes) == 0 {
		fmt.Fprintf(b, "  %s\n", t.say.nothing)
		return
	}
	for _, c := range r.Changes {
		fmt.Fprintf(b, "  %s  %s %s (%s)\n", t.paint(bold, t.say.changes), word(t.say.kinds, c.Kind), clean(c.Path), strings.Join(c.Rules, ", "))
		for line := range strings.Lines(c.Diff) {
			t.diffLine(b, strings.TrimSuffix(line, "\n"))
		}
	}
	for _, c := range r.Commands {
		for _, group := range []struct {
			name string
			list []plan.Command
		}{{t.say.regenerate, c.Regenerate}, {t.say.validate, c.Validate}, {t.say.reload, c.Reload}} {
			for _, cmd := range group.list {
				t.field(b, "  ", group.name, cmd.Line())
			}
		}
	}
	for _, i := range r.Impact {
		format := t.say.refuse
		if i.Perhaps {
			format = t.say.perhaps
		}
		said := fmt.Sprintf(format, clean(i.Client), thousands(i.Count), i.Last.Format(t.say.moment))
		if i.Count == 1 {
			said = strings.Replace(said, "1 messages", "1 message", 1)
		}
		fmt.Fprintf(b, "  %s\n", t.paint(yellow, said))
	}
}

func (t *text) diffLine(b *bytes.Buffer, line string) {
	style := ""
	switch {
	case strings.HasPrefix(line, "+"):
		style = green
	case strings.HasPrefix(line, "-"):
		style = red
	}
	fmt.Fprintf(b, "    %s\n", t.paint(style, clean(line)))
}

// thousands groups digits by three: 1204 is "1,204".
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// End writes the sum over all hosts.
func (t *text) End(time.Time) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s  %s: %d", t.paint(bold, t.say.summary), t.say.hosts, t.sum.Hosts)
	if t.sum.Unreachable+t.sum.Incomplete > 0 {
		fmt.Fprintf(&b, " ("+t.say.notReached+")", t.sum.Unreachable, t.sum.Incomplete)
	}
	t.outcomes(&b)
	for _, s := range plan.Statuses() {
		n := *t.sum.count(s)
		name := string(s)
		if t.o.Lang == "ko" {
			name = t.say.status[s] + "(" + string(s) + ")"
		}
		label := fmt.Sprintf("%s: %d", name, n)
		if n > 0 {
			label = t.paint(colour(s), label)
		}
		fmt.Fprintf(&b, "  %s", label)
	}
	b.WriteByte('\n')
	if t.sum.Hosts > 1 {
		t.table(&b)
	}
	_, err := t.w.Write(b.Bytes())
	return err
}

const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func colour(s plan.Status) string {
	switch s {
	case plan.Fail, plan.Error:
		return red
	case plan.Unknown, plan.Review, plan.Waived:
		return yellow
	}
	return green
}

// paint wraps s in an escape sequence (ECMA-48 SGR) where colour is wanted.
func (t *text) paint(style, s string) string {
	if !t.o.Color || style == "" || s == "" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}
