package ssh_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
)

// echo serves connections that say back each line they get, until the test ends.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

// TestForward: connections from the host carry bytes both ways, know whom they reach, keep deadlines, and end with either side.
func TestForward(t *testing.T) {
	at := echo(t)
	s := &remotetest.Server{Forward: net.Dial}
	d, ok := dial(t, newTarget(t, s)).(remote.Dialer)
	if !ok {
		t.Fatal("the host is no Dialer")
	}
	conn, err := d.Dial(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	if conn.RemoteAddr().String() != at {
		t.Errorf("it reaches %s, not %s", conn.RemoteAddr(), at)
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	big := strings.Repeat("x", 1<<20) + "\n"
	go io.WriteString(conn, big)
	if got, err := bufio.NewReader(conn).ReadString('\n'); err != nil || got != big {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read past its deadline: %v", err)
	}
	conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a closed connection is read")
	}
	if s.Logins.Load() != 1 || s.Forwards.Load() != 1 || s.Execs.Load() != 0 {
		t.Errorf("%d logins, %d forwards and %d execs", s.Logins.Load(), s.Forwards.Load(), s.Execs.Load())
	}
}

// TestForwardFails: each way in which no connection comes about is named, and costs no other connection.
func TestForwardFails(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := free.Addr().String()
	free.Close()
	for _, c := range []struct {
		name, addr string
		server     *remotetest.Server
		kind       error
		says       string
	}{
		{"forbidden", "192.0.2.1:25", &remotetest.Server{}, remote.ErrForbidden, "administratively prohibited"},
		{"refused", closed, &remotetest.Server{Forward: net.Dial}, remote.ErrUnreachable, "refused"},
		{"silent", "192.0.2.1:25", &remotetest.Server{HangForward: true}, remote.ErrUnreachable, "no answer within"},
		{"no port", "192.0.2.1:smtp", &remotetest.Server{Forward: net.Dial}, remote.ErrUnreachable, "is no port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := newTarget(t, c.server)
			target.Timeouts.Dial = 3 * time.Second
			h := dial(t, target)
			_, err := h.(remote.Dialer).Dial(t.Context(), "tcp", c.addr)
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "mx01") {
				t.Errorf("%v", err)
			}
			if r, err := h.Run(t.Context(), remote.Cmd{Argv: []string{"/bin/echo", "well"}}, 100); err != nil || string(r.Stdout) != "well\n" {
				t.Errorf("the login is lost with it: %q, %v", r.Stdout, err)
			}
		})
	}
}

// TestForwardInterrupted: the end of the run ends the waiting, and a lost login ends its connections.
func TestForwardInterrupted(t *testing.T) {
	h := dial(t, newTarget(t, &remotetest.Server{HangForward: true}))
	ctx, stop := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { stop(errors.New("the user had enough")) })
	if _, err := h.(remote.Dialer).Dial(ctx, "tcp", "192.0.2.1:25"); err == nil || !strings.Contains(err.Error(), "the user had enough") {
		t.Errorf("%v", err)
	}
	at := echo(t)
	h = dial(t, newTarget(t, &remotetest.Server{Forward: net.Dial}))
	conn, err := h.(remote.Dialer).Dial(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection outlives its login: %v", err)
	}
	if _, err := h.(remote.Dialer).Dial(t.Context(), "tcp", at); err == nil {
		t.Error("a closed login opens a connection")
	}
}

// A server that speaks once its client has said the last word is heard, and a connection whose two halves are closed is gone.
func TestForwardHalf(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		said, _ := io.ReadAll(conn) // to the client's last word
		io.WriteString(conn, "heard "+string(said))
	}()
	d := dial(t, newTarget(t, &remotetest.Server{Forward: net.Dial})).(remote.Dialer)
	conn, err := d.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, "QUIT"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "heard QUIT" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := conn.Write([]byte("x")); err == nil {
		t.Error("what is closed is written to")
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}
