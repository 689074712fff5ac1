package postfix

import (
	"slices"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// maxRemedy bounds the fixes that are tried for one answer.
const maxRemedy = 12

// remedy returns the smallest fixes after which an answer would be another one. A relay answer is tried out: each fix takes away what
// let the client relay, the edited configuration is judged again, until it refuses.
func remedy(c *mta.Config, a judge.Answer) []mta.Fix {
	m, ok := c.Model.(*model)
	if !ok || a.Outcome == judge.CannotTell {
		return nil
	}
	switch {
	case a.Question.Verb == judge.Vrfy && a.Outcome == judge.Disclosed:
		return []mta.Fix{{Name: "disable_vrfy_command", Op: mta.Set, Value: "yes"}}
	case a.Question.Verb == judge.Banner && a.Outcome == judge.Disclosed:
		return m.bannerFix(a)
	case a.Question.Verb == judge.Auth && a.Outcome == judge.Disclosed:
		return m.authFix(a)
	case a.Question.Verb == judge.Rcpt && a.Outcome == judge.Relayed:
		return m.relayFix(c, a)
	}
	return nil
}

func (m *model) bannerFix(a judge.Answer) []mta.Fix {
	name := "smtpd_banner"
	if l, ok := m.find(a.Question.Listener); ok && l.front.command == "postscreen" && len(a.Because) > 0 && strings.HasPrefix(a.Because[0].Text, "postscreen_greet_banner") {
		if _, set := m.main.get("postscreen_greet_banner"); set {
			name = "postscreen_greet_banner"
		}
	}
	return []mta.Fix{{Name: name, Op: mta.Set, Value: "$myhostname ESMTP"}}
}

// authFix asks for TLS where TLS is set up; elsewhere nobody could log in any more, so a person decides.
func (m *model) authFix(a judge.Answer) []mta.Fix {
	l, ok := m.find(a.Question.Listener)
	if !ok || l.smtpd == nil || m.value("smtpd_tls_security_level", l.smtpd) == "" && !m.yes("smtpd_use_tls", l.smtpd) {
		return nil
	}
	return []mta.Fix{{Name: "smtpd_tls_auth_only", Op: mta.Set, Value: "yes"}}
}

// relayFix finds the fixes for a relay answer by trying them.
func (m *model) relayFix(c *mta.Config, a judge.Answer) []mta.Fix {
	var fixes []mta.Fix
	now := c
	for range maxRemedy {
		more := nextFix(now, a)
		if len(more) == 0 {
			return nil
		}
		for _, f := range more {
			if slices.Contains(fixes, f) {
				return nil
			}
		}
		fixes = append(fixes, more...)
		after, err := rejudged(c, fixes)
		if err != nil {
			return nil
		}
		now = after
		am := after.Model.(*model)
		l, ok := am.find(a.Question.Listener)
		if !ok {
			return nil
		}
		switch a = am.reply(a.Question, l); a.Outcome {
		case judge.Relayed:
		case judge.Refused, judge.Delivered:
			return fixes
		default:
			return nil
		}
	}
	return nil
}

// rejudged is the configuration as it would be read after the fixes.
func rejudged(c *mta.Config, fixes []mta.Fix) (*mta.Config, error) {
	files, err := edit(c, fixes)
	if err != nil {
		return nil, err
	}
	s := c.Model.(*model).snap
	for _, f := range files {
		changed := *f.Origin
		changed.Data = f.Data
		s = s.With(&changed)
		for kind := range hashed {
			s = rebuilt(s, f, kind)
		}
	}
	return read(s, c.Install)
}

// rebuilt gives a table's compiled map the time of its text, as Regenerate will.
func rebuilt(s *facts.Snapshot, f mta.File, kind string) *facts.Snapshot {
	for _, suffix := range hashed[kind] {
		if compiled, ok := s.File(f.Origin.Path + suffix); ok && compiled.State != facts.Absent {
			fresh := *compiled
			fresh.ModTime = f.Origin.ModTime
			s = s.With(&fresh)
		}
	}
	return s
}

// nextFix takes away what the answer rests on: a trusted entry, routing through this host, or a list without a refusal.
func nextFix(c *mta.Config, a judge.Answer) []mta.Fix {
	m := c.Model.(*model)
	for i := len(a.Because) - 1; i >= 0; i-- {
		if f := culprit(c, a.Because[i], a.Question.Listener); f != nil {
			return f
		}
	}
	l, ok := m.find(a.Question.Listener)
	if !ok || l.smtpd == nil {
		return nil
	}
	if m.yes("allow_untrusted_routing", l.smtpd) && strings.ContainsAny(a.Question.Recipient, "%!:") {
		return []mta.Fix{{Name: "allow_untrusted_routing", Op: mta.Set, Value: "no"}}
	}
	return m.guardFix(l)
}

// culprit is the removal of the trusted entry that stands at a place: the one whose text the evidence names, or the row of a table.
func culprit(c *mta.Config, b judge.Line, addr string) []mta.Fix {
	if b.File == "" {
		return nil
	}
	var row []mta.Fix
	for _, t := range c.Trusted {
		if t.File != b.File || t.Line != b.Line || len(t.Fix) == 0 || t.Listener != "" && t.Listener != addr {
			continue
		}
		if holdsWord(b.Text, t.Value) {
			return t.Fix
		}
		if t.How == "include" {
			row = t.Fix
		}
	}
	return row
}

// holdsWord reports whether the words of value stand in text.
func holdsWord(text, value string) bool {
	return strings.Contains(" "+strings.ToLower(text)+" ", " "+strings.ToLower(value)+" ")
}

// guardFix puts reject_unauth_destination into the list that guards relaying, where it is not yet.
func (m *model) guardFix(l listener) []mta.Fix {
	list := "smtpd_recipient_restrictions"
	if atLeast(m.version, "2.10") {
		list = "smtpd_relay_restrictions"
	}
	f := mta.Fix{Name: list, Op: mta.Add, Value: "reject_unauth_destination"}
	if _, ok := l.smtpd.override(list); ok {
		f.Listener = l.addr
	}
	return []mta.Fix{f}
}
