package main

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"sync"
)

// legitimate sends a message to an account of the host from every place that mail may come from, from each at a time, and says how each ended: the
// last reply, which of a message that was taken begins with 250.
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

func (l *Lab) legitimateFrom(ctx context.Context, where string, h Host, r *Recipe) map[string]string {
	replies := map[string]string{}
	ports := []int{25}
	if r.Port != 25 {
		ports = append(ports, r.Port)
	}
	for _, port := range ports {
		if ctx.Err() != nil {
			return replies
		}
		c := l.callerFrom(where, h, port, r.IPv6)
		for _, to := range []string{"alice", "postmaster"} {
			address := to + "@" + h.Name + "." + l.Network.Domain
			replies[fmt.Sprintf("for %s from %s at port %d", address, where, port)] = c.send("", address)
		}
		if where == "itself" { // what runs on the host sends out, too
			address := "relaytest@" + foreignDomain
			c.to = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
			replies[fmt.Sprintf("for %s from %s at port %d", address, where, port)] = c.send("alice@"+h.Name+"."+l.Network.Domain, address)
		}
	}
	return replies
}

// send sends one message and returns the reply that decided it.
func (c caller) send(from, to string) string {
	s, err := c.open()
	if err != nil {
		return err.Error()
	}
	defer s.close()
	for _, step := range []struct {
		line string
		want int
	}{{"MAIL FROM:<" + from + ">", 250}, {"RCPT TO:<" + to + ">", 250}, {"DATA", 354}} {
		if code, reply := s.say(step.line); code != step.want {
			return reply
		}
	}
	message := []string{"From: <" + from + ">", "To: <" + to + ">", "Subject: legitimate mail", "", "It is taken before and after a change.", "."}
	_, reply := s.say(strings.Join(message, "\r\n"))
	return reply
}
