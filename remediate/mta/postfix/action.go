package postfix

import (
	"strconv"
	"strings"

	"mtaharden/remediate/mta"
)

// action is what the right-hand side of an access table does (access(5)).
func (r *run) action(value, context string) verdict {
	word, rest := actionWord(value)
	switch strings.ToUpper(word) {
	case "OK", "RELAY":
		return verdict{kind: permit}
	case "DUNNO", "WARN", "INFO", "HOLD", "PREPEND":
		return verdict{}
	case "FILTER":
		r.filtered = r.filtered || strings.Contains(rest, ":") && r.inMail()
		return verdict{}
	case "BCC":
		if atLeast(r.m.version, "3.0") {
			return verdict{}
		}
	case "HANGUP":
		return verdict{kind: refuse, code: 521, text: "the connection is closed without a reply (HANGUP)", policy: true, hard: true}
	case "REJECT":
		return denied(r.code("access_map_reject_code", 554), "5.7.1 Access denied "+rest)
	case "DEFER":
		return denied(r.code("access_map_defer_code", 450), "4.7.1 Access denied "+rest)
	case "DISCARD":
		if !r.inMail() {
			return verdict{}
		}
		r.discard = true
		return verdict{kind: permit}
	case "REDIRECT":
		r.redirect = r.redirect || strings.Contains(rest, "@") && r.inMail()
		return verdict{}
	case "DEFER_IF_PERMIT":
		r.deferPermit = r.deferPermit || r.warn == 0
		return verdict{}
	case "DEFER_IF_REJECT":
		r.deferReject = true
		return verdict{}
	}
	if allDigits(value) {
		return verdict{kind: permit}
	}
	if code, ok := replyCode(value); ok {
		return denied(code, rest)
	}
	if strings.Contains(value, ":") {
		return broken("an access table's value names a table: " + value)
	}
	return r.items(actionItems(value), context)
}

// inMail reports whether there is a transaction that an action could change: with smtpd_delay_reject off there is none yet in the client
// and HELO lists; and a before-queue filter takes no such orders.
func (r *run) inMail() bool {
	return r.have >= atMail && r.m.value("smtpd_proxy_filter", r.s) == ""
}

// actionWord parts an access value at its first blank or tab.
func actionWord(value string) (word, rest string) {
	if i := strings.IndexAny(value, " \t"); i >= 0 {
		rest, _ = trimSpace(value[i:])
		return value[:i], rest
	}
	return value, ""
}

// replyCode reads "4xx text" or "5xx text"; without a text it is a number, which means yes.
func replyCode(value string) (int, bool) {
	word, rest := actionWord(value)
	if len(word) != 3 || word[0] != '4' && word[0] != '5' || !allDigits(word) || rest == "" {
		return 0, false
	}
	n, _ := strconv.Atoi(value[:3])
	return n, true
}

// actionItems are the restrictions and classes that a right-hand side may hold instead of an action.
func actionItems(value string) []member {
	var items []member
	for _, w := range splitList(value, true) {
		items = append(items, member{text: w.text, origin: mta.Origin{How: "include"}})
	}
	return items
}
