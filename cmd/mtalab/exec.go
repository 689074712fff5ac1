package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
)

// Exec runs a command on a host, or on this machine seen from a vantage point, and returns its exit status
// (128 + the signal's number for one that a signal ended).
func (l *Lab) Exec(ctx context.Context, where string, argv []string, in io.Reader, out, errout io.Writer) (int, error) {
	var c *exec.Cmd
	switch {
	case slices.Contains(l.vantageNames(), where):
		if _, err := os.Stat(l.netnsPath(where)); err != nil {
			return 0, fmt.Errorf("cannot run at %s: the lab is down", where)
		}
		c = l.vantageCommand(ctx, where, argv...)
	default:
		if _, err := l.Select([]string{where}); err != nil {
			return 0, err
		}
		if l.leader(where) == 0 {
			return 0, fmt.Errorf("cannot run on %s: the host is down", where)
		}
		c = l.hostCommand(ctx, where, nil, argv...)
	}
	c.Stdin, c.Stdout, c.Stderr = in, out, errout
	return commandStatus(c.Run())
}

func commandStatus(err error) (int, error) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, err
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return exit.ExitCode(), nil
}

// vantageCommand is a command of this machine in a vantage point's network, with the lab's resolver.
func (l *Lab) vantageCommand(ctx context.Context, where string, argv ...string) *exec.Cmd {
	resolving := l.resolving(ctx, argv...)
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + l.netnsPath(where)}, resolving.Args...)...)
}

// resolving is a command of this machine that asks the lab's resolver: its own may know nothing of the lab's addresses, or not answer.
func (l *Lab) resolving(ctx context.Context, argv ...string) *exec.Cmd {
	args := []string{"--mount", "--propagation", "private", "/bin/sh", "-c",
		`mount --bind "$1" /etc/resolv.conf || exit 125; shift; exec "$@"`, "sh", filepath.Join(l.State, "resolv.conf")}
	return exec.CommandContext(ctx, "unshare", append(args, argv...)...)
}
