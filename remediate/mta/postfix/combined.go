package postfix

import (
	"slices"
	"strings"
)

// openParts reads the tables of "unionmap:{type:name, …}", which gives the values of all that have the key, and of "pipemap:{…}", in
// which one table's value is the next one's key (postconf(5), Postfix 3.0; dict_union.c, dict_pipe.c).
func (t *table) openParts(m *model) {
	if !strings.HasPrefix(t.path, "{") || !strings.HasSuffix(t.path, "}") {
		t.missing = "bad syntax: " + t.spec
		return
	}
	for _, w := range splitList(t.path[1:len(t.path)-1], true) {
		if !strings.Contains(w.text, ":") {
			t.missing = "bad syntax: " + t.spec
			return
		}
		t.parts = append(t.parts, m.table(w.text))
	}
	if len(t.parts) == 0 {
		t.missing = "bad syntax: " + t.spec
	}
}

// partValues are the values that a table made of others may give: the last one's of a pipemap; of a unionmap any one of each part's, or
// none of it, joined in order.
func (t *table) partValues() []string {
	if len(t.parts) == 0 {
		return nil
	}
	if t.kind == "pipemap" {
		return t.parts[len(t.parts)-1].values()
	}
	joined := []string{""}
	for _, p := range t.parts {
		var longer []string
		for _, before := range joined {
			if p.kind != "static" { // that one always has the key
				longer = append(longer, before)
			}
			for _, v := range p.values() {
				longer = append(longer, strings.TrimPrefix(before+","+v, ","))
			}
		}
		if joined = longer; len(joined) > maxFollowed*maxFollowed {
			break
		}
	}
	return slices.DeleteFunc(joined, func(v string) bool { return v == "" })
}

// lookParts looks key up in a table that is made of others.
func (t *table) lookParts(key string) found {
	if t.kind == "pipemap" {
		f := found{}
		for _, p := range t.parts {
			f = p.look(key)
			if f.unread != "" || f.failed != "" || !f.ok {
				return f
			}
			key = f.value
		}
		return f
	}
	var values []string
	line := 0
	for _, p := range t.parts {
		f := p.look(key)
		if f.unread != "" || f.failed != "" {
			return f
		}
		if f.ok {
			values, line = append(values, f.value), f.line
		}
	}
	if len(values) != 1 {
		line = 0
	}
	return found{ok: len(values) > 0, value: strings.Join(values, ","), line: line}
}
