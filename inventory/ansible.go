package inventory

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// FromAnsible turns an Ansible inventory in INI form into one of ours. Taken are hosts with their ranges, groups, children, and of the
// variables those that say how a host is reached; others become vars. Passwords are never taken. What was left out is in notes, with the
// line it stood on. The error is for what cannot be read at all.
func FromAnsible(name, ini string) (text string, notes []string, err error) {
	a := &ansible{name: name, groups: map[string]*ansibleGroup{}, hosts: map[string]*ansibleVars{}}
	section, kind := "", "hosts"
	for line := range strings.Lines(ini) {
		a.line++
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
			continue
		case line[0] == '[':
			section, kind, err = a.section(line)
		default:
			err = a.entry(section, kind, line)
		}
		if err != nil {
			return "", nil, &Error{name, a.line, 1, err.Error()}
		}
	}
	return a.text(), a.notes, nil
}

type ansible struct {
	name   string
	line   int
	notes  []string
	groups map[string]*ansibleGroup
	order  []string // groups
	hosts  map[string]*ansibleVars
	named  []string // hosts with keys of their own, or in no group
	all    ansibleVars
}

type ansibleGroup struct {
	hosts, children []string
	own             ansibleVars
}

// ansibleVars are lines of TOML: keys, and variables.
type ansibleVars struct{ keys, vars []string }

func (a *ansible) note(format string, args ...any) {
	a.notes = append(a.notes, fmt.Sprintf("%s:%d: ", a.name, a.line)+fmt.Sprintf(format, args...))
}

func (a *ansible) section(line string) (name, kind string, err error) {
	line, _, _ = strings.Cut(line, "#")
	inner, ok := strings.CutSuffix(strings.TrimSpace(line), "]")
	name, kind, found := strings.Cut(inner[1:], ":")
	if !found {
		kind = "hosts"
	}
	if !ok || !slices.Contains([]string{"hosts", "children", "vars"}, kind) || !validName(name) || strings.Contains(name, ":") {
		return "", "", fmt.Errorf("%q is not a section (write it as [group], [group:children] or [group:vars])", line)
	}
	a.group(name)
	return name, kind, nil
}

func (a *ansible) group(name string) *ansibleGroup {
	g := a.groups[name]
	if g == nil {
		g = &ansibleGroup{}
		a.groups[name] = g
		a.order = append(a.order, name)
	}
	return g
}

func (a *ansible) entry(section, kind, line string) error {
	switch kind {
	case "children":
		word := strings.Fields(line)[0]
		a.group(word)
		if section != "all" { // all holds every group as it is
			a.group(section).children = append(a.group(section).children, word)
		}
		return nil
	case "vars":
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return fmt.Errorf("%q is not NAME=VALUE", line)
		}
		into := &a.all
		if section != "all" {
			into = &a.group(section).own
		}
		return a.variable(into, strings.TrimSpace(key), unquoteINI(strings.TrimSpace(value)))
	}
	return a.host(section, line)
}

// host reads "NAME[:PORT] KEY=VALUE …"; the name may have ranges, which are written as ours are.
func (a *ansible) host(section, line string) error {
	words, err := splitWords(line)
	if err != nil {
		return err
	}
	name, port := words[0], ""
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, ']') && at+1 < len(name) && !validName(name) { // valid with a colon: IPv6
		name, port = name[:at], name[at+1:]
	}
	if _, err := expand(name, maxHosts); err != nil {
		return err
	}
	own := a.hosts[name]
	if own == nil {
		own = &ansibleVars{}
		a.hosts[name] = own
		a.named = append(a.named, name)
	}
	if port != "" {
		words = append(words, "ansible_port="+port)
	}
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			return fmt.Errorf("%q is not NAME=VALUE", w)
		}
		if err := a.variable(own, key, value); err != nil {
			return err
		}
	}
	if section != "" && section != "all" && section != "ungrouped" {
		g := a.group(section)
		if !slices.Contains(g.hosts, name) {
			g.hosts = append(g.hosts, name)
		}
	}
	return nil
}

// variable takes over one variable (Ansible's "connection variables": user guide, "How to build your inventory").
func (a *ansible) variable(into *ansibleVars, key, value string) error {
	put := func(name, value string) {
		line := name + " = " + value
		into.keys = append(slices.DeleteFunc(into.keys, func(l string) bool { return strings.HasPrefix(l, name+" = ") }), line)
	}
	switch key {
	case "ansible_host", "ansible_ssh_host":
		put("address", tomlString(value))
	case "ansible_port", "ansible_ssh_port":
		port, err := strconv.ParseUint(value, 10, 16)
		if err != nil || port == 0 {
			return fmt.Errorf("%s: %q is not a port", key, value)
		}
		put("port", strconv.FormatUint(port, 10))
	case "ansible_user", "ansible_ssh_user":
		put("user", tomlString(value))
	case "ansible_ssh_private_key_file", "ansible_private_key_file":
		put("identity", tomlString(value))
	case "ansible_become":
		become := "none"
		if slices.Contains([]string{"yes", "true", "1", "on"}, strings.ToLower(value)) {
			become = "sudo"
		}
		put("become", tomlString(become))
	case "ansible_become_method":
		if value != "sudo" {
			a.note("%s = %s is not taken: write become = … where root is reached otherwise than by sudo", key, value)
		}
	default:
		a.other(into, key, value)
	}
	return nil
}

func (a *ansible) other(into *ansibleVars, key, value string) {
	switch {
	case secretName(key):
		a.note("%s is not taken: put the password into a file of mode 0600 and name it in password_file or become_password_file", key)
	case strings.HasPrefix(key, "ansible_"):
		a.note("%s is not taken", key)
	case strings.Contains(value, "{{"):
		a.note("%s is not taken: it is a template", key)
	case !variable.MatchString(key) || strings.ContainsFunc(value, isControl):
		a.note("%q is not taken: no variable of ours may be called that, or have that value", key)
	default:
		into.vars = append(slices.DeleteFunc(into.vars, func(l string) bool { return strings.HasPrefix(l, key+" = ") }), key+" = "+tomlString(value))
	}
}

// secretName says whether a variable of that name is likely to hold a secret.
func secretName(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc([]string{"_pass", "password", "passwd", "passphrase", "secret", "token"}, func(part string) bool { return strings.Contains(key, part) })
}

func (a *ansible) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# made from the Ansible inventory %s\n", tomlString(a.name))
	a.all.write(&b, "defaults")
	for _, name := range a.order {
		g := a.groups[name]
		if name == "all" || name == "ungrouped" {
			continue
		}
		table := "groups." + tomlString(name)
		fmt.Fprintf(&b, "\n[%s]\n", table)
		writeList(&b, "hosts", g.hosts)
		writeList(&b, "children", g.children)
		g.own.body(&b, table)
	}
	for _, name := range a.named {
		own := a.hosts[name]
		if len(own.keys)+len(own.vars) > 0 || !a.grouped(name) {
			table := "hosts." + tomlString(name)
			fmt.Fprintf(&b, "\n[%s]\n", table)
			own.body(&b, table)
		}
	}
	return b.String()
}

func (a *ansible) grouped(host string) bool {
	for _, g := range a.groups {
		if slices.Contains(g.hosts, host) {
			return true
		}
	}
	return false
}

func (v *ansibleVars) write(b *strings.Builder, table string) {
	if len(v.keys)+len(v.vars) > 0 {
		fmt.Fprintf(b, "\n[%s]\n", table)
		v.body(b, table)
	}
}

func (v *ansibleVars) body(b *strings.Builder, table string) {
	for _, line := range v.keys {
		b.WriteString(line + "\n")
	}
	if len(v.vars) > 0 {
		fmt.Fprintf(b, "\n[%s.vars]\n%s\n", table, strings.Join(v.vars, "\n"))
	}
}

func writeList(b *strings.Builder, key string, words []string) {
	if len(words) == 0 {
		return
	}
	fmt.Fprintf(b, "%s = [\n", key)
	for _, w := range words {
		fmt.Fprintf(b, "  %s,\n", tomlString(w))
	}
	b.WriteString("]\n")
}

// tomlString writes a TOML basic string; control characters are written as escapes.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
		case isControl(c):
			fmt.Fprintf(&b, `\u%04X`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// splitWords cuts a line as a shell does: blanks part words, quotes join them, # begins a comment.
func splitWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	quote, in := rune(0), false
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '"' || c == '\'':
			quote, in = c, true
		case c == '#' && !in:
			return words, nil
		case c == ' ' || c == '\t':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteRune(c)
			in = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a %c without its end", quote)
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}

func unquoteINI(s string) string {
	if len(s) > 1 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}
