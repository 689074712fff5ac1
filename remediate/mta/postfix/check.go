package postfix

import (
	"fmt"
	"strings"

	"mtaharden/remediate/judge"
)

// checkRecipient is what smtpd asks itself at RCPT TO: the lists of the earlier stages (at once with smtpd_delay_reject, else each in
// its time), then the relay and recipient lists in this version's order, then the built-in checks.
func (r *run) checkRecipient() verdict {
	delay := r.m.yes("smtpd_delay_reject", r.s)
	postmaster := strings.EqualFold(r.rcpt, "postmaster") // at RCPT TO always taken (RFC 5321 4.5.1)
	r.have = atRcpt
	if delay {
		if v := r.greeted(); v.kind == refuse {
			return v
		}
		if v := r.beforeMail(); v.kind == refuse || postmaster {
			return v
		}
	}
	for _, st := range []struct {
		at   stage
		list string
	}{{atConnect, "smtpd_client_restrictions"}, {atHelo, "smtpd_helo_restrictions"}, {atMail, "smtpd_sender_restrictions"}} {
		if !delay {
			r.have = st.at
			if v := r.greeted(); st.at == atHelo && v.kind == refuse {
				return v
			}
			if v := r.beforeMail(); st.at == atMail && v.kind == refuse {
				return v
			}
		}
		if st.at == atHelo && r.helo == "" {
			continue // who does not say HELO is not asked about it
		}
		if v := r.list(st.list, strings.TrimSuffix(st.list, "_restrictions")); v.kind == refuse {
			return v
		}
		if v := r.unlistedSender(st.at); v.kind == refuse {
			return v
		}
	}
	r.have = atRcpt
	if postmaster {
		return verdict{}
	}
	if v := r.relayAndRecipient(); v.kind == refuse {
		return v
	}
	if r.deferPermit && r.warn == 0 {
		return verdict{kind: refuse, code: 450, text: "450 4.7.0 deferred: defer_if_permit was met", policy: true}
	}
	if !r.listed && !r.discard && r.m.yes("smtpd_reject_unlisted_recipient", r.s) {
		return r.soften(r.unlisted(r.rcpt, "smtpd_reject_unlisted_recipient"))
	}
	return verdict{}
}

// greeted is the reply to EHLO, which says whether the client may use XCLIENT and XFORWARD: where one of these lists cannot be used, smtpd
// gives up.
func (r *run) greeted() verdict {
	for _, param := range []string{"smtpd_authorized_xclient_hosts", "smtpd_authorized_xforward_hosts"} {
		if r.helo == "" || r.m.value(param, r.s) == "" {
			continue
		}
		aside := newRun(r.m, r.s, r.q, nil) // what is not known of these lists decides nothing here
		if h := aside.networks(param, r.name, r.addr); h.failed != "" && len(aside.reasons) == 0 {
			r.note(h.pattern.origin, param+": "+h.pattern.text)
			return verdict{kind: refuse, code: 421, text: "421 4.3.0 Server local data error: " + param + ": " + h.failed, broken: true}
		}
	}
	return verdict{}
}

// beforeMail is what smtpd answers to MAIL FROM whatever its lists say: no TLS where it wants TLS, no HELO where it wants one.
func (r *run) beforeMail() verdict {
	if v := r.withoutTLS(); v.kind == refuse {
		return v
	}
	if r.helo == "" && r.m.yes("smtpd_helo_required", r.s) {
		return denied(503, "5.5.1 Error: send HELO/EHLO first")
	}
	return verdict{}
}

// relayAndRecipient walks both lists. Before 3.6, and below compatibility level 3.6, the recipient list comes first; before 2.10 there
// is no relay list. What stands before both is reset once for the two.
func (r *run) relayAndRecipient() verdict {
	r.reset()
	lists := []string{"smtpd_recipient_restrictions"}
	switch {
	case !atLeast(r.m.version, "2.10"):
	case r.m.looksAhead(r.s):
		if v := r.items(r.m.members(lists[0], r.s), "smtpd_recipient"); v.kind == refuse {
			return v
		}
		return r.items(lookAhead, "smtpd_recipient")
	case atLeast(r.m.version, "3.6") && r.m.yes("smtpd_relay_before_recipient_restrictions", r.s):
		lists = []string{"smtpd_relay_restrictions", "smtpd_recipient_restrictions"}
	default:
		lists = append(lists, "smtpd_relay_restrictions")
	}
	for _, list := range lists {
		v := r.items(r.m.members(list, r.s), "smtpd_recipient")
		if v.kind == refuse {
			return v
		}
		r.noteEnd(list, v)
	}
	return verdict{}
}

// noteEnd says of a list that said nothing that it refuses nobody, and where its value stands.
func (r *run) noteEnd(list string, v verdict) {
	if v.kind != dunno {
		return
	}
	raw, o, _ := r.m.raw(list, r.s)
	text := list + " ends and has not refused"
	switch {
	case len(r.m.members(list, r.s)) == 0:
		text = list + " is empty: it refuses nobody"
	case o.How == "default":
		text = list + " = " + raw + " (by default) ends and has not refused"
	}
	r.ended = append(r.ended, judge.Line{File: o.File, Line: o.Line, Text: text})
}

// lookAhead is what Postfix 3.0 and later walk below compatibility level 1 in place of an unset smtpd_relay_restrictions, to warn of mail
// that the newer default would refuse; it ends nothing but by its errors (smtpd_check.c, FAKE_RELAY_CHECKS).
var lookAhead = []member{{text: "permit_mynetworks"}, {text: "permit_sasl_authenticated"}, {text: "permit_auth_destination"}}

// looksAhead reports whether the service walks lookAhead.
func (m *model) looksAhead(s *service) bool {
	if _, o, _ := m.raw("smtpd_relay_restrictions", s); o.How != "default" {
		return false
	}
	return atLeast(m.version, "3.0") && parseVersion(m.value("compatibility_level", s))[0] < 1
}

// reset is what a stage begins with.
func (r *run) reset() { r.warn, r.depth, r.deferReject = 0, 0, false }

// checkData is what smtpd asks itself at DATA and at the end of the message; a table alone can stand in neither list.
func (r *run) checkData() verdict {
	for _, list := range []string{"smtpd_data_restrictions", "smtpd_end_of_data_restrictions"} {
		r.reset()
		r.deferPermit = false
		v := r.items(r.m.members(list, r.s), "")
		if v.kind != refuse && r.deferPermit {
			v = verdict{kind: refuse, code: 450, text: "450 4.7.0 deferred: defer_if_permit was met", policy: true}
		}
		if v.kind == refuse {
			v.text = "RCPT TO is taken, then " + list + ": " + v.text
			return v
		}
	}
	return verdict{}
}

// unlistedSender is smtpd_reject_unlisted_sender at the end of the sender stage.
func (r *run) unlistedSender(at stage) verdict {
	if at != atMail || r.sender == "" || !r.m.yes("smtpd_reject_unlisted_sender", r.s) {
		return verdict{}
	}
	return r.soften(r.unlistedFrom("smtpd_reject_unlisted_sender"))
}

// list walks a restriction list; a list that says yes ends only itself.
func (r *run) list(param, context string) verdict {
	r.reset()
	return r.items(r.m.members(param, r.s), context)
}

// context names what a bare table in a list looks up: smtpd_client, smtpd_helo, smtpd_sender, smtpd_recipient.
var bareTable = map[string]string{
	"smtpd_client": "check_client_access", "smtpd_helo": "check_helo_access",
	"smtpd_sender": "check_sender_access", "smtpd_recipient": "check_recipient_access",
}

func (r *run) items(items []member, context string) verdict {
	if r.depth > 100 {
		return broken("restriction nesting")
	}
	r.depth++
	for i := 0; i < len(items) && !r.discard; i++ {
		it := items[i]
		name := strings.ToLower(it.text)
		if name == "warn_if_reject" {
			r.m.meet(name)
			if r.warn == 0 {
				r.warn = r.depth
			}
			continue
		}
		if strings.Contains(it.text, ":") {
			if name = bareTable[context]; name == "" {
				return broken("a table where no table can stand: " + it.text)
			}
			i--
		}
		var arg *member
		if takesArgument(name) {
			if i++; i < len(items) {
				arg = &items[i]
			}
		}
		v := r.soften(r.restriction(name, it, arg, context))
		if r.warn >= r.depth { // before a class it holds for all of the class
			r.warn = 0
		}
		if v.kind != dunno {
			r.noteItem(it, arg, v)
			r.depth--
			return v
		}
		if r.deferPermit && r.deferReject {
			break // either end would be a temporary one
		}
	}
	r.depth--
	if r.warn > r.depth {
		r.warn = 0
	}
	return verdict{}
}

// soften makes a refusal behind warn_if_reject a warning, but not a configuration error or a list of networks or domains that fails.
func (r *run) soften(v verdict) verdict {
	switch {
	case v.kind == refuse && r.warn > 0 && !v.hard:
		return verdict{}
	case v.kind == refuse && r.deferReject && v.code >= 500:
		r.deferReject = false
		return verdict{kind: refuse, code: 450, text: "450: " + v.text + ", deferred because of an earlier temporary error (defer_if_reject)", policy: v.policy}
	}
	return v
}

func (r *run) noteItem(it member, arg *member, v verdict) {
	text := it.text
	if arg != nil && arg.text != it.text {
		text += " " + arg.text
	}
	if it.param != "" {
		text = it.param + ": " + text
	}
	what := map[kind]string{permit: "permits", refuse: "refuses"}[v.kind]
	if it.origin.How == "default" {
		what += " (by default)"
	}
	r.note(it.origin, text+" "+what)
}

func broken(why string) verdict {
	return verdict{kind: refuse, code: 451, text: "451 4.3.5 Server configuration error: " + why, broken: true, hard: true}
}

// lookupFailed is a failed lookup in a list that decides for whom or where mail is taken (reject_dict_retry).
func lookupFailed(why string) verdict {
	return verdict{kind: refuse, code: 451, text: "451 4.3.0 Temporary lookup failure: " + why, broken: true, hard: true}
}

// tableFailed is a failed lookup in an access table.
func tableFailed(why string) verdict {
	return verdict{kind: refuse, code: 451, text: "451 4.3.5 Server configuration error: " + why, broken: true}
}

func denied(code int, text string) verdict {
	return verdict{kind: refuse, code: code, text: fmt.Sprintf("%d %s", code, text), policy: true}
}
