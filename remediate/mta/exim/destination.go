package exim

import (
	"regexp"
	"strings"

	"mtaharden/remediate/judge"
)

// destination says what becomes of a recipient that the ACLs let pass: relayed, delivered for the host's own domains and the relay
// domains that are named, by the list of local domains and by the routers.
func (c *config) destination(e *evaluator) map[judge.Outcome][]reason {
	_, domain := splitAddress(e.q.Recipient)
	one := func(o judge.Outcome, why ...reason) map[judge.Outcome][]reason {
		return map[judge.Outcome][]reason{o: why}
	}
	plain := newEvaluator(c, e.q)
	if line, ok := c.hacked(e.q.Recipient); ok {
		return c.passedOn(c.routesFor(plain, e.q.Recipient, false), line)
	}
	mine := plain.local(domain)
	if c.relayDomain(domain) || c.declares(domain) || mine == yes && c.named(domain) {
		return one(judge.Delivered)
	}
	r := c.routesFor(plain, e.q.Recipient, false)
	switch {
	case mine == maybe && r.to&toRemote != 0:
		return map[judge.Outcome][]reason{judge.Relayed: r.why, judge.Delivered: {{text: "whether " + domain + " is local cannot be told"}}}
	case r.to&toRemote == 0 && r.to&toLocal != 0:
		return one(judge.Delivered, r.why...)
	case r.to&toRemote == 0:
		return one(judge.CannotTell, append([]reason{{text: "the ACLs take it, and no router carries it on: it is sent back, not relayed"}}, r.why...)...)
	case mine == yes && r.to&toLocal != 0:
		return map[judge.Outcome][]reason{judge.Relayed: r.why, judge.Delivered: r.why}
	}
	return one(judge.Relayed, r.why...)
}

// bangRead is a "!" that stands within an expression, not before a word that it negates.
var bangRead = regexp.MustCompile(`[^\s{:;<]!`)

// reads says whether a text looks at the "%" or "!" that a recipient's local part has.
func reads(recipient, text string) bool {
	local, _ := splitAddress(recipient)
	return strings.Contains(local, "%") && strings.Contains(text, "%") || strings.Contains(local, "!") && bangRead.MatchString(text)
}

// hacked is a redirect router that may read "%" or "!" in a local part as the way to another host.
func (c *config) hacked(recipient string) (judge.Line, bool) {
	for _, r := range c.routers {
		if r.Options["driver"] == "redirect" && (reads(recipient, r.Options["data"]) || reads(recipient, r.Options["local_parts"])) {
			return judge.Line{File: r.At.File, Line: r.At.Line, Text: "router " + r.Name + " may send this local part on to another host"}, true
		}
	}
	return judge.Line{}, false
}

// rewritten is a rewriting rule that may read them so, before or behind the ACLs: what the configuration makes of such an address is left
// to Exim and the network.
func (c *config) rewritten(recipient string) (judge.Line, bool) {
	for _, s := range c.rewrites {
		if reads(recipient, s.Text) {
			at := s.at()
			return judge.Line{File: at.File, Line: at.Line, Text: "a rewriting rule may send this local part on to another host: " + s.Text}, true
		}
	}
	return judge.Line{}, false
}

// passedOn is what becomes of a recipient in whose local part a router reads a way on: whatever the domain, the routers decide, where
// they can be told.
func (c *config) passedOn(r routes, line judge.Line) map[judge.Outcome][]reason {
	switch r.to {
	case toRemote:
		return map[judge.Outcome][]reason{judge.Relayed: r.why}
	case toLocal:
		return map[judge.Outcome][]reason{judge.Delivered: r.why}
	case nowhere:
		return map[judge.Outcome][]reason{judge.CannotTell: {{text: "the ACLs take it, and no router carries it on: it is sent back, not relayed"}}}
	}
	return map[judge.Outcome][]reason{judge.CannotTell: {{place{line.File, line.Line}, line.Text}}}
}

// named says whether a domain stands by its own name in the list of local domains, or is the host's.
func (c *config) named(domain string) bool {
	if strings.EqualFold(domain, c.primary) || strings.EqualFold(domain, c.qualify) {
		return true
	}
	l := c.lists["domainlist local_domains"]
	if l == nil {
		return false
	}
	for _, item := range c.items(rawValue(l.Statement), "domainlist", "", l.Statement.at(), 0) {
		if strings.EqualFold(item.Value, domain) {
			return true
		}
	}
	return false
}

// local says whether a domain is one of the host's own, as far as the named lists say.
func (e *evaluator) local(domain string) truth {
	l := e.cfg.lists["domainlist local_domains"]
	if l == nil {
		return sure(strings.EqualFold(domain, e.cfg.primary) || strings.EqualFold(domain, e.cfg.qualify))
	}
	if t := e.matchList(l.Value, "domainlist", 0, domainMatcher(strings.ToLower(domain))) & maybe; t != 0 {
		return t
	}
	return maybe
}

// relayDomain says whether a domain is named, not matched by a pattern, in a list of relay domains.
func (c *config) relayDomain(domain string) bool {
	for key, l := range c.lists {
		if !strings.HasPrefix(key, "domainlist ") || strings.HasPrefix(key, "domainlist local") {
			continue
		}
		for _, item := range splitList(l.Value) {
			if strings.EqualFold(item, domain) {
				return true
			}
		}
	}
	return false
}

// declares says whether an ACL takes mail for a domain by its own name, not by a pattern.
func (c *config) declares(domain string) bool {
	for _, t := range c.trusts {
		if t.Kind == "recipient" && strings.EqualFold(t.Value, domain) {
			return true
		}
	}
	return false
}

// stages are the ACLs before RCPT that the configuration has.
func (c *config) stages() stages {
	return stages{c.option("acl_smtp_connect", "") != "", c.option("acl_smtp_helo", "") != "", c.option("acl_smtp_mail", "") != ""}
}
