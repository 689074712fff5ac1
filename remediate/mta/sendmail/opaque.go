package sendmail

import (
	"slices"
	"strings"
)

// An opaque token stands for an answer of a map that only the running sendmail can give: there is one, and nobody here knows which. A run
// goes on with it as long as no rule looks at it, for what a rule throws away decides nothing.
var opaque = symbol('?', "")

// fits compares a pattern with an address. One that holds an opaque token matches what matches everything; any other pattern ends the run.
func (r *run) fits(lhs, in []token) ([]part, bool) {
	if !slices.Contains(in, opaque) {
		return r.match(lhs, in, 0, nil)
	}
	if len(lhs) == 1 && (kind(lhs[0]) == '*' || kind(lhs[0]) == '+') {
		return []part{{0, len(in)}}, true
	}
	r.stop("%s", r.hidden)
	return nil, false
}

// unknownMap is a map that only a running sendmail can ask: both that it holds the key and that it does not are followed.
func unknownMap(name, why string) lookup {
	answer := unknownAnswer(why)
	return func(r *run, key string, args []string) found {
		if !r.choose("map "+strings.Join(append([]string{name, key}, args...), "\x00"), why) {
			return found{}
		}
		return answer(r)
	}
}

// unknownAnswer is an answer that is there and not known.
func unknownAnswer(why string) func(*run) found {
	return func(r *run) found {
		r.hidden = why
		return found{ok: true, opaque: true}
	}
}

// bestMX is a map of type bestmx, which FEATURE(relay_based_on_MX) asks: the hosts to which the DNS sends a domain's mail, this one among
// them, others, or none (map.c, bestmx_map_lookup). Each is followed.
func bestMX(k cfMap) lookup {
	flags := readFlags(k)
	return func(r *run, key string, _ []string) found {
		why := "the DNS names the hosts that take mail for " + key
		if !r.choose("mx "+key, why) {
			return found{}
		}
		own, known := r.ownName()
		mine := r.choose("own mx "+key, "the DNS may name this host among those that take mail for "+key)
		switch {
		case mine && !known:
			return unknownAnswer(why)(r)
		case mine:
			return found{value: own + "." + flags.tag, ok: true}
		}
		return found{value: "mx.elsewhere.invalid." + flags.tag, ok: true}
	}
}

// ownName is a name of this host.
func (r *run) ownName() (string, bool) {
	c := r.classes["w"]
	if c == nil {
		return "", false
	}
	names := []string{}
	for w := range c.words {
		if strings.Contains(w, ".") && !strings.HasPrefix(w, "[") {
			names = append(names, w)
		}
	}
	if len(names) == 0 {
		return "", false
	}
	return slices.Min(names), true
}
