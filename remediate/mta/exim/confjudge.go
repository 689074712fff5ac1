package exim

import (
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
	if line, ok := m.cfg.proxied(q); ok && q.Verb == judge.Rcpt {
		a.Because, a.Text = []judge.Line{line}, line.Text
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

// explain answers a question that Exim was asked too. Where the ways that the reading leaves open all relay nothing, and what Exim
// said is one of them, that is the one which is explained.
func (m *model) explain(said judge.Answer) judge.Answer {
	a := m.fromConfig(said.Question)
	if said.Question.Verb != judge.Rcpt || a.Outcome == said.Outcome || a.Outcome == judge.Dead || m.broken != "" || m.cfg.strange != "" || !m.agrees {
		return a
	}
	f := m.cfg.forecast(newEvaluator(m.cfg, said.Question))
	because, ok := f.ways[said.Outcome]
	switch {
	case ok && said.Outcome == judge.Deferred && f.relays():
		a.Outcome = judge.CannotTell // a temporary error hides what lies behind it
	case ok && !f.relays():
		a.Outcome, a.Because, a.Text = said.Outcome, because, textOf(because)
	}
	return a
}

// again answers one more question from the configuration, where that is certain: what -bh would have said nobody knows.
func again(cfg *mta.Config, q judge.Question) (judge.Answer, bool) {
	m, ok := cfg.Model.(*model)
	if !ok {
		return judge.Answer{}, false
	}
	a := m.fromConfig(q)
	return a, a.Outcome != judge.CannotTell && a.Outcome != judge.Deferred
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

// shows evaluates VRFY and EXPN: without an ACL both are refused (specification §44.5).
func (c *config) shows(q judge.Question) (judge.Outcome, []judge.Line) {
	name := "acl_smtp_" + strings.ToLower(string(q.Verb))
	value := c.option(name, "")
	if value == "" {
		return judge.Refused, []judge.Line{{Text: name + " is not set: " + string(q.Verb) + " is refused"}}
	}
	e := newEvaluator(c, q)
	e.stage = strings.ToLower(string(q.Verb))
	v := e.option(name, value)
	at := c.origin(c.options[name].Statement)
	line := judge.Line{File: at.File, Line: at.Line, Text: name + " = " + value}
	because := func(e ending) []judge.Line { return append(lines(v.cause[e]), line) }
	switch v.ends {
	case accepts:
		return judge.Disclosed, because(accepts)
	case denies:
		return judge.Refused, because(denies)
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

// auth: AUTH is offered where auth_advertise_hosts (default *) matches and a server's authenticator does not keep back.
func (m *model) auth(a *judge.Answer) {
	o := m.cfg.options["auth_advertise_hosts"]
	list := "*"
	if o != nil {
		list = o.Value
		at := m.cfg.origin(o.Statement)
		a.Because = append(a.Because, judge.Line{File: at.File, Line: at.Line, Text: "auth_advertise_hosts = " + list})
	}
	e := newEvaluator(m.cfg, a.Question)
	e.stage = "helo"
	hosts := e.matchList(list, "hostlist", 0, matchHost) & maybe
	offered := no
	for _, r := range m.cfg.authers {
		if !r.serves() {
			continue
		}
		t := yes
		if condition := r.Options["server_advertise_condition"]; condition != "" {
			text, known, forced := e.expandOrFail(condition)
			switch {
			case forced:
				t = no
			case !known:
				t = maybe
			default:
				low := strings.ToLower(text)
				t = sure(low != "" && low != "0" && low != "no" && low != "false")
			}
		}
		if t&hosts&yes != 0 {
			a.Because = append(a.Because, judge.Line{File: r.At.File, Line: r.At.Line, Text: "authenticator " + r.Name + " offers " + r.Options["public_name"]})
		}
		offered = either(offered, t)
	}
	a.Text = textOf(a.Because)
	switch {
	case offered == no || hosts == no:
		a.Outcome = judge.Refused
		if offered == no && len(a.Because) == 0 {
			a.Text = "there is no authenticator that is offered without TLS"
		}
	case offered == yes && hosts == yes:
		a.Outcome = judge.Disclosed
	}
}

// either is the truth of two conditions of which one is enough.
func either(a, b truth) truth {
	switch {
	case a == yes || b == yes:
		return yes
	case a == no && b == no:
		return no
	}
	return maybe
}

// serverOptions make an authenticator one of the server's, by driver (chapters 34 to 42).
var serverOptions = map[string]string{
	"plaintext": "server_condition", "cram_md5": "server_secret", "dovecot": "server_socket", "spa": "server_password", "tls": "server_param1",
	"external": "server_condition", "cyrus_sasl": "", "gsasl": "", "heimdal_gssapi": "",
}

// serves says whether an authenticator is one of the server's.
func (r *router) serves() bool {
	need, known := serverOptions[r.Options["driver"]]
	return r.Options["public_name"] != "" && (!known || need == "" || r.Options[need] != "" || r.Options["server_condition"] != "")
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
