package probe

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// relay asks the relay matrix: first whether the server takes mail at all, then what decides most, then every other form.
func (a *asker) relay(ctx context.Context) {
	m := a.matrix()
	a.stage(ctx, []question{m.control()})
	if !a.c.Relay {
		a.report.Notes = append(a.report.Notes, "relaying was not asked: it is not known that this client is one from outside")
		return
	}
	a.stage(ctx, m.first())
	a.stage(ctx, []question{m.plain("literal-sender", senderUser+"@"+m.literal)})
	sender, literalTaken, ok := a.takenSender()
	if !ok {
		a.report.Notes = append(a.report.Notes, "no sender was taken: the other forms were not asked")
	} else {
		a.stage(ctx, m.rest(sender, literalTaken))
	}
	if a.canTLS() && !a.wantTLS {
		a.stage(ctx, m.secured())
	}
	if !a.c.Brief {
		a.tlsVersions(ctx)
	}
}

// matrix gathers what the questions are made of.
func (a *asker) matrix() matrixFor {
	m := matrixFor{names: a.names(), literal: literal(a.l.Addr.Addr())}
	m.domain, m.third, m.second = foreignDomains(a.c.Domain, m.names)
	user, domain, whole := strings.Cut(a.l.Local, "@")
	if user != "postmaster" {
		m.user = user
	}
	switch {
	case whole && isDomain(domain):
		m.local = a.l.Local
	case user != "" && len(m.names) > 0:
		m.local = user + "@" + m.names[0]
	case len(m.names) > 0:
		m.local = "postmaster@" + m.names[0]
	default:
		m.local = "postmaster" // RFC 5321, 4.5.1: taken without a domain
	}
	return m
}

// takenSender is the sender to ask the routed forms with: the first that the server took, a stranger's rather than its own.
func (a *asker) takenSender() (sender string, literalTaken, ok bool) {
	for _, c := range a.report.Cases {
		if !c.senderTaken {
			continue
		}
		if c.Form == "literal-sender" {
			literalTaken = true
		}
		if !ok {
			sender, ok = c.Sender, true
		}
	}
	return sender, literalTaken, ok
}

// stage asks questions, c.Parallel connections at a time, and keeps their order in the report.
func (a *asker) stage(ctx context.Context, questions []question) {
	questions = slices.DeleteFunc(questions, func(q question) bool {
		return a.c.Forms != nil && !q.local && !slices.Contains(a.c.Forms, q.form)
	})
	cases := make([]Case, len(questions))
	next := make(chan int)
	var wait sync.WaitGroup
	for range min(a.c.Parallel, len(questions)) {
		wait.Go(func() {
			s := &slot{}
			defer s.drop()
			for i := range next {
				cases[i] = a.run(ctx, s, questions[i])
			}
		})
	}
	for i := range questions {
		next <- i
	}
	close(next)
	wait.Wait()
	a.report.Cases = append(a.report.Cases, cases...)
}

// slot holds a connection that one worker may use for several dialogues.
type slot struct {
	client *client
	helo   string
	tls    bool
}

func (s *slot) drop() {
	if s.client != nil {
		s.client.quit()
		s.client = nil
	}
}

// try is how a question is asked this time.
type try struct {
	sender int
	helo   string
	tls    bool
	waits  int
}

// maxTries bounds the attempts at one question, maxWaits those that begin with a pause.
const (
	maxTries = 8
	maxWaits = 3
)

// run asks one question until its reply is about the recipient, as far as another attempt can bring that.
func (a *asker) run(ctx context.Context, s *slot, q question) Case {
	t := try{helo: a.helo, tls: q.tls || a.needsTLS()}
	if q.helo != "" {
		t.helo = q.helo
	}
	c := Case{Form: q.form, Sender: q.senders[0], Recipient: q.rcpt(rcptUser, a.matrix().domain), Verdict: NotAsked}
	for range maxTries {
		if ctx.Err() != nil {
			c.Verdict, c.Why = NotAsked, "the time for this listener was over"
			return c
		}
		if a.givenUp() {
			c.Verdict, c.Why = NotAsked, "the server had stopped answering this client"
			return c
		}
		c = a.once(ctx, s, q, t)
		if !a.another(ctx, s, q, &t, c) {
			break
		}
	}
	return c
}

// another says whether a further attempt is worth it, and what it does differently.
func (a *asker) another(ctx context.Context, s *slot, q question, t *try, c Case) bool {
	switch {
	case c.again == "":
		return false
	case c.again == useTLS && !t.tls && a.canTLS():
		t.tls = true
		a.mu.Lock()
		a.wantTLS = true
		a.mu.Unlock()
	case c.again == otherHelo && q.helo == "" && t.helo != a.otherHelo():
		t.helo = a.otherHelo()
	case c.again == otherSender && t.sender+1 < len(q.senders):
		t.sender++
	case c.again == alone && c.shared:
	case c.again == later && t.waits < maxWaits:
		t.waits++
		return pause(ctx, time.Duration(5<<t.waits)*time.Second)
	default:
		return false
	}
	return true
}

func (a *asker) needsTLS() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.wantTLS
}

func (a *asker) givenUp() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed >= maxFailed
}

// once asks a question one time.
func (a *asker) once(ctx context.Context, s *slot, q question, t try) Case {
	m := a.matrix()
	out := Case{Form: q.form, Sender: q.senders[t.sender], Recipient: q.rcpt(rcptUser, m.domain), Helo: t.helo, TLS: t.tls || a.l.TLS, question: q}
	c, ok := a.ready(ctx, s, t, &out)
	if !ok {
		return out
	}
	mark := len(c.log)
	out.shared = c.used > 0
	c.used++
	clean := a.transact(c, q, m, &out)
	out.Dialogue = append(out.Dialogue, c.log[mark:]...)
	if !clean || c.used >= a.perConn {
		s.drop()
	}
	return out
}

// ready gives the slot a connection on which a transaction may begin. Where there is none, the case says why.
func (a *asker) ready(ctx context.Context, s *slot, t try, out *Case) (*client, bool) {
	if s.client != nil && s.helo == t.helo && s.tls == t.tls {
		if reply, err := s.client.say("RSET"); err == nil && reply.good() {
			return s.client, true
		}
	}
	s.drop()
	c, err := a.dial(ctx)
	if err != nil {
		a.count(false)
		out.Verdict, out.Why, out.again = Broken, "cannot connect: "+err.Error(), later
		return nil, false
	}
	banner, err := c.greet()
	if !a.follows(c, "BANNER", banner, err, out) {
		a.count(banner.Code != 0)
		return nil, false
	}
	a.count(true)
	reply, err := c.hello(t.helo)
	if !a.follows(c, "EHLO", reply, err, out) {
		return nil, false
	}
	if t.tls && c.secure == nil {
		reply, err := c.startTLS(ctx, tlsConfig(a.serverName(), tls.VersionTLS10, 0), t.helo)
		if err == nil && c.secure == nil {
			err = errors.New("STARTTLS: " + reply.String())
		}
		if !a.follows(c, "EHLO", reply, err, out) {
			return nil, false
		}
	}
	out.Dialogue = c.log
	c.log = nil
	s.client, s.helo, s.tls = c, t.helo, t.tls
	return c, true
}

// count keeps how many connections in a row came to nothing.
func (a *asker) count(served bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.opened++
	a.failed++
	if served {
		a.failed = 0
	}
}

// follows says whether the dialogue goes on after a reply; where not, the case gets its verdict and the connection is left.
func (a *asker) follows(c *client, at string, reply Reply, err error, out *Case) bool {
	if err == nil {
		rule := a.tables.rule(at, reply, false)
		if rule.Verdict == taken {
			return true
		}
		out.settle(rule, reply)
	} else {
		out.Verdict, out.Why, out.again = Broken, plainError(err, c.timeout), alone
	}
	out.Dialogue = c.log
	c.quit()
	return false
}

// settle gives a case the verdict of a reply.
func (c *Case) settle(r replyRule, reply Reply) {
	c.again = r.Again
	c.Why = r.Why + ": " + reply.String()
	switch r.Verdict {
	case refused:
		c.Verdict = Refused
	case notTested:
		c.Verdict = NotTested
	case deferred:
		c.Verdict = Deferred
	default:
		c.Verdict = Broken
	}
}

// transact does one transaction up to RCPT. It says whether the connection may be used again.
func (a *asker) transact(c *client, q question, m matrixFor, out *Case) bool {
	fail := func(err error) bool {
		out.Verdict, out.Why, out.again = Broken, plainError(err, c.timeout), alone
		return false
	}
	reply, err := c.say("MAIL FROM:<" + out.Sender + ">")
	if err != nil {
		return fail(err)
	}
	if rule := a.tables.rule("MAIL", reply, false); rule.Verdict != taken {
		out.settle(rule, reply)
		return rule.Verdict == refused
	}
	out.senderTaken = true
	if q.before != "" {
		reply, err := c.say("RCPT TO:<" + q.before + ">")
		if err != nil {
			return fail(err)
		}
		if !reply.good() {
			out.Verdict, out.Why = NotTested, "the first recipient, one of the server's own, was not taken: "+reply.String()
			return true
		}
	}
	reply, err = c.say(q.rcptCommand(rcptUser, m.domain))
	if err != nil {
		return fail(err)
	}
	rule := a.tables.rule("RCPT", reply, q.foreign)
	if rule.Verdict != taken {
		out.settle(rule, reply)
		return rule.Verdict == refused && rule.Again == ""
	}
	if q.local {
		out.Verdict, out.Why = Taken, reply.String()
		return true
	}
	return a.confirm(c, q, m, reply, out)
}

func (q question) rcptCommand(user, domain string) string {
	wire := q.wire
	if wire == "" {
		wire = "TO:<%s>"
	}
	return "RCPT " + fmt.Sprintf(wire, q.rcpt(user, domain))
}

// confirm asks, in the transaction where a foreign recipient was taken, for what tells an open relay from a server that takes everything: a
// recipient of the same form in another domain, one in a domain that exists nowhere (RFC 2606), and an account of its own that does not exist.
func (a *asker) confirm(c *client, q question, m matrixFor, first Reply, out *Case) bool {
	out.Verdict = Relays
	said := []string{first.String()}
	all := true
	ask := func(what, command string) bool {
		reply, err := c.say(command)
		switch {
		case err != nil:
			all = false
			said = append(said, what+": "+plainError(err, c.timeout))
			return false
		case reply.good():
			said = append(said, "takes "+what+" too")
		default:
			all = false
			said = append(said, "not "+what+": "+reply.String())
		}
		return true
	}
	ok := ask("another domain", q.rcptCommand(rcptUser, m.second)) && ask("a domain that exists nowhere", q.rcptCommand(rcptUser, token()+".invalid"))
	if ok && len(m.names) > 0 {
		ok = ask("an account that does not exist", "RCPT TO:<"+token()+"@"+m.names[0]+">")
	}
	if all {
		out.Verdict = AcceptsAll
	}
	out.Why = strings.Join(said, "; ")
	return ok
}

// token is a word that nobody else uses.
func token() string {
	b := make([]byte, 6)
	rand.Read(b)
	return "mth" + hex.EncodeToString(b)
}
