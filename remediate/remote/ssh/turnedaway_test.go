package ssh_test

import (
	"context"
	"net"
	"strconv"
	"sync/atomic"
	"testing"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// TestTurnedAway: a host that has too many logins under way is tried again, a few times; one that turns this address away as a punishment is not.
func TestTurnedAway(t *testing.T) {
	for _, c := range []struct {
		name, greeting string
		times, conns   int32 // how often the host does so, and how often it is connected to
		says           string
	}{
		{"twice", "Exceeded MaxStartups\r\n", 2, 3, ""},
		{"always", "Exceeded MaxStartups\r\n", 100, 4, "the host has too many logins under way (sshd_config(5), MaxStartups)"},
		{"punished", "Not allowed at this time\r\n", 1, 1, "PerSourcePenalties"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newTarget(t, &remotetest.Server{})
			full := &remotetest.Server{Greeting: c.greeting}
			port := full.Start(t)
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
