// Package local is the Host that is this very machine: commands run as they would over SSH, as root or through sudo, with no connection between.
package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"syscall"
	"time"

	"mtaharden/remediate/remote"
)

// linger is how long the output of a command that has ended may stay open: a daemon it started may hold it for ever.
const linger = 3 * time.Second

// Target says how commands are run on this machine.
type Target struct {
	Name           string                 // what messages call it; "" is "localhost"
	Become         string                 // "" and "sudo": through sudo where this process is not root's; "none": as they are
	BecomePassword func() (string, error) // answers sudo, in answer to its prompt alone; nil: sudo must not ask (sudo -n)
	Timeouts       remote.Timeouts        // Dial bounds a connection from here, Login bounds sudo's way to the command, Run the whole of it
	Trace          func(line string)      // gets what is done, a line a call; nil is none
}

type host struct {
	t    Target
	root bool
}

// Dial returns this machine. Nothing is tried before the first command.
func Dial(_ context.Context, t Target) (remote.Host, error) {
	t.Name = cmp.Or(t.Name, "localhost")
	t.Timeouts = t.Timeouts.Filled()
	if t.Trace == nil {
		t.Trace = func(string) {}
	}
	switch t.Become {
	case "", "sudo", "none":
		return &host{t: t, root: os.Geteuid() == 0}, nil
	}
	return nil, remote.Wrap("become root on", t.Name, remote.ErrPrivilege, fmt.Errorf("%q is no way of becoming root known here", t.Become))
}

func (h *host) becomes() bool { return h.t.Become != "none" && !h.root }

func (h *host) Transport() remote.Transport {
	t := remote.Transport{Name: "local"}
	if u, err := user.Current(); err == nil {
		t.User = u.Username
	}
	if h.becomes() {
		t.Become = "sudo"
	}
	return t
}

func (h *host) Close() error { return nil }

// Dial opens a connection of this machine's own.
func (h *host) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: h.t.Timeouts.Dial}
	conn, err := d.DialContext(ctx, network, addr)
	return conn, remote.Wrap("open a connection to "+addr+" from", h.t.Name, remote.ErrUnreachable, err)
}

// Run runs the command in a process group of its own, which is killed when ctx or the command's time ends or too much is written.
func (h *host) Run(ctx context.Context, c remote.Cmd, limit int) (remote.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.t.Timeouts.Run, fmt.Errorf("it did not end within %s", h.t.Timeouts.Run))
	defer cancel()
	return h.Keep(ctx, c, limit, nil)
}

// Keep is Run without a time of its own.
func (h *host) Keep(ctx context.Context, c remote.Cmd, limit int, heard func([]byte)) (remote.Result, error) {
	argv, op := c.Argv, "run a command on"
	var sudo *remote.Become
	if h.becomes() {
		var err error
		sudo = remote.NewSudo(h.t.BecomePassword)
		if argv, err = sudo.Argv(argv, len(c.Stdin)); err != nil {
			return remote.Result{}, err
		}
	}
	if len(argv) == 0 {
		return remote.Result{}, fmt.Errorf("cannot %s %s: it has no words", op, h.t.Name)
	}
	h.t.Trace("running " + remote.Clean(c.String()))
	e := remote.NewExchange(c, limit, sudo)
	e.Hear(heard)
	result, err := h.carry(ctx, argv, e, sudo != nil)
	if errors.Is(err, remote.ErrPrivilege) {
		op = "become root on"
	}
	return result, remote.Wrap(op, h.t.Name, remote.ErrCut, err)
}

func (h *host) carry(ctx context.Context, argv []string, e *remote.Exchange, become bool) (remote.Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := command(ctx, argv)
	cmd.Stdout, cmd.Stderr = stopper{e.Stdout(), cancel}, stopper{e.Stderr(), cancel}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return remote.Result{}, err
	}
	if err := cmd.Start(); err != nil {
		e.End()
		return notFound(err)
	}
	if become {
		timer := time.AfterFunc(h.t.Timeouts.Login, func() {
			if waiting, said := e.Waiting(); waiting {
				cancel(remote.Stuck(fmt.Sprintf("sudo did not begin the command within %s", h.t.Timeouts.Login), said))
			}
		})
		defer timer.Stop()
	}
	go e.Feed(stdin)
	err = wait(ctx, cmd)
	e.End()
	return outcome(ctx, cmd, e, err)
}

// command is argv in a process group of its own; the whole group is killed with it.
func command(ctx context.Context, argv []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = linger
	return cmd
}

// wait waits for the end of cmd. A command of root's cannot be killed by another account: it is left to itself when the time has ended.
func wait(ctx context.Context, cmd *exec.Cmd) error {
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(linger / 6):
		return context.Cause(ctx)
	}
}

func outcome(ctx context.Context, cmd *exec.Cmd, e *remote.Exchange, err error) (remote.Result, error) {
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		result, cut := e.Result(-1)
		if errors.Is(cut, remote.ErrCut) {
			return result, cut
		}
		return result, context.Cause(ctx)
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return e.Result(0)
	case errors.As(err, &exit):
		return e.Result(status(exit))
	}
	result, _ := e.Result(-1)
	return result, err
}

// status is the exit status as a shell gives it: 128 and the signal's number for a command that was killed.
func status(exit *exec.ExitError) int {
	if w, ok := exit.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return exit.ExitCode()
}

// notFound is what a shell makes of a command that cannot be started: 127 and a line on standard error, as it is over SSH.
func notFound(err error) (remote.Result, error) {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return remote.Result{Exit: 127, Stderr: []byte(err.Error() + "\n")}, nil
	}
	if errors.Is(err, os.ErrPermission) {
		return remote.Result{Exit: 126, Stderr: []byte(err.Error() + "\n")}, nil
	}
	return remote.Result{}, err
}

// stopper ends the command when what it writes is not wanted any more.
type stopper struct {
	io.Writer
	cancel context.CancelCauseFunc
}

func (s stopper) Write(p []byte) (int, error) {
	n, err := s.Writer.Write(p)
	if err != nil {
		s.cancel(err)
	}
	return n, err
}
