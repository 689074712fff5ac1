package ssh_test

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// TestJumpDies: a jump host that ends, in whatever phase of the target behind it, is what is named.
func TestJumpDies(t *testing.T) {
	for _, c := range []struct {
		at     string // what is traced of the target then
		server *remotetest.Server
		kind   error
	}{
		{"connecting to", &remotetest.Server{SilentAccept: true}, remote.ErrUnreachable},
		{"host key", &remotetest.Server{HangAfterKex: true}, remote.ErrUnreachable},
		{"logged in", &remotetest.Server{HangAfterAuth: true}, remote.ErrUnreachable},
		{"running a command", &remotetest.Server{HangExec: true}, remote.ErrCut},
	} {
		t.Run(c.at, func(t *testing.T) {
			t.Parallel()
			var jumps ssh.Jumps
			defer jumps.Close()
			link := &cuttable{}
			hop := named(newTarget(t, onward()), "bastion")
			hop.Connect = link.dial
			x := newTarget(t, c.server)
			x.Jump = jumps.Through(hop)
			x.Timeouts = remote.Timeouts{Dial: time.Hour, Login: time.Hour, Idle: time.Hour, Run: time.Hour}
			once := sync.OnceFunc(func() { time.AfterFunc(time.Second, link.cut) })
			x.Trace = func(line string) {
				t.Log(line)
				if strings.HasPrefix(line, c.at) {
					once()
				}
			}
			h, err := ssh.Dial(t.Context(), x)
			if err == nil {
				defer h.Close()
				_, err = h.Run(t.Context(), whoami, 1000)
			}
			t.Log(err)
			wants(t, err, c.kind, []string{"jump host bastion"})
		})
	}
}

// failing is a connection whose reads fail from some moment on.
type failing struct {
	net.Conn
	with atomic.Pointer[error]
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if with := f.with.Load(); with != nil {
		return 0, *with
	}
	return n, err
}

// TestLinkBreaks: a link that breaks once a key was offered is no refusal by the host; a host that hangs up then may well mean one.
func TestLinkBreaks(t *testing.T) {
	broken := error(&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ETIMEDOUT)})
	reset := error(&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)})
	end := io.EOF
	for name, c := range map[string]struct {
		with *error
		kind error
		says string
	}{
		"broken": {&broken, remote.ErrUnreachable, "the link was lost: read tcp: read: connection timed out"},
		"reset":  {&reset, remote.ErrAuth, "the host then ended the login"},
		"end":    {&end, remote.ErrAuth, "the host then ended the login: it closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			var link *failing
			x := newTarget(t, &remotetest.Server{})
			x.Connect = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, address)
				link = &failing{Conn: conn}
				return link, err
			}
			x.Trace = func(line string) {
				if strings.HasPrefix(line, "offering") {
					link.with.Store(c.with)
				}
			}
			_, err := ssh.Dial(t.Context(), x)
			t.Log(err)
			wants(t, err, c.kind, []string{c.says})
		})
	}
}
