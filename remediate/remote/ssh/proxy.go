package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// farewell is how long a ProxyCommand may take to end once it was told to.
const farewell = time.Second / 2

// ProxyCommand is a Target.Connect that runs a command line through the user's shell and speaks through its standard input and output
// (ssh_config(5)). The command has no terminal: it can ask nobody. It ends with the connection, and so does everything it started.
func ProxyCommand(line string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, err := startProxy(line, address)
		if err != nil {
			return nil, fmt.Errorf("cannot run the ProxyCommand: %v", err)
		}
		return p, nil
	}
}

// piped is a connection over a program's standard input and output.
type piped struct {
	address string
	in, out *os.File // what is written to it, and what it writes
	cmd     *exec.Cmd
	said    tail
	exited  chan struct{} // closed once it has ended. It is not waited for then: while it is not, its number is that of no other process
	mu      sync.Mutex    // of the signals and the wait
	once    sync.Once
}

func startProxy(line, address string) (*piped, error) {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, theirIn.Close(), in.Close())
	}
	p := &piped{address: address, in: in, out: out, exited: make(chan struct{})}
	p.cmd = exec.Command(cmp.Or(os.Getenv("SHELL"), "/bin/sh"), "-c", "exec "+line)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = theirIn, theirOut, &p.said
	p.cmd.WaitDelay = farewell                             // what it started may hold its standard error
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a group to end as a whole, and no terminal to ask at among twenty hosts
	err = p.cmd.Start()
	theirIn.Close()
	theirOut.Close()
	if err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	go func() {
		if exited(p.cmd.Process.Pid) {
			close(p.exited)
		}
	}()
	return p, nil
}

// reap ends whatever is left of the command's group, and waits for the command: how it ended is in its ProcessState then. The signal goes first: afterwards
// the number could be another group's.
func (p *piped) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd.ProcessState == nil {
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		p.cmd.Wait()
	}
}

// proxyEnded is a ProxyCommand that ended before the connection did.
type proxyEnded struct{ text string }

func (e *proxyEnded) Error() string { return e.text }

// explained says, of a read or a write that failed because the command is gone, why it is.
func (p *piped) explained(n int, err error) (int, error) {
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.EPIPE) {
		return n, err
	}
	select {
	case <-p.exited:
	case <-time.After(farewell):
		return n, err
	}
	p.reap() // nothing that it left behind is the connection any more
	text := fmt.Sprintf("its ProxyCommand ended (%s)", p.cmd.ProcessState)
	if said := p.said.String(); said != "" {
		text += ": " + clean(said)
	}
	return n, &proxyEnded{text}
}

func (p *piped) Read(b []byte) (int, error) { return p.explained(p.out.Read(b)) }

func (p *piped) Write(b []byte) (int, error) { return p.explained(p.in.Write(b)) }

// hangUp asks the command's group to end, where the command was not waited for yet.
func (p *piped) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd.ProcessState == nil {
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGHUP)
	}
}

// Close ends the command and everything of its session, and waits until the command is gone.
func (p *piped) Close() error {
	p.once.Do(func() {
		p.in.Close()
		p.out.Close()
		p.hangUp()
		select {
		case <-p.exited:
		case <-time.After(farewell):
		}
		p.reap()
	})
	return nil
}

func (p *piped) LocalAddr() net.Addr  { return proxied("a ProxyCommand") }
func (p *piped) RemoteAddr() net.Addr { return proxied(p.address) }

func (p *piped) SetDeadline(t time.Time) error {
	return errors.Join(p.out.SetReadDeadline(t), p.in.SetWriteDeadline(t))
}
func (p *piped) SetReadDeadline(t time.Time) error  { return p.out.SetReadDeadline(t) }
func (p *piped) SetWriteDeadline(t time.Time) error { return p.in.SetWriteDeadline(t) }

// proxied is the address of a connection whose real one nobody knows.
type proxied string

func (p proxied) Network() string { return "tcp" }
func (p proxied) String() string  { return string(p) }

// tail keeps the last 500 bytes of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-500):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(string(t.b)), " ")
}
