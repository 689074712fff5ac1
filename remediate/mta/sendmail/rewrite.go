package sendmail

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"mtaharden/remediate/judge"
)

// A run carries one address through the rulesets (parseaddr.c, rewrite).
type run struct {
	*program
	macros  map[string]string // what the question sets
	unset   map[string]bool
	chosen  []choice
	used    int
	memo    map[string]bool
	steps   int
	trace   []event
	stopped error
	hidden  string // why the opaque tokens are not known
}

// choice is a question that only the running sendmail could answer: it is answered both ways, in turn.
type choice struct {
	yes bool
	why string
}

// event is a rule that was applied, with what it found: a map's entry or a class's word.
type event struct {
	set  string
	rule rule
	hits []hit
}

type hit struct {
	what  string // "map access", "class R"
	value string // what a map answered
	at    judge.Line
}

const (
	maxSteps     = 100_000 // of one run: patterns compared
	maxTokens    = 1000    // of an address (MAXATOM, conf.h)
	maxRecursion = 50      // MaxRuleRecursion (op.me)
	maxRounds    = 100     // of one rule
	maxValue     = 1 << 14 // bytes of a key, of what a map answers, and of a macro that a rule sets
)

var errTooLong = errors.New("the rules take too long")

// stop ends the run: what comes after is meaningless.
func (r *run) stop(format string, args ...any) {
	if r.stopped == nil {
		r.stopped = fmt.Errorf(format, args...)
	}
}

// choose takes one way of a question that cannot be answered here; the same question has the same answer within a run.
func (r *run) choose(key, why string) bool {
	if yes, ok := r.memo[key]; ok {
		return yes
	}
	if r.used == len(r.chosen) {
		r.chosen = append(r.chosen, choice{why: why})
	}
	yes := r.chosen[r.used].yes
	r.used++
	r.memo[key] = yes
	return yes
}

// macro is a macro's value when a rule asks for it with $&.
func (r *run) macro(name string) string {
	if v, ok := r.macros[name]; ok {
		return v
	}
	if r.unset[name] {
		return ""
	}
	var b strings.Builder
	for _, u := range r.expand(r.program.macros[name], 0) {
		if u.sym == "" {
			b.WriteByte(u.char)
		}
	}
	return b.String()
}

// holds reports whether a word is in a class.
func (r *run) holds(name, word string) bool {
	c := r.classes[name]
	if c == nil {
		return false
	}
	if _, ok := c.words[strings.ToLower(word)]; ok {
		return true
	}
	if c.unread != "" {
		return r.choose("class "+name+" "+strings.ToLower(word), c.unread)
	}
	return false
}

// part is a stretch of the address that a pattern matched.
type part struct{ from, to int }

// match compares a pattern with an address: the shortest first, then longer ones.
func (r *run) match(lhs, in []token, at int, parts []part) ([]part, bool) {
	if r.steps++; r.steps > maxSteps {
		r.stop("%w", errTooLong)
	}
	if r.stopped != nil {
		return nil, false
	}
	if len(lhs) == 0 {
		return parts, at == len(in)
	}
	rest := lhs[1:]
	switch k := kind(lhs[0]); k {
	case '*', '+':
		least := at
		if k == '+' {
			least++
		}
		for end := least; end <= len(in); end++ {
			if got, ok := r.match(rest, in, end, append(parts, part{at, end})); ok {
				return got, true
			}
		}
		return nil, false
	case '=':
		for end := at + 1; end <= len(in); end++ {
			r.steps += end - at
			if !r.holds(arg(lhs[0]), r.cut.join(in[at:end], r.blank)) {
				continue
			}
			if got, ok := r.match(rest, in, end, append(parts, part{at, end})); ok {
				return got, true
			}
		}
		return nil, false
	case '~', '-':
		if at == len(in) || k == '~' && r.holds(arg(lhs[0]), in[at]) {
			return nil, false
		}
		return r.match(rest, in, at+1, append(parts, part{at, at + 1}))
	case '@':
		return r.match(rest, in, at, parts)
	case '&':
		end, ok := r.prefix(r.macro(arg(lhs[0])), in, at)
		if !ok {
			return nil, false
		}
		return r.match(rest, in, end, parts)
	}
	if at == len(in) || !strings.EqualFold(lhs[0], in[at]) {
		return nil, false
	}
	return r.match(rest, in, at+1, parts)
}

// prefix compares a macro's value with the tokens that begin at at.
func (r *run) prefix(value string, in []token, at int) (int, bool) {
	for value != "" {
		if at == len(in) || len(value) < len(in[at]) || !strings.EqualFold(value[:len(in[at])], in[at]) {
			return 0, false
		}
		value = value[len(in[at]):]
		at++
	}
	return at, true
}

// rewrite applies the rules of a set to an address.
func (r *run) rewrite(in []token, set *ruleset, depth int) []token {
	if depth > maxRecursion {
		r.stop("ruleset %s calls itself without end", set.name)
	}
	for i, rounds := 0, 0; i < len(set.rules) && r.stopped == nil; {
		if len(in) > 0 && kind(in[0]) == '#' {
			break
		}
		rule := set.rules[i]
		if rounds++; rounds > maxRounds {
			r.stop("infinite loop in ruleset %s at line %d", set.name, rule.line)
			break
		}
		parts, ok := r.fits(rule.lhs, in)
		if !ok {
			i, rounds = i+1, 0
			continue
		}
		rhs := rule.rhs
		last := false
		if len(rhs) > 0 {
			switch kind(rhs[0]) {
			case ':':
				rhs, i, rounds = rhs[1:], i+1, 0
			case '@':
				rhs, last = rhs[1:], true
			}
		}
		e := event{set: set.name, rule: rule, hits: r.classHits(rule.lhs, in, parts)}
		out := r.lookups(r.substitute(rhs, in, parts, set, rule), &e)
		r.trace = append(r.trace, e)
		if len(out) > maxTokens {
			r.stop("line %d: expansion too long", rule.line)
		}
		in = r.call(out, depth)
		if last {
			break
		}
	}
	return in
}

// classHits are the words of classes by which a pattern matched.
func (r *run) classHits(lhs, in []token, parts []part) []hit {
	var hits []hit
	n := 0
	for _, t := range lhs {
		if strings.IndexByte("*+-=~", kind(t)) < 0 || kind(t) == 0 {
			continue
		}
		if kind(t) == '=' {
			word := r.cut.join(in[parts[n].from:parts[n].to], r.blank)
			at := r.classes[arg(t)].words[strings.ToLower(word)]
			hits = append(hits, hit{"class " + arg(t), word, at})
		}
		n++
	}
	return hits
}

// substitute builds the right side: $1 … and $&macro are filled in.
func (r *run) substitute(rhs, in []token, parts []part, set *ruleset, rule rule) []token {
	var out []token
	for _, t := range rhs {
		switch k := kind(t); {
		case k >= '1' && k <= '9':
			n := int(k - '1')
			if n >= len(parts) {
				r.stop("ruleset %s, line %d: replacement $%c out of bounds", set.name, rule.line, k)
				return nil
			}
			out = append(out, in[parts[n].from:parts[n].to]...)
		case k == '&':
			out = append(out, r.cut.cut(plain(r.macro(arg(t))), true)...)
		default:
			out = append(out, t)
		}
		if len(out) > maxTokens {
			r.stop("line %d: expansion too long", rule.line)
			return nil
		}
	}
	return out
}

// lookups asks the maps that a right side names: $(map key $@ arg $: default $) and $[host$].
func (r *run) lookups(in []token, e *event) []token {
	for i := 0; i < len(in) && r.stopped == nil; i++ {
		begin, name, end := i, "host", byte(']')
		switch kind(in[i]) {
		case '[':
		case '(':
			if i++; i == len(in) {
				r.stop("line %d: a look-up without a map", e.rule.line)
				return nil
			}
			name, end = in[i], ')'
		default:
			continue
		}
		q := r.query(in, i+1, end)
		if slices.Contains(in[i:q.next], opaque) {
			r.stop("%s", r.hidden)
			return nil
		}
		ask, ok := r.maps[strings.ToLower(name)]
		if !ok && name == "host" {
			ask, ok = hostMap("."), true
		}
		if !ok {
			r.stop("line %d: there is no map %s", e.rule.line, name)
			return nil
		}
		if len(q.key) > maxValue || slices.ContainsFunc(q.args, func(a string) bool { return len(a) > maxValue }) {
			r.stop("line %d: a look-up of %d bytes", e.rule.line, len(q.key))
			return nil
		}
		f := ask(r, q.key, q.args)
		if len(f.value) > maxValue {
			f.unknown = fmt.Sprintf("line %d: map %s answers with more than %d bytes", e.rule.line, name, maxValue)
		}
		if f.unknown != "" {
			r.stop("%s", f.unknown)
			return nil
		}
		var with []token
		switch {
		case f.opaque:
			with = []token{opaque}
		case f.ok:
			with = r.cut.cut(plain(f.value), true)
			if f.at.File != "" || f.at.Text != "" {
				e.hits = append(e.hits, hit{"map " + name, f.value, f.at})
			}
		case q.fallback:
			with = q.def
		default:
			with = q.words
		}
		tail := in[q.next:]
		in = append(append(append([]token(nil), in[:begin]...), with...), tail...)
		i = begin + len(with) - 1
	}
	return in
}

// query is a look-up taken apart.
type query struct {
	key      string
	words    []token
	args     []string
	fallback bool
	def      []token
	next     int // behind the end
}

func (r *run) query(in []token, at int, end byte) query {
	var q query
	var pieces [][]token // the key, then arguments and default with the symbol before each
	piece := []token{}
	for ; at < len(in) && kind(in[at]) != end; at++ {
		if k := kind(in[at]); k == '@' || k == ':' {
			pieces = append(pieces, piece)
			piece = []token{}
		}
		piece = append(piece, in[at])
	}
	pieces = append(pieces, piece)
	q.next = min(at+1, len(in))
	q.words = pieces[0]
	q.key = r.cut.join(pieces[0], r.blank)
	for _, p := range pieces[1:] {
		if kind(p[0]) == ':' {
			q.fallback, q.def = true, r.cut.cut(r.cut.joined(p[1:], r.blank), true)
			continue
		}
		q.args = append(q.args, r.cut.join(p[1:], r.blank))
	}
	return q
}

// call carries out the calls of other rulesets in an address, the last one first; each takes all that follows it.
func (r *run) call(in []token, depth int) []token {
	type callee struct {
		at  int
		set *ruleset
	}
	var calls []callee
	for i := 0; i+1 < len(in); {
		if kind(in[i]) != '>' {
			i++
			continue
		}
		set := r.sets[unquote(in[i+1])]
		switch {
		case set == nil:
			r.stop("a rule calls ruleset %s, which is not there", in[i+1])
			return nil
		case len(set.rules) == 0:
			in = append(append([]token(nil), in[:i]...), in[i+2:]...)
			continue
		}
		calls = append(calls, callee{i, set})
		i++
	}
	for n := len(calls) - 1; n >= 0 && r.stopped == nil; n-- {
		c := calls[n]
		out := r.rewrite(append([]token(nil), in[c.at+2:]...), c.set, depth+1)
		in = append(append([]token(nil), in[:c.at]...), out...)
	}
	return in
}
