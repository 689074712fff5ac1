package postfix

import (
	"slices"
	"strings"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// wantsTLS reports whether smtpd takes mail under TLS only: from the start, or by answering 530 to all else (smtpd.c, pre_jail_init).
func (m *model) wantsTLS(s *service) bool {
	if m.yes("smtpd_tls_wrappermode", s) {
		return true
	}
	switch strings.ToLower(m.value("smtpd_tls_security_level", s)) {
	case "":
		return m.yes("smtpd_enforce_tls", s)
	case "encrypt", "verify", "secure", "fingerprint":
		return true
	}
	return false
}

// looksAtTLS reports whether a restriction list asks for TLS, or for certificates.
func (m *model) looksAtTLS(s *service) bool {
	for _, list := range append(m.list("smtpd_restriction_classes", s), restrictionLists...) {
		for _, w := range m.members(list, s) {
			switch strings.ToLower(w.text) {
			case "reject_plaintext_session", "permit_tls_clientcerts", "permit_tls_all_clientcerts", "check_ccert_access":
				return true
			}
		}
	}
	return false
}

// auth: disclosed when AUTH is offered before TLS.
func (m *model) auth(a judge.Answer, l listener) judge.Answer {
	s := l.smtpd
	a.Because = []judge.Line{m.line("smtpd_sasl_auth_enable", s)}
	a.Outcome = judge.Refused
	because := func(name string) { a.Because = append(a.Because, m.line(name, s)) }
	hidden, unknown := m.authHidden(a.Question, s)
	switch {
	case !m.yes("smtpd_sasl_auth_enable", s):
		a.Text = "AUTH is not offered"
	case m.wantsTLS(s), m.yes("smtpd_tls_wrappermode", l.front):
		a.Text = "nothing is offered before TLS"
		because("smtpd_tls_security_level")
	case m.yes("smtpd_tls_auth_only", s):
		a.Text = "AUTH is offered under TLS only"
		because("smtpd_tls_auth_only")
	case unknown != "":
		a.Outcome, a.Text = judge.CannotTell, "AUTH is offered without TLS or not: "+unknown
		because("smtpd_discard_ehlo_keyword_address_maps")
	case hidden != "":
		a.Text = "AUTH is not announced to this client (" + hidden + ")"
		because(hidden)
	default:
		a.Outcome, a.Text = judge.Disclosed, "AUTH is offered without TLS"
		because("smtpd_tls_auth_only")
	}
	return a
}

// authHidden names the parameter that keeps AUTH out of the greeting of a client, "" for none; unknown says what would be needed to tell.
func (m *model) authHidden(q judge.Question, s *service) (param, unknown string) {
	param = "smtpd_discard_ehlo_keywords"
	words := m.value(param, s)
	for _, w := range m.members("smtpd_discard_ehlo_keyword_address_maps", s) {
		f := m.table(w.text).look(q.ClientAddr)
		if f.unread != "" {
			return "", f.unread
		}
		if f.ok {
			param, words = "smtpd_discard_ehlo_keyword_address_maps", f.value
			break
		}
	}
	if slices.ContainsFunc(splitList(words, false), func(w word) bool { return strings.EqualFold(w.text, "auth") }) {
		return param, ""
	}
	if m.value("smtpd_sasl_exceptions_networks", s) == "" {
		return "", ""
	}
	r := newRun(m, s, q, nil)
	h := r.networks("smtpd_sasl_exceptions_networks", r.name, r.addr)
	if len(r.reasons) > 0 {
		return "", r.reasons[0]
	}
	if h.ok {
		return "smtpd_sasl_exceptions_networks", ""
	}
	return "", ""
}

// anonymous reports whether smtpd lets a login without an identity pass where its SASL library has that mechanism.
func (r *run) anonymous() bool {
	name := "smtpd_sasl_security_options"
	if r.q.TLS {
		name = "smtpd_sasl_tls_security_options"
	}
	return r.m.yes("smtpd_sasl_auth_enable", r.s) && (r.q.TLS || !r.m.yes("smtpd_tls_auth_only", r.s)) &&
		!slices.ContainsFunc(r.m.list(name, r.s), func(w string) bool { return strings.EqualFold(w, "noanonymous") })
}

// permitSASL permits who has logged in. Where anonymous logins are not ruled out, the library decides whether anybody may.
func (r *run) permitSASL(*member, string) verdict {
	switch {
	case r.q.User != "" && r.m.yes("smtpd_sasl_auth_enable", r.s):
		return verdict{kind: permit}
	case r.q.User == "" && r.anonymous() && r.maybe("anonymous", "smtpd_sasl_security_options lacks noanonymous: the login service may offer ANONYMOUS"):
		name := "smtpd_sasl_security_options"
		_, o, _ := r.m.raw(name, r.s)
		r.note(mta.Origin{File: o.File, Line: o.Line}, name+" = "+r.m.value(name, r.s)+" lets anonymous logins pass")
		return verdict{kind: permit}
	}
	return verdict{}
}

// withoutTLS refuses what is not said under TLS where that is wanted, and those without a certificate where one is.
func (r *run) withoutTLS() verdict {
	switch {
	case !r.m.wantsTLS(r.s):
	case !r.q.TLS:
		_, o, _ := r.m.raw("smtpd_tls_security_level", r.s)
		r.note(o, "smtpd_tls_security_level = "+r.m.value("smtpd_tls_security_level", r.s))
		return denied(530, "5.7.0 Must issue a STARTTLS command first")
	case r.m.yes("smtpd_tls_req_ccert", r.s) && r.maybe("required certificate", "smtpd_tls_req_ccert: who has a certificate that serves is not known"):
		return denied(554, "5.7.1 no client certificate")
	}
	return verdict{}
}
