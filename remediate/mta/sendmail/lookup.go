package sendmail

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mtaharden/remediate/judge"
)

// A lookup is a map that rules ask: $(name key $@ arg … $: default $). It says what it found and where that stands; unknown says why
// it cannot say.
type lookup func(r *run, key string, args []string) found

type found struct {
	value   string
	ok      bool
	at      judge.Line
	unknown string
	opaque  bool // there is an answer, and nobody here knows it
}

// mapFlags are the flags of a K line that change an answer (op.me 5.8, "K -- Key File Declaration").
type mapFlags struct {
	tag       string // -a: what is appended to an answer
	failed    string // -T: what is appended to the key where the map cannot be opened
	matchOnly bool   // -m: the key is the answer
	keepQuote bool   // -q
	optional  bool   // -o
}

func readFlags(k cfMap) mapFlags {
	var f mapFlags
	for _, w := range k.flags {
		switch {
		case strings.HasPrefix(w, "-a"):
			f.tag = w[2:]
		case strings.HasPrefix(w, "-T"):
			f.failed = w[2:]
		case w == "-m":
			f.matchOnly = true
		case w == "-q":
			f.keepQuote = true
		case w == "-o":
			f.optional = true
		}
	}
	return f
}

// missing says that a map that is not optional has no compiled form: sendmail then answers every look-up with its -T.
const missing = "its compiled form is not there"

// lookupFor is the map of a K line. Those that are built from a text are read through table; a map of another type that needs neither
// the network nor a program is computed.
func lookupFor(k cfMap, table func(cfMap) (entries []entry, path, unread string)) lookup {
	flags := readFlags(k)
	switch {
	case k.kind == "dequote":
		return dequoteMap(k)
	case k.kind == "macro":
		return macroMap
	case k.kind == "arith":
		return arithMap
	case k.kind == "syslog": // it writes to the log and answers with nothing (map.c, syslog_map_lookup)
		return func(*run, string, []string) found { return found{ok: true} }
	case k.kind == "null":
		return func(*run, string, []string) found { return found{} }
	case k.kind == "host":
		return hostMap(flags.tag)
	case k.kind == "bestmx":
		return bestMX(k)
	case index(fileMaps, k.kind) >= 0:
		entries, path, unread := table(k)
		if unread == missing && flags.failed != "" {
			return func(_ *run, key string, _ []string) found { return found{value: unquote(key) + flags.failed, ok: true} }
		}
		if unread != "" {
			return unknownMap(k.name, "map "+k.name+": "+unread)
		}
		return tableMap(entries, path, flags)
	}
	return unknownMap(k.name, fmt.Sprintf("a rule asks map %s of type %s, which this program does not read", k.name, k.kind))
}

// tableMap is a map of keys and values.
func tableMap(entries []entry, path string, flags mapFlags) lookup {
	table := map[string]entry{}
	for _, e := range entries {
		// makemap folds the keys that it writes unless told otherwise; the first of two holds
		key := strings.ToLower(e.key)
		if _, twice := table[key]; !twice {
			table[key] = e
		}
	}
	return func(_ *run, key string, args []string) found {
		if !flags.keepQuote {
			key = unquote(key)
		}
		e, ok := table[strings.ToLower(key)]
		if !ok {
			return found{}
		}
		at := judge.Line{File: path, Line: e.line, Text: e.key + " " + e.value}
		value := e.value
		if flags.matchOnly {
			value = key
		} else {
			value = fill(value, key, args)
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
			return found{unknown: fmt.Sprintf("%s:%d holds a character that is not ASCII", path, e.line)}
		}
		return found{value: value + flags.tag, ok: true, at: at}
	}
}

// fill puts the key (%0) and the arguments (%1 …) into a value (map.c, map_rewrite).
func fill(value, key string, args []string) string {
	var b strings.Builder
	for i := 0; i < len(value) && b.Len() <= maxValue; i++ {
		if value[i] != '%' || i+1 == len(value) {
			b.WriteByte(value[i])
			continue
		}
		switch c := value[i+1]; {
		case c == '%':
			b.WriteByte('%')
		case c == '0':
			b.WriteString(key)
		case c >= '1' && c <= '9':
			if n := int(c - '1'); n < len(args) {
				b.WriteString(args[n])
			}
		default:
			b.WriteByte('%')
			continue
		}
		i++
	}
	return b.String()
}

// dequoteMap takes the quotes out of a key where what is left is one address (map.c, dequote_map).
func dequoteMap(k cfMap) lookup {
	tag := readFlags(k).tag
	sub := byte(0)
	for _, w := range k.flags {
		if strings.HasPrefix(w, "-s") && len(w) > 2 {
			sub = w[2]
		}
	}
	return func(_ *run, key string, _ []string) found {
		text, ok := dequote(key, sub)
		return found{value: text + tag, ok: ok}
	}
}

func dequote(key string, sub byte) (string, bool) {
	var b []byte
	angle, comment, spaces := 0, 0, 0
	quoted, escaped := false, false
	for i := range len(key) {
		c := key[i]
		if c == ' ' && sub != 0 {
			c = sub
		}
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '(':
			comment++
		case c == ')':
			if comment--; comment < 0 {
				return "", false
			}
		case c == ' ' || c == '\t':
			spaces++
		case comment > 0:
		case c == '"':
			quoted = !quoted
			continue
		case c == '<':
			angle++
		case c == '>':
			if angle--; angle < 0 {
				return "", false
			}
		}
		b = append(b, c)
	}
	return string(b), angle == 0 && comment == 0 && spaces == 0 && !quoted && !escaped
}

// macroMap sets a macro to its argument and answers with nothing (map.c, macro_map_lookup).
func macroMap(r *run, key string, args []string) found {
	name, _ := dollarName(strings.TrimSpace(key))
	if len(args) == 0 {
		delete(r.macros, name)
		r.unset[name] = true
		return found{ok: true}
	}
	r.macros[name] = args[0]
	return found{ok: true}
}

// arithMap computes (map.c, arith_map_lookup).
func arithMap(_ *run, key string, args []string) found {
	if len(args) < 2 {
		return found{}
	}
	a, err1 := strconv.Atoi(strings.TrimSpace(args[0]))
	b, err2 := strconv.Atoi(strings.TrimSpace(args[1]))
	if err1 != nil || err2 != nil {
		return found{unknown: "a rule computes with what is no number"}
	}
	truth := map[bool]string{true: "TRUE", false: "FALSE"}
	switch strings.TrimSpace(key) {
	case "+":
		return found{value: strconv.Itoa(a + b), ok: true}
	case "-":
		return found{value: strconv.Itoa(a - b), ok: true}
	case "*":
		return found{value: strconv.Itoa(a * b), ok: true}
	case "l", "<":
		return found{value: truth[a < b], ok: true}
	case "=":
		return found{value: truth[a == b], ok: true}
	}
	return found{unknown: "a rule computes in a way that this program does not know"}
}

// hostMap asks the DNS for a host's name: either there is no answer, or it is the same name. To a name of one word the resolver adds
// domains as its files say; that a longer one is an alias of another is the one thing that this leaves out.
func hostMap(tag string) lookup {
	return func(r *run, key string, _ []string) found {
		if strings.HasPrefix(key, "[") || !strings.Contains(strings.TrimSuffix(key, "."), ".") {
			return found{unknown: "a rule asks the DNS for " + key}
		}
		if !r.choose("host "+key, "the DNS has no answer for "+key) {
			return found{}
		}
		return found{value: strings.TrimSuffix(key, ".") + tag, ok: true}
	}
}

// sequenceMap asks other maps in their order (op.me, map type sequence).
func sequenceMap(k cfMap, maps map[string]lookup) lookup {
	names := slices.DeleteFunc(strings.Fields(k.line.text)[min(2, len(strings.Fields(k.line.text))):], func(w string) bool { return strings.HasPrefix(w, "-") })
	return func(r *run, key string, args []string) found {
		for _, name := range names {
			ask, ok := maps[strings.ToLower(name)]
			if !ok {
				return found{unknown: "map " + k.name + " names " + name + ", which is not there"}
			}
			if f := ask(r, key, args); f.ok || f.unknown != "" {
				return f
			}
		}
		return found{}
	}
}
