package sendmail

import (
	"maps"
	"slices"
	"strings"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// trusted fills Config.Trusted: access entries, class R, and what the rulesets themselves let through.
func (m *model) trusted(c *mta.Config) {
	if m.access != nil {
		seen := map[string]bool{} // makemap refuses a key that is there twice; a text may have it
		for _, e := range m.access.effective() {
			if key := strings.ToLower(e.key); relays(e.value) && !seen[key] {
				seen[key] = true
				m.trustAccess(c, e)
			}
		}
	}
	done := map[string]bool{}
	for _, w := range m.relay {
		word := strings.ToLower(w.word)
		if !done[word] {
			done[word] = true
			m.trustRelay(c, w, word)
		}
	}
	m.trustDomains(c)
	for _, h := range m.holes() {
		c.Trusted = append(c.Trusted, h.Trust)
	}
	if rule, ok := m.siteRule(); ok {
		origin := mta.Origin{File: m.cf.path, Line: rule.line.line, How: "file"}
		c.Trusted = append(c.Trusted, mta.Trust{ID: "cf:Local_check_rcpt", Kind: "table", Value: "the site's own rules", Name: "Local_check_rcpt", Origin: origin})
		c.Notes = append(c.Notes, mta.Note{Code: "site-rules", Text: "Local_check_rcpt lets some recipients through before the relay check; for whom, only its rules say", Origin: origin})
	}
}

// trustAccess adds an entry of the access database whose value is RELAY.
func (m *model) trustAccess(c *mta.Config, e entry) {
	key := splitKey(e.key)
	origin := mta.Origin{File: m.access.text, Line: e.line, How: "file"}
	if e.line == 0 {
		origin = mta.Origin{File: m.access.path + ".db", How: "generated"}
	}
	id := "access:" + strings.ToLower(e.key)
	fix := []mta.Fix{{Name: "access", Op: mta.Remove, Value: e.key, File: m.source(m.access.text), Line: e.line}}
	if e.line == 0 {
		fix = nil
	}
	kind, net := classify(key.what)
	trust := mta.Trust{ID: id, Value: e.key, Net: net, Name: "access", Origin: origin, Fix: fix}
	why := ""
	switch {
	case key.tag == "from" && !m.mailFrom():
		why = "From: entries let nobody relay without FEATURE(relay_mail_from)"
	case key.tag == "connect" && (kind == keyIneffective || kind == keyMailbox), key.tag == "" && kind == keyIneffective:
		why = "sendmail looks up neither prefix lengths nor empty keys: the entry matches no client"
	case key.tag == "to" && (kind == keyIneffective || kind == keyNet):
		why = "a To: entry with an address matches no recipient domain"
	}
	if why != "" {
		c.Notes = append(c.Notes, mta.Note{Code: "ineffective-entry", Text: e.key + " RELAY has no effect: " + why, Origin: origin})
		return
	}
	switch {
	case kind == keyNet:
		trust.Kind = "client-net"
	case key.tag == "connect":
		trust.Kind = "client-name"
	case key.tag == "from":
		trust.Kind = "sender"
	default:
		trust.Kind = "recipient"
	}
	c.Trusted = append(c.Trusted, trust)
	if key.tag == "" && kind == keyName {
		// an untagged name is looked up for the client's name as well
		trust.ID, trust.Kind = id+"/client", "client-name"
		c.Trusted = append(c.Trusted, trust)
	}
}

// trustRelay adds a word of class R. It is matched against recipients, client names and leading octets of addresses.
func (m *model) trustRelay(c *mta.Config, w member, word string) {
	kind, net := classify(word)
	trust := mta.Trust{ID: "R:" + word, Kind: "recipient", Value: w.word, Net: net, Name: "relay-domains", Origin: w.Origin, Fix: m.fixRelay(w)}
	switch kind {
	case keyIneffective:
		c.Notes = append(c.Notes, mta.Note{Code: "ineffective-entry", Text: w.word + " in class R matches no client and no domain", Origin: w.Origin})
		return
	case keyNet:
		trust.Kind = "client-net"
		c.Trusted = append(c.Trusted, trust)
		return
	}
	c.Trusted = append(c.Trusted, trust)
	trust.ID, trust.Kind = "R:"+word+"/client", "client-name"
	c.Trusted = append(c.Trusted, trust)
}

// trustDomains adds the domains of class m where the rules relay for whoever is in one, and for whatever goes there (relay_entire_domain).
// A host that is named as its domain is, example.com, has the top-level domain for its own.
func (m *model) trustDomains(c *mta.Config) {
	line, ok := m.entireDomain()
	if !ok {
		return
	}
	add := func(word string, origin mta.Origin) {
		id := "m:" + strings.ToLower(word)
		if word == "" || slices.ContainsFunc(c.Trusted, func(t mta.Trust) bool { return t.ID == id }) {
			return
		}
		trust := mta.Trust{ID: id, Kind: "recipient", Value: word, Name: "relay_entire_domain", Origin: origin}
		c.Trusted = append(c.Trusted, trust)
		trust.ID, trust.Kind = id+"/client", "client-name"
		c.Trusted = append(c.Trusted, trust)
	}
	for _, w := range m.cf.classes["m"] {
		add(w.word, mta.Origin{File: m.cf.path, Line: w.line.line, How: "file"})
	}
	rule := mta.Origin{File: m.cf.path, Line: line, How: "default"}
	if m.said != nil {
		for _, word := range m.said.classes["m"] {
			add(word, rule)
		}
	}
	_, domain, _ := strings.Cut(m.snap.Fact("sendmail:fqdn"), ".")
	add(domain, rule)
}

// entireDomain is the line of the rule that relays to class m.
func (m *model) entireDomain() (int, bool) {
	for _, name := range slices.Sorted(maps.Keys(m.cf.rulesets)) {
		for _, r := range m.cf.rulesets[name] {
			if strings.Contains(r.lhs, "$=m") && strings.HasPrefix(r.rhs, "$@ RELAY") {
				return r.line.line, true
			}
		}
	}
	return 0, false
}

// fixRelay is what takes a word out of class R: out of its file, or out of the .mc.
func (m *model) fixRelay(w member) []mta.Fix {
	fix := mta.Fix{Name: "relay-domains", Op: mta.Remove, Value: w.word, File: m.source(w.File), Line: w.Line}
	switch {
	case w.shared:
		return nil
	case w.How == "include":
		return []mta.Fix{fix}
	case m.mc == nil, w.File == m.cf.path:
		if m.mc != nil {
			return nil // it is in the .cf and not in its source: only a person knows why
		}
		fix.Name = "class:R"
		return []mta.Fix{fix}
	}
	fix.Name = "mc:RELAY_DOMAIN(" + w.word + ")"
	fix.Op = mta.Unset
	fix.Value = ""
	return []mta.Fix{fix}
}

// mailFrom reports whether From: entries count: the ruleset looks up tag From for relaying only with relay_mail_from.
func (m *model) mailFrom() bool {
	if m.mc != nil && (len(m.mc.named("FEATURE", "relay_mail_from")) > 0 || len(m.mc.defines("_RELAY_DB_FROM_")) > 0) {
		return true
	}
	for _, rules := range m.cf.rulesets {
		for _, r := range rules {
			// Relay_ok looks up the sender by the exact tag; check_mail does it with "<+ From>"
			if strings.Contains(r.rhs, "SearchList <! From>") {
				return true
			}
		}
	}
	return false
}

// hole is a way in that the rulesets themselves open.
type hole struct {
	mta.Trust
	code, text string
	applies    func(q judge.Question) bool
}

// sourceHole describes a FEATURE that lets foreign mail through, and how it shows.
type sourceHole struct {
	feature, define, kind, value, text string
	applies                            func(q judge.Question) bool
}

func anyQuestion(judge.Question) bool { return true }

// noQuestion: whether a domain's MX names this host is in nobody's question.
func noQuestion(judge.Question) bool { return false }

func ownSender(q judge.Question) bool { return q.Sender != "" }

// sourceHoles are the FEATUREs by which the rulesets let outside clients relay (cf/README), and the defines that those set.
var sourceHoles = []sourceHole{
	{"promiscuous_relay", "_PROMISCUOUS_RELAY_", "any", "everyone", "everybody may relay", anyQuestion},
	{"relay_local_from", "_RELAY_LOCAL_FROM_", "sender", "every sender that claims a local domain", "whoever claims a local sender may relay", ownSender},
	{"relay_based_on_MX", "_RELAY_MX_SERVED_", "any", "every domain whose MX names this host", "whoever points an MX at this host may relay through it", noQuestion},
}

// holes are the openings that the .mc or the .cf shows.
func (m *model) holes() []hole {
	var list []hole
	if !m.cf.has("check_rcpt") {
		list = append(list, hole{mta.Trust{ID: "cf:no-check_rcpt", Kind: "any", Value: "everyone", Name: "check_rcpt", Origin: mta.Origin{File: m.cf.path, How: "file"}},
			"pre-8.9", "the configuration has no ruleset check_rcpt: it is from before sendmail 8.9 and relays for everybody", anyQuestion})
	}
	for _, h := range sourceHoles {
		if origin, fix, ok := m.opened(h); ok {
			id := "cf:" + h.feature
			list = append(list, hole{mta.Trust{ID: id, Kind: h.kind, Value: h.value, Name: h.feature, Origin: origin, Fix: fix}, h.feature, h.text, h.applies})
		}
	}
	return list
}

// opened says where the source, or failing that the .cf, opens a hole.
func (m *model) opened(h sourceHole) (mta.Origin, []mta.Fix, bool) {
	var fixes []mta.Fix
	origin := mta.Origin{}
	if m.mc != nil {
		for _, call := range m.mc.named("FEATURE", h.feature) {
			origin = mta.Origin{File: call.file.path, Line: call.line, How: "file"}
			fixes = append(fixes, mta.Fix{Name: "mc:FEATURE(" + h.feature + ")", Op: mta.Unset, File: m.source(call.file.path), Line: call.line})
		}
		if def, ok := m.mc.define(h.define); ok {
			origin = mta.Origin{File: def.file.path, Line: def.line, How: "file"}
			fixes = append(fixes, mta.Fix{Name: "mc:define(" + h.define + ")", Op: mta.Unset, File: m.source(def.file.path), Line: def.line})
		}
	}
	if len(fixes) > 0 {
		return origin, fixes, true
	}
	line, ok := m.shows(h.feature)
	return mta.Origin{File: m.cf.path, Line: line, How: "file"}, nil, ok
}

// shows looks for the trace that a FEATURE leaves in the rulesets of a .cf.
func (m *model) shows(feature string) (int, bool) {
	switch feature {
	case "promiscuous_relay":
		// the rules behind Rcpt_ok are left out: no Relay_ok, and nothing in Basic_check_rcpt refuses
		if m.cf.has("Basic_check_rcpt") && !m.cf.has("Relay_ok") && !m.refuses("Basic_check_rcpt") && !m.guarded() {
			return 0, true
		}
	case "relay_based_on_MX":
		if k, ok := m.cf.mapNamed("mxserved"); ok {
			return k.line.line, true
		}
	case "relay_local_from":
		for _, name := range slices.Sorted(maps.Keys(m.cf.rulesets)) {
			for _, r := range m.cf.rulesets[name] {
				if strings.Contains(r.lhs, "<?> $+ < @ $=w >") && strings.HasPrefix(r.rhs, "$@ RELAY") {
					return r.line.line, true
				}
			}
		}
	}
	return 0, false
}

// refuses reports whether a ruleset has a rule that ends in error 5.7.1.
func (m *model) refuses(ruleset string) bool { return m.refusal(ruleset) > 0 }

// refusal is the line of a ruleset's last 5.7.1 rule.
func (m *model) refusal(ruleset string) int {
	line := 0
	for _, r := range m.cf.rulesets[ruleset] {
		if strings.Contains(r.rhs, "$#error $@ 5.7.1") && !strings.Contains(r.lhs, "REJECT") {
			line = r.line.line
		}
	}
	return line
}
