package postfix

import (
	"regexp"
	"strings"

	"mtaharden/remediate/judge"
)

// A command filter replaces whole command lines before smtpd reads them (smtpd_command_filter, postconf(5)).

// said are the commands of a question's dialogue, by verb, with what a command of that verb must look like.
var said = map[string]*regexp.Regexp{
	"EHLO": regexp.MustCompile(`(?i)^(?:EHLO|HELO)\s+(\S+)\s*$`),
	"MAIL": regexp.MustCompile(`(?i)^MAIL\s+FROM:\s*<([^<>]*)>\s*$`),
	"RCPT": regexp.MustCompile(`(?i)^RCPT\s+TO:\s*<([^<>]*)>\s*$`),
	"DATA": regexp.MustCompile(`(?i)^(DATA)\s*$`),
}

// commands puts the dialogue through the filter: another name or address in a command is the one that counts; another command in its
// place means that nothing is taken.
func (r *run) commands() verdict {
	if r.m.value("smtpd_command_filter", r.s) == "" {
		return verdict{}
	}
	for _, c := range []struct {
		verb, line string
		value      *string
	}{{"EHLO", "EHLO " + r.helo, &r.helo}, {"MAIL", "MAIL FROM:<" + r.sender + ">", &r.sender}, {"RCPT", "RCPT TO:<" + r.rcpt + ">", &r.rcpt}, {"DATA", "DATA", new(string)}} {
		if c.verb == "EHLO" && r.helo == "" {
			continue
		}
		if v := r.command(c.verb, c.line, c.value); v.kind != dunno {
			return v
		}
	}
	return verdict{}
}

// command looks one command up.
func (r *run) command(verb, line string, value *string) verdict {
	for _, w := range r.m.members("smtpd_command_filter", r.s) {
		t := r.m.table(w.text)
		f := r.look(t, line)
		switch {
		case f.failed != "":
			return verdict{kind: refuse, code: 421, text: "421 4.3.0 Server local data error: smtpd_command_filter: " + f.failed, broken: true}
		case f.unread != "":
			return r.anything("smtpd_command_filter "+verb, f.unread+": what it makes of "+verb+" is not known")
		case f.ok && r.at.evades && t.kind != "static":
		case f.ok:
			r.note(w.origin, "smtpd_command_filter: "+line+" becomes "+f.value)
			return r.replaced(verb, f.value, value)
		}
	}
	return verdict{}
}

// replaced is a command after the filter.
func (r *run) replaced(verb, line string, value *string) verdict {
	if groups := said[verb].FindStringSubmatch(line); groups != nil {
		*value = strings.ReplaceAll(groups[1], `"`, "")
		return verdict{}
	}
	word, _, _ := strings.Cut(line, " ")
	switch {
	case strings.EqualFold(word, verb) || verb == "EHLO" && strings.EqualFold(word, "HELO"):
		return r.anything("smtpd_command_filter "+verb, "smtpd_command_filter makes "+line+" of a command, which is not followed")
	case verb == "EHLO":
		*value = ""
		return verdict{}
	}
	return verdict{kind: refuse, code: 550, text: "smtpd_command_filter makes " + line + " of " + verb + ": nothing is taken", policy: true}
}

// evaded answers for a client that spells its commands so that no key or pattern of the filter meets them, where the filter is what
// keeps it from relaying.
func (m *model) evaded(a judge.Answer, l listener) judge.Answer {
	if a.Outcome == judge.Relayed || a.Outcome == judge.CannotTell || l.evades || !foreign(a.Question) || m.value("smtpd_command_filter", l.smtpd) == "" {
		return a
	}
	l.evades = true
	if b := m.answer(a.Question, l); b.Outcome == judge.Relayed || b.Outcome == judge.CannotTell {
		b.Outcome, b.Text = judge.CannotTell, "relayed or not: smtpd_command_filter refuses this spelling of the commands, and may let another pass ("+b.Text+")"
		b.Because = append([]judge.Line{m.line("smtpd_command_filter", l.smtpd)}, b.Because...)
		return b
	}
	return a
}
