package sendmail

import (
	"regexp"
	"strings"

	"mtaharden/remediate/judge"
)

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
