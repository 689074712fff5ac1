package sendmail

import (
	"fmt"
	"strconv"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// asked is a question of the collector with the number of its block.
type asked struct {
	n          int
	first      int    // the first question about the same recipient
	addr, name string // of the client as sendmail writes them: "IPv6:2001:db8:…", "[198.51.100.7]"
	flags      string // {daemon_flags}: "a ", "CC f "
	issuer     string // of the client's certificate, encoded as cf/README says
	subject    string
	judge.Question
}

// answers returns what sendmail said to each question, and beside it what the reading makes of the same question.
func answers(s *facts.Snapshot, c *mta.Config) []judge.Answer {
	m, ok := c.Model.(*model)
	if !ok {
		return nil
	}
	var all []judge.Answer
	shut := m.shut()
	for _, q := range questions(s, m.cf.path) {
		says := m.mtaAnswer(s, q)
		reads := m.reading(c, q, says)
		if rule, ok := m.siteRule(); ok && says.Outcome == judge.Relayed && len(reads.Because) == 0 {
			says.Because = []judge.Line{{File: m.cf.path, Line: rule.line.line, Text: "Local_check_rcpt: " + rule.lhs + " → " + rule.rhs}}
		}
		all = append(all, shut.spread(says)...)
		all = append(all, shut.spread(reads)...)
	}
	all = append(all, m.holeAnswers(all)...)
	all = append(all, m.siteAnswers()...)
	all = append(all, m.greeting()...)
	return append(all, m.authOffers()...)
}

// holeAnswers put what was answered to the outside client under the hole that lets it in, as the entry that was tried: the sender
// of one's own domain for relay_local_from, the plain form for the rest. What an MX record decides, no question of the
// collector can show: there the rule in the .cf is the answer.
func (m *model) holeAnswers(all []judge.Answer) []judge.Answer {
	var more []judge.Answer
	for _, h := range m.holes() {
		form := "plain"
		if h.Kind == "sender" {
			form = "own-sender"
		}
		if h.code == "relay_based_on_MX" {
			more = append(more, judge.Answer{
				Question: judge.Question{Class: judge.Inside, Entry: h.ID, Form: form, ClientAddr: "198.51.100.7", Verb: judge.Rcpt},
				Judge:    judge.Config, Outcome: judge.Relayed, Text: h.text, Because: []judge.Line{{File: h.File, Line: h.Line, Text: h.text}},
			})
			continue
		}
		for _, a := range all {
			if q := a.Question; q.Class == judge.Outside && q.Verb == judge.Rcpt && q.Form == form && q.User == "" && q.ClientName != "" {
				a.Question.Class, a.Question.Entry = judge.Inside, h.ID
				more = append(more, a)
			}
		}
	}
	return more
}

// questions are the collector's own, or the standard ones where it put none: those are then cannot-tell.
func questions(s *facts.Snapshot, config string) []asked {
	var list []asked
	if o, ok := s.Output("sendmail:questions:" + config); ok {
		list = parseQuestions(o.Stdout)
	}
	if len(list) > 0 {
		return list
	}
	for i, verb := range []judge.Verb{judge.Rcpt, judge.Vrfy, judge.Expn} {
		q := judge.Question{Class: judge.Outside, ClientAddr: "198.51.100.7", Verb: verb, Recipient: "root"}
		if verb == judge.Rcpt {
			q.Form, q.Sender, q.Recipient = "plain", "antispam@example.com", "relaytest@example.org"
		}
		one := askedOf(q)
		one.n = -1 - i
		list = append(list, one)
	}
	return list
}

// askedOf is a question as sendmail would be given it.
func askedOf(q judge.Question) asked {
	a := asked{addr: q.ClientAddr, name: q.ClientName, Question: q}
	if strings.Contains(a.addr, ":") {
		a.addr = "IPv6:" + a.addr
	}
	if a.name == "" {
		a.name = "[" + a.addr + "]"
	}
	return a
}

// parseQuestions reads the lines of sm_questions: fields parted by tabs.
func parseQuestions(data []byte) []asked {
	var list []asked
	first := map[string]int{}
	for _, line := range strings.Split(string(data), "\n") {
		f := strings.Split(line, "\t")
		n, err := strconv.Atoi(f[0])
		if len(f) == 10 {
			f = append(f, "", "", "", "")
		}
		if err != nil || n <= 0 || len(f) != 14 {
			continue
		}
		if _, ok := first[f[9]]; !ok {
			first[f[9]] = n
		}
		name := f[5]
		if strings.HasPrefix(name, "[") {
			name = ""
		}
		list = append(list, asked{n, first[f[9]], f[4], f[5], f[11], f[12], f[13], judge.Question{
			Class: judge.Class(f[1]), Entry: f[2], Form: f[3], ClientAddr: strings.TrimPrefix(f[4], "IPv6:"), ClientName: name,
			User: f[6], Verb: judge.Verb(f[7]), Sender: f[8], Recipient: f[9], Listener: f[10], TLS: f[12]+f[13] != "",
		}})
	}
	return list
}

// mtaAnswer is sendmail's own answer.
func (m *model) mtaAnswer(s *facts.Snapshot, q asked) judge.Answer {
	a := judge.Answer{Question: q.Question, Judge: judge.MTA, Outcome: judge.CannotTell}
	switch {
	case m.noask != "":
		a.Text = "sendmail was not asked: " + m.noask
		return a
	case m.said == nil:
		a.Text = "sendmail was not asked"
		return a
	case m.said.refuses, !m.said.serving && len(m.said.faults) > 0:
		a.Outcome, a.Text, a.Because = judge.Dead, m.said.why(), m.said.faultPlace()
		return a
	case m.said.why() != "" && len(m.said.blocks[q.n]) == 0:
		a.Text = m.said.why()
		return a
	}
	if q.Verb == judge.Rcpt {
		a.Outcome, a.Text = m.recipient(q)
		return a
	}
	a.Outcome, a.Text = m.enumeration(q)
	return a
}

// enumeration judges VRFY and EXPN by the options in force and by what srv_features gives this client: x offers EXPN and
// X takes it away whatever PrivacyOptions say (srvrsmtp.c); for VRFY there is no such letter.
func (m *model) enumeration(q asked) (judge.Outcome, string) {
	bits, _ := expandPrivacy(m.said.options["PrivacyOptions"])
	value, _, _ := m.said.returned(q.n, "srv_features")
	return enumerate(q.Verb, bits, featureLetters(value))
}

// featureLetters are the letters of "$# x E"; an OK holds none.
func featureLetters(value string) string {
	rest, ok := strings.CutPrefix(value, "$#")
	if !ok {
		return ""
	}
	return strings.ReplaceAll(strings.ReplaceAll(rest, " ", ""), `"`, "")
}

func enumerate(verb judge.Verb, bits []string, letters string) (judge.Outcome, string) {
	have := "PrivacyOptions " + strings.Join(bits, ",")
	if verb == judge.Vrfy {
		if index(bits, "novrfy") >= 0 {
			return judge.Refused, have
		}
		return judge.Disclosed, have + " without novrfy"
	}
	offered := index(bits, "noexpn") < 0
	why := have
	for _, l := range letters {
		switch l {
		case 'x':
			offered, why = true, "Srv_Features x offers EXPN to this client over PrivacyOptions"
		case 'X':
			offered, why = false, "Srv_Features X takes EXPN from this client"
		}
	}
	if offered {
		if why == have {
			why += " without noexpn"
		}
		return judge.Disclosed, why
	}
	return judge.Refused, why
}

// cut says how many questions the collector did not put, for a note.
func cut(s *facts.Snapshot, config string) string {
	o, ok := s.Output("sendmail:questions:" + config)
	if !ok {
		return ""
	}
	for _, line := range strings.Split(string(o.Stdout), "\n") {
		if f := strings.Split(line, "\t"); len(f) == 3 && f[0] == "0" && f[1] == "cut" {
			return fmt.Sprintf("the configuration has more entries than can be asked about: %s", f[2])
		}
	}
	return ""
}
