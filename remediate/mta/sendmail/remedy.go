package sendmail

import (
	"slices"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// remedy returns the fixes after which an answer would be another one; nil where only a person can decide: a hole in the rulesets
// of a .cf that has no source cannot be closed by a line (three blocks of rules are missing; controls of cf/README).
func remedy(c *mta.Config, a judge.Answer) []mta.Fix {
	m, ok := c.Model.(*model)
	if !ok {
		return nil
	}
	switch a.Question.Verb {
	case judge.Vrfy:
		if a.Outcome == judge.Disclosed {
			return []mta.Fix{{Name: "PrivacyOptions", Op: mta.Add, Value: "novrfy"}}
		}
	case judge.Expn:
		return m.remedyExpn(c, a)
	case judge.Banner:
		if a.Outcome == judge.Disclosed {
			return []mta.Fix{{Name: "SmtpGreetingMessage", Op: mta.Set, Value: "$j"}}
		}
	case judge.Help:
		if a.Outcome == judge.Disclosed {
			return m.remedyHelp()
		}
	case judge.Rcpt:
		if a.Outcome == judge.Relayed {
			return m.remedyRelay(c, a)
		}
	}
	return nil
}

// remedyHelp takes the product out of the help file, or makes one: without it the reply names the version.
func (m *model) remedyHelp() []mta.Fix {
	o, ok := m.last("HelpFile")
	switch {
	case m.help != nil:
		return []mta.Fix{{Name: "helpfile", Op: mta.Unset, File: m.source(m.help.Path)}}
	case ok && !m.helpUnread:
		return []mta.Fix{{Name: "helpfile", Op: mta.Set, File: firstWord(o.value)}}
	}
	return nil
}

// remedyExpn: noexpn, and the Srv_Features entry that offers EXPN in spite of it.
func (m *model) remedyExpn(c *mta.Config, a judge.Answer) []mta.Fix {
	if a.Outcome != judge.Disclosed {
		return nil
	}
	var fixes []mta.Fix
	if p, _ := c.Setting("PrivacyOptions", ""); !slices.Contains(flagWords(p.Value), "noexpn") {
		fixes = append(fixes, mta.Fix{Name: "PrivacyOptions", Op: mta.Add, Value: "noexpn"})
	}
	letters, from, _ := m.features(askedOf(a.Question))
	if from.Line > 0 && slices.Contains([]rune(letters), 'x') {
		fixes = append(fixes, mta.Fix{Name: "access", Op: mta.Remove, Value: firstWord(from.Text), File: m.source(from.File), Line: from.Line})
	}
	return fixes
}

// remedyRelay takes away what lets the question through. Where one of the reasons has no fix, there is none for the answer.
func (m *model) remedyRelay(c *mta.Config, a judge.Answer) []mta.Fix {
	if a.Question.Class == judge.Localhost || a.Question.Class == judge.Own || a.Question.User != "" {
		return nil
	}
	var fixes []mta.Fix
	add := func(list []mta.Fix) {
		for _, f := range list {
			if !slices.Contains(fixes, f) {
				fixes = append(fixes, f)
			}
		}
	}
	for _, h := range m.holes() {
		if !h.applies(a.Question) {
			continue
		}
		if len(h.Fix) == 0 {
			return m.guardRemedy()
		}
		add(h.Fix)
	}
	for _, t := range c.Trusted {
		if covers(t, a.Question) {
			if len(t.Fix) == 0 {
				return nil
			}
			add(t.Fix)
		}
	}
	add(m.siteFix(a))
	if len(fixes) == 0 {
		return m.guardRemedy()
	}
	return fixes
}
