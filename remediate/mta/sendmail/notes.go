package sendmail

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// notes fills Config.Notes with what reading noticed.
func (m *model) notes(s *facts.Snapshot, c *mta.Config) {
	note := func(code, text, file string, line int) {
		c.Notes = append(c.Notes, mta.Note{Code: code, Text: text, Origin: mta.Origin{File: file, Line: line, How: "file"}})
	}
	for _, h := range m.holes() {
		code := h.code
		if code == "promiscuous_relay" {
			code = "promiscuous-relay"
		}
		note(code, h.text, h.File, h.Line)
	}
	for _, l := range m.cf.unknown {
		note("unknown-line", fmt.Sprintf("%q is no configuration line: sendmail does not start with it", clip(string(l.kind)+l.text)), m.cf.path, l.line)
	}
	for _, o := range m.cf.options {
		if !o.known {
			note("unknown-option", "sendmail knows no option "+o.name, m.cf.path, o.line.line)
		}
		if _, bad := expandPrivacy([]string{o.value}); o.name == "PrivacyOptions" && len(bad) > 0 {
			note("unknown-option", "PrivacyOptions has no word "+strings.Join(bad, ", ")+": sendmail does not start with it", m.cf.path, o.line.line)
		}
	}
	m.sourceNotes(s, c, note)
	m.mapNotes(s, note)
	m.askNotes(s, c, note)
	for _, e := range m.serverFeatures() {
		if strings.ContainsAny(e.value, "xOUGF") {
			note("srv-features", e.key+" "+e.value+": x offers EXPN, O U G F take off the protection against SMTP smuggling", m.access.text, e.line)
		}
	}
}

func clip(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}

// sourceNotes: the macro source, what m4 makes of it, and whether that is what runs.
func (m *model) sourceNotes(s *facts.Snapshot, c *mta.Config, note func(string, string, string, int)) {
	if m.mc == nil {
		note("no-mc", "there is no .mc: the .cf is itself the source", m.cf.path, 0)
		return
	}
	if err := m.mc.err(); err != nil {
		note("m4-failed", err.Error(), m.mcPath, 0)
	}
	for _, f := range m.mc.files {
		for _, g := range f.glued {
			note("glued-dnl", g.name+" is one word to m4: it is no comment, and its text goes into the .cf", f.path, g.line)
		}
	}
	if why := s.Fact("sendmail:m4-refused:" + m.cf.path); why != "" {
		note("m4-not-run", "whether the .cf is what m4 makes of the .mc is not known: "+why, m.mcPath, 0)
		return
	}
	o, ok := s.Output("sendmail:m4:" + m.cf.path)
	switch {
	case !ok:
		note("m4-not-run", "whether the .cf is what m4 makes of the .mc is not known", m.mcPath, 0)
	case o.State != facts.Whole:
		note("m4-not-run", "m4 did not end: "+string(o.State), m.mcPath, 0)
	case o.Exit != 0 && !s.Root:
		note("m4-not-run", "m4 could not read every file without root: "+clip(firstLine(o.Stderr)), m.mcPath, 0)
	case o.Exit != 0:
		note("m4-failed", "m4 makes no .cf of it: "+clip(firstLine(o.Stderr)), m.mcPath, 0)
		note("drift", "the live .cf is not what m4 makes of "+m.mcPath+": m4 fails, "+clip(firstLine(o.Stderr)), m.mcPath, 0)
	default:
		m.drift(s, o, note)
	}
	if ok && bytes.Contains(o.Stderr, []byte("*** ERROR")) {
		note("m4-failed", clip(firstLine(o.Stderr)), m.mcPath, 0)
	}
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return line
}

// drift compares the live .cf with what m4 makes of the .mc, comments and empty lines aside.
func (m *model) drift(s *facts.Snapshot, o *facts.Output, note func(string, string, string, int)) {
	want := parseCF("", o.Stdout)
	if want.alien() != "" {
		note("m4-failed", "what m4 makes of it is no configuration: "+want.alien(), m.mcPath, 0)
		return
	}
	line, count, have, made := differ(m.cf.lines, want.lines)
	if count == 0 {
		return
	}
	code, why := "drift", "the live .cf is not what m4 makes of "+m.mcPath+": edited by hand"
	mc, ok1 := s.File(m.mcPath)
	live, ok2 := s.File(m.cf.path)
	if ok1 && ok2 && mc.ModTime.After(live.ModTime) {
		code, why = "pending", m.mcPath+" was changed after the live .cf was made"
	}
	note(code, fmt.Sprintf("%s; %d lines differ, the first: live %q, made %q", why, count, clip(have), clip(made)), m.cf.path, line)
}

// differ compares two configurations line by line as lists: lines that only one has are counted, in the order of have.
func differ(have, want []cfLine) (line, count int, first, other string) {
	a, b := telling(have), telling(want)
	i := 0
	for i < len(a) && i < len(b) && a[i].key() == b[i].key() {
		i++
	}
	if i == len(a) && i == len(b) {
		return 0, 0, "", ""
	}
	left := map[string]int{}
	for _, l := range b {
		left[l.key()]++
	}
	extra := 0
	for _, l := range a {
		if left[l.key()] > 0 {
			left[l.key()]--
		} else {
			extra++
		}
	}
	for _, n := range left {
		count += n
	}
	count = max(count, extra, 1)
	if i < len(a) {
		line, first = a[i].line, a[i].key()
	}
	if i < len(b) {
		other = b[i].key()
	}
	return line, count, first, other
}

// telling are the lines that are neither empty nor comments.
func telling(lines []cfLine) []cfLine {
	return slices.DeleteFunc(slices.Clone(lines), func(l cfLine) bool { return l.kind == 0 || l.kind == '#' })
}

// key is a line with its blanks made even.
func (l cfLine) key() string { return string(l.kind) + strings.Join(strings.Fields(l.text), " ") }

// mapNotes: texts that have not been compiled.
func (m *model) mapNotes(s *facts.Snapshot, note func(string, string, string, int)) {
	for _, k := range m.cf.maps {
		if index(fileMaps, k.kind) < 0 || k.path == "" {
			continue
		}
		t := readTable(s, k)
		for _, b := range t.bad {
			note("stale-map", "a key without a value: makemap refuses the file", t.text, b.line)
		}
		if t.file == nil || !t.dumped {
			continue
		}
		if keys := staleKeys(t.entries, t.compiled); len(keys) > 0 {
			shown := keys[:min(3, len(keys))]
			note("stale-map", fmt.Sprintf("%s was not compiled since it was edited: %d entries differ (%s)", t.text, len(keys), clip(strings.Join(shown, ", "))), t.text, 0)
		}
	}
}

// startError is how far a process's start time may be off: it is reckoned from the boot time in whole seconds.
const startError = 3 * time.Second

// askNotes: what running and asking showed.
func (m *model) askNotes(s *facts.Snapshot, c *mta.Config, note func(string, string, string, int)) {
	if m.noask != "" {
		note("not-asked", "sendmail was not asked: "+m.noask, m.cf.path, 0)
	} else if m.said == nil {
		note("not-asked", "sendmail was not asked", m.cf.path, 0)
	} else if why := m.said.why(); why != "" {
		note("not-asked", why, m.cf.path, 0)
	}
	if m.said != nil && (!m.said.named || m.said.macros["j"] != "" && !strings.Contains(m.said.macros["j"], ".")) {
		note("unqualified-hostname", "the host's own name is not qualified: sendmail sleeps 60 seconds at every start", m.cf.path, 0)
	}
	if text := cut(s, m.cf.path); text != "" {
		note("questions-cut", text, m.cf.path, 0)
	}
	live, ok := s.File(m.cf.path)
	for _, d := range m.daemons {
		for _, p := range s.Processes {
			if d.serves && p.PID == d.pid && ok && !p.Start.IsZero() && live.ModTime.After(p.Start.Add(startError)) {
				note("stale-daemon", fmt.Sprintf("process %d was started before the .cf was last changed: it may run an older configuration", d.pid), m.cf.path, 0)
			}
			if d.serves && p.PID == d.pid && !p.Start.IsZero() {
				m.staleClasses(s, p, note)
			}
		}
	}
}

// staleClasses: the words of a class are read when the daemon starts, and not again (op.me, F lines).
func (m *model) staleClasses(s *facts.Snapshot, p facts.Process, note func(string, string, string, int)) {
	for _, cf := range m.cf.files {
		f, ok := s.File(cf.path)
		if ok && f.State != facts.Absent && f.ModTime.After(p.Start.Add(startError)) {
			note("stale-daemon", fmt.Sprintf("process %d was started before %s was last changed: it still holds the words of before", p.PID, cf.path), cf.path, 0)
		}
	}
}
