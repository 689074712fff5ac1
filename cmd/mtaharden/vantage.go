package main

import (
	"context"
	"fmt"
	"io"

	"mtaharden/inventory"
	"mtaharden/remediate"
	"mtaharden/remediate/remote"
)

// probing is how --probe asks: from this machine and from the inventory's vantages; nil without it.
func (j *judging) probing(stderr io.Writer) *remediate.Probing {
	if !j.probe || j.dialer == nil {
		return nil
	}
	p := &remediate.Probing{Limit: j.timeLimit, Warn: func(text string) { fmt.Fprintln(stderr, "mtaharden:", text) }}
	if j.inv == nil {
		return p
	}
	for _, name := range j.inv.Vantages {
		h := vantageHost(j.inv, name)
		p.Vantages = append(p.Vantages, remediate.Vantage{
			Name: name, Address: address(h, j.dialer.known(context.Background(), h)), // asked once, and bounded by itself
			Open: func(ctx context.Context) (remote.Host, error) { return j.dialer.pass(ctx, h) },
		})
	}
	return p
}

// vantageHost is a vantage, [user@]host[:port], as it is logged in to. Connections from there need no root.
func vantageHost(inv *inventory.Inventory, word string) *inventory.Host { return passedHost(inv, word) }

// passedHost is a host that is only passed through: its keys are those of its stanza, where it has one, under what the word itself says.
func passedHost(inv *inventory.Inventory, word string) *inventory.Host {
	plain := inventory.Host{Name: word}
	user, name, port, ok := inventory.SplitJump(word)
	if ok {
		plain.Name = name
	}
	if inv != nil {
		if known, ok := inv.Host(plain.Name); ok {
			plain = *known
		}
	}
	if user != "" {
		plain.User = user
	}
	if port != 0 {
		plain.Port = port
	}
	plain.Become, plain.CollectCommand = "none", nil
	return &plain
}
