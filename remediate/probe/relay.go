package probe

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// decide asks what decides most: whether the server takes mail at all, and whether it sends a stranger's mail on.
func (a *asker) decide(ctx context.Context) {
	s := a.firstSlot()
	defer s.drop()
	if !a.c.Relay {
		s.drop()
		a.control(ctx)
		a.report.Notes = append(a.report.Notes, "relaying was not asked: it is not known that this client is one from outside")
		return
	}
	m := a.matrix()
	first := append(m.first(), m.plain("literal-sender", senderUser+"@"+m.literal))
	if !a.plainest(ctx, s, first[0]) {
		s.drop()
		a.control(ctx)
		a.stage(ctx, first[:1])
	}
	a.stageOn(ctx, s, first[1:])
}

// firstSlot is the first connection's, where nothing was asked on it; else one for a connection that lasts.
func (a *asker) firstSlot() *slot {
	s := a.first
	a.first = nil
	if s == nil {
		s = &slot{lasts: true}
	}
	return s
}

// plainest asks the plain question on a connection of its own, and on the same, where that ended in a final no, for a recipient of the server's
// own: one no cannot have made the server take that. Then the connection stays open for what may share it. Where the recipient is not taken, it
// is asked anew on a connection of its own.
func (a *asker) plainest(ctx context.Context, s *slot, q question) bool {
	if len(a.c.Done) > 0 || a.c.Forms != nil && !slices.Contains(a.c.Forms, q.form) {
		return false
	}
	plain := a.run(ctx, s, q)
	if s.client == nil || !plain.settled() || !plain.senderTaken || !a.controlled(ctx, s, plain.Sender) {
		s.drop()
		a.control(ctx)
	}
	a.cases = append(a.cases, plain) // behind the control, as reports have it
	return true
}

// controlled asks for a recipient of the server's own on a connection that has carried one question.
func (a *asker) controlled(ctx context.Context, s *slot, sender string) bool {
	account := a.matrix().accounts()[0]
	q := a.matrix().control(account)
	q.senders = []string{sender}
	out, late := a.shared(ctx, s, q)
	if late || out.Verdict != Taken {
		return false
	}
	a.local, a.localFrom = account, &q
	a.cases = append(a.cases, out)
	return true
}

// matrixForms asks every other form.
func (a *asker) matrixForms(ctx context.Context) {
	if a.c.Relay {
		m := a.matrix()
		sender, literalTaken, ok := a.takenSender()
		if ok {
			a.stage(ctx, m.rest(sender, literalTaken))
			a.spoof(ctx, m, sender)
		} else {
			a.report.Notes = append(a.report.Notes, "no sender was taken: the other forms were not asked")
		}
		if a.canTLS() && !a.needsTLS() {
			a.stage(ctx, m.secured())
		}
	}
	if slices.ContainsFunc(a.cases, func(k asked) bool { return k.Verdict == Unproven }) {
		a.report.Notes = append(a.report.Notes, "any account at the server's own names is taken: whether it sends on what hides a foreign address there, only a message that arrives can prove")
	}
	a.tlsVersions(ctx)
}

// control looks for a recipient of the server's own that is taken.
func (a *asker) control(ctx context.Context) {
	for _, account := range a.matrix().accounts() {
		a.stage(ctx, []question{a.matrix().control(account)})
		last := a.cases[len(a.cases)-1]
		if last.Verdict == Taken {
			a.local = account
			taken := a.matrix().control(account)
			taken.senders = []string{last.Sender}
			a.localFrom = &taken
		}
		if !last.unknownAccount() {
			return
		}
	}
}

// unknownAccount says whether a recipient was refused because it is none.
func (c Case) unknownAccount() bool {
	if c.Verdict != Refused || len(c.Dialogue) == 0 {
		return false
	}
	reply := c.Dialogue[len(c.Dialogue)-1].Reply
	return reply.Code == 550 && (reply.Enhanced == "" || strings.HasPrefix(reply.Enhanced, "5.1."))
}

// spoof asks what should need a right of its own, under TLS where a login is offered there alone.
func (a *asker) spoof(ctx context.Context, m matrixFor, sender string) {
	if a.proxied > 0 {
		q := m.plain("proxy-header", sender)
		q.as = "127.0.0.1"
		a.stage(ctx, []question{q})
	}
	a.stage(ctx, m.spoofed(sender, a.report.Plain))
	secure := m.spoofed(sender, a.report.Secure)
	if !a.l.TLS {
		for i := range secure {
			secure[i].tls = true
		}
	}
	a.stage(ctx, secure)
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
	case a.local != "":
		m.local = a.local
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

// takenSender is the sender to ask the routed forms with: one that the server took, a stranger's rather than its own.
func (a *asker) takenSender() (sender string, literalTaken, ok bool) {
	for _, c := range a.cases {
		if !c.senderTaken || c.TLS != (a.l.TLS || a.needsTLS()) {
			continue
		}
		if c.Form == "literal-sender" {
			literalTaken = true
		}
		if !ok || c.Form == "plain" {
			sender, ok = c.Sender, true
		}
	}
	return sender, literalTaken, ok
}

// stage asks questions, c.Parallel connections at a time, and keeps their order in the report: first those that can share connections.
func (a *asker) stage(ctx context.Context, questions []question) { a.stageOn(ctx, &slot{}, questions) }

// stageOn is stage, with a connection that is open already, where there is one, for what can share it. It is closed afterwards.
func (a *asker) stageOn(ctx context.Context, open *slot, questions []question) {
	questions = slices.DeleteFunc(questions, func(q question) bool {
		return a.c.Forms != nil && !q.local && !slices.Contains(a.c.Forms, q.form)
	})
	cases := make([]asked, len(questions))
	rest := a.together(ctx, open, questions, cases)
	open.drop()
	next := make(chan int)
	var wait sync.WaitGroup
	for range min(a.c.Parallel, len(rest)) {
		wait.Go(func() {
			s := &slot{}
			defer s.drop()
			for i := range next {
				cases[i] = a.run(ctx, s, questions[i])
			}
		})
	}
	for _, i := range rest {
		next <- i
	}
	close(next)
	wait.Wait()
	a.cases = append(a.cases, cases...)
}

// slot holds a connection that one worker may use for several dialogues.
type slot struct {
	client *client
	helo   string
	tls    bool
	lasts  bool          // a settled question leaves the connection open for what its owner asks next
	pace   time.Duration // how long the connection took to open; 0 where its greeting is slow by a policy
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
	as     string // the client that a PROXY header names
}

// maxTries bounds the attempts at one question, maxWaits those that begin with a pause.
const (
	maxTries = 8
	maxWaits = 3
)

// run asks one question until its reply is about the recipient, as far as another attempt can bring that.
func (a *asker) run(ctx context.Context, s *slot, q question) asked {
	t := try{as: q.as, helo: a.greetsAs(), tls: q.tls || a.needsTLS()}
	if q.helo != "" {
		t.helo = q.helo
	}
	if done, ok := a.done(q, t); ok {
		return done
	}
	if met, ok := a.metWith(q, t); ok {
		return met
	}
	c := asked{Case: Case{Form: q.form, Sender: q.senders[0], Recipient: q.sent(rcptUser, a.matrix().domain), Verdict: NotAsked}}
	for range maxTries {
		if ctx.Err() != nil {
			c.Verdict, c.Why = NotAsked, timeIsOver
			return c
		}
		if a.givenUp() {
			c.Verdict, c.Why = NotAsked, "the server had stopped answering this client"
			return c
		}
		c = a.once(ctx, s, q, t)
		if c.Verdict == Broken && c.Why == timeIsOver {
			c.Verdict = NotAsked // the dialogue was cut from this side
			return c
		}
		if !a.another(ctx, s, q, &t, c) {
			break
		}
		if s.lasts {
			s.drop()
		}
	}
	return c
}

// metWith is what the first connection showed about a question.
func (a *asker) metWith(q question, t try) (asked, bool) {
	for _, k := range a.met {
		if q.form == k.Form && slices.Contains(q.senders, k.Sender) && t.tls && t.as == "" && !a.l.TLS && t.helo == k.Helo {
			return k, true
		}
	}
	return asked{}, false
}

// done is what an earlier run found out about a question.
func (a *asker) done(q question, t try) (asked, bool) {
	rcpt := q.sent(rcptUser, a.matrix().domain)
	for _, c := range a.c.Done {
		if c.Form == q.form && slices.Contains(q.senders, c.Sender) && c.Recipient == rcpt && c.TLS == (t.tls || a.l.TLS) && c.Verdict != NotAsked {
			return asked{Case: c, question: q, senderTaken: c.took()}, true
		}
	}
	return asked{}, false
}

// took says whether the server took the sender.
func (c Case) took() bool {
	for _, x := range c.Dialogue {
		if strings.HasPrefix(x.Sent, "MAIL") {
			return x.Reply.good()
		}
	}
	return false
}

// another says whether a further attempt is worth it, and what it does differently.
func (a *asker) another(ctx context.Context, s *slot, q question, t *try, c asked) bool {
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
		a.mu.Lock()
		a.helo = t.helo
		a.mu.Unlock()
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

func (a *asker) greetsAs() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.helo
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
