package exim

import (
	"strconv"
	"strings"
)

// tableLine is a line of a list file or an entry of an lsearch table.
type tableLine struct {
	place
	Key   string // as it stands
	Value string // of a table's entry
}

// table returns the lines of a list file without comments, or with kind "lsearch" the entries of such a table. In lists of addresses
// and of local parts "#" is a letter unless it stands first or behind white space.
func (c *config) table(path, kind string) ([]tableLine, bool) {
	data, exists, known := c.open(path)
	if !known || !exists {
		return nil, false
	}
	var out []tableLine
	for _, l := range splitLines(path, data) {
		if kind == "lsearch" {
			out = appendEntry(out, l)
			continue
		}
		text := l.Text
		for i := 0; i < len(text); i++ {
			if text[i] == '#' && (kind != "addresslist" && kind != "localpartlist" || i == 0 || text[i-1] == ' ' || text[i-1] == '\t') {
				text = text[:i]
			}
		}
		if text = strings.TrimSpace(text); text != "" {
			out = append(out, tableLine{l.place, text, ""})
		}
	}
	return out, true
}

// table reads a table, and notes one that the snapshot does not hold.
func (e *evaluator) table(path, kind string) ([]tableLine, bool) {
	if _, exists, known := e.cfg.open(path); !known && !exists && e.unread != nil {
		e.unread[path] = true
	}
	return e.cfg.table(path, kind)
}

// appendEntry takes one line of an lsearch table: "key: value", lines that begin with white space go on with the value (§9.3).
func appendEntry(out []tableLine, l physical) []tableLine {
	text := strings.TrimRight(l.Text, " \t")
	if text == "" || text[0] == '#' {
		return out
	}
	if text[0] == ' ' || text[0] == '\t' {
		if n := len(out); n > 0 {
			out[n-1].Value += " " + strings.TrimSpace(text)
		}
		return out
	}
	key, value := firstKey(text)
	return append(out, tableLine{l.place, key, value})
}

// firstKey is the key of an lsearch line and its value: a quoted string, or what stands before a colon or white space. The keys of
// iplsearch may hold colons when they are quoted.
func firstKey(s string) (key, value string) {
	if rest, ok := strings.CutPrefix(s, `"`); ok {
		key, value, _ = strings.Cut(rest, `"`)
	} else if i := strings.IndexAny(s, ": \t"); i >= 0 {
		key, value = s[:i], s[i:]
	} else {
		return s, ""
	}
	value = strings.TrimLeft(value, " \t")
	return key, strings.TrimSpace(strings.TrimPrefix(value, ":"))
}

// lookupItem cuts "partial-lsearch;/etc/x" into the search type and the file.
func lookupItem(item string) (kind, file string, ok bool) {
	kind, file, ok = strings.Cut(item, ";")
	kind = strings.TrimSpace(kind)
	if !ok || kind == "" || strings.ContainsAny(kind, " /.^[]") {
		return "", "", false
	}
	return kind, strings.TrimSpace(file), true
}

// lookup searches a table of single keys: lsearch, wildlsearch, nwildlsearch and iplsearch, with "partial-" before and "*" or "*@"
// behind. Data bases, and files that were not collected, may hold the key or not.
func (e *evaluator) lookup(kind, file, key string) (string, truth) {
	kind, _, _ = strings.Cut(kind, ",")
	if strings.HasPrefix(kind, "partial") {
		rest, affix, found := strings.Cut(kind, "-")
		if !found || strings.ContainsAny(rest, "()") {
			return "", maybe
		}
		least := 2
		if n := strings.TrimPrefix(rest, "partial"); n != "" {
			least = atoi(n)
		}
		return e.lookupPartial(affix, file, key, least)
	}
	base := strings.TrimRight(kind, "*@")
	if base != "lsearch" && base != "wildlsearch" && base != "nwildlsearch" && base != "iplsearch" {
		return "", maybe
	}
	if strings.ContainsAny(file, "$") {
		return "", maybe
	}
	lines, ok := e.table(file, "lsearch")
	if !ok {
		return "", maybe
	}
	keys := []string{key}
	if _, domain, at := strings.Cut(key, "@"); at && strings.HasSuffix(kind, "*@") {
		keys = append(keys, "*@"+domain)
	}
	if kind != base {
		keys = append(keys, "*")
	}
	for _, k := range keys {
		for _, l := range lines {
			switch t := e.entryMatches(base, l.Key, k); t {
			case yes:
				e.why = append(e.why, reason{line: l.place, text: file + " holds " + l.Key})
				return l.Value, yes
			case maybe:
				return "", maybe
			}
		}
	}
	return "", no
}

// lookupPartial tries the key, "*." before it, and then with its first words taken off down to the least number (§9.7); a "*" behind
// the type comes last.
func (e *evaluator) lookupPartial(kind, file, key string, least int) (string, truth) {
	base := strings.TrimRight(kind, "*@")
	words := strings.Split(key, ".")
	tries := []string{key, "*." + key}
	for i := 1; i < len(words) && len(words)-i >= least; i++ {
		tries = append(tries, "*."+strings.Join(words[i:], "."))
	}
	if least == 0 {
		tries = append(tries, "*")
	}
	for _, k := range tries {
		if value, t := e.lookup(base, file, k); t != no {
			return value, t
		}
	}
	if base == kind {
		return "", no
	}
	return e.lookup(kind, file, key)
}

// entryMatches compares an entry's key with the one searched for as the search type does.
func (e *evaluator) entryMatches(kind, entry, key string) truth {
	switch kind {
	case "iplsearch":
		p, ok := parseNet(entry)
		a, isAddr := parseNet(key)
		if entry == "*" || !isAddr {
			return sure(entry == key)
		}
		return sure(ok && p.Contains(a.Addr()))
	case "wildlsearch":
		value, known := e.expand(entry)
		if !known {
			return maybe
		}
		return e.matchString(value, key, true)
	case "nwildlsearch":
		return e.matchString(entry, key, true)
	}
	return sure(strings.EqualFold(entry, key))
}

// atoi is the number that s begins with nothing else than; what is none is -1.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}
