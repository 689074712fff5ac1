package postfix

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/remote"
)

// Bounds of what is looked up on the host: tables, keys of one table, seconds a table may take.
const (
	maxTablesAsked = 20
	maxKeysAsked   = 300
	secondsAsked   = 15
)

// follow is the sh that looks up, with postmap(1), the keys for which an answer stayed open because a table was not read: in a directory service, a database, a compiled map without its text. Only lookups that cannot write are made.
func follow(s *facts.Snapshot, c *mta.Config) string {
	m, ok := c.Model.(*model)
	if !ok {
		return ""
	}
	answers(s, c)
	var specs []string
	for spec := range m.asked {
		specs = append(specs, spec)
	}
	slices.Sort(specs)
	var b strings.Builder
	for _, spec := range specs[:min(len(specs), maxTablesAsked)] {
		keys := m.asked[spec]
		name, list := "postfix:"+m.dir+":q:"+spec, strings.Join(keys, "\n")
		fmt.Fprintf(&b, "\tmh_fact %s %s\n", remote.Quote("postfix:"+m.dir+":asked:"+spec), remote.Quote(strings.Join(keys, " ")))
		fmt.Fprintf(&b, "\tmh_ask %s %d \"$mh_path\" -c %s -q - %s <<'KEYS'\n%s\nKEYS\n", remote.Quote(name), secondsAsked, remote.Quote(m.dir), remote.Quote(spec), list)
	}
	if b.Len() == 0 {
		return ""
	}
	return "if mh_has postmap; then\n" + b.String() + "fi\n"
}

// want remembers that a key of a table was needed and is not known.
func (m *model) want(t *table, key string) {
	spec := directly(t.spec)
	if !plainKey(key) || m.askable(t) != "" || slices.Contains(m.wanted[spec], key) {
		return
	}
	m.wanted[spec] = append(m.wanted[spec], key)
}

// keepWanted takes what an open answer needed into what the host is asked.
func (m *model) keepWanted() {
	for spec, keys := range m.wanted {
		for _, key := range keys {
			if !slices.Contains(m.asked[spec], key) && len(m.asked[spec]) < maxKeysAsked {
				m.asked[spec] = append(m.asked[spec], key)
			}
		}
	}
}

// directly is a table's name without the proxy, which postmap needs not.
func directly(spec string) string {
	for strings.HasPrefix(spec, "proxy:") {
		spec = spec[len("proxy:"):]
	}
	return spec
}

// plainKey reports whether a key can stand on a line and in a list of words.
func plainKey(key string) bool {
	return key != "" && len(key) < 300 && strings.Trim(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@._+:<>[]=%!*/-") == "" && key != "KEYS"
}

// told is what the host's postmap said of a key.
func (m *model) told(t *table, key string) (found, bool) {
	spec := directly(t.spec)
	if !slices.Contains(strings.Fields(m.snap.Fact("postfix:"+m.dir+":asked:"+spec)), key) {
		return found{}, false
	}
	out, ok := m.snap.Output("postfix:" + m.dir + ":q:" + spec)
	if !ok || out.State != facts.Whole || out.Exit > 1 || strings.Contains(string(out.Stderr), "fatal:") || strings.Contains(string(out.Stderr), "error") {
		return found{}, false
	}
	for line := range strings.Lines(string(out.Stdout)) {
		if k, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "\t"); ok && k == key {
			return found{ok: true, value: value, asked: true}, true
		}
	}
	return found{}, true
}

// askable says why postmap is not run on a table, "" when it is. A walk asks it at every look-up.
func (m *model) askable(t *table) string {
	why, known := m.unasked[t.spec]
	if !known {
		if m.unasked == nil {
			m.unasked = map[string]string{}
		}
		why = m.judgeTable(t)
		m.unasked[t.spec] = why
	}
	return why
}

func (m *model) judgeTable(t *table) string {
	_, compiled := hashed[t.kind]
	switch {
	case t.missing != "":
		return t.missing
	case compiled, t.kind == "texthash", t.kind == "cidr", t.kind == "regexp", t.kind == "pcre", t.kind == "inline", t.kind == "static",
		t.kind == "ldap", t.kind == "unix", t.kind == "nis":
		return ""
	case t.kind == "mysql", t.kind == "pgsql", t.kind == "sqlite":
		return m.onlySelects(t)
	case t.parts != nil:
		for _, p := range t.parts {
			if why := m.askable(p); why != "" {
				return why
			}
		}
		return ""
	}
	return "a look-up in a table of type " + t.kind + " may change what it holds, or goes to a server of unknown kind"
}

// onlySelects says why a database is not asked, "" where its query is one SELECT without functions that could write. Without a query
// Postfix makes one of other parameters, which may name functions too (mysql_table(5)).
func (m *model) onlySelects(t *table) string {
	file, err := wholeFile(m.snap, t.path)
	if err != nil || !path.IsAbs(t.path) {
		return t.spec + ": its query was not read"
	}
	for _, e := range parseMain(file.Path, file.Data).entries {
		words := strings.Fields(strings.ToLower(e.value))
		switch e.name {
		case "select_function":
			return t.spec + ": a function may change what the database holds"
		case "query":
			if len(words) == 0 || words[0] != "select" {
				return t.spec + ": its query is not one plain SELECT"
			}
			fallthrough
		case "table", "select_field", "where_field", "additional_conditions":
			if strings.Contains(e.value, ";") || slices.Contains(words, "into") || callsOut(strings.ToLower(e.value)) {
				return t.spec + ": " + e.name + " may do more than read"
			}
		}
	}
	return ""
}

// harmless are the words that may stand before a parenthesis: of SQL's grammar, and functions of its standard on text.
var harmless = []string{"", "and", "or", "not", "in", "where", "on", "exists", "from", "select", "join", "like", "concat", "lower", "upper", "coalesce", "replace", "trim"}

// callsOut reports whether a parenthesis in SQL (in lower case) may be that of a function call other than the harmless ones.
func callsOut(sql string) bool {
	for i := range len(sql) {
		if sql[i] != '(' {
			continue
		}
		before := strings.TrimRight(sql[:i], " \t")
		word := before[strings.LastIndexAny(before, " \t(),=<>|+-*/")+1:]
		if !slices.Contains(harmless, word) {
			return true
		}
	}
	return false
}
