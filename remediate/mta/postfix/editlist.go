package postfix

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"mtaharden/remediate/mta"
)

// loopbackNets stand in for an entry of mynetworks that was taken away and that alone covered the host itself: its own programs
// submit there.
const loopbackNets = "127.0.0.0/8 [::1]/128"

// addToDefault writes a list that was left to its default, with the new member.
func (e *editor) addToDefault(src *mainFile, f mta.Fix) error {
	raw, _, _ := e.m.raw(f.Name, nil)
	if f.Name == "mynetworks" && e.m.networksComputed(nil) {
		raw = e.m.ownNetworks(nil)
	}
	value, err := e.m.expand(raw, nil)
	if err != nil {
		return err
	}
	return e.appendMain(src, f.Name, withMember(value, f.Value))
}

// removeFromDefault writes a list that was left to its default, without the member; nothing where the default does not hold it.
func (e *editor) removeFromDefault(src *mainFile, f mta.Fix) error {
	var left []string
	for _, w := range e.m.list(f.Name, nil) {
		if !strings.EqualFold(w, f.Value) {
			left = append(left, w)
		}
	}
	if len(left) == len(e.m.list(f.Name, nil)) {
		return nil
	}
	return e.appendMain(src, f.Name, strings.Join(left, " "))
}

// rewriteList adds a member to the list of an entry, where it takes effect, in the list's own style.
func (e *editor) rewriteList(ent *entry, f mta.Fix) error {
	words := splitList(ent.value, true)
	if e.holdsMember(ent.value, f.Value) {
		return nil
	}
	if len(words) == 0 {
		return e.setValue(ent, f.Value)
	}
	at := placeOf(words, f.Value)
	path := e.m.main.path
	if at < len(words) {
		from := ent.offset(words[at].start)
		return e.splice(path, from, from, f.Value+separator(ent.value, words, at))
	}
	end := ent.offset(words[len(words)-1].end-1) + 1
	return e.splice(path, end, end, separator(ent.value, words, at)+f.Value)
}

// separator is what parts a new member from its neighbour on the same line: the list's own comma or blank.
func separator(value string, words []word, at int) string {
	if len(words) > 1 && !strings.Contains(value[words[0].end:words[1].start], ",") {
		return " "
	}
	if len(words) == 1 && strings.HasPrefix(words[0].text, "permit") || len(words) > 1 {
		return ", "
	}
	return " "
}

// placeOf is where in a list a member belongs: a restriction before the first that ends the list, everything else at the end.
func placeOf(words []word, value string) int {
	if !strings.HasPrefix(value, "reject") && !strings.HasPrefix(value, "defer") {
		return len(words)
	}
	for i, w := range words {
		if (w.text == "permit" || w.text == "reject" || w.text == "defer") && (i == 0 || words[i-1].text != "warn_if_reject") {
			return i
		}
	}
	return len(words)
}

func (e *editor) holdsMember(value, member string) bool {
	for i, w := range splitList(value, true) {
		if words := splitList(value, true); w.text == member && (i == 0 || words[i-1].text != "warn_if_reject") {
			return true
		}
	}
	return false
}

// withMember is a list's text with a member added.
func withMember(value, member string) string {
	words := splitList(value, true)
	if slices.ContainsFunc(words, func(w word) bool { return w.text == member }) {
		return value
	}
	if len(words) == 0 {
		return member
	}
	at := placeOf(words, member)
	sep := separator(value, words, at)
	if at < len(words) {
		return value[:words[at].start] + member + sep + value[words[at].start:]
	}
	return strings.TrimRight(value, ", \t") + sep + member
}

// removeItem takes a member out of every entry in whose list it stands, or out of the entry at f.Line alone. A reference ($other) that
// gives the member is followed to the parameter that holds it.
func (e *editor) removeItem(f mta.Fix) error {
	data, err := e.text(e.m.main.path)
	if err != nil {
		return err
	}
	src := parseMain(e.m.main.path, data)
	done := false
	for i := len(src.entries) - 1; i >= 0; i-- {
		ent := &src.entries[i]
		if ent.name != f.Name {
			continue
		}
		from, to, ok := e.findMember(ent.value, f.Value)
		if !ok {
			continue
		}
		done = true
		if err := e.cutWords(ent, from, to, f); err != nil {
			return err
		}
	}
	if !done && f.File == e.m.main.path {
		return fmt.Errorf("cannot edit %s:%d: %s does not hold %q", f.File, f.Line, f.Name, f.Value)
	}
	return nil
}

// findMember returns the first and last word of a member: one word, or a restriction with its argument. Words are compared as written
// and as expanded.
func (e *editor) findMember(value, member string) (from, to int, ok bool) {
	words := splitList(value, true)
	want := strings.Fields(member)
	for i := 0; i+len(want) <= len(words); i++ {
		same := true
		for k, w := range want {
			text := words[i+k].text
			expanded, err := e.m.expand(text, nil)
			same = same && (strings.EqualFold(text, w) || err == nil && strings.EqualFold(expanded, w))
		}
		if same && len(want) > 0 {
			return i, i + len(want) - 1, true
		}
	}
	return 0, 0, false
}

// cutWords takes the words from..to out of an entry's value together with one separator.
func (e *editor) cutWords(ent *entry, from, to int, f mta.Fix) error {
	words := splitList(ent.value, true)
	if f.Name == "mynetworks" && e.losesLoopback(words, from, to) {
		return e.splice(e.m.main.path, ent.offset(words[from].start), ent.offset(words[to].end-1)+1, loopbackNets)
	}
	if len(words) == to-from+1 {
		return e.setValue(ent, e.emptied(ent.name))
	}
	if from > 0 && words[from-1].text == "warn_if_reject" {
		from--
	}
	path := e.m.main.path
	data, _ := e.text(path)
	start, end := ent.offset(words[from].start), ent.offset(words[to].end-1)+1
	lineFrom, lineTo := wholeLine(data, start)
	if onlyWords(data[lineFrom:start]) && onlyWords(data[end:max(lineTo, end)]) && lineTo >= end {
		return e.splice(path, lineFrom, lineTo, "") // alone on its continuation line
	}
	if from == 0 {
		next := ent.offset(words[to+1].start)
		if onlyWords(data[end:next]) && !strings.Contains(string(data[end:next]), "\n") {
			return e.splice(path, start, next, "")
		}
		return e.splice(path, start, endOfSeparators(data, end), "")
	}
	begin := start
	for begin > lineFrom && isSeparator(data[begin-1]) {
		begin--
	}
	if begin == lineFrom { // first on its line, others follow
		return e.splice(path, start, endOfSeparators(data, end), "")
	}
	if to+1 == len(words) || begin == start {
		return e.splice(path, begin, end, "")
	}
	return e.splice(path, begin, end, "")
}

// emptied is the value of a list without its last member: nothing, but a restriction class must have a definition (smtpd ends without one), and gets
// a table that decides nothing (access(5), DUNNO).
func (e *editor) emptied(name string) string {
	if slices.Contains(e.m.list("smtpd_restriction_classes", nil), name) {
		return "static:DUNNO"
	}
	return ""
}

// onlyWords reports whether data is separators alone.
func onlyWords(data []byte) bool {
	return !slices.ContainsFunc(data, func(c byte) bool { return !isSeparator(c) })
}

// endOfSeparators is the offset behind the commas and blanks that follow end on its line.
func endOfSeparators(data []byte, end int) int {
	for end < len(data) && data[end] != '\n' && data[end] != '\r' && isSeparator(data[end]) {
		end++
	}
	return end
}

// losesLoopback reports whether the words alone cover the host's own loopback address.
func (e *editor) losesLoopback(words []word, from, to int) bool {
	covers := func(text string) bool {
		text, _ = e.m.expand(text, nil)
		for _, w := range splitList(text, true) {
			if net, err := parseNet(w.text); err == nil && net.Contains(netip.MustParseAddr("127.0.0.1")) || w.text == "static:all" {
				return true
			}
		}
		return false
	}
	lost := false
	for i, w := range words {
		switch inside := i >= from && i <= to; {
		case inside && covers(w.text) && !e.isLoopback(w.text):
			lost = true
		case !inside && covers(w.text):
			return false
		}
	}
	return lost
}

// isLoopback reports whether a word is a network of loopback addresses: who asks for its removal means it.
func (e *editor) isLoopback(text string) bool {
	text, _ = e.m.expand(text, nil)
	net, err := parseNet(text)
	return err == nil && net.Addr().IsLoopback() && (net.Addr().Is6() || net.Bits() >= 8)
}

// removeRow takes an entry out of the table or list file in which it stands.
func (e *editor) removeRow(f mta.Fix) error {
	data, err := e.text(f.File)
	if err != nil {
		return err
	}
	lines, _ := logicalLines(data)
	original, _ := e.original(f.File)
	shift := strings.Count(string(original.Data), "\n") - strings.Count(string(data), "\n")
	for i := range lines {
		l := &lines[i]
		key, _ := splitKey(l.text)
		at := l.line == f.Line || shift > 0 && l.line <= f.Line && l.line >= f.Line-shift
		if !at || !rowHolds(l.text, key, f.Value) {
			continue
		}
		if words := splitList(l.text, true); strings.HasPrefix(f.Value, "/") || f.Name != "" && len(words) > 1 {
			return e.cutFromLine(f.File, l, f.Value)
		}
		return e.dropLogical(f.File, l)
	}
	return fmt.Errorf("cannot edit %s:%d: no entry %q there", f.File, f.Line, f.Value)
}

// rowHolds reports whether a line is the row of an entry: by its key, its network, or as a member of a list file's line. A row of
// patterns is known by its line alone.
func rowHolds(text, key, value string) bool {
	if strings.EqualFold(key, value) || strings.HasSuffix(value, " line "+"") || strings.Contains(value, " line ") {
		return true
	}
	if net, err := parseNet(key); err == nil && (net.String() == value || bracketed(net) == value) {
		return true
	}
	for _, w := range splitList(text, true) {
		if strings.EqualFold(strings.TrimLeft(w.text, "!"), value) {
			return true
		}
	}
	return false
}

// cutFromLine takes one member out of a line of a list file that holds several.
func (e *editor) cutFromLine(path string, l *logical, value string) error {
	words := splitList(l.text, true)
	for i, w := range words {
		if !strings.EqualFold(w.text, value) {
			continue
		}
		start, end := l.pos[w.start], l.pos[w.end-1]+1
		if i > 0 {
			start = l.pos[words[i-1].end-1] + 1
		} else if len(words) > 1 {
			end = l.pos[words[1].start]
		}
		return e.splice(path, start, end, "")
	}
	return fmt.Errorf("cannot edit %s:%d: no entry %q there", path, l.line, value)
}
