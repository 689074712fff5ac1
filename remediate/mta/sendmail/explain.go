package sendmail

import (
	"net/netip"
	"strings"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// reading is what the configuration says to a question. It explains sendmail's own answer with the places that lead to it; where
// it finds none, or another outcome, it is cannot-tell: sendmail's rulesets are a program, and only sendmail runs it.
func (m *model) reading(c *mta.Config, q asked, says judge.Answer) judge.Answer {
	a := judge.Answer{Question: q.Question, Judge: judge.Config, Outcome: judge.CannotTell}
	if q.Verb != judge.Rcpt {
		return m.readEnumeration(c, q, says, a)
	}
	var reasons []judge.Line
	for _, h := range m.holes() {
		if h.applies(q.Question) && q.User == "" {
			reasons = append(reasons, judge.Line{File: h.File, Line: h.Line, Text: h.text})
		}
	}
	for _, t := range c.Trusted {
		if covers(t, q.Question) {
			reasons = append(reasons, judge.Line{File: t.File, Line: t.Line, Text: t.Name + ": " + t.Value})
		}
	}
	switch says.Outcome {
	case judge.Relayed, judge.Delivered:
		if len(reasons) == 0 {
			a.Text = "no entry that was read explains sendmail's answer"
			if q.Class == judge.Localhost || q.Class == judge.Own {
				a.Outcome, a.Text = says.Outcome, "the host's own addresses may relay"
			}
			return a
		}
		a.Outcome, a.Because, a.Text = says.Outcome, reasons, reasons[0].Text
	case judge.Refused:
		if m.broad(reasons) {
			a.Text = "an entry would let it through, and sendmail refuses it"
			return a
		}
		a.Outcome, a.Because, a.Text = judge.Refused, m.refusals(), "nothing lets this client relay"
	case judge.CannotTell:
		if !m.cf.has("check_rcpt") {
			a.Outcome, a.Because, a.Text = judge.Relayed, reasons, "there is no ruleset check_rcpt"
			return a
		}
		a.Because, a.Text = reasons, says.Text
	case judge.Dead:
		a.Text = says.Text
	}
	return a
}

// broad reports whether the reasons speak against a refusal.
func (m *model) broad(reasons []judge.Line) bool { return len(reasons) > 0 }

// refusals is the rule that says no.
func (m *model) refusals() []judge.Line {
	for _, ruleset := range []string{"Basic_check_rcpt", "check_rcpt"} {
		if line := m.refusal(ruleset); line > 0 {
			return []judge.Line{{File: m.cf.path, Line: line, Text: "ruleset " + ruleset + " ends in error 5.7.1"}}
		}
	}
	return nil
}

// covers reports whether a trusted entry holds the question's client, sender or recipient.
func covers(t mta.Trust, q judge.Question) bool {
	value := strings.Trim(splitKey(t.Value).what, "[]")
	switch t.Kind {
	case "client-net":
		addr, err := netip.ParseAddr(q.ClientAddr)
		return err == nil && t.Net.IsValid() && t.Net.Contains(addr)
	case "client-name":
		return q.ClientName != "" && within(q.ClientName, value)
	case "recipient":
		return within(destination(q.Recipient), value) || mailbox(q.Recipient, value)
	case "sender":
		return q.Sender != "" && (within(afterAt(q.Sender), value) || mailbox(q.Sender, value))
	}
	return false
}

// within reports whether name is domain or lies below it.
func within(name, domain string) bool {
	name, domain = strings.ToLower(name), strings.TrimPrefix(strings.ToLower(domain), ".")
	return domain != "" && (name == domain || strings.HasSuffix(name, "."+domain))
}

func afterAt(address string) string {
	return address[strings.LastIndexByte(address, '@')+1:]
}

// destination is the domain to which sendmail would send a recipient on: of a source route what follows it, of a quoted local
// part, a percent or a bang in front of one of the host's own names what stands there (RFC 1123 5.3.3, 5.2.16).
func destination(recipient string) string {
	if strings.HasPrefix(recipient, "@") {
		recipient = recipient[strings.LastIndexByte(recipient, ':')+1:]
	}
	local, domain := recipient, ""
	if i := strings.LastIndexByte(recipient, '@'); i >= 0 && !strings.HasSuffix(recipient, `"`) {
		local, domain = recipient[:i], recipient[i+1:]
	}
	local = strings.Trim(local, `"`)
	if host, _, ok := strings.Cut(local, "!"); ok {
		return host
	}
	if i := strings.LastIndexAny(local, "@%"); i >= 0 {
		return local[i+1:]
	}
	return domain
}

// mailbox reports whether a key "user@domain" or "user@" holds address.
func mailbox(address, key string) bool {
	if !strings.Contains(key, "@") {
		return false
	}
	address, key = strings.ToLower(address), strings.ToLower(key)
	return address == key || strings.HasSuffix(key, "@") && strings.HasPrefix(address, key)
}

// readEnumeration reads VRFY and EXPN off the settings and the access database.
func (m *model) readEnumeration(c *mta.Config, q asked, says, a judge.Answer) judge.Answer {
	if says.Outcome == judge.Dead {
		a.Text = says.Text
		return a
	}
	privacy, set := c.Setting("PrivacyOptions", "")
	letters, from := m.featuresFor(q.Question)
	outcome, text := enumerate(q.Verb, flagWords(privacy.Value), letters)
	if set {
		a.Because = append(a.Because, judge.Line{File: privacy.File, Line: privacy.Line, Text: "PrivacyOptions=" + privacy.Raw})
	} else {
		a.Because = append(a.Because, judge.Line{File: m.cf.path, Text: "PrivacyOptions is not set"})
	}
	if from.key != "" {
		a.Because = append(a.Because, judge.Line{File: m.access.text, Line: from.line, Text: from.key + " " + from.value})
	}
	a.Outcome, a.Text = outcome, text
	if q.Verb == judge.Expn && outcome == judge.Refused && m.access != nil && m.access.file == nil && !m.access.dumped {
		a.Outcome, a.Text = judge.CannotTell, "the access database was not read: its Srv_Features may offer EXPN"
	}
	if says.Outcome != judge.CannotTell && says.Outcome != outcome {
		a.Outcome, a.Text = judge.CannotTell, "the files read otherwise than sendmail answers: "+text
	}
	return a
}

// featuresFor looks up Srv_Features as sendmail does: the client's name and its parents, its address and the octets
// before, then the empty key (proto.m4, ruleset srv_features).
func (m *model) featuresFor(q judge.Question) (string, entry) {
	if m.access == nil {
		return "", entry{}
	}
	table := map[string]entry{}
	for _, e := range m.serverFeatures() {
		table[strings.Trim(splitKey(e.key).what, "[]")] = e
	}
	keys := []string{}
	for name := strings.ToLower(q.ClientName); name != ""; {
		keys = append(keys, name)
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			break
		}
		name = rest
	}
	for addr := q.ClientAddr; addr != ""; {
		keys = append(keys, addr)
		i := strings.LastIndexByte(addr, '.')
		if i < 0 {
			break
		}
		addr = addr[:i]
	}
	for _, k := range append(keys, "") {
		if e, ok := table[k]; ok {
			return strings.ReplaceAll(e.value, " ", ""), e
		}
	}
	return "", entry{}
}
