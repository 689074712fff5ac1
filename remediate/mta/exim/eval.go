package exim

import (
	"net/netip"
	"strings"

	"mtaharden/remediate/judge"
)

// ending is how an ACL may end. Several are held at once where a condition could not be decided.
type ending uint8

const (
	accepts ending = 1 << iota
	denies
	defers
	discards
	dies // the process that serves the client ends without a reply
)

// reason is a place in the sources that led to a verdict.
type reason struct {
	line place
	text string
}

// verdict is what a walk through ACLs came to: for each possible ending the block that makes it, and what led there.
type verdict struct {
	ends  ending
	cause map[ending][]reason
	doubt *cond // the first condition that could not be decided
}

func (v *verdict) add(e ending, because ...reason) {
	if v.ends&e != 0 {
		return
	}
	v.ends |= e
	if v.cause == nil {
		v.cause = map[ending][]reason{}
	}
	v.cause[e] = because
}

// evaluator walks ACLs for one question. It assumes the best placed stranger: a client that is on no block list, within every
// rate limit, whose sender address could be verified, and a foreign recipient whose domain exists.
type evaluator struct {
	cfg    *config
	q      judge.Question
	client netip.Addr
	left   int   // blocks and items that may still be walked
	skip   place // a block that is passed over, to see what lies behind it

	loggedIn bool // the client logs in, with whatever password
	free     bool // the client says and is what serves it

	vars    map[string]value // acl_c…, acl_m… and the arguments of the ACL that is walked
	stage   string           // the command that is walked: connect, helo, mail, rcpt …
	why     []reason         // what matched in the block that is walked
	verb    string           // of the block that is walked
	ignored bool             // the condition that was looked at is as if it were not there
	thrown  bool             // an ACL that it calls throws the message away
	torn    bool             // one does where that is an error
	unread  map[string]bool  // tables that the snapshot does not hold, where somebody wants to know
	mistake string           // what in the configuration makes a temporary error, "" for none
}

// value is what is known of a variable.
type value struct {
	text  string
	known bool
}

func newEvaluator(c *config, q judge.Question) *evaluator {
	addr, _ := netip.ParseAddr(q.ClientAddr)
	return &evaluator{cfg: c, q: q, client: addr.Unmap(), left: 20000, vars: map[string]value{}, stage: "rcpt"}
}

// walk evaluates an ACL by name.
func (e *evaluator) walk(name string, depth int) verdict {
	var v verdict
	blocks, found := e.cfg.acls[name]
	if !found || depth > maxDepth {
		e.mistake = "there is no ACL named " + name
		v.add(defers, reason{text: e.mistake})
		return v
	}
	return e.blocks(name, blocks, depth)
}

// blocks walks the verbs of an ACL in order (specification §44.19).
func (e *evaluator) blocks(name string, blocks []*block, depth int) verdict {
	var v verdict
	outer := e.why
	defer func() { e.why = outer }()
	var passed []reason
	for _, b := range blocks {
		if b.At == e.skip {
			continue
		}
		if e.left--; e.left < 0 {
			v.add(accepts, reason{b.At, "too long to follow"})
			v.add(denies, reason{b.At, "too long to follow"})
			return v
		}
		e.why, e.verb, e.thrown, e.torn = nil, b.Verb, false, false
		t, afterEndpass := e.conditions(b, depth, &v)
		because := append([]reason{{b.At, b.describe()}}, e.why...)
		if t&later != 0 && (b.Verb != "warn" || e.torn) {
			v.add(defers, because...)
		}
		if t == later && e.torn {
			return v
		}
		if t&yes != 0 {
			if e.thrown {
				v.add(discards, because...)
			} else {
				e.whenTrue(b, &v, because)
			}
		}
		if t&no != 0 && (b.Verb == "require" || afterEndpass&yes != 0 && (b.Verb == "accept" || b.Verb == "discard")) {
			v.add(denies, append([]reason{{b.At, b.describe() + " is not met" + b.message()}}, e.notMet(b)...)...)
		}
		if b.Verb == "accept" && t == no {
			passed = append(passed, e.notMet(b)...)
		}
		if ended(b.Verb, t, afterEndpass) {
			return v
		}
	}
	at := place{}
	if len(blocks) > 0 {
		at = blocks[len(blocks)-1].At
	}
	v.add(denies, append([]reason{{at, "the end of " + name + " is an implicit deny"}}, passed...)...)
	return v
}

// ended says whether nothing behind the block can be reached.
func ended(verb string, t, afterEndpass truth) bool {
	switch verb {
	case "warn":
		return false
	case "require":
		return t&yes == 0
	case "accept", "discard":
		return t&no == 0 || afterEndpass == yes
	}
	return t&no == 0
}

func (e *evaluator) whenTrue(b *block, v *verdict, because []reason) {
	switch b.Verb {
	case "accept":
		v.add(accepts, because...)
	case "deny", "drop":
		because[0].text += b.message()
		v.add(denies, because...)
	case "defer":
		because[0].text += b.message()
		v.add(defers, because...)
	case "discard":
		v.add(discards, because...)
	}
}

// describe is the block in one line: its verb and conditions.
func (b *block) describe() string {
	words := []string{b.Verb}
	for _, c := range b.Conds {
		if c.modifies() {
			continue
		}
		neg := ""
		if c.Neg {
			neg = "!"
		}
		words = append(words, neg+c.Name+" = "+c.Value)
	}
	return b.ACL + ": " + strings.Join(words, " ")
}

func (b *block) message() string {
	for _, c := range b.Conds {
		if c.Name == "message" {
			return " (" + c.Value + ")"
		}
	}
	return ""
}

// modifies says whether this is a modifier, which neither holds nor fails.
func (c *cond) modifies() bool { return modifiers[c.Name] || strings.HasPrefix(c.Name, "set ") }

var modifiers = map[string]bool{
	"message": true, "log_message": true, "logwrite": true, "log_reject_target": true, "control": true, "delay": true,
	"add_header": true, "remove_header": true, "continue": true, "endpass": true, "dscp": true, "queue": true, "udpsend": true,
}

// conditions evaluates a block's conditions in order. afterEndpass: all that stands before "endpass" is met, so that a later no denies.
func (e *evaluator) conditions(b *block, depth int, v *verdict) (t, afterEndpass truth) {
	t = yes
	passed := no
	for i := range b.Conds {
		c := &b.Conds[i]
		if c.modifies() {
			if c.Name == "endpass" {
				passed = t & maybe
			}
			e.modify(c, t == yes)
			continue
		}
		e.ignored = false
		one := e.condition(c, depth, v)
		if e.ignored {
			continue
		}
		if e.thrown && c.Name == "acl" {
			return t&(later|no) | yes, passed // negated or not, and whatever stands behind it (acl.c)
		}
		if e.free && one&maybe == maybe && (c.Name == "hosts" || c.Name == "domains") && c.Neg == (b.Verb == "deny" || b.Verb == "drop") {
			one = no // a table that neither a stranger nor the domain that was asked about is assumed to be in
		}
		if c.Neg {
			one = one.not()
		}
		t = t&(later|no) | one
		switch {
		case one&yes == 0:
			return t &^ yes, passed
		case one != yes && v.doubt == nil:
			v.doubt = c
		}
	}
	return t, passed
}

// modify carries out what a modifier does to variables. Behind a condition that may not have held they are not known.
func (e *evaluator) modify(c *cond, surely bool) {
	name, ok := strings.CutPrefix(c.Name, "set ")
	if !ok {
		return
	}
	text, known, forced := e.expandOrFail(c.Value)
	if forced && surely {
		return
	}
	e.vars[strings.TrimSpace(name)] = value{text, known && surely && !forced}
}

// notMet are the lists that a block would have taken the client, the sender or the recipient from.
func (e *evaluator) notMet(b *block) []reason {
	var out []reason
	for i := range b.Conds {
		c := &b.Conds[i]
		kind := listKinds[c.Name]
		if c.Neg || kind == "" {
			continue
		}
		for _, item := range splitList(c.Value) {
			if l := e.cfg.lists[kind+" "+strings.TrimPrefix(item, "+")]; l != nil && strings.HasPrefix(item, "+") {
				out = append(out, reason{l.Statement.at(), l.Kind + " " + l.Name + " = " + l.Value})
			}
		}
	}
	return out
}

// listKinds are the conditions on lists, with the kind of their named lists.
var listKinds = map[string]string{
	"hosts": "hostlist", "domains": "domainlist", "sender_domains": "domainlist", "local_parts": "localpartlist",
	"senders": "addresslist", "recipients": "addresslist",
}
