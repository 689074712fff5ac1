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

// sources are the tables whose keys are looked up in a table that is made of others; keyed says that they hold them all.
func (t *table) sources() (list []*table, keyed bool) {
	parts := t.parts
	if t.kind == "pipemap" {
		parts = parts[:min(len(parts), 1)]
	}
	keyed = true
	for _, p := range parts {
		if p.parts != nil {
			more, all := p.sources()
			list, keyed = append(list, more...), keyed && all
			continue
		}
		if p.keys == nil {
			keyed = false
			continue
		}
		list = append(list, p)
	}
	return list, keyed
}

// said are the values that the parts give which have the last word: each for itself, not joined.
func (t *table) said() []string {
	if t.parts == nil {
		return t.values()
	}
	parts := t.parts
	if t.kind == "pipemap" {
		parts = parts[max(len(parts)-1, 0):]
	}
	var out []string
	for _, p := range parts {
		out = append(out, p.said()...)
	}
	return out
}

// opaque reports whether a part's values are not known, or more than are listed.
func (t *table) opaque() bool {
	return t.unread != "" || len(t.values()) > maxFollowed || slices.ContainsFunc(t.parts, (*table).opaque)
}
