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
)

// verdict is what a walk through ACLs came to: for each possible ending the block that makes it.
type verdict struct {
	ends  ending
	cause map[ending]cause
	doubt *cond // the first condition that could not be decided
}

type cause struct {
	at   place
	text string
}

func (v *verdict) add(e ending, at place, text string) {
	if v.ends&e != 0 {
		return
	}
	v.ends |= e
	if v.cause == nil {
		v.cause = map[ending]cause{}
	}
	v.cause[e] = cause{at, text}
}

// evaluator walks ACLs for one question. It assumes the best placed stranger: a client that is on no block list, within every
// rate limit, whose sender address could be verified, and a foreign recipient whose domain exists.
type evaluator struct {
	cfg    *config
	q      judge.Question
	client netip.Addr
	left   int   // blocks that may still be walked
	skip   place // a block that is passed over, to see what lies behind it

	loggedIn bool // the client logs in, with whatever password
	free     bool // the client says and is what serves it
}

func newEvaluator(c *config, q judge.Question) *evaluator {
	addr, _ := netip.ParseAddr(q.ClientAddr)
	return &evaluator{cfg: c, q: q, client: addr.Unmap(), left: 20000}
}

// variable returns the value of $name in the dialogue.
func (e *evaluator) variable(name string) (string, bool) {
	if e.free && !settledVariables[name] || e.loggedIn && strings.Contains(name, "authenticated") {
		return "", false
	}
	local, domain, _ := strings.Cut(e.q.Recipient, "@")
	sl, sd, _ := strings.Cut(e.q.Sender, "@")
	switch name {
	case "sender_host_address":
		return e.client.String(), true
	case "sender_helo_name":
		return e.q.Helo, true
	case "local_part":
		return local, true
	case "domain":
		return strings.ToLower(domain), true
	case "sender_address":
		return e.q.Sender, true
	case "sender_address_local_part":
		return sl, true
	case "sender_address_domain":
		return strings.ToLower(sd), true
	case "primary_hostname", "smtp_active_hostname":
		return e.cfg.primary, e.cfg.primary != ""
	case "qualify_domain":
		return e.cfg.qualify, e.cfg.qualify != ""
	case "rcpt_count":
		return "1", true
	case "recipients_count", "rcpt_fail_count", "rcpt_defer_count":
		return "0", true
	case "authenticated_id", "sender_host_authenticated":
		return e.q.User, true
	case "tls_in_cipher", "tls_cipher", "tls_in_cipher_std":
		return "", !e.q.TLS
	case "acl_verify_message", "message_exim_id":
		return "", true
	}
	return "", false
}

// walk evaluates an ACL by name.
func (e *evaluator) walk(name string, depth int) verdict {
	var v verdict
	blocks, found := e.cfg.acls[name]
	if !found || depth > maxDepth {
		at := place{}
		for _, o := range e.cfg.options {
			if strings.HasPrefix(o.Name, "acl_") && o.Value == name {
				at = e.cfg.origin(o.Statement)
			}
		}
		v.add(defers, at, "there is no ACL named "+name)
		return v
	}
	for _, b := range blocks {
		if b.At == e.skip {
			continue
		}
		if e.left--; e.left < 0 {
			v.add(accepts|denies, b.At, "too long to follow")
			return v
		}
		t, afterEndpass := e.conditions(b, depth, &v)
		if t&yes != 0 {
			e.whenTrue(b, &v)
		}
		if t&no != 0 && (b.Verb == "require" || afterEndpass&yes != 0 && (b.Verb == "accept" || b.Verb == "discard")) {
			v.add(denies, b.At, b.Verb+" of "+b.ACL+" is not met"+b.message())
		}
		if ended(b.Verb, t, afterEndpass) {
			return v
		}
	}
	at := place{}
	if len(blocks) > 0 {
		at = blocks[len(blocks)-1].At
	}
	v.add(denies, at, "the end of "+name+" is an implicit deny")
	return v
}

// ended says whether nothing behind the block can be reached.
func ended(verb string, t, afterEndpass truth) bool {
	switch verb {
	case "warn":
		return false
	case "require":
		return t == no
	case "accept", "discard":
		return t == yes || afterEndpass == yes
	}
	return t == yes
}

func (e *evaluator) whenTrue(b *block, v *verdict) {
	switch b.Verb {
	case "accept":
		v.add(accepts, b.At, b.describe())
	case "deny", "drop":
		v.add(denies, b.At, b.describe()+b.message())
	case "defer":
		v.add(defers, b.At, b.describe()+b.message())
	case "discard":
		v.add(discards, b.At, b.describe())
	}
}

// describe is the block in one line: its verb and conditions.
func (b *block) describe() string {
	words := []string{b.Verb}
	for _, c := range b.Conds {
		if modifiers[c.Name] {
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

var modifiers = map[string]bool{
	"message": true, "log_message": true, "logwrite": true, "log_reject_target": true, "set": true, "control": true, "delay": true,
	"add_header": true, "remove_header": true, "continue": true, "endpass": true, "dscp": true, "queue": true, "udpsend": true,
}

// conditions evaluates a block's conditions in order. afterEndpass: all that stands before "endpass" is met, so that a later no denies.
func (e *evaluator) conditions(b *block, depth int, v *verdict) (t, afterEndpass truth) {
	t = yes
	passed := no
	for i := range b.Conds {
		c := &b.Conds[i]
		if c.Name == "endpass" {
			passed = t
			continue
		}
		if modifiers[c.Name] || strings.HasPrefix(c.Name, "set ") {
			continue
		}
		one := e.condition(c, depth, v)
		if e.free && one == maybe && (c.Name == "hosts" || c.Name == "domains") && c.Neg == (b.Verb == "deny" || b.Verb == "drop") {
			one = no // a table that neither a stranger nor the domain that was asked about is assumed to be in
		}
		if c.Neg {
			one = one.not()
		}
		switch {
		case one == no:
			return no, passed
		case one == maybe:
			t = maybe
			if v.doubt == nil {
				v.doubt = c
			}
		}
	}
	return t, passed
}

// condition evaluates one condition without its negation.
func (e *evaluator) condition(c *cond, depth int, v *verdict) truth {
	local, domain, _ := strings.Cut(e.q.Recipient, "@")
	sender := e.q.Sender
	_, senderDomain, _ := strings.Cut(sender, "@")
	if e.free {
		if t, ok := e.claimable(c, depth); ok {
			return t
		}
	}
	switch c.Name {
	case "hosts":
		return e.matchList(c.Value, "hostlist", depth, matchHost)
	case "domains":
		if e.q.Recipient == "" {
			return maybe
		}
		return e.matchList(c.Value, "domainlist", depth, domainMatcher(strings.ToLower(domain)))
	case "sender_domains":
		return e.matchList(c.Value, "domainlist", depth, domainMatcher(strings.ToLower(senderDomain)))
	case "local_parts":
		return e.matchList(c.Value, "localpartlist", depth, plainMatcher(local))
	case "senders":
		return e.matchList(c.Value, "addresslist", depth, addressMatcher(sender))
	case "recipients":
		return e.matchList(c.Value, "addresslist", depth, addressMatcher(e.q.Recipient))
	case "authenticated":
		return given(e.loggedIn || e.q.User != "", e.loggedIn, c.Value)
	case "encrypted":
		return given(e.q.TLS, e.q.TLS, c.Value)
	case "condition":
		value, known := e.expand(c.Value)
		if !known {
			return maybe
		}
		return truthOf(value)
	case "acl":
		return e.subACL(c.Value, depth)
	case "verify":
		return e.verify(c.Value)
	case "dnslists", "ratelimit", "seen", "malware", "spam":
		return no
	case "spf", "spf_guess":
		return sure(strings.Contains(c.Value, "none"))
	}
	return maybe
}

// given is the truth of a condition on something the client does or does not have; "*" is any of its kind.
func given(has, surely bool, value string) truth {
	switch {
	case !has:
		return no
	case surely && strings.TrimSpace(value) == "*":
		return yes
	}
	return maybe
}

func (e *evaluator) subACL(value string, depth int) truth {
	name, _ := cutWord(value)
	if strings.ContainsAny(name, "$/") {
		return maybe
	}
	sub := e.walk(name, depth+1)
	switch sub.ends {
	case accepts:
		return yes
	case denies:
		return no
	}
	return maybe
}

// verify evaluates "verify = …". Address verification is decided for foreign domains by the routers, for senders by the assumption
// that the client uses an address which exists.
func (e *evaluator) verify(value string) truth {
	what, _, _ := strings.Cut(value, "/")
	switch strings.TrimSpace(what) {
	case "recipient":
		_, domain, _ := strings.Cut(e.q.Recipient, "@")
		if e.local(domain) == no {
			return e.routed(strings.ToLower(domain))
		}
		return maybe
	case "sender":
		if strings.Contains(value, "callout") {
			return maybe
		}
		return yes
	case "header_syntax", "header_sender", "header_names_ascii", "not_blind":
		return yes
	}
	return maybe
}

// routed says whether the routers would take an existing foreign domain.
func (e *evaluator) routed(domain string) truth {
	var seen truth
	for _, r := range e.cfg.routers {
		met := e.preconditions(r, domain)
		if met == no {
			continue
		}
		out := yes
		switch driver := r.Options["driver"]; {
		case driver == "redirect" && strings.HasPrefix(strings.TrimSpace(r.Options["data"]), ":fail:"):
			out = no
		case driver == "dnslookup" || driver == "accept":
		case driver == "manualroute" && strings.HasPrefix(strings.TrimSpace(strings.TrimPrefix(r.Options["route_list"], `"`)), "*"):
		default:
			seen, met = seen|no, maybe
			continue
		}
		if r.Options["fail_verify"] == "true" || r.Options["fail_verify_recipient"] == "true" {
			out = no
		}
		seen |= out
		if met == yes {
			return seen
		}
	}
	return seen | no
}

func (e *evaluator) preconditions(r *router, domain string) truth {
	t := yes
	if r.Options["verify"] == "false" || r.Options["verify_recipient"] == "false" {
		return no
	}
	if d, ok := r.Options["domains"]; ok {
		t = e.matchList(d, "domainlist", 0, domainMatcher(domain))
	}
	for _, name := range []string{"local_parts", "condition", "senders", "check_local_user", "require_files", "local_part_prefix", "local_part_suffix"} {
		if v, ok := r.Options[name]; ok && v != "false" && t == yes && r.Options[name+"_optional"] != "true" {
			t = maybe
		}
	}
	return t
}

// local says whether a domain is one of the host's own, as far as the named lists say.
func (e *evaluator) local(domain string) truth {
	l := e.cfg.lists["domainlist local_domains"]
	if l == nil {
		return sure(strings.EqualFold(domain, e.cfg.primary) || strings.EqualFold(domain, e.cfg.qualify))
	}
	return e.matchList(l.Value, "domainlist", 0, domainMatcher(strings.ToLower(domain)))
}
