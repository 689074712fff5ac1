package journal

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mtaharden/remediate/remote"
)

// maxEntries bounds a journal.
const maxEntries = 20_000

// entries reads a journal. A line that is none is counted: the last one, where it has no end, was cut when the machine was lost and is not.
func entries(data []byte) (out []Entry, damaged int) {
	text := string(data)
	if i := strings.LastIndexByte(text, '\n'); i < len(text)-1 {
		text = text[:i+1]
	}
	for line := range strings.Lines(text) {
		e, ok := entry(strings.TrimSuffix(line, "\n"))
		if !ok || len(out) >= maxEntries {
			damaged++
			continue
		}
		out = append(out, e)
	}
	return out, damaged
}

func entry(line string) (Entry, bool) {
	w := strings.SplitN(line, " ", 5)
	if len(w) < 4 {
		return Entry{}, false
	}
	seq, err := strconv.Atoi(w[0])
	at, bad := epoch(w[1])
	if err != nil || bad != nil || seq < 1 || !slices.Contains(steps, w[2]) || !slices.Contains(states, w[3]) {
		return Entry{}, false
	}
	e := Entry{Seq: seq, Time: at, Step: w[2], State: w[3]}
	if len(w) == 5 {
		e.Text = w[4]
	}
	return e, true
}

// Text is what stands in the file about: a line a key. Line ends and other control characters in a value become spaces.
func (a About) Text() string {
	var b strings.Builder
	for _, f := range a.fields() {
		if v := remote.Clean(*f.text); v != "" {
			b.WriteString(f.key + " " + v + "\n")
		}
	}
	if !a.Started.IsZero() {
		fmt.Fprintf(&b, "started %d\n", a.Started.Unix())
	}
	if a.Confirm > 0 {
		fmt.Fprintf(&b, "deadline %d\n", int64(a.Confirm/time.Second))
	}
	return b.String()
}

type field struct {
	key  string
	text *string
}

func (a *About) fields() []field {
	return []field{
		{"run", &a.Run}, {"command", &a.Command}, {"of", &a.Of}, {"plan", &a.Plan}, {"user", &a.User}, {"controller", &a.Controller},
		{"program", &a.Program}, {"ticket", &a.Ticket}, {"note", &a.Note},
	}
}

// about reads the file about. A key that this program does not know is left: a later one wrote it.
func (r *Record) about(p Part) error {
	if !p.Whole() {
		return fmt.Errorf("its about has %d bytes", p.Size)
	}
	for line := range strings.Lines(string(p.Data)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		for _, f := range r.About.fields() {
			if f.key == key {
				*f.text = remote.Clean(value)
			}
		}
		switch key {
		case "started":
			t, err := epoch(value)
			if err != nil {
				return err
			}
			r.About.Started = t
		case "deadline":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 || n > 1<<20 {
				return fmt.Errorf("%.40q is no number of seconds", value)
			}
			r.About.Confirm = time.Duration(n) * time.Second
		}
	}
	if cmp.Or(r.About.Run, r.Run) != r.Run {
		return fmt.Errorf("its about names the run %.80q", r.About.Run)
	}
	if r.About.Of != "" {
		return CheckRun(r.About.Of)
	}
	return nil
}
