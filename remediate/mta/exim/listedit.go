package exim

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"mtaharden/remediate/mta"
)

// listKey names the list that a fix takes an item out of: all fixes of one list are made together.
func (e *editor) listKey(fix mta.Fix) (string, error) {
	switch {
	case strings.HasPrefix(fix.Name, "dc_"):
		if e.m.cfg.deb == nil {
			return "", fmt.Errorf("cannot change %s: this configuration is not made of %s", fix.Name, debConf)
		}
		if _, ok := e.m.cfg.deb.vars[fix.Name]; !ok {
			return "", fmt.Errorf("cannot take %q out of %s: it is not set", fix.Value, fix.Name)
		}
		return fix.Name, nil
	case strings.HasPrefix(fix.Name, "acl "):
		return fmt.Sprintf("%s\x00%s\x00%d", fix.Name, fix.File, fix.Line), nil
	}
	if e.statement(fix.Name) == nil {
		return "", fmt.Errorf("cannot take %q out of %s: it is not set in a file that was read", fix.Value, fix.Name)
	}
	return fix.Name, nil
}

// removeAll takes items out of one list.
func (e *editor) removeAll(key string, fixes []mta.Fix) error {
	drop := map[string]bool{}
	for _, f := range fixes {
		drop[f.Value] = true
	}
	name, _, _ := strings.Cut(key, "\x00")
	var f *mta.File
	var from, to int
	var err error
	sep := byte(0)
	switch {
	case strings.HasPrefix(name, "dc_"):
		v := e.m.cfg.deb.vars[name]
		if f, err = e.file(debConf); err != nil {
			return err
		}
		from, to = v.From, v.To
		if semicolons(v.Value) != v.Value { // where it begins with "<" it names its separator itself
			sep = ';'
		}
	case strings.HasPrefix(name, "acl "):
		f, from, to, err = e.condition(place{fixes[0].File, fixes[0].Line})
	default:
		f, from, to, err = e.value(e.statement(name))
	}
	if err != nil {
		return err
	}
	text := string(f.Data[from:to])
	changed, gone := removeItems(text, sep, drop)
	if gone == 0 {
		return fmt.Errorf("%s: cannot take %q out of %s: it does not stand there", f.Path, fixes[0].Value, name)
	}
	if strings.HasPrefix(name, "hostlist ") {
		changed = keepLoopback(text, changed, sep)
	}
	if name != ownLoopback && endsNegated(changed, sep) && !endsNegated(text, sep) {
		if strings.HasPrefix(strings.TrimSpace(text), `"`) {
			return fmt.Errorf("%s: cannot take %q out of %s: what is left would hold everything, and its value is in quotes", f.Path, fixes[0].Value, name)
		}
		changed = appended(changed, sep, "!*")
	}
	e.put(f, change{From: from, To: to, New: changed, fix: fixes[0]})
	return nil
}

// ownLoopback is the list behind whose last item update-exim4.conf(8) writes the loopback addresses: it never ends with a negated one.
const ownLoopback = "dc_relay_nets"

// keepLoopback adds the loopback addresses that a list of hosts held by an item that is gone: programs on the machine itself may hand in
// their mail by SMTP, and nobody else comes from there.
func keepLoopback(before, after string, sep byte) string {
	if strings.HasPrefix(strings.TrimSpace(before), `"`) {
		return after
	}
	for _, addr := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		if !holds(before, sep, addr) || holds(after, sep, addr) {
			continue
		}
		after = appended(after, sep, addr.String())
	}
	return after
}

// appended is a list as written with one more item.
func appended(text string, sep byte, item string) string {
	list, by := spans(text, sep)
	item = strings.ReplaceAll(item, string(by), string(by)+string(by))
	if slices.ContainsFunc(list, func(s span) bool { return s.item != "" }) {
		item = string(by) + " " + item
	}
	return strings.TrimRight(text, " \t") + " " + item
}

// endsNegated says whether the last item of a list as written begins with "!": whatever such a list does not name is in it (exim specification,
// "Negated items in lists").
func endsNegated(text string, sep byte) bool {
	list, _ := spans(text, sep)
	for _, s := range slices.Backward(list) {
		if s.item != "" {
			return strings.HasPrefix(s.item, "!")
		}
	}
	return false
}

// holds says whether an item of a list as written is that address, a network of it, or everybody.
func holds(text string, sep byte, addr netip.Addr) bool {
	list, _ := spans(text, sep)
	return slices.ContainsFunc(list, func(s span) bool {
		if p, err := netip.ParsePrefix(s.item); err == nil {
			return p.Contains(addr)
		}
		return s.item == "*" || s.item == addr.String()
	})
}

// value is the byte range of what stands behind "=" of a statement.
func (e *editor) value(at []place) (*mta.File, int, int, error) {
	f, from, to, err := e.lines(at)
	if err != nil {
		return nil, 0, 0, err
	}
	eq := strings.Index(string(f.Data[from:to]), "=")
	if eq < 0 {
		return nil, 0, 0, fmt.Errorf("%s: cannot edit: there is no \"=\"", at[0])
	}
	return f, from + eq + 1, to, nil
}

// condition is the value of the ACL condition that begins at a line.
func (e *editor) condition(at place) (*mta.File, int, int, error) {
	for _, blocks := range e.m.cfg.acls {
		for _, b := range blocks {
			for _, c := range b.Conds {
				if c.Statement.at() == at {
					return e.value(c.Statement.Lines)
				}
			}
		}
	}
	return nil, 0, 0, fmt.Errorf("%s: cannot edit: no ACL condition begins there", at)
}

// add appends an item to a list that is set, or sets the list.
func (e *editor) add(fix mta.Fix, at []place) error {
	if at == nil {
		fix.Op = mta.Set
		return e.option(fix)
	}
	f, from, to, err := e.value(at)
	if err != nil {
		return err
	}
	text := string(f.Data[from:to])
	sep, rest := separator(text)
	item := strings.ReplaceAll(fix.Value, string(sep), string(sep)+string(sep))
	if strings.TrimSpace(rest) != "" {
		item = " " + string(sep) + " " + item
	} else {
		item = " " + item
	}
	if strings.HasPrefix(strings.TrimSpace(text), `"`) {
		return fmt.Errorf("%s: cannot add to %s: its value is in quotes", at[0], fix.Name)
	}
	e.put(f, change{From: to, To: to, New: item, fix: fix})
	return nil
}

// span is one item of a list as it stands in the text; an empty one has no length.
type span struct {
	from, to int
	item     string
}

// spans finds the items of a list in its text as written: over several lines, with comment lines between.
func spans(text string, sep byte) (list []span, single byte) {
	start := 0
	if sep == 0 {
		sep = ':'
		trimmed := strings.TrimLeft(text, " \t")
		if s, rest := separator(text); len(rest) < len(trimmed) {
			sep, start = s, len(text)-len(rest)
		}
	}
	var b strings.Builder
	from, to := -1, start
	flush := func(next int) {
		if from < 0 {
			from, to = next, next
		}
		list = append(list, span{from, to, b.String()})
		b.Reset()
		from, to = -1, next
	}
	take := func(i, length int) {
		if from < 0 {
			from = i
		} else if to < i {
			b.WriteString(strings.Trim(text[to:i], "\\\r\n\t"))
		}
		b.WriteByte(text[i])
		to = i + length
	}
	for i := start; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && strings.HasPrefix(strings.TrimLeft(text[i+1:], " \t\r"), "\n"):
		case c == ' ' || c == '\t' || c == '\r':
		case c == '\n':
			for i+1 < len(text) && strings.HasPrefix(strings.TrimLeft(text[i+1:], " \t"), "#") {
				next := strings.IndexByte(text[i+1:], '\n')
				if next < 0 {
					i = len(text)
					break
				}
				i += 1 + next
			}
		case c == sep && i+1 < len(text) && text[i+1] == sep:
			take(i, 2)
			i++
		case c == sep:
			flush(i)
		default:
			take(i, 1)
		}
	}
	flush(len(text))
	return list, sep
}

// removeItems takes the items in drop out of a list's text, each with its separator and the space before it, and says how many
// there were.
func removeItems(text string, sep byte, drop map[string]bool) (string, int) {
	list, _ := spans(text, sep)
	var out strings.Builder
	gone, at := 0, 0
	for i, s := range list {
		switch {
		case s.item != "" && drop[s.item] && i == 0:
			out.WriteString(text[at:s.from])
			at = s.to
			gone++
		case s.item != "" && drop[s.item]:
			out.WriteString(text[at:list[i-1].to])
			at = s.to
			gone++
		case i > 0 && gone == i:
			// Everything before it is gone: its separator would leave an empty item, which means something of its own.
			at = s.from
		}
	}
	out.WriteString(text[at:])
	return out.String(), gone
}
