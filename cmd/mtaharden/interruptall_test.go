package main

import (
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mtaharden/remediate/remote/remotetest"
)

// interruptWhen sends this process an interrupt a while after something has come true.
func interruptWhen(t *testing.T, so func() bool) {
	t.Helper()
	go func() {
		for deadline := time.Now().Add(time.Minute); !so() && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(300 * time.Millisecond) // so that it comes as far as it comes
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGINT); err != nil {
			t.Error(err)
		}
	}()
}

// TestInterruptedCommands: every command that reads hosts ends at an interrupt, with a host that hangs and hours to go, and says of that one and of the one
// whose turn had not come how it stands.
func TestInterruptedCommands(t *testing.T) {
	for _, c := range []struct {
		args string
		says string // of the host under way
	}{
		{"plan", "cannot run a command on hangs: interrupt signal received"},
		{"collect -o OUT", "cannot run a command on hangs: interrupt signal received"},
		{"inventory check", "hangs: cannot run a command on hangs: interrupt signal received"},
		{"runs", "hangs: cannot list the runs: cannot run a command on hangs: interrupt signal received"},
		{"backups list", "hangs: cannot list the runs: cannot run a command on hangs: interrupt signal received"},
		{"backups verify", "hangs: cannot list the runs: cannot run a command on hangs: interrupt signal received"},
		{"backups prune --keep-last 1 --yes", "hangs: cannot list the runs: cannot run a command on hangs: interrupt signal received"},
	} {
		t.Run(c.args, func(t *testing.T) {
			f := newFleet(t)
			hung := &remotetest.Server{HangExec: true}
			f.add("hangs", hung, `become = "none"`)
			f.add("waits", &remotetest.Server{HangExec: true}, `become = "none"`)
			args := strings.Fields(strings.Replace(c.args, "OUT", t.TempDir(), 1))
			args = append(args, "-i", f.inventory(), "--batch", "--forks", "1", "--connect-timeout", "1h", "--host-timeout", "2h", "--state", filepath.Join(t.TempDir(), "state"))
			interruptWhen(t, func() bool { return hung.Execs.Load() > 0 })
			code, stdout, stderr := mtaharden(args...)
			all := stdout + stderr
			if code != exitInterrupted || !strings.Contains(all, c.says) || !strings.Contains(all, "not begun: interrupt signal received") || !strings.Contains(stderr, "mtaharden: interrupted: no host was changed") {
				t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
			}
		})
	}
}

// TestInterruptedProbe: of targets that were named, the report says which were not asked to the end.
func TestInterruptedProbe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var came atomic.Int32
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close() // it says nothing until the test is over
			came.Add(1)
		}
	}()
	at := l.Addr().String()
	closed := strings.Replace(at, "127.0.0.1", "127.0.0.2", 1)
	interruptWhen(t, func() bool { return came.Load() > 0 })
	code, stdout, stderr := mtaharden("probe", at, closed, "--state", filepath.Join(t.TempDir(), "state"))
	if code != exitInterrupted || !strings.Contains(stdout, at) || strings.Count(stdout, "not asked to the end: interrupt signal received") != 1 || !strings.Contains(stdout, closed+"  not open to this machine") {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
}
