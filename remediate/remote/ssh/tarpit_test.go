package ssh_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// short is the deadline of the phase that a case is about. All others are an hour: what ends a case is its own deadline or nothing.
const short = 2 * time.Second

// tarpits are hosts that hold a connection in one phase, and what is said of it.
var tarpits = []struct {
	name   string
	server *remotetest.Server
	short  func(*remote.Timeouts) *time.Duration
	change func(*ssh.Target)
	kind   error
	says   string
}{
	{"a host that does not answer at all", &remotetest.Server{}, func(x *remote.Timeouts) *time.Duration { return &x.Dial },
		func(x *ssh.Target) {
			x.Connect = func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		}, remote.ErrUnreachable, "did not answer within 2s"},
	{"no greeting", &remotetest.Server{SilentAccept: true}, banner, nil, remote.ErrUnreachable, "the connection was made, but no SSH greeting came within 2s"},
	{"greeting byte by byte", &remotetest.Server{Stall: remotetest.DripLines}, banner, nil, remote.ErrUnreachable, `no SSH greeting came (but "p`},
	{"lines without end", &remotetest.Server{Stall: remotetest.EndlessLines}, banner, nil, remote.ErrUnreachable, `it speaks no SSH there: ssh: overflow reading version string; it sent "please wait`},
	{"a line without end", &remotetest.Server{Stall: remotetest.EndlessLine}, banner, nil, remote.ErrUnreachable, "overflow reading version string"},
	{"no key exchange", &remotetest.Server{Stall: remotetest.NoKeyExchange}, keyExchange, nil, remote.ErrUnreachable, "the key exchange was not finished within 2s"},
	{"key exchange byte by byte", &remotetest.Server{Stall: remotetest.DripKeyExchange}, keyExchange, nil, remote.ErrUnreachable, "the key exchange was not finished within 2s"},
	{"no answer to a login", &remotetest.Server{HangAfterKex: true}, func(x *remote.Timeouts) *time.Duration { return &x.Auth }, nil, remote.ErrUnreachable, "the authentication was not finished within 2s"},
	{"new keys for ever", &remotetest.Server{HangAfterKex: true, Config: rekeying()}, func(x *remote.Timeouts) *time.Duration { return &x.Auth }, nil, remote.ErrUnreachable, "the authentication was not finished within 2s"},
	{"a login byte by byte", &remotetest.Server{}, func(x *remote.Timeouts) *time.Duration { return &x.Auth }, drips("host key"), remote.ErrUnreachable, "the authentication was not finished within 2s"},
	{"a channel byte by byte", &remotetest.Server{}, func(x *remote.Timeouts) *time.Duration { return &x.Channel }, drips("logged in as"), remote.ErrUnreachable, "the host opened no channel within 2s"},
	{"a command byte by byte", &remotetest.Server{}, func(x *remote.Timeouts) *time.Duration { return &x.Run }, drips("running a command"), remote.ErrCut, "it did not end within 2s"},
	{"no channel", &remotetest.Server{HangAfterAuth: true}, func(x *remote.Timeouts) *time.Duration { return &x.Channel }, nil, remote.ErrUnreachable, "the host opened no channel within 2s"},
	{"a silent command", &remotetest.Server{HangExec: true}, func(x *remote.Timeouts) *time.Duration { return &x.Idle }, nil, remote.ErrCut, "it said nothing for 2s; the login shell never came to the command"},
	{"a deaf command", &remotetest.Server{DeafExec: true}, func(x *remote.Timeouts) *time.Duration { return &x.Run }, nil, remote.ErrCut, "it did not end within 2s; the login shell never came to the command"},
	{"a command that writes for ever", &remotetest.Server{Flood: true}, func(x *remote.Timeouts) *time.Duration { return &x.Run }, nil, remote.ErrCut, "it wrote more than 1000 bytes to standard output"},
}

// dripped is a connection that is read byte by byte; once it is slow, a byte comes now and then.
type dripped struct {
	net.Conn
	slow *atomic.Bool
}

func (d dripped) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p[:1])
	if d.slow.Load() {
		time.Sleep(short / 10)
	}
	return n, err
}

// drips makes a target's connection a slow one when it traces a line that begins so.
func drips(from string) func(*ssh.Target) {
	return func(x *ssh.Target) {
		slow, trace := &atomic.Bool{}, x.Trace
		x.Connect = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return dripped{conn, slow}, err
		}
		x.Trace = func(line string) {
			trace(line)
			if strings.HasPrefix(line, from) {
				slow.Store(true)
			}
		}
	}
}

// rekeying is a server that has something to say for ever before anybody is let in, and makes new keys for each word of it.
func rekeying() *xssh.ServerConfig {
	return &xssh.ServerConfig{Config: xssh.Config{RekeyThreshold: 256}, PreAuthConnCallback: func(c xssh.ServerPreAuthConn) {
		go func() {
			for c.SendAuthBanner(strings.Repeat("wait ", 100)) == nil {
				time.Sleep(short / 10)
			}
		}()
	}}
}

func banner(x *remote.Timeouts) *time.Duration      { return &x.Banner }
func keyExchange(x *remote.Timeouts) *time.Duration { return &x.KeyExchange }

func TestTarpits(t *testing.T) {
	for _, c := range tarpits {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			target := newTarget(t, c.server)
			target.Timeouts = remote.Timeouts{Dial: time.Hour, Login: time.Hour, Idle: time.Hour, Run: time.Hour}
			*c.short(&target.Timeouts) = short
			if c.change != nil {
				c.change(&target)
			}
			h, err := ssh.Dial(t.Context(), target)
			if err == nil {
				defer h.Close()
				_, err = h.Run(t.Context(), remote.Cmd{Argv: []string{"true"}, Stdin: make([]byte, 4<<20), Tells: true}, 1000)
			}
			wants(t, err, c.kind, []string{c.says})
			t.Log(err)
		})
	}
}

// TestInterrupted: whatever phase a host is in, the end of the context ends it; every deadline is an hour away.
func TestInterrupted(t *testing.T) {
	for _, c := range tarpits {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := &remotetest.Server{Stall: c.server.Stall, SilentAccept: c.server.SilentAccept, HangAfterKex: c.server.HangAfterKex,
				HangAfterAuth: c.server.HangAfterAuth, Config: c.server.Config, HangExec: c.server.HangExec, DeafExec: c.server.DeafExec}
			target := newTarget(t, server)
			target.Timeouts = remote.Timeouts{Dial: time.Hour, Login: time.Hour, Idle: time.Hour, Run: time.Hour}
			if c.change != nil {
				c.change(&target)
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			h, err := ssh.Dial(ctx, target)
			if err == nil {
				defer h.Close()
				_, err = h.Run(ctx, remote.Cmd{Argv: []string{"/bin/sh", "-c", "sleep 3600"}, Stdin: make([]byte, 4<<20)}, 1000)
			}
			if err == nil {
				t.Fatal("it came to an end")
			}
			<-ctx.Done()
			t.Log(err)
		})
	}
}
