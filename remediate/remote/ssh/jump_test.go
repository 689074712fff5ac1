package ssh_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// onward is a jump host that forwards wherever it is asked to.
func onward() *remotetest.Server { return &remotetest.Server{Forward: net.Dial} }

func named(t ssh.Target, name string) ssh.Target {
	t.Name = name
	return t
}

// TestJumps: each row is a target behind jump hosts, one of which may fail; the message names that one and how it failed.
func TestJumps(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere := closed.Addr().(*net.TCPAddr).Port
	closed.Close()
	other, _ := remotetest.NewKeyFile(t, "")
	cases := []struct {
		name   string
		hops   []func(*ssh.Target) // changes to each hop, the nearest first
		server func(*remotetest.Server)
		target func(*ssh.Target)
		kind   error
		says   []string
	}{
		{name: "one", hops: []func(*ssh.Target){nil}},
		{name: "three", hops: []func(*ssh.Target){nil, nil, nil}},
		{name: "unreachable", hops: []func(*ssh.Target){func(x *ssh.Target) { x.Port = nowhere }}, kind: remote.ErrUnreachable, says: []string{"its jump host hop1 cannot be reached: ", "connection refused"}},
		{name: "key changed", hops: []func(*ssh.Target){func(x *ssh.Target) { changeKey(t, &remotetest.Server{}, x) }}, kind: remote.ErrUnreachable, says: []string{"the key of its jump host hop1 is not right: the host key has changed: the host shows ssh-ed25519 SHA256:", "known is ssh-ed25519 SHA256:", "known_hosts:1)"}},
		{name: "key unknown", hops: []func(*ssh.Target){func(x *ssh.Target) { x.KnownHosts = nil }}, kind: remote.ErrUnreachable, says: []string{"the key of its jump host hop1 is not right: the host key is not known"}},
		{name: "refused", hops: []func(*ssh.Target){func(x *ssh.Target) { x.Identities = []string{other} }}, kind: remote.ErrUnreachable, says: []string{"its jump host hop1 does not let us in: user admin: ", "accepts none of the keys"}},
		{name: "second refused", hops: []func(*ssh.Target){nil, func(x *ssh.Target) { x.Identities = []string{other} }}, kind: remote.ErrUnreachable, says: []string{"its jump host hop2 does not let us in: "}},
		{name: "first of two refused", hops: []func(*ssh.Target){func(x *ssh.Target) { x.Identities = []string{other} }, nil}, kind: remote.ErrUnreachable, says: []string{"its jump host hop2 cannot be reached: its jump host hop1 does not let us in: "}},
		{name: "forwards nothing", hops: []func(*ssh.Target){nil}, server: func(s *remotetest.Server) { s.Forward = nil }, kind: remote.ErrUnreachable, says: []string{"its jump host hop1 forwards no connection to 127.0.0.1:", "AllowTcpForwarding", "let it be allowed there for admin"}},
		{name: "answers nothing", hops: []func(*ssh.Target){nil}, server: func(s *remotetest.Server) { s.HangForward = true }, target: func(x *ssh.Target) { x.Timeouts.Dial = time.Second }, kind: remote.ErrUnreachable, says: []string{"did not answer within 1s"}},
		{name: "nothing behind it", hops: []func(*ssh.Target){nil}, target: func(x *ssh.Target) { x.Port = nowhere }, kind: remote.ErrUnreachable, says: []string{"its jump host hop1 cannot connect to 127.0.0.1:", "connection refused"}},
		{name: "hangs", hops: []func(*ssh.Target){func(x *ssh.Target) { x.Timeouts.Auth = time.Second }}, server: func(s *remotetest.Server) { s.HangAfterKex = true }, kind: remote.ErrUnreachable, says: []string{"its jump host hop1 cannot be reached: the authentication was not finished within 1s"}},
		{name: "the target's key changed", hops: []func(*ssh.Target){nil}, target: func(x *ssh.Target) { changeKey(t, &remotetest.Server{}, x) }, kind: remote.ErrHostKey, says: []string{"cannot connect to mx01: the host key has changed"}},
		{name: "the target refuses", hops: []func(*ssh.Target){nil}, target: func(x *ssh.Target) { x.Identities = []string{other} }, kind: remote.ErrAuth, says: []string{"cannot log in to mx01: user admin: "}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var jumps ssh.Jumps
			t.Cleanup(func() { jumps.Close() })
			var before *ssh.Jump
			for i, change := range c.hops {
				s := onward()
				if c.server != nil {
					c.server(s)
				}
				hop := named(newTarget(t, s), "hop"+string(rune('1'+i)))
				if change != nil {
					change(&hop)
				}
				hop.Jump = before
				before = jumps.Through(hop)
			}
			target := newTarget(t, &remotetest.Server{})
			if c.target != nil {
				c.target(&target)
			}
			target.Jump = before
			h, err := ssh.Dial(t.Context(), target)
			if c.kind != nil {
				if err == nil {
					h.Close()
					t.Fatal("Dial succeeded")
				}
				t.Log(err)
				wants(t, err, c.kind, c.says)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			if r, err := h.Run(t.Context(), whoami, 1000); err != nil || r.Exit != 3 {
				t.Errorf("%d %q, %v", r.Exit, r.Stderr, err)
			}
		})
	}
}

// TestJumpShared: the targets of a run share one login to a jump host; it is made anew when it is lost, and a host that refuses it is asked once.
func TestJumpShared(t *testing.T) {
	s := onward()
	var jumps ssh.Jumps
	defer jumps.Close()
	hop := named(newTarget(t, s), "bastion")
	target := newTarget(t, &remotetest.Server{})
	visitAll := func() (errs []error) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				x := target
				x.Jump = jumps.Through(hop)
				_, err := visit(t.Context(), x)
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			})
		}
		wg.Wait()
		return errs
	}
	for _, err := range visitAll() {
		if err != nil {
			t.Error(err)
		}
	}
	if s.Logins.Load() != 1 || s.Forwards.Load() != 20 {
		t.Errorf("%d logins to the jump host and %d connections onward", s.Logins.Load(), s.Forwards.Load())
	}
	wrong, _ := remotetest.NewKeyFile(t, "")
	hop.Identities, hop.User = []string{wrong}, "stranger"
	before := s.Conns.Load()
	for _, err := range append(visitAll(), visitAll()...) {
		wants(t, err, remote.ErrUnreachable, []string{"its jump host bastion does not let us in: user stranger"})
	}
	if n := s.Conns.Load() - before; n != 1 {
		t.Errorf("a jump host that refuses us was asked %d times", n)
	}
}

func TestJumpLost(t *testing.T) {
	s := onward()
	var jumps ssh.Jumps
	defer jumps.Close()
	link := &cuttable{}
	hop := named(newTarget(t, s), "bastion")
	hop.Connect = link.dial
	target := newTarget(t, &remotetest.Server{})
	target.Jump = jumps.Through(hop)
	for i := range 3 {
		if _, err := visit(t.Context(), target); err != nil {
			t.Fatal(err)
		}
		if n := int(s.Logins.Load()); n != i+1 {
			t.Errorf("%d logins after the link was cut %d times", n, i)
		}
		link.cut()
		for deadline := time.Now().Add(bound); !link.noticed(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the cut was not noticed")
			}
		}
	}
}

// cuttable makes connections that can be cut.
type cuttable struct {
	mu   sync.Mutex
	last *cutConn
}

type cutConn struct {
	net.Conn
	mu   sync.Mutex
	gone bool
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = c.gone || err != nil
	return n, err
}

func (l *cuttable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = &cutConn{Conn: c}
	return l.last, nil
}

func (l *cuttable) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last.Conn.(*net.TCPConn).CloseRead()
}

func (l *cuttable) noticed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last.mu.Lock()
	defer l.last.mu.Unlock()
	return l.last.gone
}

// TestJumpGivenUp: when nobody waits for a jump host any more, its login ends; the next who asks begins a new one.
func TestJumpGivenUp(t *testing.T) {
	s := onward()
	s.SilentAccept = true
	var jumps ssh.Jumps
	defer jumps.Close()
	target := newTarget(t, &remotetest.Server{})
	target.Jump = jumps.Through(named(newTarget(t, s), "bastion"))
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for n := s.Conns.Load(); s.Conns.Load() == n; time.Sleep(time.Millisecond) {
				if t.Context().Err() != nil {
					return
				}
			}
			cancel()
		}()
		_, err := ssh.Dial(ctx, target)
		cancel()
		if err == nil || !strings.Contains(err.Error(), "context canceled") {
			t.Errorf("got %v", err)
		}
	}
}

// TestProxyCommand: rows of commands, and what comes of a connection through them.
func TestProxyCommand(t *testing.T) {
	for _, c := range []struct {
		name, command string // TO is a program that connects to the target
		says          []string
	}{
		{name: "works", command: "TO"},
		{name: "works with noise on standard error", command: "sh -c 'echo noise >&2; exec TO'"},
		{name: "fails", command: "sh -c 'echo no way there >&2; exit 3'", says: []string{"its ProxyCommand ended (exit status 3): no way there"}},
		{name: "is missing", command: "/no/such/program x", says: []string{"its ProxyCommand ended (exit status 127): ", "/no/such/program"}},
		{name: "is killed", command: "sh -c 'kill -9 $$'", says: []string{"its ProxyCommand ended (signal: killed)"}},
		{name: "colours", command: `sh -c 'printf "\033[31mred" >&2; exit 1'`, says: []string{"its ProxyCommand ended (exit status 1): ", "red"}},
		{name: "speaks something else", command: "echo hello", says: []string{"its ProxyCommand ended (exit status 0)"}},
		{name: "says nothing", command: "sh -c 'sleep 1000 & sleep 1000'", says: []string{"no SSH greeting came within"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := newTarget(t, &remotetest.Server{})
			target.Timeouts.Banner = time.Second
			pids := filepath.Join(t.TempDir(), "pids")
			to := "env MTAHARDEN_TEST_CONNECT=127.0.0.1:" + portOf(target) + " " + self(t)
			if c.says == nil {
				target.Timeouts.Banner = bound
			}
			target.Connect = ssh.ProxyCommand("sh -c 'echo $$ >" + pids + "; exec \"$@\"' sh " + strings.ReplaceAll(c.command, "TO", to))
			h, err := ssh.Dial(t.Context(), target)
			switch {
			case c.says == nil && err != nil:
				t.Fatal(err)
			case c.says == nil:
				if r, err := h.Run(t.Context(), whoami, 1000); err != nil || r.Exit != 3 {
					t.Errorf("%d %q, %v", r.Exit, r.Stderr, err)
				}
				h.Close()
			case err == nil:
				h.Close()
				t.Fatal("Dial succeeded")
			default:
				t.Log(err)
				wants(t, err, remote.ErrUnreachable, c.says)
				if strings.Contains(err.Error(), "\033") {
					t.Errorf("an escape sequence is in %q", err)
				}
			}
			nobodyLeft(t, pids)
		})
	}
}

func portOf(t ssh.Target) string { return strconv.Itoa(t.Port) }

func self(t testing.TB) string {
	t.Helper()
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// beProxy is this program in the place of nc.
func beProxy(address string) int {
	c, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		io.Copy(c, os.Stdin)
		c.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(os.Stdout, c)
	return 0
}

// nobodyLeft checks that nothing is left of the session whose first process wrote its number to file.
func nobodyLeft(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	session := strings.TrimSpace(string(text))
	if err != nil || session == "" {
		t.Fatalf("the command was not run: %v", err)
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	if len(stats) == 0 {
		t.Skip("needs /proc")
	}
	for _, name := range stats {
		data, _ := os.ReadFile(name) // it may end meanwhile
		_, rest, _ := strings.Cut(string(data), ") ")
		if words := strings.Fields(rest); len(words) > 3 && words[3] == session && words[0] != "Z" {
			t.Errorf("a process of the command is left: %s", data)
		}
	}
}
