package exim

import (
	"regexp"
	"strings"

	"mtaharden/remediate/judge"
)

// heard turns one session into answers, at each listener for which it stands.
func (m *model) heard(s session) []judge.Answer {
	var out []judge.Answer
	for _, l := range m.listeners(s.Listener) {
		out = append(out, m.heardAt(s, l)...)
	}
	return out
}

func (m *model) heardAt(s session, listener string) []judge.Answer {
	base := judge.Question{Class: judge.Outside, ClientAddr: s.Client, Helo: "probe." + m.names["from"]}
	base.Listener, base.User, base.TLS = listener, s.User, s.TLS
	if s.Failure != "" {
		q := base
		q.Verb, q.Form, q.Sender, q.Recipient = judge.Rcpt, "plain", "probe@"+m.names["from"], "probe@"+m.names["far"]
		a := judge.Answer{Question: m.classed(q), Judge: judge.MTA, Outcome: judge.CannotTell, Text: s.Failure}
		if strings.Contains(s.Failure, "onfiguration error") {
			a.Outcome = judge.Dead
		}
		return []judge.Answer{a}
	}
	out := m.exchanges(base, s)
	if len(s.Exchanges) > 1 && strings.HasPrefix(s.Exchanges[1].Command, "VRFY") {
		out = append(out, m.greeting(base, s)...)
	}
	if m.tlsAlone(base.Listener) && !base.TLS {
		for i := range out {
			out[i].Outcome, out[i].Text, out[i].Because = judge.CannotTell, "this listener speaks TLS from the start, which -bh does not", nil
		}
	}
	if line, ok := m.cfg.proxied(base); ok {
		for i := range out {
			if out[i].Question.Verb != judge.Banner {
				out[i].Outcome, out[i].Text, out[i].Because = judge.CannotTell, line.Text, []judge.Line{line}
			}
		}
	}
	return out
}

// exchanges turns the commands about recipients and accounts into answers.
func (m *model) exchanges(base judge.Question, s session) []judge.Answer {
	var out []judge.Answer
	refusedMail := exchange{}
	for i, x := range s.Exchanges {
		verb, rest := cutWord(x.Command)
		q := base
		q.Form, q.Sender = x.Form, x.Sender
		switch verb {
		case "MAIL":
			refusedMail = exchange{}
			if c := x.code(); c >= 400 || c == 0 {
				refusedMail = x
			}
		case "RCPT":
			q.Verb, q.Recipient = judge.Rcpt, strings.TrimSuffix(strings.TrimPrefix(rest, "TO:<"), ">")
			out = append(out, m.recipientAnswer(q, x, refusedMail))
		case "VRFY", "EXPN":
			if verb == "VRFY" && strings.HasPrefix(rest, "probe7nobody@") || verb == "EXPN" && strings.HasPrefix(rest, "root@") {
				continue
			}
			q.Verb, q.Recipient, q.Form, q.Sender = judge.Verb(verb), rest, "", ""
			out = append(out, m.disclosure(q, x, s.Exchanges[i+1:]))
		}
	}
	return out
}

// recipientAnswer judges the reply to RCPT.
func (m *model) recipientAnswer(q judge.Question, x, mail exchange) judge.Answer {
	domain := domainOf(q.Recipient)
	foreign := newEvaluator(m.cfg, q).local(domain) != yes
	switch q.Form {
	case "domain":
		q.Form = ""
		q = m.domainClass(q)
	case "sender":
		q = m.senderClass(q)
	case "local":
		foreign = false
		q = m.classed(q)
		q.Form = "local"
	default:
		q = m.classed(q)
		// "user%elsewhere@here" is a local part like any other, unless percent_hack_domains says otherwise; bang paths always are.
		if to, _, known := m.cfg.percentHack(q); !known || to != q.Recipient {
			foreign = !known || newEvaluator(m.cfg, q).local(domainOf(to)) != yes
		}
	}
	a := judge.Answer{Question: q, Judge: judge.MTA, Text: x.Reply}
	if mail.Command != "" {
		x.Reply, x.Trace = mail.Reply, mail.Trace
		a.Text = "at MAIL: " + mail.Reply
	}
	d := decide(x.Trace)
	a.Because = m.because(d, a.Text)
	switch code := x.code(); {
	case code == 0:
		a.Outcome, a.Text = judge.CannotTell, "the session ended before this recipient"
	case code < 300 && d.verb == "discard":
		a.Outcome = judge.Refused
		a.Text = "it is taken and thrown away: " + a.Text
	case code < 300 && q.Form == "local":
		a.Outcome = judge.Delivered
	case code < 300:
		m.taken(&a)
	case d.verify == "recipient" && !d.failed && foreign && mail.Command == "":
		a.Outcome = judge.CannotTell
		a.Text = "relay is allowed as far as the ACL goes; only the verification of the recipient failed: " + x.Reply
	case d.verify == "" && strings.Contains(x.Log, "(verify)"): // an earlier result was used again
		a.Outcome = judge.CannotTell
		a.Text = "only a verification failed, and what lies behind it was not reached: " + x.Reply
	case d.verify != "" && d.verify != "recipient":
		a.Outcome = judge.CannotTell
		a.Text = "only the verification of the " + d.verify + " failed, and what lies behind it was not reached: " + x.Reply
	case code == 451 && misconfigured(x.Log):
		a.Outcome = judge.Dead
		a.Text = "a configuration error" + strings.TrimPrefix(x.Log, "rejected RCPT") + ": " + x.Reply
	case code < 500:
		a.Outcome = judge.Deferred
	default:
		a.Outcome = judge.Refused
		m.doubt(&a)
	}
	if d.lost != "" && (foreign || d.lost != "recipient") && x.code() >= 400 {
		m.unsettle(&a, d.lost)
	}
	return a
}

// unsettle takes back a refusal that an earlier verification of lost may have led to, but where the reading says the same.
func (m *model) unsettle(a *judge.Answer, lost string) {
	if a.Outcome == judge.CannotTell || a.Outcome == m.fromConfig(a.Question).Outcome {
		return
	}
	a.Outcome = judge.CannotTell
	a.Text = "the verification of the " + lost + " failed before, and for another it may not: " + a.Text
}

// taken judges a recipient that Exim took, by where the routers send it.
func (m *model) taken(a *judge.Answer) {
	q, line, settled := m.cfg.routedForm(a.Question)
	if settled == judge.CannotTell {
		a.Outcome, a.Text = judge.CannotTell, line.Text+": "+a.Text
		return
	}
	ways := m.cfg.destination(newEvaluator(m.cfg, q))
	_, relayed := ways[judge.Relayed]
	_, delivered := ways[judge.Delivered]
	switch {
	case relayed && delivered && newEvaluator(m.cfg, q).local(domainOf(q.Recipient)) == yes:
		a.Outcome = judge.CannotTell
		a.Text = "it is taken, and whether the routers pass it on cannot be told: " + a.Text
	case relayed:
		a.Outcome = judge.Relayed
	case delivered:
		a.Outcome = judge.Delivered
	default:
		a.Outcome = judge.CannotTell
		a.Text = ways[judge.CannotTell][0].text + ": " + a.Text
	}
}

// doubt takes a refusal back where the block that made it depends on what only this client lacks (a name in DNS, a look-up), and
// where without that block the client would relay: another client would get through.
func (m *model) doubt(a *judge.Answer) {
	if len(a.Because) == 0 || a.Because[0].File == "" {
		return
	}
	at := place{a.Because[0].File, a.Because[0].Line}
	for _, blocks := range m.cfg.acls {
		for _, b := range blocks {
			if b.At != at {
				continue
			}
			e := newEvaluator(m.cfg, a.Question)
			var v verdict
			if t, _ := e.conditions(b, 0, &v); t != maybe {
				continue
			}
			if out, _ := m.cfg.recipientWithout(a.Question, at); out == judge.Relayed {
				a.Outcome = judge.CannotTell
				a.Text = "only this refuses it, and another client may pass: " + a.Text
			}
		}
	}
}

func domainOf(address string) string {
	i := strings.LastIndex(address, "@")
	return strings.ToLower(address[i+1:])
}

// senderClass is the entry that a sender falls under.
func (m *model) senderClass(q judge.Question) judge.Question {
	for _, t := range m.trusted {
		if t.Kind == "sender" && newEvaluator(m.cfg, q).matchSender(t.Value, q.Sender) == yes {
			q.Class, q.Entry, q.Form = judge.Inside, t.ID, "plain"
			return q
		}
	}
	q.Form = "own-sender"
	return m.classed(q)
}

func (e *evaluator) matchSender(item, sender string) truth {
	return addressMatcher(sender)(e, item, 0)
}

// because is the place in the sources of the verb that decided.
func (m *model) because(d decision, text string) []judge.Line {
	if d.at.File == "" {
		return nil
	}
	at := m.source(d.at)
	say := d.verb
	for _, blocks := range m.cfg.acls {
		for _, b := range blocks {
			if b.At == at {
				say = b.describe()
			}
		}
	}
	return []judge.Line{{File: at.File, Line: at.Line, Text: say}}
}

// disclosure judges VRFY and EXPN: an account and a name that nobody has must be answered alike, and neither with a confirmation.
func (m *model) disclosure(q judge.Question, x exchange, later []exchange) judge.Answer {
	a := judge.Answer{Question: q, Judge: judge.MTA, Outcome: judge.Refused, Text: x.Reply, Because: m.because(decide(x.Trace), x.Reply)}
	if x.code() == 0 || x.code() == 421 {
		a.Outcome, a.Text = judge.CannotTell, "the session ended before this command"
		return a
	}
	if c := x.code(); c == 250 || c == 251 {
		a.Outcome = judge.Disclosed
	}
	// The ACL let the client ask: that this address could not be verified here says nothing of the others.
	if decide(x.Trace).passed {
		a.Outcome = judge.Disclosed
	}
	for _, other := range later {
		if !strings.HasPrefix(other.Command, string(q.Verb)+" ") || other.code() == 0 {
			continue
		}
		if other.code() == 250 || other.code() == 251 || q.Verb == judge.Vrfy && other.code() != x.code() {
			a.Outcome = judge.Disclosed
			a.Text += "; another address: " + other.Reply
		}
		break
	}
	return a
}

// productWords tell the product or a version in a greeting or a HELP text.
var productWords = regexp.MustCompile(`(?i)exim|\b4\.\d\d|debian|ubuntu|#\d+`)

// greeting judges the banner, HELP, and whether AUTH is offered without TLS.
func (m *model) greeting(base judge.Question, s session) []judge.Answer {
	one := func(v judge.Verb, shown bool, text string) judge.Answer {
		q := base
		q.Verb = v
		a := judge.Answer{Question: q, Judge: judge.MTA, Outcome: judge.Refused, Text: text}
		if shown {
			a.Outcome = judge.Disclosed
		}
		return a
	}
	if !strings.HasPrefix(s.Banner, "220") {
		q := base
		q.Verb = judge.Banner
		return []judge.Answer{{Question: q, Judge: judge.MTA, Outcome: judge.CannotTell, Text: "this client is turned away: " + s.Banner}}
	}
	banner := strings.ReplaceAll(s.Banner, m.cfg.primary, "")
	out := []judge.Answer{one(judge.Banner, productWords.MatchString(banner), s.Banner)}
	for _, x := range s.Exchanges {
		switch verb, _ := cutWord(x.Command); verb {
		case "EHLO":
			auth := ""
			for _, l := range x.Lines {
				if len(l) > 4 && strings.HasPrefix(strings.ToUpper(l[4:]), "AUTH") {
					auth = l
				}
			}
			text := auth
			if auth == "" {
				text = "AUTH is not offered without TLS"
			}
			a := one(judge.Auth, auth != "", text)
			if x.code() != 250 {
				a.Outcome, a.Text = judge.CannotTell, "the greeting was not taken: "+x.Reply
			}
			out = append(out, a)
		case "HELP":
			text := strings.Join(x.Lines, "\n")
			a := one(judge.Help, productWords.MatchString(strings.ReplaceAll(text, m.cfg.primary, "")), text)
			if x.code() == 0 || x.code() == 421 {
				a.Outcome, a.Text = judge.CannotTell, "the session ended before this command"
			}
			out = append(out, a)
		}
	}
	return out
}

// listeners are those of the installation on the port that a session was about: an address of either family is bound to it, and -bh was
// told one. "" is every listener, of a session that was about none.
func (m *model) listeners(iface string) []string {
	port := iface[strings.LastIndex(iface, ".")+1:]
	var out []string
	for _, l := range m.in.Listen {
		if iface != "" && strings.HasSuffix(l, ":"+port) {
			out = append(out, l)
		}
	}
	if len(out) == 0 {
		return []string{""}
	}
	return out
}
