package probe

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// What a connection carries that is shared: less than any of the lab's servers holds against a client. Postfix holds its answers back from the tenth
// error on (postconf(5), smtpd_soft_error_limit), and Exim ends a connection at the fourth command that it cannot read and the eleventh RSET
// (smtp_max_synprot_errors, smtp_accept_max_nonmail).
const (
	togetherCases  = 8
	togetherUnread = 3 // a sender that is not read, or a recipient
	togetherFew    = 3 // fewer settled are hardly worth sharing a connection whose answers come late
)

// How late an answer is that a server holds back for what came before it: a second, and where the connection itself took long to open, as with a
// busy server, some of its paces.
const (
	heldBack  = time.Second
	pacesLate = 3
)

// together puts questions that can share connections, several to each, and returns those that are still to be asked, each on a connection of
// its own. A dialogue's cost is its connection: a process of the server, a session and a channel at each vantage, and TLS.
//
// A verdict is no weaker for it, since a shared connection settles the least:
//   - The question that decides most, the plain one, and those that greet otherwise are the first of their connection, and those that say
//     more have it for themselves.
//   - Only a no that is final settles a question: to the recipient, to the sender, or to how an address is written. What was taken, put off, or
//     objects to something else is asked again on a connection of its own, and that alone counts.
//   - Each connection ends with the recipient of the server's own that it took from a stranger before. A server that had turned against the
//     connection, for its errors or for relaying, refuses that too, or has hung up: then nothing of the connection counts, and from there on
//     every question has one of its own. So has it where the server takes a foreign recipient, or holds its answers back from the first on; where
//     later, the connection ends there.
//   - Where the greeting is slow, a connection of its own for each question would outlast the host's time: there a recipient that was taken
//     settles its question, too, and the connection goes on. It has to end with the server's own like any other.
func (a *asker) together(ctx context.Context, open *slot, questions []question, cases []asked) (rest []int) {
	b := a.batchOf(questions, cases)
	if len(b.todo) > 1 || len(b.todo) > 0 && open.client != nil {
		var wait sync.WaitGroup
		for i := range min(a.c.Parallel, (len(b.todo)+len(b.leads)+togetherCases-1)/togetherCases) {
			s := &slot{}
			if i == 0 {
				s = open
			}
			wait.Go(func() {
				defer s.drop()
				for ctx.Err() == nil && a.shares() && b.more() {
					a.carry(ctx, s, b)
				}
			})
		}
		wait.Wait()
	}
	rest = slices.Concat(b.rest, b.leads, b.todo)
	slices.Sort(rest)
	return rest
}

// batch is the questions of a stage: those that no connection has taken up, those with a connection of their own that others may share
// afterwards, and those that have to be asked alone.
type batch struct {
	questions []question
	cases     []asked

	mu                sync.Mutex
	todo, leads, rest []int
}

func (a *asker) batchOf(questions []question, cases []asked) *batch {
	b := &batch{questions: questions, cases: cases}
	for i, q := range questions {
		switch {
		case !a.mayShare(q):
			b.rest = append(b.rest, i)
		case q.form == "plain" || q.helo != "":
			b.leads = append(b.leads, i)
		default:
			b.todo = append(b.todo, i)
		}
	}
	return b
}

func (b *batch) more() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.todo) > 0
}

func (b *batch) next() (int, bool) { return b.take(&b.todo) }

func (b *batch) take(from *[]int) (int, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(*from) == 0 {
		return 0, false
	}
	i := (*from)[0]
	*from = (*from)[1:]
	return i, true
}

func (b *batch) alone(indices ...int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rest = append(b.rest, indices...)
}

// mayShare says whether a question may share a connection, or lead one. A connection under TLS is shared by a stage's questions alone, which all want it.
func (a *asker) mayShare(q question) bool {
	t := try{helo: a.greetsAs(), tls: q.tls || a.needsTLS(), as: q.as}
	if _, done := a.done(q, t); done {
		return false
	}
	_, met := a.metWith(q, t)
	return !met && a.localFrom != nil && a.shares() && !q.local && q.as == "" && len(q.prelude) == 0
}

// shares says whether the server has not held against a connection what it carried.
func (a *asker) shares() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.counts
}

func (a *asker) sharesNoMore() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts = true
}

// heldBack counts the shared connections in a row that an answer held back ended before they had settled much. One may be the doing of a machine
// that is busy; after two, each question has a connection of its own.
func (a *asker) heldBack(soon bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.late++
	if !soon {
		a.late = 0
	}
	a.counts = a.counts || a.late > 1
}

// lead asks a question that wants a connection of its own, as the first of one that others share afterwards. Where its answer is no final no, or
// the server does not let this side greet again as it is used to, none do.
func (a *asker) lead(ctx context.Context, s *slot, b *batch) {
	i, ok := b.take(&b.leads)
	if !ok {
		return
	}
	s.lasts = true
	b.cases[i] = a.run(ctx, s, b.questions[i])
	if s.client == nil || s.helo == a.greetsAs() && b.cases[i].settled() {
		return
	}
	if b.cases[i].settled() {
		if reply, err := s.client.hello(a.greetsAs()); err == nil && reply.good() {
			s.helo = a.greetsAs()
			return
		}
	}
	s.drop()
}

// carry has the dialogues of one shared connection. What it settled is in the batch's cases when it returns, what not among those to ask alone.
func (a *asker) carry(ctx context.Context, s *slot, b *batch) {
	defer s.drop()
	if s.client == nil {
		a.lead(ctx, s, b)
	}
	var settled []int
	found, late := map[int]asked{}, false
	for unread := 0; !late && s.carried() < togetherCases && unread < togetherUnread; {
		i, ok := b.next()
		if !ok {
			break
		}
		var out asked
		out, late = a.shared(ctx, s, b.questions[i])
		if !out.settled() && !(a.slow && out.taken()) {
			if !a.slow {
				a.sharesNoMore()
			}
			b.alone(i)
			break
		}
		if out.Verdict == NotTested {
			unread++
		}
		settled, found[i] = append(settled, i), out
	}
	if len(settled) == 0 {
		return
	}
	a.heldBack(late && len(settled) < togetherFew)
	if out, _ := a.shared(ctx, s, *a.localFrom); out.Verdict != Taken {
		a.sharesNoMore()
		b.alone(settled...)
		return
	}
	for _, i := range settled {
		b.cases[i] = found[i]
	}
	a.leave(ctx, s.client)
	s.client = nil
}

// carried is how many transactions the slot's connection has seen.
func (s *slot) carried() int {
	if s.client == nil {
		return 0
	}
	return s.client.used
}

// taken says that a recipient was taken that should not be.
func (c *asked) taken() bool { return c.Verdict.Open() || c.Verdict == Unproven }

// settled says that a case ended in a no that no other attempt can change: one with another sender needs another sender.
func (c *asked) settled() bool {
	final := c.again == "" || c.again == otherSender && len(c.question.senders) == 1
	return (c.Verdict == Refused || c.Verdict == NotTested) && final && len(c.Dialogue) > 0 && c.Dialogue[len(c.Dialogue)-1].Error == ""
}

// shared has one dialogue on the slot's connection, which the first opens; the others fail where it is gone. late says that an answer was held back.
func (a *asker) shared(ctx context.Context, s *slot, q question) (out asked, late bool) {
	m := a.matrix()
	t := try{helo: a.greetsAs(), tls: q.tls || a.needsTLS() || s.tls}
	out = asked{question: q, Case: Case{Form: q.form, Sender: q.senders[0], Recipient: q.sent(rcptUser, m.domain), Helo: t.helo, TLS: t.tls || a.l.TLS}}
	start, before := time.Now(), s.client
	if before != nil && before.session.pipelining() {
		commands := []string{"RSET", "MAIL FROM:<" + out.Sender + ">"}
		if q.before == "" && a.takes(out.Sender, t.tls) {
			commands = append(commands, q.rcptCommand(rcptUser, m.domain))
		}
		before.ahead(commands)
	}
	c, ok := a.ready(ctx, s, q, t, &out)
	if !ok || before != nil && c != before {
		out.Verdict, out.Why = Broken, "the connection did not last"
		return out, false
	}
	mark := len(c.log)
	out.shared = c.used > 0
	c.used++
	a.transact(c, q, m, &out)
	out.Dialogue = append(out.Dialogue, c.log[mark:]...)
	return out, before != nil && time.Since(start) >= max(heldBack, pacesLate*s.pace)
}

// takes says whether the server has taken a sender before: then its recipient can be named without waiting. Elsewhere a recipient that follows a
// refused sender would be an error more.
func (a *asker) takes(sender string, tls bool) bool {
	return slices.ContainsFunc(a.cases, func(k asked) bool { return k.senderTaken && k.Sender == sender && k.TLS == (tls || a.l.TLS) })
}

// pipelining says whether commands may be sent ahead of the replies to those before them (RFC 2920).
func (s Session) pipelining() bool {
	return slices.ContainsFunc(s.Extensions, func(line string) bool { return strings.EqualFold(strings.TrimSpace(line), "PIPELINING") })
}
