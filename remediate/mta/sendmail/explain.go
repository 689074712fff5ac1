package sendmail

import (
	"slices"
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

// again runs the rules for one more question, where that is certain: not for a client whose name decides, nor at a listener whose modifiers
// do (op.me, DaemonPortOptions), since the question names neither. Of an entry's clients those of a network differ by their addresses alone:
// a longer key, or a rule before, may say otherwise of one.
func again(c *mta.Config, q judge.Question) (judge.Answer, bool) {
	m, ok := c.Model.(*model)
	if !ok || q.Verb != judge.Rcpt || q.ClientName != "" || q.TLS || q.Entry != "" && !ofNet(c, q.Entry) {
		return judge.Answer{}, false
	}
	for _, p := range m.ports() {
		if p.listener == q.Listener && strings.Trim(p.modifiers, "ESO") != "" {
			return judge.Answer{}, false
		}
	}
	a := m.evaluated(askedOf(q))
	if a.Outcome == judge.CannotTell || a.Outcome == judge.Deferred || len(m.shut().spread(a)) != 1 || m.shut().spread(a)[0].Question != q {
		return judge.Answer{}, false
	}
	return a, true
}

// ofNet says whether an entry trusts a network by its addresses.
func ofNet(c *mta.Config, entry string) bool {
	return slices.ContainsFunc(c.Trusted, func(t mta.Trust) bool { return t.ID == entry && t.Kind == "client-net" })
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
	bits := flagWords(privacy.Value)
	option := judge.Line{File: privacy.File, Line: privacy.Line, Text: "PrivacyOptions=" + privacy.Raw}
	if !set {
		option = judge.Line{File: m.cf.path, Text: "PrivacyOptions is not set"}
	}
	letters, from, why := m.features(q)
	if why != "" && q.Verb == judge.Expn {
		a.Outcome, a.Text = judge.CannotTell, why
		return a
	}
	a.Outcome, a.Text = enumerate(q.Verb, bits, letters)
	a.Because = []judge.Line{option}
	if without, _ := enumerate(q.Verb, bits, ""); from.File != "" && q.Verb == judge.Expn {
		from.Text = "access: " + from.Text
		a.Because = append(a.Because, from)
		if without != a.Outcome {
			a.Because = []judge.Line{from, option}
		}
	}
	return a
}

// features are the letters that ruleset srv_features gives a client, and the entry of the access database that they come from; why
// says why they cannot be told.
func (m *model) features(q asked) (letters string, from judge.Line, why string) {
	if m.prog.sets["srv_features"] == nil {
		return "", judge.Line{}, ""
	}
	ends := m.prog.apply(m.prog.cut.cut(plain(q.name), m.prog.level < 9), macrosOf(q, m.mechanism()), "srv_features")
	for i, end := range ends {
		if end.err != nil {
			return "", judge.Line{}, end.err.Error()
		}
		if got := featureLetters(show(end.value)); i == 0 {
			letters = got
		} else if got != letters {
			return "", judge.Line{}, end.why
		}
	}
	for _, e := range ends[0].trace {
		for _, h := range e.hits {
			if splitKey(firstWord(h.at.Text)).tag == "srv_features" {
				from = h.at
			}
		}
	}
	return letters, from, ""
}
