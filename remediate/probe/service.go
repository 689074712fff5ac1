package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"mtaharden/remediate/judge"
)

// services asks what is not relaying: what is shown of product, version and accounts, and which commands are there at all.
func (a *asker) services(ctx context.Context) {
	r := a.report
	names := a.names()
	shown := func(verb judge.Verb, reply, what string, secure bool, log []Exchange) {
		s := Service{Verb: verb, TLS: secure, Outcome: judge.Refused, Text: reply, Dialogue: log}
		if leak := a.tables.leak(what, names); leak != "" {
			s.Outcome, s.Text = judge.Disclosed, fmt.Sprintf("%s (it names %s)", reply, leak)
		}
		r.Services = append(r.Services, s)
	}
	shown(judge.Banner, r.Banner, strings.TrimPrefix(r.Banner, "220 "), a.l.TLS, nil)
	r.Services = append(r.Services, a.authOffer())
	if a.c.Brief {
		r.Product, r.Version = a.tables.identify([]string{strings.TrimPrefix(r.Banner, "220 "), r.Plain.Greeting}, everything(r), names)
		return
	}
	st := &sitting{}
	vrfy := a.accounts(ctx, st, judge.Vrfy)
	log, secure, err := a.dialogue(ctx, st, "HELP", "ETRN "+token()+".invalid", "VERB", "DEBUG", "WIZ")
	a.rise(ctx, st)
	if len(log) > 0 && log[0].Error == "" {
		a.help = log[0].Reply.text()
		shown(judge.Help, log[0].Reply.String(), a.help, secure, log[:1])
	} else {
		r.Services = append(r.Services, untold(judge.Help, log, err))
	}
	r.Services = append(r.Services, vrfy, a.accounts(ctx, st, judge.Expn))
	a.rise(ctx, st)
	a.oddities(log, 1, secure)
}

// identify names the product, from what it shows and from its way of talking.
func (a *asker) identify() {
	r := a.report
	r.Product, r.Version = a.tables.identify([]string{strings.TrimPrefix(r.Banner, "220 "), a.help, r.Plain.Greeting}, everything(r), a.names())
}

// everything is the text of all dialogues so far.
func everything(r *Report) string {
	lines := append([]string{r.Banner, r.Plain.Greeting, r.Secure.Greeting}, r.Plain.Extensions...)
	lines = append(lines, r.Secure.Extensions...)
	for _, s := range r.Services {
		for _, x := range s.Dialogue {
			lines = append(lines, x.Reply.String())
		}
	}
	for _, k := range r.Cases {
		for _, x := range k.Dialogue {
			lines = append(lines, x.Reply.String())
		}
	}
	return strings.Join(lines, "\n")
}

// authOffer says whether a login is offered before TLS, where a password can be read on the way.
func (a *asker) authOffer() Service {
	s := Service{Verb: judge.Auth, Outcome: judge.Refused, Text: "AUTH is not offered without TLS"}
	switch {
	case a.l.TLS:
		s.Text += ": the listener begins with TLS"
	case len(a.report.Plain.Auth) > 0:
		s.Outcome, s.Text = judge.Disclosed, "AUTH "+strings.Join(a.report.Plain.Auth, " ")+" is offered without TLS"
	}
	return s
}

// sitting is a connection on which more than one dialogue may be had.
type sitting struct {
	client *client
	secure bool
}

// rise ends a sitting.
func (a *asker) rise(ctx context.Context, st *sitting) {
	if st.client != nil {
		a.leave(ctx, st.client)
		st.client = nil
	}
}

// dialogue says commands, under TLS where the server wants that: on the sitting's connection, or on one that is the sitting's afterwards. Where
// the server leaves after some of them, the rest is said on another: each is the first of a connection once before it counts as not answered.
// What was said on a connection that had carried a dialogue before counts only where the server answers all of it and stays.
func (a *asker) dialogue(ctx context.Context, st *sitting, commands ...string) ([]Exchange, bool, error) {
	var all []Exchange
	for secure := false; ; {
		used := st.client != nil
		log, under, err := a.session(ctx, st, secure, commands...)
		secure = under && !a.l.TLS
		answered := len(log)
		for answered > 0 && (log[answered-1].Error != "" || log[answered-1].Reply.Code == 421) {
			answered--
		}
		if used && (answered < len(commands) || !st.stays()) {
			st.drop()
			continue
		}
		if answered < len(commands) {
			st.drop()
		}
		if answered == 0 || answered == len(commands) {
			return append(all, log...), under, err
		}
		all, commands = append(all, log[:answered]...), commands[answered:]
	}
}

// stays says whether the server still serves the connection.
func (st *sitting) stays() bool {
	if st.client == nil {
		return false
	}
	reply, err := st.client.say("RSET")
	return err == nil && reply.good()
}

func (st *sitting) drop() {
	if st.client != nil {
		st.client.quit()
		st.client = nil
	}
}

// session says commands on a sitting's connection, which it opens where there is none, or one without TLS that should be under it, or the reverse.
func (a *asker) session(ctx context.Context, st *sitting, secure bool, commands ...string) ([]Exchange, bool, error) {
	secure = secure || a.needsTLS()
	if st.client != nil && secure != st.secure {
		st.drop()
	}
	if st.client == nil {
		if err := a.sit(ctx, st, secure); err != nil {
			return nil, secure, err
		}
	}
	c := st.client
	mark := len(c.log)
	for _, command := range commands {
		reply, err := c.say(command)
		if err != nil {
			return c.log[mark:], secure || a.l.TLS, err
		}
		if !secure && a.canTLS() && a.tables.rule("MAIL", reply, false).Again == useTLS {
			st.drop() // before another is opened
			return a.session(ctx, st, true, commands...)
		}
	}
	return slices.Clone(c.log[mark:]), secure || a.l.TLS, nil
}

// sit opens a sitting's connection.
func (a *asker) sit(ctx context.Context, st *sitting, secure bool) error {
	c, err := a.dial(ctx, "")
	if err != nil {
		return err
	}
	st.client, st.secure = c, secure
	if reply, err := a.introduce(c, a.helo); err != nil || !reply.good() {
		st.drop()
		return errors.New("the server did not greet: " + c.heard(reply, err))
	}
	if secure && c.secure == nil {
		if reply, err := c.startTLS(ctx, tlsConfig(a.serverName(), tls.VersionTLS10, 0), a.helo); err != nil || !reply.good() {
			st.drop()
			return errors.New("STARTTLS: " + c.heard(reply, err))
		}
	}
	return nil
}

func untold(verb judge.Verb, log []Exchange, err error) Service {
	text := said(log)
	if len(log) == 0 && err != nil {
		text = err.Error()
	}
	return Service{Verb: verb, Outcome: judge.CannotTell, Text: fmt.Sprintf("no reply to %s: %s", verb, text), Dialogue: log}
}

// accounts asks VRFY or EXPN for accounts that are there and for some that are not, with and without a domain: where the replies differ, anybody
// can find out which accounts exist. Each round has a connection of its own, the last the sitting's afterwards: sendmail holds its answers back
// from the seventh on (8.18, srvrsmtp.c, MAXVRFYCOMMANDS).
func (a *asker) accounts(ctx context.Context, st *sitting, verb judge.Verb) Service {
	user, _, _ := strings.Cut(a.l.Local, "@")
	if user == "" {
		user = "postmaster"
	}
	out := Service{Verb: verb, Outcome: judge.CannotTell}
	domains := []string{""}
	if names := a.names(); len(names) > 0 {
		domains = append(domains, "@"+names[0])
	}
	for _, d := range domains {
		asked := []string{user + d, token() + d, "root" + d, token() + d}
		commands := make([]string, len(asked))
		for i, account := range asked {
			commands[i] = string(verb) + " " + account
		}
		a.rise(ctx, st)
		log, secure, err := a.dialogue(ctx, st, commands...)
		outcome, text := compare(log, asked)
		if len(log) > 0 && a.tables.rule("MAIL", log[0].Reply, false).Again == useTLS {
			outcome, text = judge.CannotTell, "not tested: the server wants TLS first: "+log[0].Reply.String()
		}
		if len(log) == 0 && err != nil {
			text = err.Error()
		}
		out.TLS, out.Dialogue = secure, append(out.Dialogue, log...)
		if out.Outcome == judge.CannotTell || outcome == judge.Disclosed {
			out.Outcome, out.Text = outcome, text
		}
		if outcome == judge.Disclosed || absent(log, len(commands)) {
			break
		}
	}
	return out
}

// absent says that the server does not have the command, whatever the account (RFC 5321, 4.2.4).
func absent(log []Exchange, n int) bool {
	return len(log) == n && !slices.ContainsFunc(log, func(x Exchange) bool {
		return x.Error != "" || x.Reply.Code != 500 && x.Reply.Code != 502 || !slices.Equal(x.Reply.Lines, log[0].Reply.Lines)
	})
}

// compare judges the replies for an account that exists, one that does not, another that may, and another that does not.
func compare(log []Exchange, asked []string) (judge.Outcome, string) {
	var replies []Reply
	for _, x := range log {
		if x.Error != "" {
			break
		}
		replies = append(replies, x.Reply)
	}
	if len(replies) < 2 {
		return judge.CannotTell, "the server broke off: " + said(log)
	}
	told := false
	for i := 0; i+1 < len(replies); i += 2 {
		known, unknown := replies[i], replies[i+1]
		if known.Code/100 == 4 || unknown.Code/100 == 4 {
			if told {
				break
			}
			return judge.CannotTell, "a temporary reply: " + said(log)
		}
		if unread(unknown) {
			continue // a server may know postmaster without a domain, and no other account
		}
		told = true
		if differ(known, asked[i], unknown, asked[i+1], steady(replies, asked)) {
			return judge.Disclosed, fmt.Sprintf("%s: %s, but %s: %s", asked[i], known, asked[i+1], unknown)
		}
	}
	if !told {
		return judge.CannotTell, "not tested: the server does not read this form of address: " + replies[1].String()
	}
	if !replies[0].good() {
		return judge.Refused, replies[0].String()
	}
	return judge.Refused, "the same for accounts that exist and that do not: " + replies[0].String()
}

// unread says whether a reply is about the syntax of the account (RFC 5321, 4.2.2) and not about the command.
func unread(r Reply) bool { return r.Code == 501 || r.Code == 504 || r.Code == 555 }

// steady says whether the texts of two replies about accounts that do not exist are alike: where each reply holds a number of its own, only
// codes can be compared.
func steady(replies []Reply, asked []string) bool {
	return len(replies) >= 4 && neutral(replies[1], asked[1]) == neutral(replies[3], asked[3])
}

func differ(a Reply, askedA string, b Reply, askedB string, texts bool) bool {
	if a.Code != b.Code || a.Enhanced != b.Enhanced {
		return true
	}
	// the same words tell nothing, also where the name of an account happens to be one of them: "Cannot VRFY user"
	return texts && neutral(a, askedA) != neutral(b, askedB) && a.text() != b.text()
}

var spaces = regexp.MustCompile(`\s+`)

// neutral is a reply without the account that was asked for.
func neutral(r Reply, account string) string {
	user, _, _ := strings.Cut(account, "@")
	text := without(r.text(), []string{account, user})
	return spaces.ReplaceAllString(text, " ")
}

func said(log []Exchange) string {
	if len(log) == 0 {
		return "no reply"
	}
	x := log[len(log)-1]
	if x.Error != "" {
		return x.Error
	}
	return x.Reply.String()
}

// oddities records what became of commands that no stranger needs.
func (a *asker) oddities(log []Exchange, from int, secure bool) {
	for _, x := range log[min(from, len(log)):] {
		verb, _, _ := strings.Cut(x.Sent, " ")
		s := Service{Verb: judge.Verb(verb), TLS: secure, Outcome: judge.Refused, Text: x.Reply.String(), Dialogue: []Exchange{x}}
		switch {
		case x.Error != "":
			s.Outcome, s.Text = judge.CannotTell, x.Error
		case x.Reply.good() && x.Reply.Code != 252:
			s.Outcome = judge.Disclosed
		case x.Reply.Code/100 == 4 && x.Reply.Code != 458 && x.Reply.Code != 459: // the two that RFC 1985 has for ETRN
			s.Outcome = judge.CannotTell
		}
		a.report.Services = append(a.report.Services, s)
	}
}
