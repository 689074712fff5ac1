package exim

import (
	"fmt"
	"strings"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// fromConfig answers a question from the configuration alone: three-valued, and never by guessing.
func (m *model) fromConfig(q judge.Question) judge.Answer {
	a := judge.Answer{Question: q, Judge: judge.Config, Outcome: judge.CannotTell}
	switch {
	case m.broken != "":
		a.Outcome, a.Text = judge.Dead, m.broken
		return a
	case m.cfg.strange != "":
		a.Text = m.cfg.strange
		return a
	case !m.agrees:
		a.Text = "this program reads the ACLs otherwise than Exim does"
		return a
	}
	switch q.Verb {
	case judge.Rcpt:
		a.Outcome, a.Because = m.cfg.recipient(q)
		a.Text = textOf(a.Because)
	case judge.Vrfy, judge.Expn:
		a.Outcome, a.Because = m.cfg.shows(q)
		a.Text = textOf(a.Because)
	case judge.Banner:
		m.banner(&a)
	case judge.Help:
		a.Outcome, a.Text = judge.Refused, "HELP lists commands, no version"
	case judge.Auth:
		m.auth(&a)
	}
	return a
}

func textOf(because []judge.Line) string {
	if len(because) == 0 {
		return ""
	}
	var parts []string
	for _, b := range because {
		parts = append(parts, b.Text)
	}
	return strings.Join(parts, "; or: ")
}

// recipient evaluates the ACLs that stand before RCPT and the one for it.
func (c *config) recipient(q judge.Question) (judge.Outcome, []judge.Line) {
	return c.recipientWithout(q, place{})
}

// recipientWithout does so as if the block at a place were not there.
func (c *config) recipientWithout(q judge.Question, at place) (judge.Outcome, []judge.Line) {
	e := newEvaluator(c, q)
	e.skip = at
	return c.recipientBy(e)
}

// recipientBy does so for a client about whom the evaluator assumes more than the question says.
func (c *config) recipientBy(e *evaluator) (judge.Outcome, []judge.Line) {
	q := e.q
	if q.ClientAddr == "" {
		return judge.CannotTell, []judge.Line{{Text: "which client this is, DNS would say"}}
	}
	q, line, settled := c.routedForm(q)
	if settled != "" {
		return settled, []judge.Line{line}
	}
	e.q = q
	if l, ok := c.options["host_reject_connection"]; ok {
		if t := e.matchList(l.Value, "hostlist", 0, matchHost); t != no {
			at := l.Statement.at()
			line := judge.Line{File: at.File, Line: at.Line, Text: "host_reject_connection = " + l.Value}
			if t == yes {
				return judge.Refused, []judge.Line{line}
			}
			return judge.CannotTell, []judge.Line{line}
		}
	}
	total := verdict{ends: accepts}
	for _, stage := range []string{"acl_smtp_connect", "acl_smtp_helo", "acl_smtp_mail"} {
		value := c.option(stage, "")
		if value == "" {
			continue
		}
		before := e.option(stage, value)
		if before.ends == accepts {
			continue
		}
		if before.ends&accepts == 0 {
			return outcome(c, q, before)
		}
		total.merge(before)
	}
	value := c.option("acl_smtp_rcpt", "")
	if value == "" {
		return judge.Refused, []judge.Line{{Text: "acl_smtp_rcpt is not set: every recipient is refused"}}
	}
	last := e.option("acl_smtp_rcpt", value)
	if total.ends != accepts {
		last.merge(total)
	}
	return outcome(c, q, last)
}

// merge adds the endings of v, except that it accepts: the next ACL goes on then.
func (v *verdict) merge(w verdict) {
	for _, e := range []ending{denies, defers, discards} {
		if w.ends&e != 0 {
			v.add(e, w.cause[e].at, w.cause[e].text)
		}
	}
	if v.doubt == nil {
		v.doubt = w.doubt
	}
}

// routedForm says what Exim makes of the forms by which relays are tried, as 4.94 to 4.98 answer them: a source route is taken off,
// "%" and "!" are letters of a local part, an address literal, an address without a domain and one with two "@" are refused before
// any ACL. What settings change of that is left to Exim.
func (c *config) routedForm(q judge.Question) (judge.Question, judge.Line, judge.Outcome) {
	refuse := func(text string) (judge.Question, judge.Line, judge.Outcome) {
		return q, judge.Line{Text: text}, judge.Refused
	}
	tell := func(text string) (judge.Question, judge.Line, judge.Outcome) {
		return q, judge.Line{Text: text}, judge.CannotTell
	}
	if strings.HasPrefix(q.Recipient, "@") {
		if _, rest, ok := strings.Cut(q.Recipient, ":"); ok && !strings.Contains(q.Recipient, "[") {
			q.Recipient = rest
		}
	}
	literal := strings.Contains(q.Recipient+q.Sender, "[")
	switch {
	case strings.Count(strings.ReplaceAll(q.Recipient, `"probe@example.`, ""), "@") > 1 && !strings.HasPrefix(q.Recipient, "@"):
		return refuse("an address with two @ is malformed")
	case literal && c.option("allow_domain_literals", "false") == "false":
		return refuse("allow_domain_literals is false: address literals are refused")
	case literal:
		return tell("allow_domain_literals is set")
	case strings.HasPrefix(q.Form, "quoted") || q.Form == "bang":
		if c.option("recipient_unqualified_hosts", "") == "" {
			return refuse("recipient_unqualified_hosts is not set: an address without a domain is refused")
		}
		return tell("recipient_unqualified_hosts is set")
	case strings.Contains(q.Recipient, "%") && c.option("percent_hack_domains", "") != "":
		return tell("percent_hack_domains is set")
	}
	return q, judge.Line{}, ""
}

// option evaluates what an acl_smtp_… option names: an ACL, or the text of one.
func (e *evaluator) option(name, value string) verdict {
	var v verdict
	if strings.ContainsAny(value, "$") {
		expanded, known := e.expand(value)
		if !known {
			v.add(accepts, place{}, name+" = "+value)
			v.add(denies, place{}, name+" = "+value)
			return v
		}
		value = expanded
	}
	word, _ := cutWord(value)
	if strings.HasPrefix(word, "/") {
		v.add(accepts, place{}, "the ACL in "+word)
		v.add(denies, place{}, "the ACL in "+word)
		return v
	}
	if _, ok := e.cfg.acls[word]; !ok && verbs[strings.ToLower(word)] {
		at := place{}
		if o := e.cfg.options[name]; o != nil {
			at = o.Statement.at()
		}
		inline := &config{prog: e.cfg.prog, acls: map[string][]*block{}}
		for _, line := range strings.Split(value, "\n") {
			if line = strings.TrimSpace(line); line != "" {
				inline.aclLine(&statement{Section: "acl", Raw: line, Text: line, Lines: []place{at}}, name)
			}
		}
		sub := *e
		cfg := *e.cfg
		cfg.acls = map[string][]*block{}
		for k, b := range e.cfg.acls {
			cfg.acls[k] = b
		}
		cfg.acls[name] = inline.acls[name]
		sub.cfg = &cfg
		return sub.walk(name, 0)
	}
	return e.walk(word, 0)
}

// outcome puts a verdict in the words of judgement. What can end in two ways is cannot-tell.
func outcome(c *config, q judge.Question, v verdict) (judge.Outcome, []judge.Line) {
	var because []judge.Line
	for _, e := range []ending{accepts, denies, defers, discards} {
		if v.ends&e != 0 {
			because = append(because, judge.Line{File: v.cause[e].at.File, Line: v.cause[e].at.Line, Text: v.cause[e].text})
		}
	}
	switch v.ends {
	case accepts:
		local := newEvaluator(c, q).local(domainOf(q.Recipient))
		if local == yes || c.relayDomain(domainOf(q.Recipient)) {
			return judge.Delivered, because
		}
		if local == maybe {
			return judge.CannotTell, append(because, judge.Line{Text: "whether " + domainOf(q.Recipient) + " is local cannot be told"})
		}
		return judge.Relayed, because
	case denies, discards, denies | discards, denies | defers, discards | defers, denies | discards | defers:
		return judge.Refused, because // whichever it is, nothing is relayed
	case defers:
		if strings.HasPrefix(v.cause[defers].text, "there is no ACL named") {
			return judge.Dead, because
		}
		return judge.Deferred, because
	}
	if strings.ContainsAny(q.Recipient, "%!") && newEvaluator(c, q).local(domainOf(q.Recipient)) == yes {
		return judge.Refused, append(because, judge.Line{Text: "whichever it is, the address is one of the host's own"})
	}
	if v.doubt != nil {
		at := v.doubt.Statement.at()
		because = append([]judge.Line{{File: at.File, Line: at.Line, Text: fmt.Sprintf("it depends on %s = %s", v.doubt.Name, v.doubt.Value)}}, because...)
	}
	return judge.CannotTell, because
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

// shows evaluates VRFY and EXPN: without an ACL both are refused (specification §44.5).
func (c *config) shows(q judge.Question) (judge.Outcome, []judge.Line) {
	name := "acl_smtp_" + strings.ToLower(string(q.Verb))
	value := c.option(name, "")
	if value == "" {
		return judge.Refused, []judge.Line{{Text: name + " is not set: " + string(q.Verb) + " is refused"}}
	}
	v := newEvaluator(c, q).option(name, value)
	at := c.origin(c.options[name].Statement)
	line := judge.Line{File: at.File, Line: at.Line, Text: name + " = " + value}
	switch v.ends {
	case accepts:
		return judge.Disclosed, []judge.Line{line}
	case denies:
		return judge.Refused, []judge.Line{line}
	}
	return judge.CannotTell, []judge.Line{line}
}

func (m *model) banner(a *judge.Answer) {
	o := m.cfg.options["smtp_banner"]
	if o == nil {
		a.Outcome, a.Text = judge.Disclosed, "smtp_banner is not set: the default names Exim and its version"
		a.Because = []judge.Line{{Text: a.Text}}
		return
	}
	at := m.cfg.origin(o.Statement)
	a.Text = "smtp_banner = " + o.Value
	a.Because = []judge.Line{{File: at.File, Line: at.Line, Text: a.Text}}
	value := strings.NewReplacer("$smtp_active_hostname", "", "${smtp_active_hostname}", "", "$primary_hostname", "", "${primary_hostname}", "", "$tod_full", "", "${tod_full}", "").Replace(o.Value)
	switch {
	case strings.Contains(value, "version_number") || strings.Contains(value, "exim_version") || strings.Contains(value, "compile_") || productWords.MatchString(value):
		a.Outcome = judge.Disclosed
	case strings.Contains(value, "$"):
	default:
		a.Outcome = judge.Refused
	}
}

// auth: AUTH is offered where an authenticator of the server's exists and auth_advertise_hosts (default *) matches.
func (m *model) auth(a *judge.Answer) {
	servers := 0
	for _, r := range m.cfg.authers {
		if r.Options["public_name"] != "" {
			servers++
		}
	}
	if servers == 0 {
		a.Outcome, a.Text = judge.Refused, "there is no authenticator"
		return
	}
	value := m.cfg.option("auth_advertise_hosts", "*")
	a.Text = "auth_advertise_hosts = " + value
	if newEvaluator(m.cfg, a.Question).matchList(value, "hostlist", 0, matchHost) == no {
		a.Outcome = judge.Refused
	}
}

// remedy returns the smallest fixes after which an answer would be another one.
func remedy(cfg *mta.Config, a judge.Answer) []mta.Fix {
	m, ok := cfg.Model.(*model)
	if !ok {
		return nil
	}
	switch {
	case a.Outcome == judge.Disclosed && a.Question.Verb == judge.Vrfy:
		return []mta.Fix{{Name: "acl_smtp_vrfy", Op: mta.Unset}}
	case a.Outcome == judge.Disclosed && a.Question.Verb == judge.Expn:
		return []mta.Fix{{Name: "acl_smtp_expn", Op: mta.Unset}}
	case a.Outcome == judge.Disclosed && a.Question.Verb == judge.Banner:
		return []mta.Fix{{Name: "smtp_banner", Op: mta.Set, Value: "$smtp_active_hostname ESMTP"}}
	case a.Outcome == judge.Relayed && a.Question.Verb == judge.Rcpt:
		return m.close(a)
	}
	return nil
}

// close takes away the entries that let this client relay this recipient.
func (m *model) close(a judge.Answer) []mta.Fix {
	var out []mta.Fix
	for _, t := range m.trusted {
		if covers(m.cfg, t, a.Question) {
			out = append(out, t.Fix...)
		}
	}
	return out
}
