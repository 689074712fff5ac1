package postfix

import (
	"fmt"
	"slices"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// answers returns what the configuration says to the questions of every listener. Postfix has no dry run: it can be asked itself only in a stage,
// where a daemon takes XCLIENT; then its own answers stand beside.
func answers(_ *facts.Snapshot, c *mta.Config) []judge.Answer {
	m, ok := c.Model.(*model)
	if !ok {
		return nil
	}
	if len(m.listeners) == 0 {
		return m.withoutListener()
	}
	var out []judge.Answer
	for _, l := range m.listeners {
		asker := m.asker(l)
		from := len(out)
		for _, q := range asker.questions(c.Trusted) {
			out = append(out, unproven(m.replyTo(q, l, asker.reach()), c.Trusted))
		}
		m.markDead(out[from:], l)
	}
	return append(out, m.proved(c.Trusted, out)...)
}

// again answers one more question at one of the listeners.
func again(c *mta.Config, q judge.Question) (judge.Answer, bool) {
	m, ok := c.Model.(*model)
	if !ok {
		return judge.Answer{}, false
	}
	i := slices.IndexFunc(m.listeners, func(l listener) bool { return l.addr == q.Listener })
	if i < 0 {
		return judge.Answer{}, false
	}
	l := m.listeners[i]
	out := []judge.Answer{unproven(m.replyTo(q, l, (&asker{m: m, l: l}).reach()), c.Trusted)}
	m.markDead(out, l)
	return out[0], true
}

// unproven keeps a refusal from saying that an entry of patterns does nothing: the one who asked may not be one whom it covers.
func unproven(a judge.Answer, trusted []mta.Trust) judge.Answer {
	covers := func(t mta.Trust) bool { return t.ID == a.Question.Entry && ofPatterns(t) }
	if a.Question.Entry == "" || a.Outcome == judge.Relayed || !slices.ContainsFunc(trusted, covers) {
		return a
	}
	a.Outcome, a.Text = judge.CannotTell, "whom the patterns of "+a.Question.Entry+" cover is not known"
	return a
}

// replyTo answers as reply does; a stranger does not get as far as a listener on the loopback address.
func (m *model) replyTo(q judge.Question, l listener, reach bool) judge.Answer {
	a := m.reply(q, l)
	if reach || q.Class != judge.Outside || a.Outcome == judge.Dead || a.Outcome == judge.CannotTell {
		return a
	}
	return judge.Answer{Question: q, Judge: judge.Config, Outcome: judge.Refused, Text: "only clients on this machine reach " + l.addr,
		Because: []judge.Line{{File: m.master.path, Line: l.front.line, Text: l.front.title()}}}
}

// withoutListener: where no service was read at all nothing can be told; where services were read and none takes mail from the network,
// nothing is asked.
func (m *model) withoutListener() []judge.Answer {
	if len(m.master.services) > 0 {
		return nil
	}
	var out []judge.Answer
	for _, verb := range []judge.Verb{judge.Rcpt, judge.Vrfy, judge.Expn, judge.Banner, judge.Help, judge.Auth} {
		q := judge.Question{Class: judge.Outside, ClientAddr: outsiders[0], Verb: verb}
		if verb == judge.Rcpt {
			q.Form = "plain"
		}
		why, _ := m.cannotJudge()
		out = append(out, judge.Answer{Question: q, Judge: judge.Config, Outcome: judge.CannotTell, Text: why})
	}
	return out
}

// reply answers one question.
func (m *model) reply(q judge.Question, l listener) judge.Answer {
	if q.Verb == judge.Rcpt {
		return m.spoofed(q, l, m.answer(q, l))
	}
	a := judge.Answer{Question: q, Judge: judge.Config}
	if why, at := m.cannotJudge(); why != "" && l.smtpd != nil {
		a.Outcome, a.Text, a.Because = judge.CannotTell, why, at
		return a
	}
	if why, at := m.dead(l); why != "" {
		a.Outcome, a.Text, a.Because = judge.Dead, why, at
		return a
	}
	switch q.Verb {
	case judge.Vrfy:
		return m.vrfy(a, l)
	case judge.Banner:
		return m.banner(a, l)
	case judge.Auth:
		return m.auth(a, l)
	}
	a.Outcome, a.Text = judge.Refused, "Postfix has no EXPN command"
	if q.Verb == judge.Help {
		a.Text = "HELP shows no version: Postfix refuses it, or lists its commands"
	}
	return a
}

// markDead makes the configuration errors of a client into what they are where that client's mail to this host itself meets them too:
// the listener does not serve it. Where it is served, an smtpd that ends at the mail of others is a failure of theirs alone.
func (m *model) markDead(answers []judge.Answer, l listener) {
	broken := func(a judge.Answer) bool { return isBroken(a) || endsIt(a) }
	if l.smtpd == nil || !slices.ContainsFunc(answers, broken) {
		return
	}
	asker := m.asker(l)
	served := map[string]bool{}
	for i, a := range answers {
		if !broken(a) {
			continue
		}
		addr := a.Question.ClientAddr
		if _, known := served[addr]; !known {
			local := a.Question
			local.Form, local.Sender, local.Recipient = "", "antispam@"+asker.third, "webmaster@"+asker.names[0]
			served[addr] = !broken(m.answer(local, l))
		}
		switch {
		case served[addr] && endsIt(a):
			answers[i].Outcome = judge.Deferred
		case !served[addr] && isBroken(a):
			answers[i].Outcome = judge.Dead
			answers[i].Text = "every recipient is answered " + a.Text
		}
	}
}

// endsIt reports whether smtpd greets the client and ends at this question.
func endsIt(a judge.Answer) bool { return a.Outcome == judge.Dead && strings.HasPrefix(a.Text, ends) }

func isBroken(a judge.Answer) bool {
	return a.Outcome == judge.Deferred && (strings.Contains(a.Text, "451 4.3.5") || strings.Contains(a.Text, "451 4.3.0") || strings.Contains(a.Text, "421 4.3.0"))
}

// line is the place of a parameter as evidence.
func (m *model) line(name string, s *service) judge.Line {
	raw, o, _ := m.raw(name, s)
	return judge.Line{File: o.File, Line: o.Line, Text: name + " = " + raw}
}

// vrfy: disclosed when the command is on and a known and an unknown name may be answered differently.
func (m *model) vrfy(a judge.Answer, l listener) judge.Answer {
	a.Because = []judge.Line{m.line("disable_vrfy_command", l.smtpd)}
	if m.yes("disable_vrfy_command", l.smtpd) {
		a.Outcome, a.Text = judge.Refused, "502 VRFY command is disabled"
		return a
	}
	known, unknown := a.Question, a.Question
	known.Verb, unknown.Verb = judge.Rcpt, judge.Rcpt
	known.Sender, unknown.Sender = "", ""
	unknown.Recipient = "no-such-user-here" + strings.TrimPrefix(known.Recipient, "postmaster")
	x, y := m.answer(known, l), m.answer(unknown, l)
	if x.Outcome == judge.Refused && y.Outcome == judge.Refused && x.Text == y.Text {
		a.Outcome, a.Text = judge.Refused, "VRFY is answered like any recipient: "+x.Text
		a.Because = append(a.Because, x.Because...)
		return a
	}
	a.Outcome, a.Text = judge.Disclosed, "VRFY is on: 252 for a known name, 550 for an unknown one"
	return a
}

// banner: disclosed when the greeting names the product, its version or the system.
func (m *model) banner(a judge.Answer, l listener) judge.Answer {
	name, s := "smtpd_banner", l.smtpd
	if l.front.command == "postscreen" {
		if word := leaks(m.value("postscreen_greet_banner", l.front), m); word != "" {
			name, s = "postscreen_greet_banner", l.front
		}
	}
	text := m.value(name, s)
	a.Because = []judge.Line{m.line(name, s)}
	a.Outcome, a.Text = judge.Refused, "220 "+text
	if word := leaks(text, m); word != "" {
		a.Outcome, a.Text = judge.Disclosed, fmt.Sprintf("220 %s (it names %s)", text, word)
	}
	return a
}

// leaks returns the word of a greeting that tells product, version or system, "" for none. The host's own name is not looked at.
func leaks(text string, m *model) string {
	low := strings.ToLower(text)
	if host := strings.ToLower(m.value("myhostname", nil)); host != "" {
		low = strings.ReplaceAll(low, host, "")
	}
	words := []string{"postfix", "debian", "ubuntu", "red hat", "redhat", "centos", "rocky", "almalinux", "fedora", "suse", "freebsd", "openbsd", "netbsd", "solaris", "aix", "hp-ux", "linux"}
	if v := m.defaults["mail_version"]; v != "" {
		words = append(words, strings.ToLower(v))
	}
	for _, w := range words {
		if strings.Contains(low, w) {
			return w
		}
	}
	return ""
}
