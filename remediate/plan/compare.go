package plan

import (
	"net/netip"
	"slices"
	"strings"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// disputes compares every two judges' answers to the same question: the configuration and the MTA where they were asked the very same, the
// network where class, entry, form, verb, TLS and login are the same, for it cannot choose its address. What a judge cannot tell, what was
// not tested and what was put off is no disagreement.
func (s *subject) disputes() (out []*dispute, compared bool) {
	exact, loosely := map[judge.Question][]judge.Answer{}, map[judge.Question][]judge.Answer{}
	for _, a := range s.answers {
		if a.Judge == judge.Network {
			continue
		}
		loosely[loose(a)] = append(loosely[loose(a)], a)
		if a.Judge == judge.MTA && definite(a) {
			exact[anywhere(a.Question)] = append(exact[anywhere(a.Question)], a)
		}
	}
	bySender := s.bySender()
	for _, b := range s.answers { // in the order of the answers, so that the findings are the same every time
		switch {
		case !definite(b):
		case b.Judge == judge.Config:
			for _, a := range exact[anywhere(b.Question)] {
				if meet(a.Question, b.Question) {
					compared = true
					out = enter(out, b, a)
				}
			}
		case b.Judge == judge.Network:
			for _, j := range []judge.Judge{judge.Config, judge.MTA} {
				if a, ok := s.counterpart(loosely[loose(b)], j, b, bySender); ok {
					compared = true
					out = enter(out, a, b)
				}
			}
		}
	}
	return out, compared
}

// counterpart returns what another judge said to the network's question: of several answers, one that agrees.
func (s *subject) counterpart(answers []judge.Answer, j judge.Judge, b judge.Answer, bySender bool) (judge.Answer, bool) {
	first, found := judge.Answer{}, false
	for _, a := range answers {
		if a.Judge != j {
			continue
		}
		a, same := s.same(a, b, bySender)
		if !same {
			continue
		}
		if kind(a.Outcome) == kind(b.Outcome) {
			return a, true
		}
		if !found {
			first, found = a, true
		}
	}
	return first, found
}

// same is another judge's answer that is about the very thing of which the network's is, where it is definite.
func (s *subject) same(a, b judge.Answer, bySender bool) (judge.Answer, bool) {
	if !meet(a.Question, b.Question) {
		return a, false
	}
	if s.apart(a, b.Question) {
		return a, false
	}
	a = s.again(a, b.Question)
	return a, definite(a) && kin(a.Question, b.Question) && (!bySender || s.sender(a.Question) == s.sender(b.Question))
}

// again is the configuration's answer for the client and the sender of the network's question, where the driver can be asked once more: an
// entry that is excluded, or a rule about one client, lets a stranger stand apart from the others. A reading that was withdrawn because the
// MTA said otherwise stays withdrawn.
func (s *subject) again(a judge.Answer, as judge.Question) judge.Answer {
	q := put(a.Question, as)
	if a.Judge != judge.Config || q == a.Question || !definite(a) && s.spoke() {
		return a
	}
	if fresh, ok := s.reask(q); ok {
		return fresh
	}
	return a
}

// apart says whether the MTA was asked about a client or a sender whom its configuration treats otherwise than the network's: its answer is not
// about that one. That takes a reading which says of the first what the MTA said.
func (s *subject) apart(a judge.Answer, as judge.Question) bool {
	q := put(a.Question, as)
	if a.Judge != judge.MTA || q == a.Question || !definite(a) {
		return false
	}
	here, ok := s.reask(a.Question)
	if !ok || kind(here.Outcome) != kind(a.Outcome) {
		return false
	}
	there, ok := s.reask(q)
	return ok && definite(there) && kind(there.Outcome) != kind(a.Outcome)
}

// put is a question with the client and the sender of another.
func put(q, as judge.Question) judge.Question {
	if as.ClientAddr != "" {
		q.ClientAddr = as.ClientAddr
	}
	if q.Verb == judge.Rcpt {
		q.Sender = as.Sender
	}
	return q
}

// spoke says whether the MTA itself has answered anything.
func (s *subject) spoke() bool {
	return slices.ContainsFunc(s.answers, func(a judge.Answer) bool { return a.Judge == judge.MTA && definite(a) })
}

// reask asks the driver once more, each question once.
func (s *subject) reask(q judge.Question) (judge.Answer, bool) {
	d := s.judged.Driver
	if d == nil || d.Again == nil || s.judged.Config == nil {
		return judge.Answer{}, false
	}
	known, ok := s.reasked[q]
	if !ok {
		if s.reasked == nil {
			s.reasked = map[judge.Question]reasked{}
		}
		known.answer, known.told = d.Again(s.judged.Config, q)
		s.reasked[q] = known
	}
	return known.answer, known.told
}

// reasked is what a driver said to one more question, if it did.
type reasked struct {
	answer judge.Answer
	told   bool
}

// bySender says whether it depends on the sender that a stranger may relay. Answers are then compared for senders of one kind alone: the
// judges do not give every form the same one.
func (s *subject) bySender() bool {
	seen := map[judge.Question]string{}
	for _, a := range s.answers {
		q := anywhere(a.Question)
		if a.Judge == judge.Network || !definite(a) || q.Verb != judge.Rcpt || q.Class != judge.Outside || q.Form != "plain" && !strings.HasSuffix(q.Form, "-sender") {
			continue
		}
		q.Form, q.Sender, q.Recipient = string(a.Judge), "", ""
		if other, ok := seen[q]; ok && other != kind(a.Outcome) {
			return true
		}
		seen[q] = kind(a.Outcome)
	}
	return false
}

// sender is the kind of a question's sender: null, unqualified, of an address literal, of one of the host's own domains, one whom the
// configuration trusts by name, or a stranger's.
func (s *subject) sender(q judge.Question) string {
	_, domain, ok := strings.Cut(q.Sender, "@")
	switch {
	case q.Sender == "":
		return "null"
	case !ok:
		return "unqualified"
	case strings.HasPrefix(domain, "["):
		return "literal"
	case s.trustsSender(strings.ToLower(q.Sender)):
		return "trusted"
	case slices.ContainsFunc(s.answers, func(a judge.Answer) bool { return ownSender(a.Question, domain) }):
		return "own"
	}
	return "foreign"
}

// trustsSender says whether an entry names the sender, his domain or one above it.
func (s *subject) trustsSender(sender string) bool {
	return s.judged.Config != nil && slices.ContainsFunc(s.judged.Config.Trusted, func(t mta.Trust) bool {
		named := strings.ToLower(t.Value)
		if tag, rest, ok := strings.Cut(named, ":"); ok && tag == "from" {
			named = rest // sendmail's access keys: "From:example.com"
		}
		return t.Kind == "sender" && named != "" && (sender == named || strings.HasSuffix(sender, "@"+named) || strings.HasSuffix(sender, "."+named) || strings.HasSuffix(named, "@") && strings.HasPrefix(sender, named))
	})
}

// ownSender says whether a question claims a sender of the host's own in this domain.
func ownSender(q judge.Question, domain string) bool {
	switch q.Form {
	case "own-sender", "postmaster-sender", "user-sender", "localhost-sender":
		_, own, _ := strings.Cut(q.Sender, "@")
		return strings.EqualFold(own, domain)
	}
	return false
}

// uncompared says that the network saw mail passed on for a client whom the host may trust, and was answered to as no other stranger there:
// with that no other judge's word was compared.
func (s *subject) uncompared() text {
	met := map[judge.Question]bool{}
	for _, a := range s.answers {
		if a.Judge == judge.Network && definite(a) {
			met[anyClient(a)] = true
		}
	}
	for _, a := range s.answers {
		if a.Perhaps && !met[anyClient(a)] {
			return say("not compared: %s", "비교 제외: %s", clip(a.Text))
		}
	}
	return text{}
}

// anyClient is what an answer of the network is about, at which listener, whoever asked.
func anyClient(a judge.Answer) judge.Question {
	q := loose(a)
	q.Listener = a.Question.Listener
	return q
}

// kin says whether two clients are of one address family, as far as they are known.
func kin(a, b judge.Question) bool {
	x, y := familyOf(a), familyOf(b)
	return x == "" || y == "" || x == y
}

// familyOf is that of a question's client: of its address, else of the listener's, unless that may be bound to both.
func familyOf(q judge.Question) string {
	client, err := netip.ParseAddr(q.ClientAddr)
	if at, ok := parseListener(q.Listener); err != nil && ok && !at.Addr().IsUnspecified() {
		client, err = at.Addr(), nil
	}
	switch {
	case err != nil:
		return ""
	case client.Unmap().Is4():
		return "IPv4"
	}
	return "IPv6"
}

func definite(a judge.Answer) bool {
	return a.Outcome != judge.CannotTell && a.Outcome != judge.Deferred
}

// meet says whether two answers may be about the same listener.
func meet(a, b judge.Question) bool {
	return a.Listener == "" || b.Listener == "" || serves(a.Listener, b.Listener) || serves(b.Listener, a.Listener)
}

// loose is what a question asks, whoever asks it: the network's client cannot choose its address or name. A stranger that stands within an
// entry too wide to make it known is, for the others, a client inside that entry.
func loose(a judge.Answer) judge.Question {
	q := a.Question
	if a.Judge == judge.Network && q.Class == judge.Outside && q.Entry != "" {
		q.Class = judge.Inside
	}
	return judge.Question{Class: q.Class, Entry: q.Entry, Form: q.Form, Verb: q.Verb, TLS: q.TLS, User: q.User}
}
