package ssh_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// TestGate: before anything is offered to a host its turn is waited for, once; and nothing is asked where there is nothing to offer, or nobody to offer it to.
func TestGate(t *testing.T) {
	for _, c := range []struct {
		name   string
		server *remotetest.Server
		change func(*ssh.Target)
		asked  int32
		kind   error
	}{
		{"a key", &remotetest.Server{}, nil, 1, nil},
		{"a key that is refused, then a password", &remotetest.Server{Password: "right"}, func(x *ssh.Target) {
			x.User, x.Password = "other", func() (string, error) { return "right", nil }
		}, 1, remote.ErrAuth},
		{"a password", &remotetest.Server{Password: "right"}, func(x *ssh.Target) {
			x.Identities, x.Password = nil, func() (string, error) { return "right", nil }
		}, 1, nil},
		{"a password that is asked for", &remotetest.Server{Password: "right", Keyboard: true}, func(x *ssh.Target) {
			x.Identities, x.Password = nil, func() (string, error) { return "right", nil }
		}, 1, nil},
		{"a key and a code", &remotetest.Server{Code: func() string { return "111111" }}, func(x *ssh.Target) {
			x.Answer = func(string, bool) (string, error) { return "111111", nil }
		}, 1, nil},
		{"no key", &remotetest.Server{}, func(x *ssh.Target) { x.Identities = nil }, 0, remote.ErrAuth},
		{"a password that cannot be read", &remotetest.Server{Password: "right"}, func(x *ssh.Target) {
			x.Identities, x.Password = nil, func() (string, error) { return "", errors.New("no such file") }
		}, 0, remote.ErrAuth},
		{"the same, asked for", &remotetest.Server{Password: "right", Keyboard: true}, func(x *ssh.Target) {
			x.Identities, x.Password = nil, func() (string, error) { return "", errors.New("no such file") }
		}, 0, remote.ErrAuth},
		{"a tarpit", &remotetest.Server{SilentAccept: true}, nil, 0, remote.ErrUnreachable},
		{"another host key", &remotetest.Server{}, func(x *ssh.Target) { x.KnownHosts = []string{"/dev/null"} }, 0, remote.ErrHostKey},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newTarget(t, c.server)
			if c.change != nil {
				c.change(&x)
			}
			var asked atomic.Int32
			h, err := ssh.Dial(remote.AtLogin(t.Context(), func(context.Context) error {
				if c.server.AuthTries.Load() > 0 {
					t.Error("something was offered before")
				}
				asked.Add(1)
				return nil
			}), x)
			if err == nil {
				h.Close()
			}
			if !errors.Is(err, c.kind) || asked.Load() != c.asked {
				t.Errorf("asked %d times, want %d; %v", asked.Load(), c.asked, err)
			}
		})
	}
}

// TestGateShut: where the gate says no, nothing is offered, and its error is the login's own.
func TestGateShut(t *testing.T) {
	s := &remotetest.Server{Password: "right"}
	x := newTarget(t, s)
	x.Password = func() (string, error) { return "right", nil }
	no := errors.New("the breaker is open")
	if _, err := ssh.Dial(remote.AtLogin(t.Context(), func(context.Context) error { return no }), x); err != no {
		t.Errorf("%v, want %v", err, no)
	}
	if n := s.AuthTries.Load(); n != 0 {
		t.Errorf("%d credentials were offered", n)
	}
}

// TestGateLate: a turn that comes late is waited for without the host, whose patience ends, and so does one that has hung up meanwhile. The wait takes
// nothing from the time of the login.
func TestGateLate(t *testing.T) {
	t.Parallel()
	s := &remotetest.Server{}
	x := newTarget(t, s)
	var asked atomic.Int32
	h, err := ssh.Dial(remote.AtLogin(t.Context(), func(ctx context.Context) error {
		if asked.Add(1) == 1 { // longer than the login's own time, and than a host is kept waiting
			<-ctx.Done()
			return context.Cause(ctx)
		}
		return nil
	}), x)
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
	if s.Conns.Load() != 2 || s.Logins.Load() != 1 || s.AuthTries.Load() == 0 {
		t.Errorf("%d connections, %d logins", s.Conns.Load(), s.Logins.Load())
	}
}

// TestGateWait: a wait that is longer than the login's own time, within what the host bears.
func TestGateWait(t *testing.T) {
	t.Parallel()
	s := &remotetest.Server{}
	x := newTarget(t, s)
	x.Timeouts.Auth = 3 * time.Second
	h, err := ssh.Dial(remote.AtLogin(t.Context(), func(ctx context.Context) error {
		time.Sleep(4 * time.Second)
		return ctx.Err()
	}), x)
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
	if s.Conns.Load() != 1 {
		t.Errorf("%d connections", s.Conns.Load())
	}
}

// hungUp is a connection whose other side ends it when it is told to.
type hungUp struct {
	*net.TCPConn
	once sync.Once
	seen chan struct{} // closed once a read has found that out
}

func (h *hungUp) Read(p []byte) (int, error) {
	n, err := h.TCPConn.Read(p)
	if err != nil {
		defer h.once.Do(func() { time.AfterFunc(100*time.Millisecond, func() { close(h.seen) }) })
	}
	return n, err
}

// TestGateHungUp: a host that hangs up while the turn is waited for is connected to once more, and no more often. It has refused nothing.
func TestGateHungUp(t *testing.T) {
	t.Parallel()
	for most, kind := range map[int32]error{1: nil, 2: remote.ErrUnreachable} {
		s := &remotetest.Server{}
		x := newTarget(t, s)
		var now *hungUp
		x.Connect = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			now = &hungUp{TCPConn: conn.(*net.TCPConn), seen: make(chan struct{})}
			return now, nil
		}
		h, err := ssh.Dial(remote.AtLogin(t.Context(), func(context.Context) error {
			if now != nil && s.Conns.Load() <= most {
				now.CloseRead()
				<-now.seen
			}
			return nil
		}), x)
		if err == nil {
			h.Close()
		}
		if !errors.Is(err, kind) || kind != nil && !strings.Contains(err.Error(), "the host ended the connection before anything was offered to it") || s.Conns.Load() != 2 || s.AuthTries.Load() > 0 && kind != nil {
			t.Errorf("%d times: %v after %d connections", most, err, s.Conns.Load())
		}
	}
}
