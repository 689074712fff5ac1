package remediate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/probe"
)

// heard is what the network judge brought of one host.
type heard struct {
	answers  []judge.Answer
	contacts []plan.Contact
	passed   map[string]string // listeners that were not spoken to, and why
	problems []string
}

// ask asks a host's listeners over the network, each from the places where that shows something, within what is left of the host's time.
func (n *network) ask(ctx context.Context, t Target, s *facts.Snapshot, installs []plan.Judged, begun time.Time) heard {
	ctx, cancel := context.WithDeadline(ctx, t.end(begun, n.p.Limit))
	defer cancel()
	reached, err := resolve(ctx, t.Address)
	if t.Here {
		reached, err = []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	if err != nil {
		return heard{problems: []string{"the network judge asked nothing: " + err.Error()}}
	}
	in := plan.Input{Snapshot: s, Installs: installs, Intent: t.Intent}
	targets, skipped, passed := plan.Targets(in, reached)
	out := heard{problems: skipped, passed: passed}
	parts := make([]heard, len(targets))
	slots := make(chan struct{}, listenersLimit)
	versions := onceEach(s, targets)
	var all sync.WaitGroup
	for i, target := range targets {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			defer func() { // a fault in judging one listener must not end the run of all hosts
				if r := recover(); r != nil {
					parts[i] = heard{problems: []string{fmt.Sprintf("the network judge failed at %s: a fault of this program: %v", target.Name(), r)}}
				}
			}()
			parts[i] = n.listener(ctx, t, in, target, versions[i])
		})
	}
	all.Wait()
	for _, p := range parts {
		out.answers, out.contacts, out.problems = append(out.answers, p.answers...), append(out.contacts, p.contacts...), append(out.problems, p.problems...)
	}
	return out
}

// onceEach returns for each target the word by which one of those that a process serves at the same port searches for the older TLS versions that
// it takes: the first with which TLS is agreed on. A search is some handshakes, and a host without a certificate of its own makes a key for each.
func onceEach(s *facts.Snapshot, targets []plan.Target) []func() bool {
	type socket struct{ pid, port int }
	first := map[socket]*sync.Once{}
	out := make([]func() bool, len(targets))
	for i, t := range targets {
		for _, l := range s.Listeners {
			if l.Addr != t.Listener || l.PID == 0 {
				continue
			}
			at := socket{l.PID, int(t.Dial.Port())}
			if first[at] == nil {
				first[at] = new(sync.Once)
			}
			out[i] = func() (mine bool) {
				first[at].Do(func() { mine = true })
				return mine
			}
		}
	}
	return out
}

// round is how far the questions to one listener have come.
type round struct {
	out            heard
	reasons        []string // why nothing about relaying was answered
	entries        []string // within which it was
	stranger, told bool
	silent         bool
	friends        []friend
	versions       func() bool // whether to search for TLS versions here
}

// friend is a place that is no stranger to the host, but another machine.
type friend struct {
	p      *place
	client plan.Client
	st     plan.Standing
}

// listener asks one listener: this machine first and then each vantage is asked from, where that is a stranger's place, until questions about
// relaying were answered; after that only from those that stand within an entry too wide to make them known. Where no stranger could ask,
// what does not depend on the client is asked from another machine, once. Where one place met silence, or another judge says that nobody
// serves there, the next do not wait long for a banner.
func (n *network) listener(ctx context.Context, t Target, in plan.Input, target plan.Target, versions func() bool) heard {
	r := &round{silent: dead(in, target), versions: versions}
	for _, p := range n.places {
		st, client, err := n.stand(ctx, p, t, in, target)
		switch {
		case err != nil:
			r.refuse(p, err.Error())
		case r.stranger && (st.Entry == "" || slices.Contains(r.entries, st.Entry)):
		case !st.Remote:
			r.refuse(p, st.Why)
		case st.Class == "":
			r.refuse(p, st.Why)
			r.friends = append(r.friends, friend{p, client, st})
		default:
			n.round(ctx, r, friend{p, client, st}, in, target)
		}
	}
	for _, f := range r.friends {
		if len(r.out.contacts) == 0 {
			n.round(ctx, r, f, in, target)
		}
	}
	if !r.told {
		r.out.answers = append(r.out.answers, judge.Answer{
			Question: judge.Question{Listener: target.Name(), Class: judge.Outside, Form: "plain", Verb: judge.Rcpt},
			Judge:    judge.Network, Outcome: judge.CannotTell, Text: "not tested from outside: " + facts.Printable(strings.Join(r.reasons, "; ")),
		})
	}
	return r.out
}

func (r *round) refuse(p *place, why string) { r.reasons = append(r.reasons, p.name()+": "+why) }

// round asks from one place.
func (n *network) round(ctx context.Context, r *round, f friend, in plan.Input, target plan.Target) {
	met := n.talk(ctx, f, in, target, r)
	r.silent = r.silent || met.Mute
	if met.Err != nil {
		r.refuse(f.p, met.Err.Error())
		return
	}
	answers, now := translated(met, f.p, target, f.st)
	r.out.answers, r.out.contacts = append(r.out.answers, answers...), append(r.out.contacts, contact(met, f.p, target, f.client, f.st))
	switch {
	case now:
		r.told = r.told || f.st.Class == judge.Outside
		r.stranger = r.stranger || f.st.Class == judge.Outside && f.st.Entry == ""
		r.entries = append(r.entries, f.st.Entry)
	case f.st.Class != "":
		r.refuse(f.p, "no question about relaying was answered")
	}
}

// stand finds out what a place is to the host.
func (n *network) stand(ctx context.Context, p *place, t Target, in plan.Input, target plan.Target) (plan.Standing, plan.Client, error) {
	client := plan.Client{Itself: p.v.Open == nil && t.Here || p.v.Open != nil && (p.v.Name == t.Name || target.Dial.Addr().IsLoopback())}
	if ctx.Err() != nil {
		return plan.Standing{}, client, errors.New("the time for this host is over")
	}
	if !client.Itself {
		if err := p.open(n.ctx); err != nil {
			return plan.Standing{}, client, err
		}
		own, err := p.addresses(n.ctx, target.Dial)
		if err != nil {
			return plan.Standing{}, client, err
		}
		client.Addrs = own
		if a, err := netip.ParseAddr(in.Snapshot.Login); err == nil && p.v.Open == nil {
			client.Addrs = append(client.Addrs, a.Unmap()) // as the host itself sees this machine
		}
	}
	var c *mta.Config
	if target.Install >= 0 {
		c = in.Installs[target.Install].Config
	}
	st := plan.Stand(in.Snapshot, in.Intent, c, client)
	if target.Install >= 0 && c == nil && st.Perhaps == "" {
		st.Perhaps = "its configuration could not be read"
	}
	if st.Perhaps == "" && disguised(client.Addrs, target.Dial.Addr()) {
		st.Perhaps = "address translation hides by which address it sees the client"
	}
	return st, client, nil
}

// talk has the dialogues with one listener from one place.
func (n *network) talk(ctx context.Context, f friend, in plan.Input, target plan.Target, r *round) *probe.Report {
	p := f.p
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return &probe.Report{Err: errors.New("the time for this host is over")}
	}
	l := probe.Listener{Addr: target.Dial, TLS: target.Dial.Port() == 465}
	l.Domains, l.Local = own(in, target)
	c := probe.Config{Dial: p.dial, Vantage: p.v.Name, Relay: f.st.Class != "", Budget: n.p.Limit, Silent: r.silent, Parallel: casesLimit, Versions: r.versions}
	if len(f.client.Addrs) > 0 {
		c.From = f.client.Addrs[0]
	}
	return probe.Ask(ctx, l, c)
}

// dead says whether another judge has it that the listener serves nobody.
func dead(in plan.Input, target plan.Target) bool {
	return target.Install >= 0 && slices.ContainsFunc(in.Installs[target.Install].Answers, func(a judge.Answer) bool {
		return a.Outcome == judge.Dead && target.Is(a.Question.Listener)
	})
}

// own returns a recipient and the domains that the other judges know to be the host's own.
func own(in plan.Input, target plan.Target) (domains []string, local string) {
	if target.Install < 0 {
		return nil, ""
	}
	for _, a := range in.Installs[target.Install].Answers {
		q := a.Question
		_, domain, ok := strings.Cut(q.Recipient, "@")
		if q.Verb != judge.Rcpt || q.Form != "local" || a.Outcome != judge.Delivered || !ok || strings.HasPrefix(domain, "[") || slices.Contains(domains, domain) || len(domains) == 4 {
			continue
		}
		domains = append(domains, domain)
		if local == "" {
			local = q.Recipient
		}
	}
	return domains, local
}

// translated puts a report's answers into the host's own words: its listener, and what kind of client asked. told says that a question
// about relaying was answered.
func translated(r *probe.Report, p *place, target plan.Target, st plan.Standing) (out []judge.Answer, told bool) {
	from := "from " + p.name()
	if r.From.IsValid() {
		from += " (" + r.From.String() + ")"
	}
	for _, a := range r.Answers {
		a.Question.Listener = target.Name()
		relaying := a.Question.Verb == judge.Rcpt && a.Question.Form != "local"
		switch {
		case relaying && st.Class == "":
			continue
		case relaying:
			a.Question.Class, a.Question.Entry = st.Class, st.Entry
			if a.Outcome == judge.Relayed && st.Perhaps != "" {
				a.Outcome, a.Perhaps, a.Text = judge.CannotTell, true, "it relays for this client, which the host may trust: "+st.Perhaps+" ("+a.Text+")"
			}
			told = told || a.Outcome != judge.CannotTell
		}
		a.Text = from + ": " + facts.Printable(a.Text)
		out = append(out, a)
	}
	return out, told
}

// seenAs finds the client's address in a server's reply to EHLO: "mx.example.com Hello x [192.0.2.1], pleased to meet you".
var seenAs = regexp.MustCompile(`\[(?:IPv6:)?([0-9A-Fa-f.:]+)\]`)

func contact(r *probe.Report, p *place, target plan.Target, client plan.Client, st plan.Standing) plan.Contact {
	c := plan.Contact{
		Listener: target.Name(), Dialled: target.Dial, Vantage: p.v.Name, From: r.From, Outside: st.Class == judge.Outside,
		Banner: r.Banner, Product: r.Product, Offers: r.Plain.Extensions, Auth: r.Plain.Auth,
	}
	if t := r.TLS; t != nil {
		c.TLS = &plan.Secured{
			Version: t.Version, Versions: t.Versions, Cipher: t.Cipher, Subject: t.Subject, Issuer: t.Issuer, Names: t.Names,
			NotAfter: t.NotAfter, SHA256: t.SHA256, VerifyError: t.VerifyError, Error: t.Error,
		}
	}
	if !c.From.IsValid() && len(client.Addrs) > 0 {
		c.From = client.Addrs[0]
	}
	for _, greeting := range []string{r.Plain.Greeting, r.Secure.Greeting} {
		if all := seenAs.FindAllStringSubmatch(greeting, 8); len(all) > 0 && !c.Seen.IsValid() {
			c.Seen, _ = netip.ParseAddr(all[len(all)-1][1]) // the first may be what we called ourselves
		}
	}
	return c
}
