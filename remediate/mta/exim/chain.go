package exim

import (
	"fmt"
	"strings"

	"mtaharden/remediate/judge"
)

// matched notes an item that decided a list; trail finds where it stands.
func (e *evaluator) matched(item, kind string) {
	e.why = append(e.why, reason{text: "\x00" + kind + "\x00" + item})
}

// trail turns what matched in the list of a condition into the places that led there: the named list, the macro or variable that
// holds it, and the entry itself.
func (c *config) trail(k *cond, kind string, hits []reason) []reason {
	var out, entries []reason
	var last string
	for _, h := range hits {
		mark, item, ok := strings.Cut(strings.TrimPrefix(h.text, "\x00"), "\x00")
		switch {
		case !strings.HasPrefix(h.text, "\x00"):
			entries = append(entries, h)
		case ok && mark == kind && last == "":
			last = item // the innermost matched first
		}
	}
	if last == "" {
		return entries
	}
	for _, item := range c.items(rawCondition(*k), kind, "acl", k.Statement.at(), 0) {
		if item.Value != last && !(len(entries) > 0 && strings.HasSuffix(item.Holder, last)) {
			continue
		}
		for _, via := range item.Via {
			if via.line.File != "" {
				out = append(out, via)
			}
		}
		if len(entries) == 0 {
			holder := item.Holder
			if holder == "acl" {
				holder = conditionName(k)
			}
			out = append(out, reason{item.At, holder + " holds " + item.Value})
		}
		break
	}
	for _, h := range hits {
		mark, item, _ := strings.Cut(strings.TrimPrefix(h.text, "\x00"), "\x00")
		if l := c.lists[mark+" "+strings.TrimPrefix(item, "+")]; l != nil && len(out) == 0 && strings.HasPrefix(item, "+") {
			out = append(out, reason{l.Statement.at(), l.Kind + " " + l.Name + " = " + l.Value})
		}
	}
	return append(out, entries...)
}

// conditionName names the list of a condition.
func conditionName(k *cond) string { return "the list of " + k.Name }

// lines are reasons as judgement shows them, each place once.
func lines(rs []reason) []judge.Line {
	var out []judge.Line
	seen := map[string]bool{}
	for _, r := range rs {
		if strings.HasPrefix(r.text, "\x00") {
			continue
		}
		key := fmt.Sprint(r.line, r.text)
		if seen[key] || len(out) >= maxChain {
			continue
		}
		seen[key] = true
		out = append(out, judge.Line{File: r.line.File, Line: r.line.Line, Text: r.text})
	}
	return out
}

// maxChain bounds the lines of one answer.
const maxChain = 12
