package sendmail

import (
	"fmt"
	"slices"
	"strings"

	"mtaharden/remediate/mta"
)

// option sets an option in the macro source, or in the .cf where that is the source.
func (e *edits) option(f mta.Fix) error {
	name, known := longOption(f.Name)
	if !known {
		return fmt.Errorf("cannot set %s: sendmail knows no such option", clip(f.Name))
	}
	if name == "DaemonPortOptions" {
		return fmt.Errorf("cannot set %s: which daemon is meant, only a person can say", name)
	}
	if e.m.mc != nil {
		return e.define(name, f)
	}
	return e.cfOption(name, f)
}

// wanted is the value after a fix, from the one that stands there. Lists are PrivacyOptions and their kind.
func wanted(name, have string, f mta.Fix) string {
	words := flagWords(have)
	switch f.Op {
	case mta.Add:
		bits, _ := expandPrivacy([]string{have})
		for _, w := range flagWords(f.Value) {
			if index(words, w) < 0 && !(name == "PrivacyOptions" && index(bits, w) >= 0) {
				if have != "" {
					have += ","
				}
				have += w
				words = append(words, w)
			}
		}
		return have
	case mta.Remove:
		return without(name, words, flagWords(f.Value))
	case mta.Unset:
		return ""
	}
	return f.Value
}

// without takes gone out of words; goaway is first put in its parts where one of them goes.
func without(name string, words, gone []string) string {
	var left []string
	for _, w := range words {
		parts := []string{w}
		if name == "PrivacyOptions" && strings.EqualFold(w, "goaway") && slices.ContainsFunc(gone, func(g string) bool { return index(goaway, g) >= 0 }) {
			parts = goaway
		}
		for _, p := range parts {
			if !slices.Contains(gone, p) && !slices.Contains(left, p) {
				left = append(left, p)
			}
		}
	}
	return strings.Join(left, ",")
}

// define sets an option's define in the macro source.
func (e *edits) define(name string, f mta.Fix) error {
	macro := conf[name]
	if macro == "" {
		return fmt.Errorf("cannot set %s: there is no define for it", name)
	}
	if strings.ContainsAny(f.Value, "`'") {
		return fmt.Errorf("cannot set %s: the value holds an m4 quote", name)
	}
	if err := e.m.mc.err(); err != nil {
		return fmt.Errorf("cannot set %s: %w", name, err)
	}
	call, ok := e.m.mc.define(macro)
	if !ok {
		if f.Op == mta.Unset || f.Op == mta.Remove {
			return fmt.Errorf("cannot unset %s: %s has no define of %s", name, e.m.mcPath, macro)
		}
		return e.insertDefine(macro, wanted(name, e.inherited(name), f))
	}
	if err := e.editable(call); err != nil {
		return err
	}
	if f.Op == mta.Unset {
		return e.remove(call)
	}
	if len(call.args) < 2 {
		return fmt.Errorf("cannot set %s at %s:%d: the define has no value", name, call.file.path, call.line)
	}
	arg := call.args[1]
	if arg.inner == [2]int{} && strings.ContainsAny(arg.value, "()") {
		return fmt.Errorf("cannot set %s at %s:%d: its value is made of other macros", name, call.file.path, call.line)
	}
	value := wanted(name, strings.TrimSpace(arg.value), f)
	if arg.inner[1] > 0 {
		e.put(call.file.path, arg.inner[0], arg.inner[1], value)
		return nil
	}
	e.put(call.file.path, arg.start, arg.end, "`"+value+"'")
	return nil
}

// inherited is the value that an option has without a define in the site's own source: DOMAIN or OSTYPE set it.
func (e *edits) inherited(name string) string {
	if name != "PrivacyOptions" {
		return ""
	}
	return strings.Join(e.m.values(name), ",")
}

// editable refuses calls that stand where a line cannot be changed safely.
func (e *edits) editable(call m4Call) error {
	where := fmt.Sprintf("%s:%d", call.file.path, call.line)
	switch {
	case call.conditional:
		return fmt.Errorf("cannot edit %s: %s stands inside ifdef or ifelse", where, call.name)
	case e.m.tree != "" && strings.HasPrefix(call.file.path, e.m.tree):
		return fmt.Errorf("cannot edit %s: the file belongs to the distribution", where)
	case generated(call.file.data, call.start):
		return fmt.Errorf("cannot edit %s: the block is written by sendmailconfig from /etc/mail/sendmail.conf", where)
	}
	_, err := e.data(call.file.path)
	return err
}

// insertDefine puts a new define before the mailers: they must stay last (cf/README).
func (e *edits) insertDefine(macro, value string) error {
	file := e.m.mc.main
	data, err := e.data(file.path)
	if err != nil {
		return err
	}
	at := len(data)
	for _, c := range file.calls {
		if (c.name == "MAILER" || m4Sections[c.name]) && !c.conditional && c.start < at {
			at = c.start
		}
	}
	for at > 0 && at < len(data) && data[at-1] != '\n' {
		at--
	}
	if generated(data, at) {
		return fmt.Errorf("cannot set %s in %s: the mailers stand in a block that sendmailconfig writes", macro, file.path)
	}
	text := "define(`" + macro + "', `" + value + "')dnl" + lineEnd(data)
	if at == len(data) && at > 0 && data[at-1] != '\n' {
		text = lineEnd(data) + strings.TrimSuffix(text, lineEnd(data))
	}
	e.put(file.path, at, at, text)
	return nil
}

// remove takes a call out: its line becomes a comment by "dnl " where it stands alone on one line, else its bytes go.
func (e *edits) remove(call m4Call) error {
	if err := e.editable(call); err != nil {
		return err
	}
	data := call.file.data
	first, last := call.start, call.end
	for first > 0 && data[first-1] != '\n' {
		first--
	}
	for last < len(data) && data[last] != '\n' {
		last++
	}
	alone := strings.TrimLeft(string(data[first:call.start]), " \t#") == ""
	tail := strings.TrimSpace(string(data[call.end:last]))
	alone = alone && (tail == "" || tail == "dnl" || strings.HasPrefix(tail, "dnl ") || strings.HasPrefix(tail, "dnl\t"))
	if alone && !strings.Contains(string(data[call.start:call.end]), "\n") {
		e.put(call.file.path, first, first, "dnl ")
		return nil
	}
	e.put(call.file.path, call.start, call.end, "")
	return nil
}

// macro unsets FEATURE(name), define(NAME) or RELAY_DOMAIN(word) of the macro source.
func (e *edits) macro(f mta.Fix) error {
	macro, arg, ok := strings.Cut(strings.TrimPrefix(f.Name, "mc:"), "(")
	arg = strings.TrimSuffix(arg, ")")
	if !ok || arg == "" || e.m.mc == nil {
		return fmt.Errorf("cannot edit %s: the fix names no call of the .mc", clip(f.Name))
	}
	if err := e.m.mc.err(); err != nil {
		return fmt.Errorf("cannot remove %s: %w", clip(f.Name), err)
	}
	if f.Op != mta.Unset && f.Op != mta.Remove {
		return fmt.Errorf("cannot set %s: only a person can choose its arguments", clip(f.Name))
	}
	found := false
	for _, call := range e.m.mc.named(macro, arg) {
		found = true
		if err := e.drop(call, arg); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("cannot remove %s: %s has no such call", clip(f.Name), e.m.mcPath)
	}
	return nil
}

// drop takes arg out of a call, and the call with it when it was the only word.
func (e *edits) drop(call m4Call, arg string) error {
	words := strings.Fields(call.arg(0))
	if len(words) < 2 || call.name != "RELAY_DOMAIN" {
		return e.remove(call)
	}
	if err := e.editable(call); err != nil {
		return err
	}
	words = slices.DeleteFunc(words, func(w string) bool { return strings.EqualFold(w, arg) })
	a := call.args[0]
	if a.inner[1] == 0 {
		return fmt.Errorf("cannot edit %s:%d: the argument is not one quoted string", call.file.path, call.line)
	}
	e.put(call.file.path, a.inner[0], a.inner[1], strings.Join(words, " "))
	return nil
}

// cfOption sets an O line.
func (e *edits) cfOption(name string, f mta.Fix) error {
	c := e.m.cf
	var lines []cfOption
	for _, o := range c.options {
		if o.name == name {
			lines = append(lines, o)
		}
	}
	for _, o := range lines {
		if strings.Count(string(c.data[o.line.start:o.line.end]), "\n") > 1 || o.at < 0 {
			return fmt.Errorf("cannot set %s at %s:%d: the line is folded or has no value", name, c.path, o.line.line)
		}
	}
	switch {
	case len(lines) == 0 && (f.Op == mta.Unset || f.Op == mta.Remove):
		return fmt.Errorf("cannot unset %s: %s has no such line", name, c.path)
	case len(lines) == 0:
		return e.insertOption(name, wanted(name, "", f))
	}
	for i, o := range lines {
		last := i == len(lines)-1
		switch {
		case f.Op == mta.Unset, f.Op == mta.Set && !last:
			e.put(c.path, o.line.start, o.line.end, "")
		case f.Op == mta.Remove || last:
			end := o.line.end
			for end > o.at && (c.data[end-1] == '\n' || c.data[end-1] == '\r') {
				end--
			}
			e.put(c.path, o.at, end, wanted(name, string(c.data[o.at:end]), f))
		}
	}
	return nil
}

// insertOption puts a new O line behind the commented one of that name, or behind the last O line.
func (e *edits) insertOption(name, value string) error {
	c := e.m.cf
	at := -1
	for _, l := range c.lines {
		if l.kind == 'O' && at < 0 || l.kind == 'O' {
			at = l.end
		}
	}
	for _, l := range c.lines {
		if l.kind == '#' && strings.HasPrefix(l.text, "O "+name+"=") {
			at = l.end
			break
		}
	}
	if at < 0 {
		return fmt.Errorf("cannot set %s: %s has no options to put it behind", name, c.path)
	}
	line := "O " + name + "=" + value
	if at > 0 && c.data[at-1] != '\n' {
		e.put(c.path, at, at, lineEnd(c.data)+line)
		return nil
	}
	e.put(c.path, at, at, line+lineEnd(c.data))
	return nil
}

// mailer sets the size limit M= of a mailer in a .cf that is its own source.
func (e *edits) mailer(f mta.Fix) error {
	part := strings.Split(f.Name, ":")
	if len(part) != 3 || part[2] != "M" || f.Op != mta.Set || strings.ContainsAny(f.Value, ", \t") {
		return fmt.Errorf("cannot edit %s: only the limit M of a mailer can be set", clip(f.Name))
	}
	if e.m.mc != nil {
		return fmt.Errorf("cannot set %s in %s: which MODIFY_MAILER define is meant, only a person can say", f.Name, e.m.mcPath)
	}
	c := e.m.cf
	for _, m := range c.mailers {
		if m.name != part[1] {
			continue
		}
		text := string(c.data[m.line.start:m.line.end])
		if have, ok := m.fields["M"]; ok {
			i := strings.Index(text, "M="+have)
			if i < 0 {
				return fmt.Errorf("cannot set %s at %s:%d: the limit is written in another way", f.Name, c.path, m.line.line)
			}
			e.put(c.path, m.line.start+i+2, m.line.start+i+2+len(have), f.Value)
			return nil
		}
		i := strings.IndexByte(text, ',')
		if i < 0 {
			return fmt.Errorf("cannot set %s at %s:%d: the mailer has no fields", f.Name, c.path, m.line.line)
		}
		e.put(c.path, m.line.start+i, m.line.start+i, ", M="+f.Value)
		return nil
	}
	return fmt.Errorf("cannot set %s: %s has no such mailer", f.Name, c.path)
}
