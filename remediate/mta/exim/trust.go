package exim

import (
	"fmt"
	"slices"
	"strings"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// listItem is one item of a list with the place where a person would write it.
type listItem struct {
	Value  string
	At     place
	Holder string // the name of the setting, macro, dc_ variable or file that holds it
	How    string // file, macro, generated, include
	Fixed  bool   // it can be taken away at At

	Via []reason // the named lists, macros and variables that led to it, the outermost first
}

// items resolves a list to its plain items, through named lists, macros, Debian's variables and files. "!" items are left out:
// they trust nobody.
func (c *config) items(raw, kind, holder string, at place, depth int) []listItem {
	return c.itemsVia(raw, kind, holder, at, nil, depth)
}

func (c *config) itemsVia(raw, kind, holder string, at place, via []reason, depth int) []listItem {
	if depth > maxDepth {
		return nil
	}
	var out []listItem
	within := func(raw, holder string, at place) {
		step := reason{at, holder + " = " + raw}
		out = append(out, c.itemsVia(raw, kind, holder, at, append(slices.Clone(via), step), depth+1)...)
	}
	for _, item := range splitList(guardBraces(raw)) {
		item = strings.ReplaceAll(item, "\x01", ":")
		switch {
		case item == "" || strings.HasPrefix(item, "!") || strings.HasPrefix(item, "+ignore_") || strings.HasPrefix(item, "+include_"):
		case strings.HasPrefix(item, "+"):
			if l := c.lists[kind+" "+item[1:]]; l != nil {
				within(rawValue(l.Statement), l.Kind+" "+l.Name, l.Statement.at())
			}
		case c.macro(item) != nil:
			m := c.macro(item)
			if v, ok := c.dcAt(m.At); ok {
				within(semicolons(v.Value), v.Name, m.At)
			} else {
				within(m.Raw, m.Name, m.At)
			}
		case c.prog.expand(item) != item && !strings.Contains(item, "$"):
			for _, one := range splitList(c.prog.expand(item)) {
				out = append(out, listItem{Value: one, At: at, Holder: holder, How: "macro", Via: via})
			}
		default:
			for _, one := range c.plainItem(c.prog.expand(item), item, kind, holder, at) {
				one.Via = via
				out = append(out, one)
			}
		}
	}
	return out
}

// guardBraces puts \x01 in place of the colons within ${…}: the string is expanded before the list is cut.
func guardBraces(s string) string {
	b, depth := []byte(s), 0
	for i, c := range b {
		switch {
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case c == ':' && depth > 0:
			b[i] = 1
		}
	}
	return string(b)
}

// plainItem is an item that is no list of its own, or the lines of the file that it names.
func (c *config) plainItem(value, raw, kind, holder string, at place) []listItem {
	path, search := value, kind
	if rest, ok := strings.CutPrefix(value, "${if exists{"); ok {
		path, _, _ = strings.Cut(strings.TrimPrefix(rest, "{"), "}")
		if c.exists(path) == no && strings.HasSuffix(strings.ReplaceAll(value, " ", ""), "{}}") {
			return nil
		}
	} else if _, file, ok := lookupItem(value); ok {
		path, search = file, "lsearch"
	}
	if !strings.HasPrefix(path, "/") {
		return []listItem{{Value: value, At: at, Holder: holder, How: "file", Fixed: raw == value}}
	}
	lines, ok := c.table(path, search)
	if !ok {
		return []listItem{{Value: value, At: at, Holder: holder, How: "file"}}
	}
	var out []listItem
	for _, l := range lines {
		if !strings.HasPrefix(l.Key, "!") {
			out = append(out, listItem{Value: l.Key, At: l.place, Holder: path, How: "include", Fixed: true})
		}
	}
	return out
}

// rawValue is what stands behind "=" of a statement, as written.
func rawValue(s *statement) string {
	_, value, _ := strings.Cut(s.Raw, "=")
	return unquote(strings.TrimSpace(value))
}

func (c *config) macro(name string) *macro {
	for _, m := range c.prog.Macros {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// dcAt is the dc_ variable that Debian's generator made the line at p of.
func (c *config) dcAt(p place) (dcVar, bool) {
	if c.deb == nil || p.File != debConf {
		return dcVar{}, false
	}
	for _, v := range c.deb.vars {
		if v.Line == p.Line {
			return v, true
		}
	}
	return dcVar{}, false
}

// trusted lists by what the ACL for RCPT lets somebody relay.
func (c *config) trusted() []mta.Trust {
	t := &trustList{c: c, ids: map[string]int{}, done: map[*block]bool{}}
	name := c.option("acl_smtp_rcpt", "")
	t.acl(name, 0)
	t.open()
	return t.out
}

type trustList struct {
	c    *config
	out  []mta.Trust
	ids  map[string]int
	done map[*block]bool
}

func (t *trustList) acl(name string, depth int) {
	if depth > maxDepth {
		return
	}
	for _, b := range t.c.acls[name] {
		if t.done[b] {
			continue
		}
		t.done[b] = true
		for _, c := range b.Conds {
			if c.Name == "acl" {
				sub, _ := cutWord(c.Value)
				t.acl(sub, depth+1)
			}
		}
		switch b.Verb {
		case "accept":
			t.block(b)
		case "require":
			t.domains(b)
		}
	}
}

// block takes the entries of an accept block. A block that also limits the recipient's domain trusts the domain, not the client.
func (t *trustList) block(b *block) {
	limited := false
	for _, c := range b.Conds {
		if c.Neg {
			continue
		}
		switch c.Name {
		case "domains", "recipients", "local_parts", "authenticated", "encrypted", "acl":
			limited = true
		}
	}
	t.domains(b)
	if limited {
		return
	}
	for _, c := range b.Conds {
		if c.Neg {
			continue
		}
		switch c.Name {
		case "hosts":
			for _, item := range t.items(b, c, "hostlist") {
				t.host(b, c, item)
			}
		case "senders":
			for _, item := range t.items(b, c, "addresslist") {
				t.add(b, c, item, "sender")
			}
		case "sender_domains":
			for _, item := range t.items(b, c, "domainlist") {
				t.add(b, c, item, "sender")
			}
		}
	}
}

func (t *trustList) items(b *block, c cond, kind string) []listItem {
	return t.c.items(rawCondition(c), kind, "acl "+b.ACL, c.Statement.at(), 0)
}

func rawCondition(c cond) string {
	_, value, _ := strings.Cut(c.Statement.Raw, "=")
	return strings.TrimSpace(value)
}

// host takes an item of a host list; the host itself is nobody else.
func (t *trustList) host(b *block, c cond, item listItem) {
	switch p, ok := parseNet(item.Value); {
	case ok && p.Addr().IsLoopback():
	case item.Value == "@[]" || item.Value == "@" || item.Value == "localhost":
	case ok:
		if n := len(t.out); t.add(b, c, item, "client-net") {
			t.out[n].Net = p
		}
	case item.Value == "*":
		t.add(b, c, item, "any")
	case strings.ContainsAny(item.Value, ";/$"):
		t.add(b, c, item, "table")
	default:
		t.add(b, c, item, "client-name")
	}
}

// domains takes the recipient domains of a block, except the host's own.
func (t *trustList) domains(b *block) {
	for _, c := range b.Conds {
		if c.Name != "domains" || c.Neg {
			continue
		}
		for _, item := range t.items(b, c, "domainlist") {
			if strings.HasPrefix(item.Value, "@mx_") {
				t.add(b, c, item, "any") // whoever names this host in an MX record
				continue
			}
			if strings.HasPrefix(item.Value, "@") || strings.HasPrefix(item.Holder, "domainlist local") || item.Holder == "dc_other_hostnames" {
				continue
			}
			if t.ownDomain(item.Value) {
				continue
			}
			t.add(b, c, item, "recipient")
		}
	}
}

// ownDomain says whether a domain is delivered on this host.
func (t *trustList) ownDomain(domain string) bool {
	if strings.ContainsAny(domain, "*;/^$") {
		return false
	}
	return newEvaluator(t.c, judge.Question{}).local(domain) == yes
}

func (t *trustList) add(b *block, c cond, item listItem, kind string) bool {
	for _, old := range t.out {
		if old.Name == item.Holder && old.Value == item.Value && old.File == item.At.File && old.Line == item.At.Line && old.Kind == kind {
			return false
		}
	}
	id := item.Holder + " " + item.Value
	if t.ids[id]++; t.ids[id] > 1 {
		id = fmt.Sprintf("%s (%d)", id, t.ids[id])
	}
	tr := mta.Trust{ID: id, Kind: kind, Value: item.Value, Name: item.Holder, Origin: mta.Origin{File: item.At.File, Line: item.At.Line, How: item.How}}
	if item.Fixed {
		tr.Fix = []mta.Fix{{Name: item.Holder, Op: mta.Remove, Value: item.Value, File: item.At.File, Line: item.At.Line}}
	}
	if strings.HasPrefix(item.Holder, "acl ") && len(splitList(rawCondition(c))) == 1 {
		tr.Fix = []mta.Fix{b.comment()}
	}
	t.out = append(t.out, tr)
	return true
}

// comment is the fix that comments the block out.
func (b *block) comment() mta.Fix {
	return mta.Fix{Name: "acl " + b.ACL, Op: mta.Unset, Value: b.Verb, File: b.At.File, Line: b.At.Line}
}

// open adds the block, or the option, that lets everybody relay although no list of it says so.
func (t *trustList) open() {
	for _, sender := range []string{"", "probe@" + t.c.qualify} {
		q := judge.Question{Class: judge.Outside, ClientAddr: strangers[0], Helo: "probe.example.com", Verb: judge.Rcpt, Sender: sender, Recipient: "probe@example.org"}
		out, because := t.c.recipient(q)
		if out != judge.Relayed || len(because) == 0 || t.explained(q) {
			continue
		}
		at := place{because[0].File, because[0].Line}
		for b := range t.done {
			if b.At == at {
				t.everybody(b)
			}
		}
	}
	if o := t.c.options["acl_smtp_rcpt"]; o != nil && strings.EqualFold(o.Value, "accept") {
		at := t.c.origin(o.Statement)
		tr := mta.Trust{ID: "acl_smtp_rcpt accept", Kind: "any", Value: "accept", Name: "acl_smtp_rcpt", Origin: mta.Origin{File: at.File, Line: at.Line, How: "file"}}
		_, stock := t.c.acls["acl_check_rcpt"]
		switch m := t.c.macro(rawValue(o.Statement)); {
		case m != nil && stock:
			tr.Fix = []mta.Fix{{Name: m.Name, Op: mta.Unset, File: at.File, Line: at.Line}}
		case stock:
			tr.Fix = []mta.Fix{{Name: "acl_smtp_rcpt", Op: mta.Set, Value: "acl_check_rcpt", File: at.File, Line: at.Line}}
		}
		t.out = append(t.out, tr)
	}
}

// origin is where a statement's value was decided: at its macro, where it is one.
func (c *config) origin(s *statement) place {
	if m := c.macro(rawValue(s)); m != nil && m.At.File != "" {
		return m.At
	}
	return s.at()
}

// everybody adds a block that accepts from anyone. One without a condition is left to a person: what stands before it should have
// refused, and without it nothing would be taken any more.
func (t *trustList) everybody(b *block) {
	tr := mta.Trust{ID: "acl " + b.ACL + " " + b.Verb + " at " + b.At.String(), Kind: "any", Value: b.describe(), Name: "acl " + b.ACL,
		Origin: mta.Origin{File: b.At.File, Line: b.At.Line, How: "file"}}
	for _, c := range b.Conds {
		if !modifiers[c.Name] {
			tr.Fix = []mta.Fix{b.comment()}
		}
	}
	t.out = append(t.out, tr)
}

// explained says whether an entry already in the list lets this client relay this recipient.
func (t *trustList) explained(q judge.Question) bool {
	return slices.ContainsFunc(t.out, func(tr mta.Trust) bool { return covers(t.c, tr, q) })
}

// covers says whether an entry is about the client, the sender or the recipient of a question.
func covers(c *config, t mta.Trust, q judge.Question) bool {
	e := newEvaluator(c, q)
	switch t.Kind {
	case "client-net":
		return t.Net.Contains(e.client)
	case "any":
		return true
	case "sender":
		return e.matchSender(t.Value, q.Sender) == yes
	case "recipient":
		return domainMatcher(domainOf(q.Recipient))(e, t.Value, 0) == yes
	}
	return false
}
