package sendmail

import (
	"regexp"
	"slices"
	"strings"

	"mtaharden/remediate/judge"
)

var (
	calledSet = regexp.MustCompile(`\$>\s*"?([A-Za-z0-9_]+)"?`)
	readMacro = regexp.MustCompile(`\$&(?:\{([A-Za-z0-9_]+)\}|([A-Za-z_]))`)
)

// parsers are the standard rulesets that every address goes through: they end in a mailer of their own and let nobody in.
var parsers = []string{"CanonAddr", "CanonLocal", "FullAddr", "Parse0", "Parse1", "ParseLocal", "ParseRecipient", "canonify", "parse",
	"0", "1", "2", "3", "4", "5", "96", "97", "98"}

// reached are the rules of a ruleset and of those that it calls.
func (m *model) reached(names ...string) []cfRule {
	var rules []cfRule
	for i := 0; i < len(names); i++ {
		for _, r := range m.cf.rulesets[names[i]] {
			rules = append(rules, r)
			for _, call := range calledSet.FindAllStringSubmatch(r.lhs+" "+r.rhs, -1) {
				if name := call[1]; !slices.Contains(names, name) && !slices.Contains(parsers, name) {
					names = append(names, name)
				}
			}
		}
	}
	return rules
}

// lets reports whether a rule ends in a mailer other than error and discard: check_rcpt then takes the recipient without looking
// further (proto.m4).
func (r cfRule) lets() bool {
	flat := strings.ToLower(strings.ReplaceAll(r.rhs, " ", ""))
	flat = strings.TrimPrefix(flat, "$@")
	return strings.HasPrefix(flat, "$#") && !strings.HasPrefix(flat, "$#error") && !strings.HasPrefix(flat, "$#discard")
}

// siteRule is the first rule behind the site's own Local_check_rcpt that lets a recipient through.
func (m *model) siteRule() (cfRule, bool) {
	rules := m.reached("Local_check_rcpt")
	if i := slices.IndexFunc(rules, cfRule.lets); i >= 0 {
		return rules[i], true
	}
	return cfRule{}, false
}

// known are the macros that the questions set, or that say nothing of the client. The rulesets of sendmail's own cf (8.9 to 8.18)
// read no others when a recipient is checked.
var known = []string{
	"client_name", "client_addr", "client_resolve", "client_ptr", "client_rate", "client_connections", "client_flags", "daemon_flags",
	"auth_type", "auth_authen", "auth_author", "auth_ssf", "verify", "cert_subject", "cert_issuer", "cn_subject", "cn_issuer", "cipher_bits",
	"server_name", "server_addr", "mail_from", "mail_addr", "mail_host", "rcpt_addr", "addr_type", "deliveryMode", "opMode", "LocalAddrHost",
	"Host", "TLS_Name", "RecipientAddress", "sts_sni", "f", "s", "h", "A", "j", "w", "m",
}

// unasked is the first rule on a recipient's way that reads a macro which no question sets, such as the daemon's name: what it
// says to another client or at another listener was not asked.
func (m *model) unasked() (cfRule, string, bool) {
	for _, r := range m.reached("check_rcpt") {
		for _, match := range readMacro.FindAllStringSubmatch(r.lhs+" "+r.rhs, -1) {
			if name := match[1] + match[2]; !slices.Contains(known, name) {
				return r, name, true
			}
		}
	}
	return cfRule{}, "", false
}

// siteAnswers say that rules of the site's own may let somebody through whom no question was about.
func (m *model) siteAnswers() []judge.Answer {
	q := judge.Question{Class: judge.Outside, Form: "site-rules", ClientAddr: "198.51.100.7", Verb: judge.Rcpt, Sender: "antispam@example.com", Recipient: "relaytest@example.org"}
	a := judge.Answer{Question: q, Judge: judge.Config, Outcome: judge.CannotTell}
	r, name, found := m.unasked()
	if found {
		a.Text = "a rule reads the macro " + name + ", which the questions do not set"
	} else if r, found = m.siteRule(); found {
		a.Text = "Local_check_rcpt lets some recipients through before the relay check; for whom, only its rules say"
	}
	if !found {
		return m.anonymous(a)
	}
	a.Because = []judge.Line{{File: m.cf.path, Line: r.line.line, Text: a.Text + ": " + r.lhs + " → " + r.rhs}}
	return []judge.Answer{a}
}

// anonymous says that AUTH ANONYMOUS, which asks for no password, may relay: it is offered and among the trusted mechanisms.
// AuthOptions y keeps it from being offered (op.me).
func (m *model) anonymous(a judge.Answer) []judge.Answer {
	offered, ok := m.last("AuthMechanisms")
	options, _ := m.last("AuthOptions")
	if !ok || !slices.Contains(strings.Fields(strings.ToUpper(offered.value)), "ANONYMOUS") || strings.Contains(options.value, "y") {
		return nil
	}
	for _, w := range m.cf.classes["TrustAuthMech"] {
		if strings.EqualFold(w.word, "ANONYMOUS") {
			a.Question.Form, a.Text = "any-password", "AUTH ANONYMOUS needs no password and may relay, where the SASL library has it"
			a.Because = []judge.Line{{File: m.cf.path, Line: w.line.line, Text: a.Text}}
			return []judge.Answer{a}
		}
	}
	return nil
}
