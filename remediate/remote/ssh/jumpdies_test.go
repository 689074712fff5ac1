package ssh_test

import (
	"strings"
	"sync"
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
