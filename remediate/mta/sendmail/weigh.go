package sendmail

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"mtaharden/remediate/judge"
)

var replyText = regexp.MustCompile(`"([^"]*)"`)

// recipient reads what check_rcpt returned, and for a recipient that it lets through what mailer the address was parsed to.
func (m *model) recipient(q asked) (judge.Outcome, string) {
	if line := m.daemonAsks(q); line.Text != "" {
		return judge.CannotTell, "the listener asks for authentication, which test mode does not know of"
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
			if !strings.Contains(r.rhs, "$#error") && !strings.Contains(r.rhs, "$# error") {
				continue
			}
			_, own, ok := strings.Cut(strings.ToLower(strings.ReplaceAll(r.rhs, " ", "")), "$:")
			if !ok {
				continue
			}
			own, _, _ = strings.Cut(strings.Trim(own, `"`), "$")
			own = strings.TrimRight(own, `"`)
			if !strings.ContainsFunc(own, unicode.IsLetter) || !strings.HasPrefix(text, own) {
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

// declared reports whether the recipient is one that the entry names, or lies in its domain, and that is no whole top-level domain. What names
// clients or senders says nothing of recipients.
func declared(q judge.Question) bool {
	_, word, ok := strings.Cut(q.Entry, ":")
	key := splitKey(word)
	switch {
	case !ok || key.tag != "" && key.tag != "to":
		return false
	case strings.Contains(key.what, "@"):
		return strings.EqualFold(q.Recipient, key.what)
	}
	return strings.Contains(key.what, ".") && (strings.HasSuffix(q.Recipient, "@"+key.what) || strings.HasSuffix(q.Recipient, "."+key.what))
}
