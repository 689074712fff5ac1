package sendmail

import (
	"fmt"
	"regexp"
	"slices"
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
	for _, q := range questions(s, m.cf.path) {
		says := m.mtaAnswer(s, q)
		reads := m.reading(c, q, says)
		if rule, ok := m.siteRule(); ok && says.Outcome == judge.Relayed && len(reads.Because) == 0 {
			says.Because = []judge.Line{{File: m.cf.path, Line: rule.line.line, Text: "Local_check_rcpt: " + rule.lhs + " → " + rule.rhs}}
		}
		all = append(all, says, reads)
	}
	all = append(all, m.holeAnswers(all)...)
	all = append(all, m.siteAnswers()...)
	return append(all, m.greeting()...)
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
		list = append(list, asked{n: -1 - i, addr: "198.51.100.7", name: "[198.51.100.7]", Question: q})
	}
	return list
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

var replyText = regexp.MustCompile(`"([^"]*)"`)

// recipient reads what check_rcpt returned, and for a recipient that it lets through what mailer the address was parsed to.
func (m *model) recipient(q asked) (judge.Outcome, string) {
	if line := m.daemonAsks(q); line.Text != "" {
		return judge.Refused, "530 5.7.0 Authentication required: " + line.Text
	}
	value, undefined, ok := m.said.returned(q.n, m.rule)
	switch {
	case undefined && !ok:
		return judge.Relayed, "there is no ruleset " + m.rule + ": nothing checks recipients (sendmail before 8.9)"
	case !ok:
		return judge.CannotTell, "sendmail -bt printed no result of " + m.rule
	}
	outcome, text := m.weigh(q, m.rule, value)
	if parsed, ok := m.said.parsed[q.first]; ok && (outcome == judge.Relayed || outcome == judge.Delivered) {
		return m.mailed(outcome, text, parsed)
	}
	return outcome, text
}

// weigh reads what a ruleset made of a recipient.
func (m *model) weigh(q asked, rule, value string) (judge.Outcome, string) {
	reply := value
	if t := replyText.FindStringSubmatch(value); t != nil {
		reply = t[1]
	}
	// only the mailers error and discard keep a recipient out: "$# RELAY" lets it through (srvrsmtp.c and parseaddr.c, rscheck)
	flat := strings.ToLower(strings.ReplaceAll(value, " ", ""))
	switch {
	case strings.HasPrefix(flat, "$#discard"):
		return judge.Refused, "it is discarded"
	case strings.HasPrefix(flat, "$#error") && strings.Contains(flat, "$@4.3.0"):
		return judge.Deferred, reply
	case strings.HasPrefix(flat, "$#error") && (!aboutRelay(flat) || m.elsewise(flat)) && slices.Contains(plainForms, q.Form):
		return judge.CannotTell, "refused, but not for relaying: " + reply
	case strings.HasPrefix(flat, "$#error"):
		return judge.Refused, reply
	case q.Class == judge.Inside && declared(q.Question):
		return judge.Delivered, rule + " returns: " + value
	}
	return judge.Relayed, rule + " returns: " + value
}

// mailed reads the triple that rulesets 3 and 0 made of an accepted recipient: "$# local $: user", "$# esmtp $@ host $: user@host".
func (m *model) mailed(outcome judge.Outcome, text, triple string) (judge.Outcome, string) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(triple), "$#")
	if !ok {
		return outcome, text
	}
	name := strings.ToLower(firstWord(rest))
	if name == "error" {
		return judge.Refused, "the address is refused before it is checked: " + strings.TrimSpace(rest)
	}
	for _, mailer := range m.cf.mailers {
		if strings.EqualFold(mailer.name, name) && strings.Contains(mailer.fields["F"], "l") {
			return judge.Delivered, "it is taken for mailer " + name + ", which delivers here"
		}
	}
	return outcome, text
}

// elsewise reports whether an error of code 5.7.1 is the text of an entry of the access database, or of a rule that obeys one: such
// an entry is about its client or address, not about relaying.
func (m *model) elsewise(flat string) bool {
	_, text, _ := strings.Cut(flat, "$:")
	text = strings.Trim(text, `"`)
	if text == "" {
		return false
	}
	entryText := false
	for _, set := range m.cf.rulesets {
		for _, r := range set {
			_, own, ok := strings.Cut(strings.ToLower(strings.ReplaceAll(r.rhs, " ", "")), "$:")
			if !ok || !strings.Contains(r.rhs, "$#error") && !strings.Contains(r.rhs, "$# error") {
				continue
			}
			own, _, _ = strings.Cut(strings.Trim(own, `"`), "$")
			own = strings.TrimRight(own, `"`)
			if own == "" || !strings.HasPrefix(text, own) {
				continue
			}
			if !strings.Contains(r.lhs, "REJECT") {
				return false
			}
			entryText = true
		}
	}
	if m.access != nil && !entryText {
		for _, e := range m.access.effective() {
			if strings.Contains(strings.Trim(strings.ToLower(strings.Join(strings.Fields(strings.ReplaceAll(e.value, `"`, "")), "")), `"`), text) {
				return true
			}
		}
	}
	return entryText
}

// plainForms are the forms that are no unusual address: only the refusal to relay is an answer to them. A list of bad senders,
// recipients or clients, or a name server that is away, says nothing of the next client.
var plainForms = []string{"plain", "null-sender", "own-sender", "literal-sender"}

// aboutRelay reports whether "$#error$@CODE…" is the refusal to relay (5.7.1, or 4.7.1 where the client's name was not found). A .cf
// from before enhanced codes names none.
func aboutRelay(flat string) bool {
	code, has := strings.CutPrefix(flat, "$#error$@")
	return !has || strings.HasPrefix(code, "5.7.1") || strings.HasPrefix(code, "4.7.1")
}

// declared reports whether the recipient lies in the domain that the entry names, and that is no whole top-level domain.
func declared(q judge.Question) bool {
	_, word, ok := strings.Cut(q.Entry, ":")
	if !ok {
		return false
	}
	word = splitKey(word).what
	if _, domain, has := strings.Cut(word, "@"); has && domain != "" {
		word = domain
	}
	return strings.Contains(word, ".") && (strings.HasSuffix(q.Recipient, "@"+word) || strings.HasSuffix(q.Recipient, "."+word))
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

// greeting judges the banner and HELP.
func (m *model) greeting() []judge.Answer {
	var all []judge.Answer
	q := judge.Question{Class: judge.Outside, ClientAddr: "198.51.100.7", Verb: judge.Banner}
	written, because := m.banner()
	if m.said != nil && m.said.serving {
		if v := m.said.options["SmtpGreetingMessage"]; len(v) > 0 {
			a := bannerAnswer(q, judge.MTA, v[len(v)-1], m.said.macros)
			a.Because = because
			all = append(all, a)
		}
	}
	a := bannerAnswer(q, judge.Config, written, map[string]string{"j": m.cf.macros["j"].word, "Z": m.cf.macros["Z"].word})
	a.Because = because
	if len(all) > 0 && all[0].Outcome != a.Outcome {
		a.Outcome, a.Text = judge.CannotTell, "the files read otherwise than sendmail says: "+a.Text
	}
	all = append(all, a)
	return append(all, m.helpAnswer())
}

// banner is the greeting as the .cf has it; sendmail's own default shows its version.
func (m *model) banner() (string, []judge.Line) {
	if v, ok := m.overrides["SmtpGreetingMessage"]; ok {
		return v, []judge.Line{{Text: "the daemon was started with -OSmtpGreetingMessage=" + v}}
	}
	o, ok := m.last("SmtpGreetingMessage")
	if !ok {
		return "$j Sendmail $v ready at $b", []judge.Line{{Text: "SmtpGreetingMessage is not set: sendmail's default"}}
	}
	at := m.origin(o)
	return o.value, []judge.Line{{File: at.File, Line: at.Line, Text: "SmtpGreetingMessage=" + o.value}}
}

var product = regexp.MustCompile(`(?i)sendmail|\$v|\$Z|\$\{(?:sendmail|version)|\b8\.(?:[6-9]|1\d)\.\d|\b8\.1\d\b`)

// bannerAnswer judges a greeting as written; the text shows it with its macros expanded.
func bannerAnswer(q judge.Question, j judge.Judge, written string, macros map[string]string) judge.Answer {
	shown := written
	for _, name := range []string{"j", "v", "Z"} {
		if v := macros[name]; v != "" {
			shown = strings.ReplaceAll(shown, "$"+name, v)
		}
	}
	a := judge.Answer{Question: q, Judge: j, Outcome: judge.Refused, Text: "greeting: " + shown}
	if product.MatchString(written) {
		a.Outcome = judge.Disclosed
	}
	return a
}

// helpAnswer judges HELP by the help file: without one the reply names the version, and so does a file without
// "#vers 2" or a "smtp" line that holds $v (srvrsmtp.c, help).
func (m *model) helpAnswer() judge.Answer {
	a := judge.Answer{Question: judge.Question{Class: judge.Outside, ClientAddr: "198.51.100.7", Verb: judge.Help}, Judge: judge.Config}
	o, ok := m.last("HelpFile")
	switch {
	case !ok:
		a.Outcome, a.Text = judge.Disclosed, "no HelpFile: HELP answers 502 5.3.0 Sendmail VERSION -- HELP not implemented"
	case m.help == nil && m.helpUnread:
		a.Outcome, a.Text = judge.CannotTell, firstWord(o.value)+" could not be read"
	case m.help == nil:
		a.Outcome = judge.Disclosed
		a.Text = firstWord(o.value) + " does not exist: HELP answers 502 5.3.0 Sendmail VERSION -- HELP not implemented"
	default:
		a.Outcome, a.Text = judge.Refused, "HELP shows neither product nor version"
		if line := helpLine(m.help.Data); line > 0 {
			a.Outcome, a.Text = judge.Disclosed, "HELP shows: "+helpText(m.help.Data)
			a.Because = []judge.Line{{File: m.help.Path, Line: line, Text: helpText(m.help.Data)}}
		}
	}
	return a
}

// helpLines are the lines that HELP without an argument prints: those of the topic smtp.
func helpLines(data []byte) (lines []entry, version2 bool) {
	for _, s := range physical(data) {
		line := strings.TrimRight(string(data[s.start:s.end]), "\r\n")
		if strings.HasPrefix(line, "#vers") {
			version2 = strings.TrimSpace(strings.TrimPrefix(line, "#vers")) >= "2"
			continue
		}
		if topic, text, _ := strings.Cut(line, "\t"); strings.HasPrefix(line, "smtp") {
			lines = append(lines, entry{topic, strings.TrimSpace(text), s})
		}
	}
	return lines, version2
}

// helpLine is the first line by which HELP shows product or version, 0 where none does.
func helpLine(data []byte) int {
	lines, version2 := helpLines(data)
	for _, l := range lines {
		if !version2 || product.MatchString(l.value) {
			return l.line
		}
	}
	return 0
}

// helpText is what HELP prints first.
func helpText(data []byte) string {
	lines, version2 := helpLines(data)
	if len(lines) == 0 {
		return ""
	}
	if !version2 {
		return "This is Sendmail version $v"
	}
	for _, l := range lines {
		if product.MatchString(l.value) {
			return l.value
		}
	}
	return lines[0].value
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
