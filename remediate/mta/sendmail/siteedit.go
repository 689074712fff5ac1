package sendmail

import (
	"bytes"
	"fmt"
	"strings"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// siteFix takes out the site's own rule that let a question through, where it stands once in the macro source (LOCAL_RULESETS, cf/README): the
// standard rules then decide. Whether anybody else needs it, the stage shows.
func (m *model) siteFix(a judge.Answer) []mta.Fix {
	if m.mc == nil || m.mc.err() != nil {
		return nil
	}
	for _, b := range a.Because {
		r, ok := m.ruleAt(b)
		if !ok {
			continue
		}
		if file, at, err := m.siteText(r); err == nil {
			return []mta.Fix{{Name: "rule", Op: mta.Unset, Value: spoken(r), File: m.source(file.path), Line: 1 + bytes.Count(file.data[:at], []byte("\n"))}}
		}
		return nil // what decided is no rule of the site's own
	}
	return nil
}

// spoken is a rule on one line.
func spoken(r cfRule) string { return strings.Join(strings.Fields("R"+r.lhs+" "+r.rhs), " ") }

// ruleAt is the rule of the .cf at a place.
func (m *model) ruleAt(at judge.Line) (cfRule, bool) {
	if at.File != m.cf.path || at.Line == 0 {
		return cfRule{}, false
	}
	for _, rules := range m.cf.rulesets {
		for _, r := range rules {
			if r.line.line == at.Line {
				return r, true
			}
		}
	}
	return cfRule{}, false
}

// siteText is where the macro source has a rule of the .cf, byte for byte, as whole lines.
func (m *model) siteText(r cfRule) (file *m4File, at int, err error) {
	raw := bytes.TrimRight(m.cf.data[r.line.start:r.line.end], "\r\n")
	found := 0
	for _, f := range m.mc.files {
		if m.tree != "" && strings.HasPrefix(f.path, m.tree) {
			continue
		}
		for from := 0; ; {
			i := bytes.Index(f.data[from:], raw)
			if i < 0 {
				break
			}
			i += from
			end := i + len(raw)
			if from = end; (i == 0 || f.data[i-1] == '\n') && (end == len(f.data) || f.data[end] == '\n' || f.data[end] == '\r') {
				file, at = f, i
				found++
			}
		}
	}
	if found != 1 {
		return nil, 0, fmt.Errorf("cannot take out the rule at %s:%d: the macro source holds it %d times", m.cf.path, r.line.line, found)
	}
	return file, at, nil
}

// rule makes a comment of a rule of the site's own in the macro source.
func (e *edits) rule(f mta.Fix) error {
	if e.m.mc == nil || f.Op != mta.Unset {
		return fmt.Errorf("cannot edit the rule %s: only one of a macro source can be taken out", clip(f.Value))
	}
	if err := e.m.mc.err(); err != nil {
		return fmt.Errorf("cannot take out the rule %s: %w", clip(f.Value), err)
	}
	for _, rules := range e.m.cf.rulesets {
		for _, r := range rules {
			if spoken(r) != f.Value {
				continue
			}
			file, at, err := e.m.siteText(r)
			if err != nil {
				return err
			}
			if generated(file.data, at) {
				return fmt.Errorf("cannot edit %s: the block is written by sendmailconfig from /etc/mail/sendmail.conf", file.path)
			}
			for end := at + r.line.end - r.line.start; at < end && at < len(file.data); {
				e.put(file.path, at, at, "dnl ")
				next := bytes.IndexByte(file.data[at:], '\n')
				if next < 0 {
					break
				}
				at += next + 1
			}
			return nil
		}
	}
	return fmt.Errorf("cannot take out the rule %s: %s has no such rule", clip(f.Value), e.m.cf.path)
}
