package postfix

import (
	"strconv"
	"strings"

	"mtaharden/remediate/mta"
)

// action is what the right-hand side of an access table does (access(5)).
func (r *run) action(value, context string) verdict {
	word, rest := splitKey(value)
	switch strings.ToUpper(word) {
	case "OK", "RELAY":
		return verdict{kind: permit}
	case "DUNNO", "WARN", "INFO", "HOLD", "FILTER", "PREPEND", "BCC", "HANGUP":
		return verdict{}
	case "REJECT":
		return denied(r.code("access_map_reject_code", 554), "5.7.1 Access denied "+rest)
	case "DEFER":
		return denied(r.code("access_map_defer_code", 450), "4.7.1 Access denied "+rest)
	case "DISCARD":
		r.discard = true
		return verdict{kind: permit}
	case "REDIRECT":
		r.redirect = true
		return verdict{}
	case "DEFER_IF_PERMIT":
		r.deferPermit = true
		return verdict{}
	case "DEFER_IF_REJECT":
		r.deferReject = true
		return verdict{}
	}
	if code, ok := replyCode(value); ok {
		return denied(code, rest)
	}
	if allDigits(value) {
		return verdict{kind: permit}
	}
	return r.items(actionItems(value), context)
}

// replyCode reads "4xx text" or "5xx text".
func replyCode(value string) (int, bool) {
	if len(value) < 3 || value[0] != '4' && value[0] != '5' || !allDigits(value[:3]) || len(value) > 3 && !isSpace(value[3]) {
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
