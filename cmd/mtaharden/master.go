package main

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"mtaharden/inventory"
	"mtaharden/remediate/remote/ssh"
	"mtaharden/remediate/remote/sshconfig"
)

// aloneHere takes the ControlMaster away from a target whose socket may be of a connection to another machine: a socket's name tells no more apart than
// what ControlPath puts into it, and what runs over it runs as root.
func (d *dialer) aloneHere(ctx context.Context, t *ssh.Target, h *inventory.Host, s *sshconfig.Settings) {
	if t.ControlPath == "" || t.ControlPath == "none" {
		return
	}
	why := ""
	switch {
	case !d.ownWay(ctx, h, s):
		why = "the inventory says how the host is reached, and ssh may go another way"
	case !d.toldApart(ctx, h, s):
		why = "ControlPath is the same for another address, port or user than the inventory's"
	}
	if why == "" {
		return
	}
	if t.Trace != nil {
		t.Trace("the ControlMaster at " + t.ControlPath + " is not used: " + why)
	}
	t.ControlPath = ""
}

// ownWay says whether ssh reaches h by the way that is taken here: its jump hosts are those that ssh_config says by itself, and the inventory moves none of them.
func (d *dialer) ownWay(ctx context.Context, h *inventory.Host, s *sshconfig.Settings) bool {
	if _, said := h.Origin["jump"]; said || len(h.Jump) > 0 {
		q := query(h)
		q.Jump = ""
		by, err := d.config.Resolve(ctx, q)
		if err != nil || by.ProxyCommand != "" || !slices.Equal(by.Jump, hopsOf(h)) {
			return false
		}
	}
	for _, hop := range d.hops(h, s) {
		for _, key := range []string{"address", "port", "jump"} {
			if _, moved := hop.Origin[key]; moved {
				return false
			}
		}
	}
	return true
}

// hopsOf is the inventory's way in the words of ssh_config.
func hopsOf(h *inventory.Host) (out []sshconfig.Hop) {
	for _, word := range h.Jump {
		user, host, port, _ := inventory.SplitJump(word)
		out = append(out, sshconfig.Hop{User: user, Host: host, Port: port})
	}
	return out
}

// toldApart says whether each thing that the inventory says, and ssh_config by itself does not, is in the socket's name.
func (d *dialer) toldApart(ctx context.Context, h *inventory.Host, s *sshconfig.Settings) bool {
	for _, leave := range []func(*sshconfig.Query){
		func(q *sshconfig.Query) { q.HostName = "" }, func(q *sshconfig.Query) { q.Port = 0 }, func(q *sshconfig.Query) { q.User = "" },
	} {
		q := query(h)
		if leave(&q); q == query(h) {
			continue
		}
		by, err := d.config.Resolve(ctx, q)
		if err != nil {
			return false
		}
		if loginOf(h.Name, by) != loginOf(h.Name, s) && by.ControlPath == s.ControlPath {
			return false
		}
	}
	return true
}

// login is where ssh logs in, and as whom.
type login struct {
	address, user string
	port          int
}

func loginOf(name string, s *sshconfig.Settings) login {
	return login{cmp.Or(s.HostName, strings.ToLower(name)), s.User, cmp.Or(s.Port, 22)}
}
