package postfix

import (
	"fmt"
	"slices"
	"strings"

	"mtaharden/remediate/mta"
)

// notes are what reading noticed.
func (m *model) notes() []mta.Note {
	var out []mta.Note
	out = append(out, m.duplicates()...)
	out = append(out, m.unused()...)
	for _, line := range m.main.stray {
		out = append(out, note("stray", "", "a line that continues nothing: Postfix leaves it out", mta.Origin{File: m.main.path, Line: line, How: "file"}))
	}
	if p, ok := m.placeholder(); ok {
		out = append(out, note("placeholder", "", p.Text, mta.Origin{File: p.File, Line: p.Line, How: "file"}))
	}
	out = append(out, m.networkNotes()...)
	out = append(out, m.tableNotes()...)
	for _, l := range m.listeners {
		out = append(out, m.listenerNotes(l)...)
	}
	return append(out, m.queueNotes()...)
}

// queueNotes are the services that take mail for any destination by the QMQP protocol, with the clients that may (qmqpd(8)): no
// restriction list stands before it.
func (m *model) queueNotes() []mta.Note {
	var out []mta.Note
	for i := range m.master.services {
		s := &m.master.services[i]
		if s.kind != "inet" || s.command != "qmqpd" {
			continue
		}
		if v := m.value("qmqpd_authorized_clients", s); v != "" {
			_, o, _ := m.raw("qmqpd_authorized_clients", s)
			out = append(out, note("qmqp", s.name, "qmqpd takes mail for any destination from "+v, o))
		}
	}
	return out
}

// duplicates are the entries of main.cf that a later one overrides.
func (m *model) duplicates() []mta.Note {
	var out []mta.Note
	for i, e := range m.main.entries {
		if last := m.main.last[e.name]; last != i {
			text := fmt.Sprintf("%s = %s is overridden by line %d", e.name, e.value, m.main.entries[last].line)
			out = append(out, note("duplicate", "", text, mta.Origin{File: m.main.path, Line: e.line, How: "file"}))
		}
	}
	return out
}

// unused are the names that Postfix itself says nothing reads ("unused parameter"), as postconf printed them.
func (m *model) unused() []mta.Note {
	o, ok := m.snap.Output("postfix:" + m.dir + ":n")
	if !ok {
		return nil
	}
	var out []mta.Note
	seen := map[string]bool{}
	for line := range strings.Lines(string(o.Stderr)) {
		_, rest, ok := strings.Cut(line, "unused parameter: ")
		name, _, ok2 := strings.Cut(rest, "=")
		if !ok || !ok2 || seen[name] {
			continue
		}
		seen[name] = true
		at := mta.Origin{File: m.main.path, How: "file"}
		if e, ok := m.main.get(name); ok && !strings.Contains(line, "master.cf") {
			at.Line = e.line
		} else if strings.Contains(line, "master.cf") {
			at.File = m.master.path
		} else {
			continue // it is no longer in the file: the output is older
		}
		out = append(out, note("unused-parameter", "", name+" is read by nothing", at))
	}
	return out
}

// networkNotes are members of mynetworks that Postfix cannot read, or that match nothing though they look like a network.
func (m *model) networkNotes() []mta.Note {
	var out []mta.Note
	for _, s := range m.talkers() {
		for _, p := range m.patterns("mynetworks", s) {
			if text := badNetwork(p); text != "" {
				n := note("invalid-net", "", "mynetworks: "+text, p.origin)
				if !slices.Contains(out, n) {
					out = append(out, n)
				}
			}
		}
	}
	return out
}

func badNetwork(p pattern) string {
	switch {
	case p.failed != "":
		return p.failed + ": every lookup fails (451)"
	case p.unread != "":
		return ""
	case p.table != nil:
		if p.table.missing != "" {
			return p.table.missing + ": every lookup fails (451)"
		}
		return ""
	case looksLikeNet(p.text, strings.Contains(p.text, ":")):
		if _, err := parseNet(p.text); err != nil {
			return err.Error() + ": every lookup fails (451)"
		}
	case strings.Trim(p.text, "0123456789.") == "" && strings.Count(p.text, ".") < 3:
		return p.text + " matches nothing: Postfix wants address/bits"
	}
	return ""
}

// tableNotes are the tables that are missing or whose compiled map is older than its text.
func (m *model) tableNotes() []mta.Note {
	var out []mta.Note
	for _, ref := range m.tableRefs() {
		t := m.table(ref.text)
		switch {
		case t.missing != "":
			out = append(out, note("missing-map", "", ref.text+": "+t.missing, ref.origin))
		case strings.Contains(t.unread, "is newer than"):
			out = append(out, note("stale-map", "", t.unread, ref.origin))
		}
	}
	return out
}

// tableRefs are the tables that any parameter or override names, each once.
func (m *model) tableRefs() []member {
	var out []member
	seen := map[string]bool{}
	add := func(name string, s *service) {
		for _, w := range m.members(name, s) {
			w.text = strings.TrimLeft(w.text, "!")
			if kind, rest, ok := strings.Cut(strings.TrimPrefix(w.text, "proxy:"), ":"); !ok || !isMapType(kind) || rest == "" || seen[w.text] {
				continue
			}
			seen[w.text] = true
			out = append(out, w)
		}
	}
	for _, name := range m.tableParams() {
		add(name, nil)
	}
	for i := range m.master.services {
		for _, o := range m.master.services[i].overrides {
			add(o.name, &m.master.services[i])
		}
	}
	return out
}

// tableParams are the parameters that main.cf sets and that may hold tables: all but those whose tables Postfix writes itself.
func (m *model) tableParams() []string {
	var names []string
	for _, e := range m.main.entries {
		if strings.HasSuffix(e.name, "_cache_database") || strings.HasSuffix(e.name, "_cache_map") || strings.HasSuffix(e.name, "_password_maps") ||
			strings.HasPrefix(e.name, "alias_") || e.name == "address_verify_map" || slices.Contains(names, e.name) {
			continue
		}
		names = append(names, e.name)
	}
	return names
}

func isMapType(kind string) bool {
	_, ok := hashed[kind]
	return ok || kind == "texthash" || kind == "cidr" || kind == "regexp" || kind == "pcre"
}

// tableFiles are the files that lists and tables stand in.
func (m *model) tableFiles() []string {
	var out []string
	for _, ref := range m.tableRefs() {
		if t := m.table(ref.text); t.source() != "" {
			out = append(out, t.source())
		}
	}
	for _, s := range m.talkers() {
		for _, param := range []string{"mynetworks", "relay_domains", "mydestination", "virtual_alias_domains", "virtual_mailbox_domains"} {
			for _, p := range m.patterns(param, s) {
				if strings.HasPrefix(p.origin.File, "/") && p.origin.How == "include" {
					out = append(out, p.origin.File)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// talkers are the smtpd services of all listeners, each once, and nil for the general values.
func (m *model) talkers() []*service {
	out := []*service{nil}
	for _, l := range m.listeners {
		if l.smtpd != nil && !slices.Contains(out, l.smtpd) {
			out = append(out, l.smtpd)
		}
	}
	return out
}

// listenerNotes say of one listener that it cannot start, or that its lists hold a word that is no restriction.
func (m *model) listenerNotes(l listener) []mta.Note {
	var out []mta.Note
	if why, at := m.dead(l); why != "" {
		var o mta.Origin
		if len(at) > 0 {
			o = mta.Origin{File: at[0].File, Line: at[0].Line}
		}
		return []mta.Note{note("dead", l.addr, why, o)}
	}
	for _, list := range restrictionLists {
		for _, w := range m.unknownWords(m.members(list, l.smtpd), l.smtpd) {
			out = append(out, note("unknown-restriction", l.addr, list+": "+w.text+" is no restriction of this version: it answers 451 when it is reached", w.origin))
		}
	}
	for _, name := range []string{"smtpd_authorized_xclient_hosts", "smtpd_authorized_xforward_hosts", "smtpd_upstream_proxy_protocol"} {
		if v := m.value(name, l.smtpd); v != "" {
			_, o, _ := m.raw(name, l.smtpd)
			out = append(out, note("client-spoof", l.addr, name+" = "+v, o))
		}
	}
	return out
}

// unknownWords are the words of a restriction list that are neither a restriction, its argument, a class nor a table.
func (m *model) unknownWords(items []member, s *service) []member {
	var out []member
	classes := m.list("smtpd_restriction_classes", s)
	for i := 0; i < len(items); i++ {
		name := strings.ToLower(items[i].text)
		if full, ok := aliases[name]; ok {
			name = full
		}
		switch {
		case name == "warn_if_reject", isTable(items[i].text), strings.HasPrefix(name, "{"):
		case takesArgument(name) && withArgument(name) != nil && m.knows(name):
			i++
		case isSimple(name) && m.knows(name), slices.Contains(classes, items[i].text):
		default:
			out = append(out, items[i])
		}
	}
	return out
}
