package ssh_test

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// TestFewLoginsThroughACommand: the ProxyCommands of many hosts go through what is mostly one bastion; no more logins are under way there than it
// bears (sshd_config(5), MaxStartups), and all of them are made.
func TestFewLoginsThroughACommand(t *testing.T) {
	var open, most atomic.Int32
	doors := &ssh.Doors{}
	var all sync.WaitGroup
	for i := range 24 {
		x := newTarget(t, &remotetest.Server{Config: &xssh.ServerConfig{
			PreAuthConnCallback: func(xssh.ServerPreAuthConn) {
				now := open.Add(1)
				for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
				}
				time.Sleep(100 * time.Millisecond)
			},
			AuthLogCallback: func(_ xssh.ConnMetadata, method string, err error) {
				if method == "publickey" && err == nil {
					open.Add(-1)
				}
			},
		}})
		x.Doors, x.Through, x.Name, x.Connect = doors, "a ProxyCommand", fmt.Sprint("mx", i), new(net.Dialer).DialContext
		all.Go(func() {
			h, err := ssh.Dial(t.Context(), x)
			if err != nil {
				t.Error(err)
				return
			}
			h.Close()
		})
	}
	all.Wait()
	if n := most.Load(); n > 8 || n < 2 {
		t.Errorf("%d logins were under way at once", n)
	}
}
