package sendmail

import (
	"slices"
	"strings"

	"mtaharden/remediate/judge"
)

// chain says what decided a run, and what led there: the entry or word that the deciding rule found, that rule, and the FEATURE of the
// source that brought both into the configuration.
func (m *model) chain(end ran, outcome judge.Outcome) []judge.Line {
	at, h := deciding(end, outcome)
	if at < 0 {
		return m.holeLines(outcome)
	}
	e := end.trace[at]
	rule := judge.Line{File: m.cf.path, Line: e.rule.line, Text: "ruleset " + e.set + ": " + e.rule.text}
	lines := []judge.Line{rule}
	by, brought := m.broughtBy(e, h)
	written := h != nil && h.at.File != "" // the finding stands in a file: it is what decided
	switch {
	case written && brought:
		lines = append(m.named(*h), rule, by)
	case written:
		lines = append(m.named(*h), rule)
	case brought: // the FEATURE alone is the reason
		lines = []judge.Line{by, rule}
	case h == nil && outcome != judge.Refused:
		lines = append(m.holeLines(outcome), rule)
	}
	if h != nil && !written {
		lines = append(lines, m.named(*h)...)
	}
	return lines
}

// deciding is the last applied rule that brought the word of the result in, with what it found: -1 where none did.
func deciding(end ran, outcome judge.Outcome) (int, *hit) {
	word := result(end.value)
	for i := range slices.Backward(end.trace) {
		e := end.trace[i]
		for n, h := range e.hits {
			if h.value != "" && strings.HasPrefix(h.what, "map ") && strings.HasPrefix(strings.ToLower(h.value), word) && word != "" {
				return i, &end.trace[i].hits[n]
			}
		}
		if word == "" || !brings(e.rule, word, outcome) {
			continue
		}
		for n, h := range e.hits {
			if strings.HasPrefix(h.what, "class ") {
				return i, &end.trace[i].hits[n]
			}
		}
		return i, earlier(end.trace[:i], outcome)
	}
	return -1, nil
}

// result is the word by which a run ended: relay, ok, or error for a refusal.
func result(value []token) string {
	for i, t := range value {
		if kind(t) == '#' && i+1 < len(value) {
			return strings.ToLower(value[i+1])
		}
	}
	if len(value) > 0 && kind(value[len(value)-1]) == 0 {
		if w := strings.ToLower(value[len(value)-1]); w == "relay" || w == "ok" {
			return w
		}
	}
	return ""
}

// brings reports whether a rule puts word into the address that was not there.
func brings(r rule, word string, outcome judge.Outcome) bool {
	has := func(side []token) bool {
		return slices.ContainsFunc(side, func(t token) bool { return strings.EqualFold(t, word) })
	}
	if outcome == judge.Refused && slices.ContainsFunc(r.lhs, func(t token) bool { return kind(t) == '#' }) {
		return false
	}
	return has(r.rhs) && !has(r.lhs)
}

// earlier is the entry of a map that made a rule refuse: the one found just before.
func earlier(trace []event, outcome judge.Outcome) *hit {
	if outcome != judge.Refused || len(trace) == 0 {
		return nil
	}
	for i := len(trace) - 1; i >= max(0, len(trace)-4); i-- {
		for n, h := range trace[i].hits {
			word := strings.ToUpper(firstWord(h.value))
			if h.what == "map access" && (strings.HasPrefix(word, "REJECT") || strings.HasPrefix(word, "ERROR") || len(word) == 3 && word[0] == '5') {
				return &trace[i].hits[n]
			}
		}
	}
	return nil
}

// named are the places of what was found: the word of a class where the source names it.
func (m *model) named(h hit) []judge.Line {
	if h.what == "map access" {
		return []judge.Line{{File: h.at.File, Line: h.at.Line, Text: "access: " + h.at.Text}}
	}
	line := h.at
	if class, ok := strings.CutPrefix(h.what, "class "); ok {
		line.Text = "class " + class + ": " + h.value
		if class == "R" {
			for _, w := range m.relay {
				if strings.EqualFold(w.word, h.value) {
					return []judge.Line{{File: w.File, Line: w.Line, Text: "relay-domains: " + w.word}}
				}
			}
		}
	}
	return []judge.Line{line}
}

// bringers say which FEATURE or macro of the source brings a way to relay, by what the deciding rule reads.
var bringers = []struct {
	macro, arg string
	applies    func(e event, h *hit) bool
}{
	{"FEATURE", "relay_mail_from", func(e event, h *hit) bool { return h != nil && strings.HasPrefix(strings.ToLower(h.at.Text), "from:") }},
	{"FEATURE", "access_db", func(e event, h *hit) bool { return h != nil && h.what == "map access" }},
	{"FEATURE", "relay_entire_domain", func(e event, h *hit) bool { return h != nil && h.what == "class m" }},
	{"FEATURE", "relay_based_on_MX", func(e event, h *hit) bool { return h != nil && h.what == "map mxserved" }},
	{"FEATURE", "relay_local_from", func(e event, h *hit) bool {
		return strings.HasPrefix(e.rule.text, "R<?> $+ < @ $=w >") || h != nil && h.what == "class w" && e.set == "Relay_ok"
	}},
	{"TRUST_AUTH_MECH", "", func(e event, h *hit) bool { return h != nil && h.what == "class TrustAuthMech" }},
}

func (m *model) broughtBy(e event, h *hit) (judge.Line, bool) {
	if m.mc == nil {
		return judge.Line{}, false
	}
	for _, b := range bringers {
		if !b.applies(e, h) {
			continue
		}
		for _, call := range m.mc.named(b.macro, b.arg) {
			return judge.Line{File: call.file.path, Line: call.line, Text: b.macro + "(" + call.arg(0) + ")"}, true
		}
	}
	return judge.Line{}, false
}

// holeLines are the openings of the rulesets themselves.
func (m *model) holeLines(outcome judge.Outcome) []judge.Line {
	if outcome == judge.Refused {
		return m.refusals()
	}
	var lines []judge.Line
	for _, h := range m.holes() {
		lines = append(lines, judge.Line{File: h.File, Line: h.Line, Text: h.text})
	}
	return lines
}
