package apply

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// hurried is a connection on which the time of a command (--host-timeout) ends while swap.sh waits for the daemon to be told. Over SSH the
// connection is closed then, and the host goes on; on this machine the command's processes are killed, and the connection serves on.
type hurried struct {
	*link
	reached string // the reload makes this file
	local   bool
}

func (h hurried) Run(ctx context.Context, c remote.Cmd, limit int) (remote.Result, error) {
	if !bytes.Contains(c.Stdin, []byte("set -- "+remote.Quote(h.g.layout().Run("r1")+"/swap.sh")+"\n")) {
		return h.link.Run(ctx, c, limit)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan struct{})
	go func() {
		defer close(over)
		for ctx.Err() == nil {
			if _, err := os.Stat(h.reached); err == nil {
				cancel()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	if h.local {
		return h.link.Run(ctx, c, limit)
	}
	go h.host.Run(context.WithoutCancel(ctx), c, limit)
	<-over
	h.cut()
	return remote.Result{}, remote.Wrap("run a command on", "the ground", remote.ErrCut, errors.New("it did not end within 3m0s"))
}

// TestGroundHostTimeout: a --host-timeout that ends within the swap leaves no host in between: it is put back, and that is said.
func TestGroundHostTimeout(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root: what is saved must be root's")
	}
	for name, local := range map[string]bool{"ssh": false, "this machine": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t, time.Minute)
			in, reached := g.input("r1"), filepath.Join(g.dir, "reached")
			file := remote.Quote(reached)
			in.Host.Commands = []plan.Commands{{MTA: "some", Reload: []plan.Command{{Argv: []string{"sh", "-c", "[ ! -e " + file + " ] || exit 0; : >" + file + "; sleep 20"}}}}}
			in.Dial = func(ctx context.Context) (remote.Host, error) {
				h, err := g.connect(ctx)
				if err != nil {
					return nil, err
				}
				return hurried{h.(*link), reached, local}, nil
			}
			o := Apply(t.Context(), in)
			if _, err := os.Stat(reached); err != nil {
				t.Fatalf("it ended %s (%s) before the time was over", o.Ending, o.Reason)
			}
			if o.Ending != RolledBack || g.state() != "before" || len(g.left()) > 0 || g.ending("r1") != RolledBack {
				t.Errorf("it ended %s (%s): the host is %q, the run %q, left %v", o.Ending, o.Reason, g.state(), g.ending("r1"), g.left())
			}
			if o := Apply(t.Context(), g.input("r2")); o.Ending != Changed || g.state() != "after" {
				t.Errorf("the next run ended %s (%s): %q", o.Ending, o.Reason, g.state())
			}
		})
	}
}
