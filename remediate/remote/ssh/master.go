package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"mtaharden/remediate/remote"
)

// masterWait bounds what a ControlMaster on this machine may take to answer.
const masterWait = 5 * time.Second

// ride returns the host over the connection of a running ssh of this user's (ssh_config(5), ControlPath), nil where there is none to be had: why that is
// so is traced, and the host is dialled. Neither its key nor the login is checked again: that ssh did it.
func (t Target) ride(ctx context.Context) *host {
	if t.ControlPath == "" || t.ControlPath == "none" || remote.IsAfresh(ctx) {
		return nil
	}
	conn, err := master(ctx, t.ControlPath)
	if err != nil {
		t.tracef("no ControlMaster at %s: %v", t.ControlPath, err)
		return nil
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(masterWait))
	link := &watched{Conn: conn, heard: time.Now()}
	c, chans, reqs, err := ssh.NewControlClientConn(link)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		t.tracef("the ControlMaster at %s does not answer: %v", t.ControlPath, err)
		return nil
	}
	conn.SetDeadline(time.Time{})
	t.tracef("riding the ControlMaster at %s", t.ControlPath)
	h := &host{t: t, conn: link, client: ssh.NewClient(c, chans, reqs), done: make(chan struct{})}
	h.transport = remote.Transport{Name: "ssh", User: t.User, Become: t.way(), Master: t.ControlPath}
	return h // it keeps itself alive: that ssh does, and passes no question of ours on
}

// master connects to the socket, which must be this user's own.
func master(ctx context.Context, path string) (net.Conn, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if info.Mode()&os.ModeSocket == 0 || !ok || int(stat.Uid) != os.Getuid() || info.Mode().Perm()&0o077 != 0 {
		return nil, errors.New("it is not a socket of this user's alone")
	}
	ctx, cancel := context.WithTimeout(ctx, masterWait)
	defer cancel()
	return new(net.Dialer).DialContext(ctx, "unix", path)
}

// cutOff says why a connection is lost that nobody here ended.
func (h *host) cutOff() string {
	if h.transport.Master != "" {
		return fmt.Sprintf("the ControlMaster at %s ended, and the connection with it", h.transport.Master)
	}
	if h.conn.jumpGone() {
		return h.conn.before.gone()
	}
	return "the connection was lost"
}

// gone says of a jump host that it ended what ran through it.
func (h *host) gone() string {
	return fmt.Sprintf("its jump host %s ended, and the connection with it", h.t.Name)
}
