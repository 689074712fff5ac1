package exim

import (
	"fmt"
	"slices"
	"strings"

	"mtaharden/remediate/judge"
)

// forecast is every way in which a question may end, with what leads there.
type forecast struct {
	ways  map[judge.Outcome][]judge.Line
	doubt *cond  // the first condition that could not be decided
	tell  string // why it cannot be told at all, "" where the ways say it
}

func only(o judge.Outcome, l judge.Line) forecast {
	return forecast{ways: map[judge.Outcome][]judge.Line{o: {l}}}
}

// outcome is the one way there is; of several that relay nothing it is the refusal, else it cannot be told.
func (f forecast) outcome() (judge.Outcome, []judge.Line) {
	if f.tell != "" {
		return judge.CannotTell, []judge.Line{{Text: f.tell}}
	}
	var because []judge.Line
	var ends []judge.Outcome
	for _, o := range []judge.Outcome{judge.Relayed, judge.Dead, judge.CannotTell, judge.Refused, judge.Deferred, judge.Delivered} {
		if lines, ok := f.ways[o]; ok {
			ends = append(ends, o)
			because = append(because, lines[:min(len(lines), 2)]...)
		}
	}
	if _, deferred := f.ways[judge.Deferred]; len(ends) == 1 || len(ends) == 2 && deferred {
		for _, o := range ends {
			if o != judge.Deferred || len(ends) == 1 {
				return o, f.ways[o] // a name server that is away is no policy
			}
		}
	}
	_, dead := f.ways[judge.Dead]
	if _, refused := f.ways[judge.Refused]; refused && !f.relays() && !dead {
		return judge.Refused, because // whichever it is, nothing is relayed
	}
	if f.doubt != nil {
		at := f.doubt.Statement.at()
		because = append([]judge.Line{{File: at.File, Line: at.Line, Text: fmt.Sprintf("it depends on %s = %s", f.doubt.Name, f.doubt.Value)}}, because...)
	}
	return judge.CannotTell, because
}

// relays says whether one of the ways passes mail on, or may.
func (f forecast) relays() bool {
	_, relayed := f.ways[judge.Relayed]
	_, unknown := f.ways[judge.CannotTell]
	return relayed || unknown || f.tell != ""
}

// recipient evaluates what stands before RCPT, the ACL for it, and the routers.
func (c *config) recipient(q judge.Question) (judge.Outcome, []judge.Line) {
	return c.recipientWithout(q, place{})
}

// recipientWithout does so as if the block at a place were not there.
func (c *config) recipientWithout(q judge.Question, at place) (judge.Outcome, []judge.Line) {
	e := newEvaluator(c, q)
	e.skip = at
	return c.forecast(e).outcome()
}

// forecast evaluates the dialogue up to RCPT.
func (c *config) forecast(e *evaluator) forecast {
	if e.q.ClientAddr == "" {
		return forecast{tell: "which client this is, DNS would say"}
	}
	if line, ok := c.proxied(e.q); ok {
		return only(judge.CannotTell, line)
	}
	q, line, settled := c.routedForm(e.q)
	if settled != "" {
		return only(settled, line)
	}
	e.q = q
	if f, ok := c.atConnect(e); ok {
		return f
	}
	total := verdict{ends: accepts}
	for _, stage := range []string{"connect", "helo", "mail"} {
		option := "acl_smtp_" + stage
		value := c.option(option, "")
		if value == "" {
			continue
		}
		e.stage = stage
		before := e.option(option, value)
		if stage == "helo" && before.ends&denies != 0 {
			switch need := e.needsHelo(before.cause[denies]); {
			case need == no:
				e.q.Helo = "" // the command is refused, and the client goes on without it
				continue
			case need == maybe:
				before.add(accepts)
			}
		}
		if before.ends == accepts {
			continue
		}
		if before.ends&accepts == 0 {
			return c.ways(e, before)
		}
		total.merge(before)
	}
	e.stage = "rcpt"
	value := c.option("acl_smtp_rcpt", "")
	if value == "" {
		return only(judge.Refused, judge.Line{Text: "acl_smtp_rcpt is not set: every recipient is refused"})
	}
	last := e.option("acl_smtp_rcpt", value)
	if total.ends != accepts {
		last.merge(total)
	}
	return c.ways(e, last)
}

// needsHelo says whether a client whose HELO was refused gets no further: by "drop", or as hosts_require_helo says, which is every
// client from 4.95 on and none before (README.UPDATING).
func (e *evaluator) needsHelo(because []reason) truth {
	if len(because) > 0 && strings.Contains(because[0].text, ": drop") {
		return yes
	}
	if o := e.cfg.options["hosts_require_helo"]; o != nil {
		return e.matchList(o.Value, "hostlist", 0, matchHost) & maybe
	}
	if e.cfg.version == "" {
		return maybe
	}
	major, minor, _ := strings.Cut(e.cfg.version, ".")
	minor, _, _ = strings.Cut(minor, ".")
	return sure(atoi(major) > 4 || atoi(major) == 4 && atoi(minor) >= 95)
}

// proxied says whether a client must speak the PROXY protocol: nothing is then known of who it is, and -bh, which cannot speak it, says
// nothing of the listener.
func (c *config) proxied(q judge.Question) (judge.Line, bool) {
	o := c.options["hosts_proxy"]
	if o == nil || newEvaluator(c, q).matchList(o.Value, "hostlist", 0, matchHost) == no {
		return judge.Line{}, false
	}
	at := c.origin(o.Statement)
	text := "hosts_proxy = " + o.Value + ": this client must speak the PROXY protocol, and is then whoever it says it is"
	return judge.Line{File: at.File, Line: at.Line, Text: text}, true
}

// atConnect are the options that decide before any ACL.
func (c *config) atConnect(e *evaluator) (forecast, bool) {
	o := c.options["host_reject_connection"]
	if o == nil {
		return forecast{}, false
	}
	at := o.Statement.at()
	line := judge.Line{File: at.File, Line: at.Line, Text: "host_reject_connection = " + o.Value}
	switch e.matchList(o.Value, "hostlist", 0, matchHost) {
	case no:
		return forecast{}, false
	case yes:
		return only(judge.Refused, line), true
	}
	return only(judge.CannotTell, line), true
}

// merge adds the endings of v, except that it accepts: the next ACL goes on then.
func (v *verdict) merge(w verdict) {
	for _, e := range []ending{denies, defers, discards} {
		if w.ends&e != 0 {
			v.add(e, w.cause[e]...)
		}
	}
	if v.doubt == nil {
		v.doubt = w.doubt
	}
}

// routedForm says what Exim makes of the forms by which relays are tried, as 4.94 to 4.98 answer them: a source route is taken off,
// "%" and "!" are letters of a local part but where percent_hack_domains says otherwise, an address literal, an address without a domain and one with two "@" are refused before
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
		asWhole, line, settled := c.unqualified(q)
		if settled != "" {
			return asWhole, line, settled
		}
		q = asWhole
	}
	if line, ok := c.rewritten(q.Recipient); ok {
		return q, line, judge.CannotTell
	}
	to, line, known := c.percentHack(q)
	if !known {
		return q, line, judge.CannotTell
	}
	q.Recipient = to
	return q, judge.Line{}, ""
}

// percentHack is the recipient after percent_hack_domains, which Exim carries out before any ACL sees the address (deliver.c,
// deliver_split_address): at a domain of the list the last "%" of the local part becomes the "@", and again.
func (c *config) percentHack(q judge.Question) (recipient string, line judge.Line, known bool) {
	o := c.options["percent_hack_domains"]
	if o == nil || o.Value == "" {
		return q.Recipient, judge.Line{}, true
	}
	at := c.origin(o.Statement)
	line = judge.Line{File: at.File, Line: at.Line, Text: "percent_hack_domains = " + o.Value}
	for recipient = q.Recipient; ; {
		local, domain := splitAddress(recipient)
		i := strings.LastIndexByte(local, '%')
		if i < 0 {
			return recipient, line, true
		}
		switch t := newEvaluator(c, q).matchList(o.Value, "domainlist", 0, domainMatcher(strings.ToLower(domain))); {
		case t == no:
			return recipient, line, true
		case t != yes, strings.Contains(local, `"`), strings.Contains(o.Value, "+"):
			// What a named list said of the first domain Exim remembers for the second (4.94 to 4.98: "exim -bt").
			return recipient, line, false
		}
		recipient = local[:i] + "@" + local[i+1:]
	}
}

// unqualified: a recipient without a domain is refused, but from clients in recipient_unqualified_hosts, for whom it is one of the
// host's own (qualify_recipient): nothing is passed on by it (specification §48.5).
func (c *config) unqualified(q judge.Question) (judge.Question, judge.Line, judge.Outcome) {
	o := c.options["recipient_unqualified_hosts"]
	if o == nil || o.Value == "" {
		return q, judge.Line{Text: "recipient_unqualified_hosts is not set: an address without a domain is refused"}, judge.Refused
	}
	at := c.origin(o.Statement)
	line := judge.Line{File: at.File, Line: at.Line, Text: "recipient_unqualified_hosts = " + o.Value}
	switch newEvaluator(c, q).matchList(o.Value, "hostlist", 0, matchHost) {
	case no:
		return q, line, judge.Refused
	case yes:
		q.Recipient = strings.Trim(q.Recipient, `"`) + "@" + c.option("qualify_recipient", c.qualify)
		return q, line, ""
	}
	return q, line, judge.CannotTell
}

// option evaluates what an acl_smtp_… option names: an ACL, the text of one, or a file that holds it.
func (e *evaluator) option(name, value string) verdict {
	var v verdict
	unknown := func(text string) verdict {
		v.add(accepts, reason{text: text})
		v.add(denies, reason{text: text})
		return v
	}
	if strings.ContainsAny(value, "$") {
		expanded, known := e.expand(value)
		if !known {
			return unknown(name + " = " + value)
		}
		value = expanded
	}
	word, _ := cutWord(value)
	if strings.HasPrefix(word, "/") {
		data, exists, known := e.cfg.open(word)
		if !known || !exists {
			return unknown("the ACL in " + word)
		}
		return e.inline(name, splitLines(word, data))
	}
	if _, ok := e.cfg.acls[word]; !ok && verbs[strings.ToLower(word)] {
		at := place{}
		if o := e.cfg.options[name]; o != nil {
			at = o.Statement.at()
		}
		var text []physical
		for _, line := range strings.Split(value, "\n") {
			text = append(text, physical{at, line})
		}
		return e.inline(name, text)
	}
	return e.walk(word, 0)
}

// inline walks an ACL that stands in an option or in a file of its own.
func (e *evaluator) inline(name string, text []physical) verdict {
	c := &config{prog: e.cfg.prog, acls: map[string][]*block{}}
	for _, l := range text {
		if line := strings.TrimSpace(l.Text); line != "" && line[0] != '#' {
			c.aclLine(&statement{Section: "acl", Raw: line, Text: line, Lines: []place{l.place}}, name)
		}
	}
	return e.blocks(name, c.acls[name], 0)
}

// ways puts a verdict in the words of judgement.
func (c *config) ways(e *evaluator, v verdict) forecast {
	f := forecast{ways: map[judge.Outcome][]judge.Line{}, doubt: v.doubt}
	add := func(o judge.Outcome, because []reason) {
		if _, again := f.ways[o]; !again {
			f.ways[o] = lines(because)
		}
	}
	if v.ends&accepts != 0 {
		for o, because := range c.destination(e) {
			add(o, append(slices.Clone(v.cause[accepts]), because...))
		}
	}
	for _, end := range []ending{denies, discards} {
		if v.ends&end != 0 {
			add(judge.Refused, v.cause[end])
		}
	}
	if v.ends&defers != 0 {
		o := judge.Deferred
		if e.mistake != "" {
			o = judge.Dead
		}
		add(o, append(slices.Clone(v.cause[defers]), c.mistaken(e)...))
	}
	return f
}

// mistaken is the place of the option that names an ACL which does not exist.
func (c *config) mistaken(e *evaluator) []reason {
	if e.mistake == "" {
		return nil
	}
	for _, o := range c.options {
		if strings.HasPrefix(o.Name, "acl_") && "there is no ACL named "+o.Value == e.mistake {
			return []reason{{c.origin(o.Statement), e.mistake}}
		}
	}
	return []reason{{text: e.mistake}}
}
