package postfix

import (
	"fmt"
	"strings"
)

// checkRecipient is what smtpd asks itself at RCPT TO: the lists of the earlier stages (at once with smtpd_delay_reject, else each in
// its time), then the relay and recipient lists in this version's order, then the built-in checks.
func (r *run) checkRecipient() verdict {
	if strings.EqualFold(r.rcpt, "postmaster") {
		return verdict{} // RFC 5321 4.5.1: always taken
	}
	delay := r.m.yes("smtpd_delay_reject", r.s)
	r.have = atRcpt
	for _, st := range []struct {
		at   stage
		list string
	}{{atConnect, "smtpd_client_restrictions"}, {atHelo, "smtpd_helo_restrictions"}, {atMail, "smtpd_sender_restrictions"}} {
		if !delay {
			r.have = st.at
		}
		if v := r.list(st.list, strings.TrimSuffix(st.list, "_restrictions")); v.kind == refuse {
			return v
		}
		if v := r.unlistedSender(st.at); v.kind == refuse {
			return v
		}
	}
	r.have = atRcpt
	if v := r.relayAndRecipient(); v.kind == refuse {
		return v
	}
	if r.deferPermit {
		return verdict{kind: refuse, code: 450, text: "450: deferred because of an earlier temporary error (defer_if_permit)"}
	}
	if !r.listed && !r.discard && r.m.yes("smtpd_reject_unlisted_recipient", r.s) {
		return r.unlisted(r.rcpt, "smtpd_reject_unlisted_recipient")
	}
	return verdict{}
}

// relayAndRecipient walks both lists. Before 3.6, and below compatibility level 3.6, the recipient list comes first; before 2.10 there
// is no relay list.
func (r *run) relayAndRecipient() verdict {
	lists := []string{"smtpd_recipient_restrictions"}
	switch {
	case !atLeast(r.m.version, "2.10"):
	case atLeast(r.m.version, "3.6") && r.m.yes("smtpd_relay_before_recipient_restrictions", r.s):
		lists = []string{"smtpd_relay_restrictions", "smtpd_recipient_restrictions"}
	default:
		lists = append(lists, "smtpd_relay_restrictions")
	}
	for _, list := range lists {
		if v := r.list(list, "smtpd_recipient"); v.kind == refuse {
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
	return r.unlistedFrom("smtpd_reject_unlisted_sender")
}

// list walks a restriction list; a list that says yes ends only itself.
func (r *run) list(param, context string) verdict {
	r.warn = 0
	return r.items(r.m.members(param, r.s), context)
}

// context names what a bare table in a list looks up: smtpd_client, smtpd_helo, smtpd_sender, smtpd_recipient.
var bareTable = map[string]string{
	"smtpd_client": "check_client_access", "smtpd_helo": "check_helo_access",
	"smtpd_sender": "check_sender_access", "smtpd_recipient": "check_recipient_access",
}

func (r *run) items(items []member, context string) verdict {
	if r.depth++; r.depth > 100 {
		return broken("restriction nesting")
	}
	defer func() { r.depth-- }()
	for i := 0; i < len(items); i++ {
		it := items[i]
		name := strings.ToLower(it.text)
		switch {
		case name == "warn_if_reject":
			if r.warn == 0 {
				r.warn = r.depth
			}
			continue
		case isTable(it.text) || strings.HasPrefix(it.text, "{"):
			if bareTable[context] == "" || strings.HasPrefix(it.text, "{") {
				return broken("a table where no table can stand: " + it.text)
			}
			name = bareTable[context]
			i--
		}
		var arg *member
		if takesArgument(name) {
			if i++; i < len(items) {
				arg = &items[i]
			}
		}
		v := r.restriction(name, it, arg, context)
		if v.kind == refuse && r.warn > 0 && !v.hard {
			v = verdict{}
		}
		if r.warn >= r.depth { // before a class it holds for all of the class
			r.warn = 0
		}
		if v.kind != dunno {
			r.noteItem(it, arg, v)
			return v
		}
	}
	return verdict{}
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
	r.note(it.origin, text+" "+what)
}

func broken(why string) verdict {
	return verdict{kind: refuse, code: 451, text: "451 4.3.5 Server configuration error: " + why, broken: true, hard: true}
}

func lookupFailed(why string) verdict {
	return verdict{kind: refuse, code: 451, text: "451 4.3.0 Temporary lookup failure: " + why, broken: true}
}

func denied(code int, text string) verdict {
	return verdict{kind: refuse, code: code, text: fmt.Sprintf("%d %s", code, text), policy: true}
}
