package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"mtaharden/inventory"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/ssh"
	"mtaharden/remediate/remote/sshconfig"
)

// target is h with everything that is needed to reach it: its own settings, and those of each host it is reached through.
func (d *dialer) target(ctx context.Context, h *inventory.Host, as role) (ssh.Target, error) {
	return d.through(ctx, h, as, nil)
}

// through is target for a host that the way so far leads from.
func (d *dialer) through(ctx context.Context, h *inventory.Host, as role, way []string) (ssh.Target, error) {
	s, err := d.settings(ctx, h)
	if err != nil {
		return ssh.Target{}, failedTo("connect to", h.Name, remote.ErrUnreachable, err)
	}
	t, err := d.own(h, s, as)
	if err != nil {
		return t, failedTo("log in to", h.Name, remote.ErrAuth, err)
	}
	place := fmt.Sprintf("%s@%s:%d", t.User, strings.ToLower(t.Address), cmp.Or(t.Port, 22))
	if slices.Contains(way, place) {
		return t, failedTo("connect to", h.Name, remote.ErrUnreachable, fmt.Errorf("it is reached through itself: %s (jump of the inventory, ProxyJump of ssh_config)", strings.Join(append(way, place), " > ")))
	}
	d.aloneHere(ctx, &t, h, s)
	hops := d.hops(h, s)
	if len(hops) == 0 {
		return t, d.command(&t, h, s)
	}
	for i, hop := range hops {
		next, err := d.hop(ctx, hop, i, append(slices.Clone(way), place))
		if err != nil {
			return t, failedTo("connect to", h.Name, remote.ErrUnreachable, fmt.Errorf("its jump host %s: %v", hop.Name, err))
		}
		if i > 0 {
			next.Jump, next.Connect, next.Through, next.ControlPath = t.Jump, nil, "", "" // the list says how it is reached, whatever it says of itself
		}
		t.Jump = d.jumps.Through(next)
	}
	return t, nil
}

// hop is a jump host. The nearest may have a way of its own.
func (d *dialer) hop(ctx context.Context, h *inventory.Host, at int, way []string) (ssh.Target, error) {
	if at == 0 {
		return d.through(ctx, h, passed, way)
	}
	s, err := d.settings(ctx, h)
	if err != nil {
		return ssh.Target{}, err
	}
	return d.own(h, s, passed)
}

// command is the ProxyCommand of a host without jump hosts.
func (d *dialer) command(t *ssh.Target, h *inventory.Host, s *sshconfig.Settings) error {
	if _, said := h.Origin["jump"]; said || s.ProxyCommand == "" {
		return nil
	}
	for _, asked := range s.NotFollowed {
		if strings.HasPrefix(asked, "ProxyUseFdpass ") {
			return failedTo("connect to", h.Name, remote.ErrUnreachable, fmt.Errorf("ssh_config asks for %s, which this program cannot do: a ProxyCommand that hands over a connection", asked))
		}
	}
	t.Connect, t.Through = ssh.ProxyCommand(s.ProxyCommand), "a ProxyCommand"
	return nil
}

// hops are the hosts that h is reached through, the nearest first: those of the inventory, else those of ssh_config.
func (d *dialer) hops(h *inventory.Host, s *sshconfig.Settings) (out []*inventory.Host) {
	if _, said := h.Origin["jump"]; said || len(h.Jump) > 0 {
		for _, word := range h.Jump {
			out = append(out, passedHost(d.reach.inv, word))
		}
		return out
	}
	for _, hop := range s.Jump {
		out = append(out, passedHost(d.reach.inv, hop.String()))
	}
	return out
}

func failedTo(op, host string, kind, err error) error {
	return &remote.Error{Op: op, Host: host, Kind: kind, Err: err}
}

// settings are what ssh_config says for a host.
func (d *dialer) settings(ctx context.Context, h *inventory.Host) (*sshconfig.Settings, error) {
	if d.config == nil {
		return &sshconfig.Settings{}, nil
	}
	return d.config.Resolve(ctx, query(h))
}

// known is settings for what is only shown: nothing where they cannot be read, which is said where the host is dialled.
func (d *dialer) known(ctx context.Context, h *inventory.Host) *sshconfig.Settings {
	s, err := d.settings(ctx, h)
	if err != nil {
		return &sshconfig.Settings{}
	}
	return s
}

// prepare asks ssh_config for all hosts at once, so many at a time as it allows. What is wrong for a host is said where it is dialled.
func (d *dialer) prepare(ctx context.Context, hosts []*inventory.Host) {
	var wg sync.WaitGroup
	next := make(chan *inventory.Host)
	for range min(8, len(hosts)) {
		wg.Go(func() {
			for h := range next {
				d.settings(ctx, h)
			}
		})
	}
	for _, h := range hosts {
		next <- h
	}
	close(next)
	wg.Wait()
}
