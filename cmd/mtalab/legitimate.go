package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// legitimate sends a message to an account of the host from every place that mail may come from, from each at a time, and says how each ended: the
// last reply, which of a message that was taken begins with 250. What a host offers (AUTH, STARTTLS) is in it too, each offer as a 250.
func (l *Lab) legitimate(ctx context.Context, h Host, r *Recipe) map[string]string {
	replies := map[string]string{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, where := range callers() {
		all.Go(func() {
			own := l.legitimateFrom(ctx, where, h, r)
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(replies, own)
		})
	}
	all.Wait()
	return replies
}

const submission = 587 // RFC 6409

func (l *Lab) legitimateFrom(ctx context.Context, where string, h Host, r *Recipe) map[string]string {
	replies := map[string]string{}
	ports := []int{25, submission, r.Port}
	slices.Sort(ports)
	for _, port := range slices.Compact(ports) {
		if ctx.Err() != nil {
			return replies
		}
		c := l.callerFrom(where, h, port, r.IPv6)
		note := func(what, reply string) { replies[fmt.Sprintf("%s from %s at port %d", what, where, port)] = reply }
		send, greeting := c.send, ""
		if s, err := c.open(); err == nil {
			greeting = s.ehlo
			s.close()
		} else { // a port that is silent costs its time once
			send = func(_, _ string) string { return err.Error() }
		}
		local := "alice@" + h.Name + "." + l.Network.Domain
		for _, to := range []string{local, "postmaster@" + h.Name + "." + l.Network.Domain} {
			note("for "+to, send("", to))
		}
		for _, offer := range offers(greeting) {
			note(offering+offer, "250 offered")
		}
		if r.Login.User != "" && where == "outside" && greeting != "" {
			for how, reply := range l.logins(ctx, c, r.Login, local) {
				note(how, reply)
			}
		}
		foreign := "relaytest@" + foreignDomain
		if r.owns(l.callerAddr(where, r.IPv6)) {
			note("for "+foreign, send(local, foreign))
		}
		if where == "itself" { // what runs on the host sends out, too
			c.to = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
			note("for "+foreign+" by its loopback", c.send(local, foreign))
		}
	}
	return replies
}

// owns says whether a client is in one of the networks that the recipe's inventory names as the host's own.
func (r *Recipe) owns(client netip.Addr) bool {
	return slices.ContainsFunc(r.RelayNetworks, func(network string) bool {
		prefix, err := netip.ParsePrefix(network)
		return err == nil && prefix.Contains(client)
	})
}

// callerAddr is the address that somebody calls from; none of the host itself, whose own depends on whom it calls.
func (l *Lab) callerAddr(where string, ipv6 bool) netip.Addr {
	if where == "itself" || ipv6 {
		return netip.Addr{}
	}
	return l.vantageAddr(where)
}

// offers are what a server offers by which mail is sent legitimately, as its reply to EHLO has them (RFC 3207, RFC 4954).
func offers(greeting string) []string {
	var all []string
	for line := range strings.Lines(greeting) {
		if word, _, _ := strings.Cut(strings.TrimSpace(line), " "); word == "STARTTLS" || word == "AUTH" {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return all
}

// send sends one message and returns the reply that decided it.
func (c caller) send(from, to string) string {
	s, err := c.open()
	if err != nil {
		return err.Error()
	}
	defer s.close()
	return s.send(from, to, "legitimate mail")
}

func (s *session) send(from, to, subject string) string {
	for _, step := range []struct {
		line string
		want int
	}{{"MAIL FROM:<" + from + ">", 250}, {"RCPT TO:<" + to + ">", 250}, {"DATA", 354}} {
		if code, reply := s.say(step.line); code != step.want {
			return reply
		}
	}
	author := cmp.Or(from, "postmaster@example.net") // a bounce has an author, too: Exim refuses an empty one
	message := []string{"From: <" + author + ">", "To: <" + to + ">", "Subject: " + subject, "", "It is taken before and after a change.", "."}
	_, reply := s.say(strings.Join(message, "\r\n"))
	return reply
}
