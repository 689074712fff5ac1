package exim

import (
	"strings"
)

// route is where the routers may send an address: several at once where a precondition could not be decided.
type route uint8

const (
	toRemote route = 1 << iota // to another host
	toLocal                    // to a mailbox, a program or a list of this host
	nowhere                    // no router takes it: it cannot be delivered
	waits                      // a temporary error
)

// routes is what the routers make of one address.
type routes struct {
	to  route
	why []reason
}

// verified is the truth of "verify = recipient" by the routers.
func (r routes) verified() truth {
	var t truth
	if r.to&(toRemote|toLocal) != 0 {
		t |= yes
	}
	if r.to&nowhere != 0 {
		t |= no
	}
	if r.to&waits != 0 {
		t |= later
	}
	return t
}

// routesFor runs an address through the routers (specification §15.10), with those that only verifying passes over when verifying.
func (c *config) routesFor(e *evaluator, address string, verifying bool) routes {
	if len(c.routers) == 0 {
		return routes{to: toRemote | toLocal | nowhere}
	}
	return e.route(address, verifying, 0)
}

func (e *evaluator) route(address string, verifying bool, depth int) routes {
	var out routes
	if depth > 4 {
		return routes{to: toRemote | toLocal | nowhere}
	}
	at := *e
	at.q.Recipient = address
	at.stage = "rcpt"
	defer func() { e.left = at.left }()
	for _, r := range e.cfg.routers {
		if e.left--; e.left < 0 {
			out.to |= toRemote | toLocal | nowhere
			return out
		}
		at.why = nil
		met := at.preconditions(r, verifying)
		if met&later != 0 {
			out.to |= waits
		}
		if met&yes == 0 {
			continue
		}
		one, declines := at.drive(r, address, verifying, depth)
		if one.to != 0 && out.to&one.to != one.to {
			out.to |= one.to
			out.why = append(out.why, reason{r.At, "router " + r.Name + " " + one.to.String()})
			out.why = append(out.why, one.why...)
		}
		if declines == no && met&(no|later) == 0 && r.Options["unseen"] != "true" {
			return out
		}
		if declines == yes && met == yes && r.Options["more"] == "false" {
			out.to |= nowhere
			return out
		}
	}
	out.to |= nowhere
	return out
}

func (r route) String() string {
	var words []string
	for _, w := range []struct {
		bit  route
		text string
	}{{toRemote, "sends to another host"}, {toLocal, "delivers on this host"}, {nowhere, "refuses"}, {waits, "defers"}} {
		if r&w.bit != 0 {
			words = append(words, w.text)
		}
	}
	return strings.Join(words, " or ")
}

// preconditions says whether a router is run for the recipient of e's question (§15.1), in the order in which Exim looks at them.
func (e *evaluator) preconditions(r *router, verifying bool) truth {
	o := r.Options
	local, domain := splitAddress(e.q.Recipient)
	t := yes
	for _, step := range []func() truth{
		func() truth {
			if verifying {
				return sure(o["verify"] != "false" && o["verify_recipient"] != "false")
			}
			return sure(o["verify_only"] != "true")
		},
		func() truth {
			return e.affixed(o, "local_part_prefix", local) & e.affixed(o, "local_part_suffix", local)
		},
		func() truth { return e.inOption(o, "domains", "domainlist", domainMatcher(domain)) },
		func() truth { return e.inOption(o, "local_parts", "localpartlist", plainMatcher(local)) },
		func() truth { return given(o["check_local_user"] == "true", e.localUser(local)) },
		func() truth { return e.inOption(o, "senders", "addresslist", addressMatcher(e.q.Sender)) },
		func() truth { return given(o["require_files"] != "", maybe) },
		func() truth {
			if o["condition"] == "" {
				return yes
			}
			return e.routerCondition(o["condition"])
		},
	} {
		one := step()
		t = t&(no|later) | one
		if one&yes == 0 {
			return t &^ yes
		}
	}
	return t
}

// routerCondition: empty, "0", "no" and "false" do not hold, and one that is made to fail does not (§15.1).
func (e *evaluator) routerCondition(text string) truth {
	value, known, forced := e.expandOrFail(text)
	switch {
	case forced:
		return no
	case !known:
		return maybe
	}
	if t := truthOf(value); t != maybe {
		return t
	}
	return yes
}

// given is t where an option is set, and yes where it is not.
func given(set bool, t truth) truth {
	if !set {
		return yes
	}
	return t
}

func (e *evaluator) inOption(o map[string]string, name, kind string, match matchItem) truth {
	if o[name] == "" {
		return yes
	}
	return e.matchList(o[name], kind, 0, match)
}

// affixed says whether a local part has one of the affixes of an option, where it must; "*" in one stands for anything.
func (e *evaluator) affixed(o map[string]string, name, local string) truth {
	list := o[name]
	if list == "" || o[name+"_optional"] == "true" {
		return yes
	}
	for _, item := range splitList(list) {
		word := strings.Trim(item, "*")
		has := strings.HasSuffix(local, word)
		if name == "local_part_prefix" {
			has = strings.HasPrefix(local, word)
		}
		if has || strings.ContainsAny(item, "*$") && strings.Contains(local, word) {
			return maybe
		}
	}
	return no
}

// localUser: root is an account of every host, of others the snapshot does not tell.
func (e *evaluator) localUser(local string) truth {
	if local == "root" {
		return yes
	}
	return maybe
}

// drive runs one router. declines is whether the address goes on to the next one.
func (e *evaluator) drive(r *router, address string, verifying bool, depth int) (out routes, declines truth) {
	o := r.Options
	if verifying && (o["fail_verify"] == "true" || o["fail_verify_recipient"] == "true") {
		return routes{to: nowhere}, no
	}
	switch o["driver"] {
	case "accept":
		return routes{to: e.cfg.carries(o["transport"])}, no
	case "dnslookup":
		if _, domain := splitAddress(address); e.cfg.named(domain) || !exampleDomain(domain) && newEvaluator(e.cfg, e.q).local(domain) == yes {
			return routes{to: toRemote | nowhere | waits}, maybe // what DNS says of the host's own domains is not known
		}
		return routes{to: e.cfg.carries(o["transport"])}, no // a foreign domain exists: that is what the question takes for granted
	case "ipliteral":
		_, domain := splitAddress(address)
		return routes{to: toRemote}, sure(!strings.HasPrefix(domain, "["))
	case "manualroute":
		t := e.listedRoute(o, address)
		if t&yes == 0 {
			return routes{}, yes
		}
		to := e.cfg.carries(o["transport"])
		if o["transport"] == "" {
			to = toRemote
		}
		return routes{to: to}, t.not() & maybe
	case "redirect":
		return e.redirect(o, address, verifying, depth)
	}
	return routes{to: toRemote | toLocal | nowhere}, maybe
}

// exampleDomain says whether a domain is one of those that foreign recipients are taken from (RFC 2606).
func exampleDomain(domain string) bool {
	for _, d := range []string{"example.org", "example.net", "example.com"} {
		if domain == d || strings.HasSuffix(domain, "."+d) {
			return true
		}
	}
	return false
}

// carries says whether a transport leaves the host. One that is not known here may do either.
func (c *config) carries(name string) route {
	for _, t := range c.transports {
		if t.Name != name {
			continue
		}
		switch t.Options["driver"] {
		case "smtp":
			if t.Options["protocol"] == "lmtp" {
				return toLocal
			}
			return toRemote
		case "appendfile", "pipe", "lmtp", "autoreply":
			return toLocal
		}
	}
	return toLocal | toRemote
}

// listedRoute says whether a manualroute router knows the domain (chapter 20).
func (e *evaluator) listedRoute(o map[string]string, address string) truth {
	_, domain := splitAddress(address)
	if data := o["route_data"]; data != "" {
		text, known, forced := e.expandOrFail(data)
		switch {
		case forced:
			return no
		case !known:
			return maybe
		}
		return sure(strings.TrimSpace(text) != "")
	}
	list := o["route_list"]
	if list == "" {
		return maybe
	}
	sep := ";"
	if s, rest := separator(list); strings.TrimLeft(list, " \t") != list || s != ':' {
		if s != ':' {
			sep, list = string(s), rest
		}
	}
	for _, rule := range strings.Split(list, sep) {
		words := strings.Fields(rule)
		if len(words) == 0 {
			continue
		}
		if strings.ContainsAny(words[0], `$"`) {
			return maybe
		}
		negated := strings.HasPrefix(words[0], "!")
		var t truth
		if name, ok := strings.CutPrefix(strings.TrimPrefix(words[0], "!"), "+"); ok {
			t = e.matchNamed(name, "domainlist", 0, domainMatcher(domain))
		} else {
			t = domainMatcher(domain)(e, strings.TrimPrefix(words[0], "!"), 0)
		}
		if negated {
			t = t.not()
		}
		if t != no {
			return t
		}
	}
	return no
}

// qualified is a new address with the domain that it gets where it has none.
func (c *config) qualified(address string) string {
	if strings.Contains(address, "@") {
		return address
	}
	return address + "@" + c.option("qualify_recipient", c.qualify)
}

// redirect follows the new addresses of a redirect router (chapter 22). What a file or a table of the site's says is a destination
// of its own.
func (e *evaluator) redirect(o map[string]string, address string, verifying bool, depth int) (routes, truth) {
	data := o["data"]
	if data == "" {
		return routes{to: toLocal}, maybe // a file: .forward, a list
	}
	from := len(e.why)
	wanted := e.unread
	e.unread = nil // whom an alias stands for is not asked for
	text, known, forced := e.expandOrFail(data)
	e.unread = wanted
	if forced {
		return routes{}, yes
	}
	if !known {
		if strings.Contains(data, "${lookup") {
			return routes{to: toLocal | nowhere}, maybe // the value may be :fail:
		}
		return routes{to: toRemote | toLocal | nowhere}, maybe
	}
	text = strings.TrimSpace(text)
	low := strings.ToLower(text)
	switch {
	case text == "":
		return routes{}, yes
	case strings.HasPrefix(low, ":fail:"), strings.HasPrefix(low, ":unknown:"):
		return routes{to: nowhere}, no
	case strings.HasPrefix(low, ":defer:"):
		return routes{to: waits}, no
	case strings.HasPrefix(low, ":blackhole:"), strings.HasPrefix(text, "/"), strings.HasPrefix(text, "|"), strings.HasPrefix(text, "\"|"),
		strings.HasPrefix(text, "#"), strings.HasPrefix(low, ":include:"):
		return routes{to: toLocal}, no
	}
	if strings.Contains(data, "${lookup") && len(e.why) > from {
		why := e.why[from:]
		out := routes{to: toLocal, why: why}
		if verifying && !strings.ContainsAny(text, ",\n<\" ") { // one new address is verified itself (specification §42.2)
			if out.to = e.route(e.cfg.qualified(text), verifying, depth+1).to; out.to&toRemote != 0 {
				out.to = out.to&^toRemote | toLocal
			}
		}
		return out, no
	}
	if strings.ContainsAny(text, ",\n<\" ") {
		return routes{to: toLocal | toRemote}, no
	}
	text = e.cfg.qualified(text)
	if strings.EqualFold(text, address) {
		return routes{}, yes // a router does not run twice for one address
	}
	return e.route(text, verifying, depth+1), no
}
