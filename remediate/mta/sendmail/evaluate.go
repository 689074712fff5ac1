package sendmail

import (
	"slices"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
)

// compiled makes a program of the configuration as the snapshot has it: its class files and the maps that are built from a text. Where
// sendmail was asked, the words of the classes that it printed and its own names come from there.
func (m *model) compiled(s *facts.Snapshot) *program {
	out := surroundings{macros: map[string]string{}, classes: map[string][]string{}}
	out.file = func(path string) ([]byte, bool, bool) {
		f, ok := s.File(path)
		if !ok || f.State != facts.Whole {
			return nil, false, ok && f.State == facts.Absent && s.Root // who is not root may not see it
		}
		return f.Data, true, true
	}
	out.lookup = func(k cfMap) lookup {
		return lookupFor(k, func(k cfMap) ([]entry, string, string) { return tableOf(s, k) })
	}
	if m.said != nil {
		for name, value := range m.said.macros {
			out.macros[name] = value
		}
		for name, words := range m.said.classes {
			out.classes[name] = words
		}
	}
	m.ownNames(s, out)
	p := compile(m.cf, out)
	if m.said != nil && m.said.ended {
		for _, name := range askedClasses {
			p.class(name).unread = ""
		}
	}
	return p
}

// askedClasses are the classes that the collector has sendmail print.
var askedClasses = []string{"R", "w", "m", "TrustAuthMech"}

// ownNames are what sendmail works out of the host by itself (main.c): its name, its domain, its names and addresses.
func (m *model) ownNames(s *facts.Snapshot, out surroundings) {
	host := s.Fact("sendmail:fqdn")
	if host == "" {
		host = s.Hostname
	}
	if out.macros["j"] == "" {
		out.macros["j"] = host
	}
	short, domain, _ := strings.Cut(host, ".")
	if out.macros["m"] == "" {
		out.macros["m"] = domain
	}
	if out.macros["w"] == "" {
		out.macros["w"] = short
	}
	if len(out.classes["w"]) > 0 {
		return
	}
	words := []string{host, short, "localhost", "[127.0.0.1]", "[IPv6:0:0:0:0:0:0:0:1]"}
	for _, a := range s.Addrs {
		addr, _, _ := strings.Cut(a, "/")
		words = append(words, "["+addr+"]")
	}
	out.classes["w"] = words
}

// tableOf is a map's entries, the path of its text, and why they are not known.
func tableOf(s *facts.Snapshot, k cfMap) (entries []entry, path, unread string) {
	if !strings.HasPrefix(k.path, "/") {
		return nil, "", "its file is " + k.path
	}
	t := readTable(s, k)
	_, collected := s.File(t.text)
	switch {
	case t.dumped, t.compiledThere(s) && t.file != nil:
		return t.effective(), t.text, ""
	case t.compiledThere(s):
		return nil, "", "neither the text nor the compiled form of " + t.text + " was readable"
	case !s.Root:
		return nil, "", t.text + " was looked for without root"
	case !collected:
		return nil, "", t.text + " was not collected"
	case readFlags(k).optional:
		return nil, t.text, ""
	}
	return nil, "", missing
}

// compiledThere reports whether a compiled form of the map was seen on the host.
func (t *table) compiledThere(s *facts.Snapshot) bool {
	for _, ext := range []string{".db", ".pag", ".cdb", ".mdb", ".lmdb"} {
		if f, ok := s.File(t.text + ext); ok && f.State != facts.Absent {
			return true
		}
	}
	return false
}

// macrosOf are the macros that a question sets, the same as the collector has sendmail set.
func macrosOf(q asked, mech string) map[string]string {
	_, host, has := strings.Cut(q.Sender, "@")
	if i := strings.LastIndexByte(q.Sender, '@'); i >= 0 {
		host = q.Sender[i+1:]
	}
	if !has {
		host = q.Sender
	}
	set := map[string]string{
		"client_addr": q.addr, "client_name": q.name, "client_resolve": "OK", "client_ptr": q.name, "daemon_flags": q.flags, "s": q.name,
		"auth_type": "", "auth_authen": q.User, "verify": "", "cert_issuer": q.issuer, "cert_subject": q.subject,
		"f": q.Sender, "mail_from": "<" + q.Sender + ">", "mail_addr": q.Sender, "mail_host": host,
	}
	if strings.HasPrefix(q.name, "[") {
		set["client_resolve"] = "FAIL"
	}
	if q.User != "" {
		set["auth_type"] = mech
	}
	if q.TLS {
		set["verify"] = "OK"
	}
	return set
}

// evaluated is what the rules themselves, run, make of a question.
func (m *model) evaluated(q asked) judge.Answer {
	a := judge.Answer{Question: q.Question, Judge: judge.Config, Outcome: judge.CannotTell}
	if p := m.daemonAsks(q); p.Text != "" {
		a.Outcome, a.Text, a.Because = judge.Refused, p.Text, []judge.Line{p}
		return a
	}
	rule := m.rule
	if m.prog.sets[rule] == nil {
		text := "no ruleset " + rule + " in " + m.cf.path + ": nothing checks recipients, the configuration is from before sendmail 8.9"
		a.Outcome, a.Text, a.Because = judge.Relayed, text, []judge.Line{{File: m.cf.path, Text: text}}
		return a
	}
	in := m.prog.cut.cut(plain("<"+q.Recipient+">"), m.prog.level < 9)
	macros := macrosOf(q, m.mechanism())
	var outcomes []judge.Outcome
	var texts []string
	var because [][]judge.Line
	for _, end := range m.prog.apply(in, macros, rule) {
		if end.err != nil {
			a.Text = end.err.Error()
			return a
		}
		outcome, text := m.weigh(q, rule, show(end.value))
		if outcome == judge.Relayed || outcome == judge.Delivered {
			var unknown string
			if outcome, text, unknown = m.sent(q, macros, outcome, text); unknown != "" {
				a.Text = unknown
				return a
			}
		}
		if !slices.Contains(outcomes, outcome) {
			outcomes, texts, because = append(outcomes, outcome), append(texts, text), append(because, m.chain(end, outcome))
		}
		if len(outcomes) > 1 {
			a.Text = "it depends on what only the running sendmail can tell: " + end.why
			return a
		}
	}
	a.Outcome, a.Text, a.Because = outcomes[0], texts[0], because[0]
	if len(a.Because) > 0 && a.Outcome != judge.Refused {
		a.Text = a.Because[0].Text
	}
	return a
}

// sent follows an accepted recipient to the mailer that it would go to: a local one delivers, and what the rules cannot parse is
// refused before check_rcpt is asked (srvrsmtp.c).
func (m *model) sent(q asked, macros map[string]string, outcome judge.Outcome, text string) (judge.Outcome, string, string) {
	if m.prog.sets["3"] == nil || m.prog.sets["0"] == nil {
		return outcome, text, ""
	}
	in := m.prog.cut.cut(plain("<"+q.Recipient+">"), true)
	var got judge.Outcome
	for i, end := range m.prog.apply(in, macros, "3", "0") {
		if end.err != nil {
			return "", "", end.err.Error()
		}
		now, said := m.mailed(outcome, text, show(end.value))
		if i > 0 && now != got {
			return "", "", "where the mail would go depends on what only the running sendmail can tell: " + end.why
		}
		got, text = now, said
	}
	return got, text, ""
}

// daemonAsks is the place that has a listener take mail of authenticated clients only: modifier a of DaemonPortOptions (op.me 5.6).
func (m *model) daemonAsks(q asked) judge.Line {
	if q.User != "" || !strings.Contains(" "+q.flags+" ", " a ") {
		return judge.Line{}
	}
	for _, o := range m.cf.options {
		if o.name == "DaemonPortOptions" && daemonListener(o.value) == q.Listener {
			at := m.origin(o)
			return judge.Line{File: at.File, Line: at.Line, Text: "DaemonPortOptions=" + o.value + ": modifier a asks for authentication"}
		}
	}
	return judge.Line{Text: "modifier a of DaemonPortOptions asks for authentication"}
}

// mechanism is the one by which the questions log in: the first of the trusted ones.
func (m *model) mechanism() string {
	for _, w := range m.cf.classes["TrustAuthMech"] {
		return w.word
	}
	return ""
}
