package exim

import (
	"regexp"
	"strings"
)

// condition evaluates one condition without its negation (specification §44.25).
func (e *evaluator) condition(c *cond, depth int, v *verdict) truth {
	if e.free {
		if t, ok := e.claimable(c, depth); ok {
			return t
		}
	}
	if kind := listKinds[c.Name]; kind != "" {
		return e.listed(c, kind, depth)
	}
	switch c.Name {
	case "authenticated":
		return e.authenticated(c.Value, depth)
	case "encrypted":
		return e.encrypted(c.Value, depth)
	case "condition":
		t, ignored := e.conditionTruth(c.Value)
		e.ignored = ignored
		return t
	case "acl":
		return e.subACL(c, depth, v)
	case "verify":
		return e.verify(c)
	case "dnslists", "ratelimit", "seen", "malware", "spam":
		return no
	case "spf", "spf_guess":
		return sure(strings.Contains(c.Value, "none"))
	}
	return maybe
}

// listed evaluates a condition on a list of hosts, domains, local parts or addresses.
func (e *evaluator) listed(c *cond, kind string, depth int) truth {
	local, domain := splitAddress(e.q.Recipient)
	_, senderDomain := splitAddress(e.q.Sender)
	var match matchItem
	switch c.Name {
	case "hosts":
		match = matchHost
	case "sender_domains":
		match = domainMatcher(senderDomain)
	case "senders":
		match = addressMatcher(e.q.Sender)
	case "domains":
		match = domainMatcher(domain)
	case "local_parts":
		match = plainMatcher(local)
	case "recipients":
		match = addressMatcher(e.q.Recipient)
	}
	if e.stage != "rcpt" && (c.Name == "domains" || c.Name == "local_parts" || c.Name == "recipients") {
		return maybe // Exim allows it at RCPT alone
	}
	from := len(e.why)
	t := e.matchList(c.Value, kind, depth, match)
	if t&yes == 0 {
		e.why = e.why[:from]
		return t
	}
	e.why = append(e.why[:from], e.cfg.trail(c, kind, e.why[from:])...)
	return t
}

// splitAddress cuts an address at its last "@"; the domain comes in lower case.
func splitAddress(a string) (local, domain string) {
	i := strings.LastIndex(a, "@")
	if i < 0 {
		return a, ""
	}
	return a[:i], strings.ToLower(a[i+1:])
}

// authenticated: the list holds names of authenticators. Which one a client that may log in uses is not known.
func (e *evaluator) authenticated(list string, depth int) truth {
	if !e.loggedIn && e.q.User == "" {
		return no
	}
	if strings.TrimSpace(list) == "*" {
		return yes
	}
	var t truth
	for _, a := range e.cfg.authers {
		if a.serves() {
			t |= e.matchList(list, "", depth, stringMatcher(a.Name))
		}
	}
	if t == 0 {
		return maybe
	}
	return t
}

// encrypted: the list holds ciphers, and which one is agreed upon is not known.
func (e *evaluator) encrypted(list string, depth int) truth {
	if !e.q.TLS {
		return no
	}
	if t := e.matchList(list, "", depth, stringMatcher("\x00")); t == no && !strings.ContainsAny(list, "$") && strings.TrimSpace(list) == "" {
		return no
	}
	if strings.TrimSpace(list) == "*" {
		return yes
	}
	return maybe
}

// conditionTruth is the meaning of "condition = …" (specification §44.25). One that is made to fail is as if it were not there in an
// ACL; a router with it is not run.
func (e *evaluator) conditionTruth(text string) (t truth, ignored bool) {
	value, known, forced := e.expandOrFail(text)
	switch {
	case forced:
		return yes, true
	case !known:
		return maybe, false
	}
	t = truthOf(value)
	if t == maybe {
		t = later // Exim calls it an invalid value
	}
	return t, false
}

// subACL walks another ACL, with its arguments.
func (e *evaluator) subACL(c *cond, depth int, v *verdict) truth {
	words := strings.Fields(c.Value)
	if len(words) == 0 || strings.ContainsAny(words[0], "$/") {
		return maybe
	}
	held := map[string]value{}
	for i := 1; i < len(words) && i <= 9; i++ {
		name := "acl_arg" + string(rune('0'+i))
		held[name] = e.vars[name]
		text, known := e.expand(words[i])
		e.vars[name] = value{text, known && !strings.ContainsAny(c.Value, "{")}
	}
	verb := e.verb
	sub := e.walk(words[0], depth+1)
	e.verb, e.thrown, e.torn = verb, false, false
	for name, old := range held {
		e.vars[name] = old
	}
	var t truth
	thrown := later // allowed below "accept" and "discard" alone; elsewhere it is an error, below "warn" too (acl.c)
	if verb == "accept" || verb == "discard" {
		thrown, e.thrown = maybe, sub.ends == discards
		if e.thrown {
			thrown = yes
		}
	} else {
		e.torn = sub.ends&discards != 0
	}
	for end, means := range map[ending]truth{accepts: yes, denies: no, defers: later, discards: thrown} {
		if sub.ends&end != 0 {
			t |= means
		}
	}
	if v.doubt == nil {
		v.doubt = sub.doubt
	}
	if t&yes != 0 && !c.Neg {
		e.why = append(e.why, sub.cause[accepts]...)
	}
	if t&no != 0 && c.Neg {
		e.why = append(e.why, sub.cause[denies]...)
	}
	return t
}

// verify evaluates "verify = …". Recipients are decided by the routers; senders by the assumption that the client uses an address
// which exists.
func (e *evaluator) verify(c *cond) truth {
	what, options, _ := strings.Cut(c.Value, "/")
	what, value, given := strings.Cut(what, "=")
	switch strings.TrimSpace(what) {
	case "recipient":
		return e.verifyRecipient(options)
	case "sender":
		if strings.Contains(options, "callout") || given && strings.Contains(value, "$") {
			return maybe
		}
		return yes
	case "certificate":
		return e.certificate()
	case "header_syntax", "header_sender", "header_names_ascii", "not_blind":
		return yes
	}
	return maybe
}

// verifyRecipient asks the routers. With a callout what the other side would say is not known; a failure may be let pass.
func (e *evaluator) verifyRecipient(options string) truth {
	r := e.cfg.routesFor(e, e.q.Recipient, true)
	e.why = append(e.why, r.why...)
	t := r.verified()
	if strings.Contains(options, "callout") {
		t |= maybe
	}
	if t&later != 0 && strings.Contains(options, "defer_ok") {
		t = t&^later | yes
	}
	return t
}

// certificate: a client is asked for one where tls_verify_hosts or tls_try_verify_hosts names it. A stranger has one that a public
// authority signed, and none of an authority of the site's own.
func (e *evaluator) certificate() truth {
	if !e.q.TLS {
		return no
	}
	asked := no
	for _, name := range []string{"tls_verify_hosts", "tls_try_verify_hosts"} {
		if list := e.cfg.option(name, ""); list != "" {
			asked |= e.matchList(list, "hostlist", 0, matchHost) &^ no
		}
	}
	if asked == no {
		return no
	}
	from := e.cfg.option("tls_verify_certificates", "system")
	if from != "system" && !publicBundle.MatchString(from) {
		return no
	}
	return maybe
}

// publicBundle is a file or directory by the names that systems give to the certificates of public authorities, or one that an expansion
// names.
var publicBundle = regexp.MustCompile(`\$|^/etc/(ssl|pki|openssl)/(certs|cert\.pem|ca-trust|tls)|/share/|ca-(bundle|root|certificates)`)
