package probe

import (
	"slices"

	"mtaharden/remediate/judge"
)

// answers puts a report into the words that all judges share.
func answers(r *Report, c Config) []judge.Answer {
	if r.Err != nil {
		return nil
	}
	base := judge.Question{Listener: r.Listener.Addr.String(), Class: judge.Outside, TLS: r.Listener.TLS}
	if r.From.IsValid() {
		base.ClientAddr = r.From.String()
	}
	if r.Dead != "" {
		return []judge.Answer{unservedAnswer(base, r, c)}
	}
	var out []judge.Answer
	for _, s := range r.Services {
		if !slices.Contains([]judge.Verb{judge.Vrfy, judge.Expn, judge.Banner, judge.Help, judge.Auth}, s.Verb) {
			continue
		}
		q := base
		q.Verb, q.TLS = s.Verb, s.TLS
		out = append(out, judge.Answer{Question: q, Judge: judge.Network, Outcome: s.Outcome, Text: s.Text})
	}
	dead := allBroken(r.Cases)
	for _, k := range r.Cases {
		q := base
		q.Verb, q.Form, q.Sender, q.Recipient, q.Helo, q.TLS = judge.Rcpt, k.Form, k.Sender, k.Recipient, k.Helo, k.TLS
		out = append(out, judge.Answer{Question: q, Judge: judge.Network, Outcome: outcome(k, dead), Text: text(k),
			AcceptsAll: k.Verdict == AcceptsAll, TakesAny: takesAny(k)})
	}
	if !c.Relay {
		q := base
		q.Verb, q.Form = judge.Rcpt, "plain"
		out = append(out, judge.Answer{Question: q, Judge: judge.Network, Outcome: judge.CannotTell,
			Text: "not asked: it is not known that this client is one from outside"})
	}
	return out
}

// takesAny says that a recipient was taken as any account of the server's own is, and not that a message to it was refused.
func takesAny(k Case) bool {
	return k.Verdict == Unproven && !slices.ContainsFunc(k.Dialogue, func(x Exchange) bool { return x.Sent == "DATA" })
}

// unservedAnswer is the one answer where the server gave no service: it is down, it refuses this client, or it objects to it.
func unservedAnswer(q judge.Question, r *Report, c Config) judge.Answer {
	q.Verb, q.Form = judge.Rcpt, "plain"
	a := judge.Answer{Question: q, Judge: judge.Network, Outcome: judge.Dead, Text: r.Dead}
	switch {
	case r.Refusal == refused && c.Relay:
		a.Outcome = judge.Refused
	case r.Refusal == refused, r.Refusal == notTested, r.Refusal == deferred:
		a.Outcome = judge.CannotTell
	}
	return a
}

// allBroken says whether every dialogue, that for a recipient of the server's own among them, ended in a fault of the server's.
func allBroken(cases []Case) bool {
	asked := 0
	for _, k := range cases {
		if k.Verdict != NotAsked && k.Verdict != Broken {
			return false
		}
		if k.Verdict == Broken {
			asked++
		}
	}
	return asked > 0
}

func outcome(k Case, dead bool) judge.Outcome {
	switch k.Verdict {
	case Relays, AcceptsAll, Proven:
		return judge.Relayed
	case Taken:
		return judge.Delivered
	case Refused:
		return judge.Refused
	case Deferred:
		return judge.Deferred
	case Broken:
		if dead {
			return judge.Dead
		}
	}
	return judge.CannotTell
}

// text is the reply, with what it means where that is not plain.
func text(k Case) string {
	switch k.Verdict {
	case AcceptsAll:
		return "accepts all, delivery unproven: " + k.Why
	case Unproven:
		return "delivery unproven: " + k.Why
	case NotTested:
		return "not tested: " + k.Why
	case NotAsked:
		return "not asked: " + k.Why
	}
	return k.Why
}
