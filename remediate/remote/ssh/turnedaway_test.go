package ssh_test

import (
	"context"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"testing"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// hangsUp is a host that says this and ends the connection, "RST" by a reset.
func hangsUp(t *testing.T, says string) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if says == "RST" {
				conn.Read(make([]byte, 1)) // a connection that is reset while it is made is none
				conn.(*net.TCPConn).SetLinger(0)
			} else {
				conn.Write([]byte(says))
				conn.(*net.TCPConn).CloseWrite() // what the client sends is read, else the kernel resets the connection
				io.Copy(io.Discard, conn)
			}
			conn.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// TestTurnedAway: a host that has too many logins under way is tried again, a few times; one that turns this address away as a punishment is not.
func TestTurnedAway(t *testing.T) {
	for _, c := range []struct {
		name, greeting string
		times, conns   int32 // how often the host does so, and how often it is connected to
		says           string
	}{
		{"twice", "Exceeded MaxStartups\r\n", 2, 3, ""},
		{"always", "Exceeded MaxStartups\r\n", 100, 4, "the host has too many logins under way (sshd_config(5), MaxStartups)"},
		{"twice, without a word", "", 2, 3, ""},
		{"always, without a word", "", 100, 4, "the host took the connection and closed it without a word"},
		{"always, by a reset", "RST", 100, 4, "the host took the connection and closed it without a word"},
		{"punished", "Not allowed at this time\r\n", 1, 1, "PerSourcePenalties"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newTarget(t, &remotetest.Server{})
			port := hangsUp(t, c.greeting)
			var conns atomic.Int32
			x.Connect = func(ctx context.Context, network, address string) (net.Conn, error) {
				if conns.Add(1) <= c.times {
					address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
				}
				return new(net.Dialer).DialContext(ctx, network, address)
			}
			h, err := ssh.Dial(t.Context(), x)
			if err == nil {
				h.Close()
			}
			if (err == nil) != (c.says == "") || conns.Load() != c.conns {
				t.Errorf("%d connections, %v", conns.Load(), err)
			}
			if c.says != "" {
				wants(t, err, remote.ErrUnreachable, []string{c.says})
			}
		})
	}
}
