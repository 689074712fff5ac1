package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"mtaharden/remediate/remote"
)

// Dial opens a connection from the host, over a channel of its own (RFC 4254, 7.2). The host's silence costs this connection alone.
func (h *host) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	op := "open a connection to " + clean(addr) + " from"
	fail := func(err error) (net.Conn, error) {
		return nil, remote.Wrap(op, h.t.Name, remote.ErrUnreachable, err)
	}
	payload, err := forwardTo(network, addr)
	if err != nil {
		return fail(err)
	}
	if why := h.lost.Load(); why != nil {
		return fail(fmt.Errorf("the connection is closed: %s", *why))
	}
	ctx, cancel := context.WithTimeout(ctx, h.t.Timeouts.Dial)
	defer cancel()
	ch, reqs, err := h.openOnward(ctx, payload)
	var refused *ssh.OpenChannelError
	switch {
	case err == nil:
		go ssh.DiscardRequests(reqs)
		return newForwarded(ch, addr), nil
	case errors.As(err, &refused) && refused.Reason == ssh.Prohibited:
		return nil, remote.Wrap(op, h.t.Name, remote.ErrForbidden, errors.New("administratively prohibited: its sshd forwards no such connection (sshd_config(5): AllowTcpForwarding, PermitOpen)"))
	case errors.As(err, &refused):
		return fail(errors.New(clean(refused.Message)))
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fail(fmt.Errorf("no answer within %s", h.t.Timeouts.Dial))
	case ctx.Err() != nil:
		return fail(context.Cause(ctx))
	}
	return fail(errors.New(reason(err)))
}

// openOnward waits for the channel until ctx ends. One that is opened later is closed.
func (h *host) openOnward(ctx context.Context, payload []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	type opened struct {
		ch   ssh.Channel
		reqs <-chan *ssh.Request
		err  error
	}
	got := make(chan opened)
	go func() {
		var o opened
		o.ch, o.reqs, o.err = h.client.OpenChannel("direct-tcpip", payload)
		select {
		case got <- o:
		case <-ctx.Done():
			if o.err == nil {
				go ssh.DiscardRequests(o.reqs)
				o.ch.Close()
			}
		}
	}()
	select {
	case o := <-got:
		return o.ch, o.reqs, o.err
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// forwardTo is the request for a connection to addr, whose port is a number.
func forwardTo(network, addr string) ([]byte, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, fmt.Errorf("%q is no network that SSH forwards to", network)
	}
	name, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("%q is no port", port)
	}
	return ssh.Marshal(struct {
		Addr       string
		Port       uint32
		OriginAddr string
		OriginPort uint32
	}{name, uint32(n), "127.0.0.1", 0}), nil
}

// forwarded is a connection that runs through a channel. A channel knows no deadlines: those are the pipes' in front of it, one for what is
// read, the other for what is written, so that each half ends by itself.
type forwarded struct {
	net.Conn // what is read
	out      net.Conn
	to       net.Addr
	closed   chan struct{}
	once     sync.Once
}

func newForwarded(ch ssh.Channel, addr string) net.Conn {
	in, farIn := net.Pipe()
	out, farOut := net.Pipe()
	f := &forwarded{Conn: in, out: out, to: in.RemoteAddr(), closed: make(chan struct{})}
	go func() {
		io.Copy(ch, farOut) // to the end of what is written
		farOut.Close()      // where the channel ended first, what is written is lost, and waits for nobody
		ch.CloseWrite()
		<-f.closed
		ch.Close()
	}()
	go func() {
		io.Copy(farIn, ch)
		farIn.Close() // the other side has ended: nothing more can be read
		farOut.Close()
	}()
	go io.Copy(io.Discard, ch.Stderr())
	if at, err := netip.ParseAddrPort(addr); err == nil {
		f.to = net.TCPAddrFromAddrPort(at)
	}
	return f
}

func (f *forwarded) Write(p []byte) (int, error) { return f.out.Write(p) }

// CloseWrite tells the other side that nothing more is written; what it says can still be read.
func (f *forwarded) CloseWrite() error { return f.out.Close() }

// Close ends both halves.
func (f *forwarded) Close() error {
	f.once.Do(func() { close(f.closed) })
	return errors.Join(f.out.Close(), f.Conn.Close())
}

func (f *forwarded) SetDeadline(t time.Time) error {
	return errors.Join(f.out.SetDeadline(t), f.Conn.SetDeadline(t))
}

func (f *forwarded) SetWriteDeadline(t time.Time) error { return f.out.SetWriteDeadline(t) }

// RemoteAddr is what was dialled, where that was an address.
func (f *forwarded) RemoteAddr() net.Addr { return f.to }
