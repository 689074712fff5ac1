package postfix

import (
	"fmt"
	"regexp"
	"strings"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// required are the restrictions of which smtpd wants one working instance in the relay or recipient list (smtpd_check.c, has_required).
func (m *model) required() []string {
	names := []string{"reject_unauth_destination", "reject", "defer", "defer_if_permit", "check_relay_domains"}
	if atLeast(m.version, "2.10") {
		names = append(names, "defer_unauth_destination")
	}
	return names
}

// dead says why the smtpd of a listener cannot start, "" when it can.
func (m *model) dead(l listener) (string, []judge.Line) {
	s := l.smtpd
	if s == nil {
		return "postscreen hands clients to a service that master.cf does not have", []judge.Line{{File: m.master.path, Line: l.front.line, Text: l.front.title()}}
	}
	for _, name := range []string{"myhostname", "mydomain"} {
		if v := m.value(name, s); !validName(v) {
			_, o, _ := m.raw(name, s)
			return fmt.Sprintf("smtpd does not start: bad parameter value: %s = %q", name, v), []judge.Line{{File: o.File, Line: o.Line, Text: name}}
		}
	}
	if why, at := m.deadScreen(l.front); why != "" {
		return why, at
	}
	if why, at := m.deadValue(l); why != "" {
		return why, at
	}
	if why, at := m.deadList(s); why != "" {
		return why, at
	}
	lists := []string{"smtpd_recipient_restrictions"}
	if atLeast(m.version, "2.10") {
		lists = []string{"smtpd_relay_restrictions", "smtpd_recipient_restrictions"}
	}
	var at []judge.Line
	for _, list := range lists {
		if m.hasRequired(m.members(list, s), s, 0) {
			return m.deadTable(s)
		}
		raw, o, _ := m.raw(list, s)
		at = append(at, judge.Line{File: o.File, Line: o.Line, Text: list + " = " + raw})
	}
	return "smtpd does not start: in " + strings.Join(lists, " or ") + " no working instance of " + strings.Join(m.required(), ", "), at
}

// deadList: a restriction class without a definition and a table without a type stop smtpd.
func (m *model) deadList(s *service) (string, []judge.Line) {
	for _, class := range m.members("smtpd_restriction_classes", s) {
		if m.value(class.text, s) == "" {
			return "smtpd does not start: restriction class " + class.text + " needs a definition", []judge.Line{{File: class.origin.File, Line: class.origin.Line, Text: class.text}}
		}
	}
	for _, list := range []string{"mynetworks", "mydestination", "relay_domains", "smtpd_authorized_xclient_hosts"} {
		for _, p := range m.patterns(list, s) {
			if strings.HasPrefix(p.text, ":") {
				return "smtpd does not start: open dictionary: expecting \"type:name\" form instead of " + p.text, []judge.Line{{File: p.origin.File, Line: p.origin.Line, Text: list}}
			}
		}
	}
	for _, list := range append(m.list("smtpd_restriction_classes", s), restrictionLists...) {
		items := m.members(list, s)
		for i := range items {
			if i > 0 && strings.EqualFold(items[i-1].text, "check_policy_service") && !policyServer(items[i].text) {
				return "smtpd does not start: a policy service needs transport:endpoint instead of " + items[i].text, []judge.Line{{File: items[i].origin.File, Line: items[i].origin.Line, Text: list}}
			}
		}
	}
	return "", nil
}

// policyServer reports whether text is a server that smtpd can be told to ask: inet:host:port, unix:path, or that with settings in braces.
func policyServer(text string) bool {
	if strings.HasPrefix(text, "{") {
		return strings.HasSuffix(text, "}")
	}
	transport, endpoint, ok := strings.Cut(text, ":")
	return ok && endpoint != "" && (transport == "inet" || transport == "unix" || transport == "local")
}

// hasRequired looks for a required restriction, before any permit, not behind warn_if_reject, also in the restriction classes named.
func (m *model) hasRequired(items []member, s *service, depth int) bool {
	for i := 0; i < len(items) && depth < maxDepth; i++ {
		switch {
		case strings.EqualFold(items[i].text, "warn_if_reject") && i+1 < len(items):
			i++
			continue
		case strings.EqualFold(items[i].text, "permit"):
			return false
		}
		for _, name := range m.required() {
			if strings.EqualFold(items[i].text, name) {
				return true
			}
		}
		for _, class := range m.list("smtpd_restriction_classes", s) {
			if class == items[i].text && m.hasRequired(m.members(class, s), s, depth+1) {
				return true
			}
		}
	}
	return false
}

// deadTable: before 2.9 a table that cannot be opened stops smtpd; later its lookups fail.
func (m *model) deadTable(s *service) (string, []judge.Line) {
	if atLeast(m.version, "2.9") {
		return "", nil
	}
	for _, list := range restrictionLists {
		for _, w := range m.members(list, s) {
			if !isTable(w.text) {
				continue
			}
			if t := m.table(w.text); t.missing != "" {
				return "smtpd does not start: " + t.missing, []judge.Line{{File: w.origin.File, Line: w.origin.Line, Text: w.text}}
			}
		}
	}
	return "", nil
}

var restrictionLists = []string{
	"smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions", "smtpd_relay_restrictions",
	"smtpd_recipient_restrictions", "smtpd_data_restrictions", "smtpd_end_of_data_restrictions", "smtpd_etrn_restrictions",
}

// cannotJudge says why nothing can be said of a listener, "" when something can.
func (m *model) cannotJudge() (string, []judge.Line) {
	if len(m.master.services) == 0 {
		return "master.cf was not read: the services and their overrides are not known", nil
	}
	if m.version[0] == 0 {
		return "the version of this Postfix is not known: which lists it reads, and in which order, hangs on it", nil
	}
	if p, ok := m.placeholder(); ok {
		return "the configuration is an unfilled template: " + p.Text, []judge.Line{p}
	}
	return "", nil
}

// unfilled finds what templates leave behind: {{ name }}, {% … %}, <% … %>, {NAME}, @NAME@, an address written with x.
var unfilled = regexp.MustCompile(`\{\{\s*[A-Za-z_][\w.]*\s*(\|[^}]*)?\}\}|\{%|<%|(^|[^$%])\{[A-Z][A-Z_0-9]+\}|@[A-Z][A-Z_0-9]+@|\b\d+\.[0-9x]+\.xx?x?\.xx?x?\b`)

// mayBeUnfilled is a cheaper question, which every value is asked at every answer: without one of these no text is unfilled.
func mayBeUnfilled(text string) bool {
	return strings.ContainsAny(text, "{@") || strings.Contains(text, "<%") || strings.Contains(text, ".x")
}

// placeholder returns the first value that holds an unfilled place.
func (m *model) placeholder() (judge.Line, bool) {
	for i := range m.main.entries {
		if e := &m.main.entries[i]; mayBeUnfilled(e.value) && unfilled.MatchString(e.value) {
			return judge.Line{File: m.main.path, Line: e.line, Text: e.name + " = " + e.value}, true
		}
	}
	for i := range m.master.services {
		if s := &m.master.services[i]; mayBeUnfilled(s.text) && unfilled.MatchString(s.text) {
			return judge.Line{File: m.master.path, Line: s.line, Text: s.title()}, true
		}
	}
	return judge.Line{}, false
}

func note(code, listener, text string, o mta.Origin) mta.Note {
	return mta.Note{Code: code, Listener: listener, Text: text, Origin: o}
}
