package plan

import (
	"net/netip"
	"slices"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// takes says whether what is bound to a listener takes the connections to b: nothing else of the host is bound to that very address.
func takes(snap *facts.Snapshot, listener, b string) bool {
	at, ok := parseListener(listener)
	dialled, fine := parseListener(b)
	return serves(listener, b) && (!ok || !fine || taken(snap, netip.AddrPortFrom(dialled.Addr().Unmap(), dialled.Port()), at))
}

// heard is what an answer of the network shows beside the others' answers. A recipient that it saw taken, and that the configuration or the
// MTA says is the host's own in that form, is no proof of relaying: the address only looks foreign. What the MTA refuses, asked itself, the
// configuration's word does not excuse: the server that runs is another.
func (s *subject) heard(a judge.Answer) judge.Answer {
	if a.TakesAny {
		return s.routed(a)
	}
	if a.Outcome != judge.Relayed && !a.Perhaps || a.Question.Verb != judge.Rcpt {
		return a
	}
	said := map[judge.Judge]map[judge.Outcome]bool{judge.Config: {}, judge.MTA: {}}
	for _, b := range s.judged.Answers {
		switch {
		case loose(b) != loose(a) || !meet(a.Question, b.Question) || behind(a.Question) != behind(b.Question):
			continue
		case b.Outcome == judge.Relayed:
			return a
		}
		if by := said[b.Judge]; by != nil {
			by[b.Outcome] = true
		}
	}
	by := s.swallows(a)
	switch {
	case said[judge.MTA][judge.Delivered]:
		by = judge.MTA
	case said[judge.Config][judge.Delivered] && !said[judge.MTA][judge.Refused]:
		by = judge.Config
	}
	if by != "" {
		a.Outcome, a.Perhaps, a.Text = judge.Delivered, false, a.Text+"; taken as a recipient of its own, as "+string(by)+" says"
	}
	return a
}

// behind is the host's own name behind which a question's recipient hides a foreign address, "" where it does so behind none.
func behind(q judge.Question) string {
	if !strings.HasSuffix(q.Form, "-name") || strings.HasPrefix(q.Form, "route-") {
		return ""
	}
	return strings.ToLower(q.Recipient[strings.LastIndexByte(q.Recipient, '@')+1:])
}

// routed is what it shows that the network saw a recipient taken which hides a foreign address behind a name where any account is taken. What
// becomes of that very recipient is known to who reads the configuration. If it is refused there, the server that runs is another.
func (s *subject) routed(a judge.Answer) judge.Answer {
	for _, b := range s.judged.Answers {
		if loose(b) != loose(a) || !meet(a.Question, b.Question) || !strings.EqualFold(a.Question.Recipient, b.Question.Recipient) {
			continue
		}
		switch b.Outcome {
		case judge.Relayed:
			a.Outcome, a.Text = judge.Relayed, a.Text+"; sent on, as "+string(b.Judge)+" says"
			return a
		case judge.Delivered:
			a.Outcome, a.Perhaps, a.Text = judge.Delivered, false, a.Text+"; taken as a recipient of its own, as "+string(b.Judge)+" says"
		case judge.Refused:
			a.Perhaps = a.Outcome == judge.CannotTell
		}
	}
	return a
}

// swallows says which judge calls a server that took everything one that keeps everything: every foreign recipient that this judge was asked
// about for such a client is delivered on the host or refused, the plain one delivered. The network asks in more forms than the others.
func (s *subject) swallows(a judge.Answer) (by judge.Judge) {
	if !a.AcceptsAll {
		return ""
	}
	for _, b := range s.judged.Answers {
		q := b.Question
		if q.Verb != judge.Rcpt || q.Class != a.Question.Class || q.Entry != a.Question.Entry || q.User != "" || q.Form == localForm || !meet(a.Question, q) {
			continue
		}
		switch {
		case b.Outcome != judge.Delivered && b.Outcome != judge.Refused:
			return ""
		case b.Outcome == judge.Delivered && q.Form == "plain":
			by = b.Judge
		}
	}
	return by
}

// admit takes answers as evidence. One for a stranger whose address lies in a network entry of usual or declared width is about no stranger:
// the addresses that stand for strangers are other people's networks too. A wider entry excuses nobody.
func (s *subject) admit(answers ...judge.Answer) {
	for _, a := range answers {
		addr, err := netip.ParseAddr(a.Question.ClientAddr)
		if a.Question.Class == judge.Outside && a.Question.Verb == judge.Rcpt && err == nil && s.known(addr) {
			continue
		}
		s.answers = append(s.answers, a)
	}
}

// known says whether a network entry that is not too wide holds the address.
func (s *subject) known(addr netip.Addr) bool {
	if s.judged.Config == nil {
		return false
	}
	return slices.ContainsFunc(s.judged.Config.Trusted, func(t mta.Trust) bool {
		if t.Kind != "client-net" || !t.Net.IsValid() || !unmap(t.Net).Contains(addr.Unmap()) {
			return false
		}
		usual, _ := tooWide(t.Net, nil)
		declared, _ := tooWide(t.Net, s.in.Intent.RelayNetworks)
		return usual.empty() || declared.empty()
	})
}
