package sendmail

import (
	"slices"
	"strings"

	"mtaharden/remediate/judge"
)

// port is a DaemonPortOptions line: where the daemon listens and its modifiers.
type port struct {
	listener, modifiers string
	option              cfOption
}

// ports are the daemon's listeners as the .cf has them; without such a line sendmail listens on port 25 of every address.
func (m *model) ports() []port {
	var list []port
	for _, o := range m.cf.options {
		if o.name != "DaemonPortOptions" {
			continue
		}
		p := port{listener: daemonListener(o.value), option: o}
		for _, part := range strings.Split(o.value, ",") {
			if k, v, ok := strings.Cut(strings.TrimSpace(part), "="); ok && k != "" && k[0]|32 == 'm' {
				p.modifiers = strings.TrimSpace(v)
			}
		}
		list = append(list, p)
	}
	return list
}

func (p port) has(modifier string) bool { return strings.Contains(p.modifiers, modifier) }

// shutters tell the listeners that take mail of authenticated clients only from the others.
type shutters struct {
	open []string
	some bool // there is a listener that asks for authentication
}

func (m *model) shut() shutters {
	var s shutters
	for _, p := range m.ports() {
		if p.has("a") {
			s.some = true
		} else if !slices.Contains(s.open, p.listener) {
			s.open = append(s.open, p.listener)
		}
	}
	return s
}

// spread says of an answer which listeners it holds at: what the rulesets accept from a client that has not logged in comes no further
// than "530 Authentication required" where modifier a asks for it.
func (s shutters) spread(a judge.Answer) []judge.Answer {
	q := a.Question
	if !s.some || q.Listener != "" || q.User != "" || q.Verb != judge.Rcpt || a.Outcome != judge.Relayed && a.Outcome != judge.Delivered {
		return []judge.Answer{a}
	}
	if len(s.open) == 0 {
		a.Outcome, a.Text = judge.Refused, "every listener asks for authentication (DaemonPortOptions, modifier a)"
		return []judge.Answer{a}
	}
	var list []judge.Answer
	for _, at := range s.open {
		a.Question.Listener = at
		list = append(list, a)
	}
	return list
}

// passwordsOpen are the mechanisms by which a password crosses the network as it is (RFC 4616, draft-murchison-sasl-login).
var passwordsOpen = []string{"PLAIN", "LOGIN"}

// authOffers say for each listener whether a password would be asked for outside TLS: the mechanisms of AuthMechanisms that pass one
// as it is, unless AuthOptions has p, or modifier A of the listener turns AUTH off, or s lets TLS come first (op.me 5.6). Whether one
// is really offered hangs on the SASL library and its plugins, which only a dialogue shows.
func (m *model) authOffers() []judge.Answer {
	ports := m.ports()
	if len(ports) == 0 {
		ports = []port{{}}
	}
	var all []judge.Answer
	for _, p := range ports {
		q := judge.Question{Listener: p.listener, Class: judge.Outside, ClientAddr: "198.51.100.7", Verb: judge.Auth}
		a := judge.Answer{Question: q, Judge: judge.Config}
		a.Outcome, a.Text, a.Because = m.authOffer(p)
		all = append(all, a)
	}
	return all
}

func (m *model) authOffer(p port) (judge.Outcome, string, []judge.Line) {
	at := m.origin(p.option)
	here := []judge.Line{{File: at.File, Line: at.Line, Text: "DaemonPortOptions=" + p.option.value}}
	switch {
	case p.has("A"):
		return judge.Refused, "modifier A offers no AUTH here", here
	case p.has("s"):
		return judge.Refused, "TLS comes first here (modifier s)", here
	}
	options, line, set := m.optionLine("AuthOptions")
	if set && strings.Contains(options, "p") {
		return judge.CannotTell, "AuthOptions has p: no PLAIN or LOGIN without TLS; other mechanisms hang on the SASL library", []judge.Line{line}
	}
	mechanisms, line, set := m.optionLine("AuthMechanisms")
	if !set {
		return judge.CannotTell, "AuthMechanisms is not set: none that passes a password as it is; others hang on the SASL library", []judge.Line{line}
	}
	for _, w := range strings.Fields(strings.ToUpper(mechanisms)) {
		if slices.Contains(passwordsOpen, w) {
			return judge.CannotTell, "AUTH " + w + " is offered without TLS if the SASL library has it: AuthOptions lacks p", []judge.Line{line}
		}
	}
	return judge.CannotTell, "none of " + mechanisms + " passes a password as it is; which are offered hangs on the SASL library", []judge.Line{line}
}

// optionLine is an option in force and its place: of the daemon's command line, else of the files.
func (m *model) optionLine(name string) (string, judge.Line, bool) {
	if v, ok := m.overrides[name]; ok {
		return v, judge.Line{Text: "the daemon was started with -O" + name + "=" + v}, true
	}
	o, ok := m.last(name)
	if !ok {
		return "", judge.Line{File: m.cf.path, Text: name + " is not set"}, false
	}
	at := m.origin(o)
	return o.value, judge.Line{File: at.File, Line: at.Line, Text: name + "=" + o.value}, true
}
