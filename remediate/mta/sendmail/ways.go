package sendmail

import (
	"errors"
	"maps"
	"slices"
)

// ran is the end of one run.
type ran struct {
	value  []token
	trace  []event
	macros map[string]string
	err    error
	why    string // of the questions that were answered both ways, the last
}

const maxWays = 16

// apply carries an address through rulesets, one after the other, and returns every end that there may be.
func (p *program) apply(in []token, macros map[string]string, sets ...string) []ran {
	if p.broken != "" {
		return []ran{{err: errors.New(p.broken)}}
	}
	var ends []ran
	var chosen []choice
	for len(ends) < maxWays {
		own := map[string]string{}
		maps.Copy(own, macros)
		r := &run{program: p, macros: own, unset: map[string]bool{}, memo: map[string]bool{}, chosen: chosen}
		value := in
		p.spent = 0
		for _, name := range sets {
			set := p.sets[name]
			if set == nil {
				r.stop("there is no ruleset %s", name)
				break
			}
			value = r.rewrite(append([]token(nil), value...), set, 0)
		}
		if p.broken != "" {
			r.stop("%s", p.broken)
		}
		end := ran{value: value, trace: r.trace, macros: r.macros, err: r.stopped}
		if end.err == nil && slices.Contains(value, opaque) {
			end.err = errors.New(r.hidden)
		}
		if len(r.chosen) > 0 {
			end.why = r.chosen[len(r.chosen)-1].why
		}
		ends = append(ends, end)
		if end.err != nil { // one way that cannot be gone to its end leaves the question open
			return ends
		}
		// the next way: the last question answered no is answered yes
		chosen = r.chosen[:r.used]
		for len(chosen) > 0 && chosen[len(chosen)-1].yes {
			chosen = chosen[:len(chosen)-1]
		}
		if len(chosen) == 0 {
			return ends
		}
		chosen[len(chosen)-1].yes = true
	}
	return append(ends, ran{err: errors.New("too many questions are open")})
}
