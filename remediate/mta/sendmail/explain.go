package sendmail

import (
	"strings"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// reading is what the configuration says to a question: its rules, run over its access database and classes. sendmail's own answer to
// the same question stands above it: where the two differ the reading is cannot-tell and says both.
func (m *model) reading(c *mta.Config, q asked, says judge.Answer) judge.Answer {
	if q.Verb != judge.Rcpt {
		return m.readEnumeration(c, q, says)
	}
	if says.Outcome == judge.Dead {
		return judge.Answer{Question: q.Question, Judge: judge.Config, Outcome: judge.CannotTell, Text: says.Text}
	}
	return beside(m.evaluated(q), says)
}

// beside withdraws a reading that is not what sendmail says.
func beside(a, says judge.Answer) judge.Answer {
	if says.Outcome == judge.CannotTell || says.Outcome == a.Outcome || a.Outcome == judge.CannotTell {
		return a
	}
	a.Text = "the files read otherwise than sendmail answers: " + string(a.Outcome) + ", " + a.Text
	a.Outcome = judge.CannotTell
	return a
}

// refusals is the rule that says no.
func (m *model) refusals() []judge.Line {
	for _, ruleset := range []string{"Basic_check_rcpt", "check_rcpt"} {
		if line := m.refusal(ruleset); line > 0 {
			return []judge.Line{{File: m.cf.path, Line: line, Text: "ruleset " + ruleset + " ends in error 5.7.1"}}
		}
	}
	return nil
}

// readEnumeration reads VRFY and EXPN off the settings and the access database.
func (m *model) readEnumeration(c *mta.Config, q asked, says judge.Answer) judge.Answer {
	if says.Outcome == judge.Dead {
		return judge.Answer{Question: q.Question, Judge: judge.Config, Outcome: judge.CannotTell, Text: says.Text}
	}
	return beside(m.enumerated(c, q), says)
}

// enumerated is what options and Srv_Features make of VRFY and EXPN: the entry of the access database decides over the option.
func (m *model) enumerated(c *mta.Config, q asked) judge.Answer {
	a := judge.Answer{Question: q.Question, Judge: judge.Config}
	privacy, set := c.Setting("PrivacyOptions", "")
	letters, from := m.featuresFor(q.Question)
	bits := flagWords(privacy.Value)
	a.Outcome, a.Text = enumerate(q.Verb, bits, letters)
	option := judge.Line{File: privacy.File, Line: privacy.Line, Text: "PrivacyOptions=" + privacy.Raw}
	if !set {
		option = judge.Line{File: m.cf.path, Text: "PrivacyOptions is not set"}
	}
	a.Because = []judge.Line{option}
	if from.key != "" && q.Verb == judge.Expn {
		at := judge.Line{File: m.access.text, Line: from.line, Text: "access: " + from.key + " " + from.value}
		a.Because = append(a.Because, at)
		if without, _ := enumerate(q.Verb, bits, ""); without != a.Outcome {
			a.Because = []judge.Line{at, option}
		}
	}
	if q.Verb == judge.Expn && a.Outcome == judge.Refused && m.access != nil && m.access.file == nil && !m.access.dumped {
		a.Outcome, a.Text = judge.CannotTell, "the access database was not read: its Srv_Features may offer EXPN"
	}
	return a
}

// featuresFor looks up Srv_Features as sendmail does: the client's name and its parents, its address and the octets
// before, then the empty key (proto.m4, ruleset srv_features).
func (m *model) featuresFor(q judge.Question) (string, entry) {
	if m.access == nil {
		return "", entry{}
	}
	table := map[string]entry{}
	for _, e := range m.serverFeatures() {
		table[strings.Trim(splitKey(e.key).what, "[]")] = e
	}
	keys := []string{}
	for name := strings.ToLower(q.ClientName); name != ""; {
		keys = append(keys, name)
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			break
		}
		name = rest
	}
	for addr := q.ClientAddr; addr != ""; {
		keys = append(keys, addr)
		i := strings.LastIndexByte(addr, '.')
		if i < 0 {
			break
		}
		addr = addr[:i]
	}
	for _, k := range append(keys, "") {
		if e, ok := table[k]; ok {
			return strings.ReplaceAll(e.value, " ", ""), e
		}
	}
	return "", entry{}
}
