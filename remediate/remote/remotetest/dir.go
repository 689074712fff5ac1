package remotetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mtaharden/remediate/remote"
)

// Dir is a host made of a directory: commands run on this machine by real programs, with stub tools before all others in PATH. Its fields are set before use.
type Dir struct {
	Root  string             // working directory of commands, and $ROOT in their environment
	Tools map[string]string  // stub tools: name → shell script, or → what it prints where the text does not begin with "#!"
	Only  bool               // PATH holds the stub tools and those of Needs alone, and nothing else of this machine
	Needs []string           // real tools to link into PATH where Only is set
	Shell []string           // runs in place of /bin/sh: dash, busybox sh, …
	Env   []string           // added to the environment
	As    remote.Transport   // what Transport says
	Time  time.Duration      // bound of one command; 0: 60 s
	Fault func(n int) *Fault // asked before the n-th command (from 1); nil, or a nil *Fault: none

	mu       sync.Mutex
	tools    string
	commands []remote.Cmd
}

// Fault is what goes wrong with one command.
type Fault struct {
	Err      error // returned in place of running it
	CutAfter int   // the link is lost after as many bytes of standard output; 0: never
	Kill     bool  // with CutAfter: the command is killed too; without, it ends unseen
}

// NewDir returns a host over root ("": an empty directory) with the stub tools given.
func NewDir(t testing.TB, root string, tools map[string]string) *Dir {
	t.Helper()
	if root == "" {
		root = t.TempDir()
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	return &Dir{Root: abs, Tools: tools, As: remote.Transport{Name: "local", User: "root"}, tools: t.TempDir()}
}

// Commands are the commands that were asked for, in order.
func (d *Dir) Commands() []remote.Cmd {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]remote.Cmd{}, d.commands...)
}

func (d *Dir) Transport() remote.Transport { return d.As }

func (d *Dir) Close() error { return nil }

// Run runs c in Root. The words "/bin/sh" at its head are replaced by Shell.
func (d *Dir) Run(ctx context.Context, c remote.Cmd, limit int) (remote.Result, error) {
	bound := d.Time
	if bound == 0 {
		bound = 60 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return d.Keep(ctx, c, limit, nil)
}

// Keep is Run without a bound of its own.
func (d *Dir) Keep(ctx context.Context, c remote.Cmd, limit int, heard func([]byte)) (remote.Result, error) {
	d.mu.Lock()
	d.commands = append(d.commands, c)
	n := len(d.commands)
	err := d.writeTools()
	d.mu.Unlock()
	if err != nil {
		return remote.Result{}, err
	}
	var fault *Fault
	if d.Fault != nil {
		fault = d.Fault(n)
	}
	if fault != nil && fault.Err != nil {
		return remote.Result{}, remote.Wrap("run a command on", "directory", remote.ErrCut, fault.Err)
	}
	return d.run(ctx, c, limit, heard, fault)
}

func (d *Dir) run(ctx context.Context, c remote.Cmd, limit int, heard func([]byte), fault *Fault) (remote.Result, error) {
	argv := c.Argv
	if len(d.Shell) > 0 && len(argv) > 0 && argv[0] == "/bin/sh" {
		argv = append(append([]string{}, d.Shell...), argv[1:]...)
	}
	path := d.tools
	if !d.Only {
		path += ":/usr/sbin:/usr/bin:/sbin:/bin"
	}
	e := remote.NewExchange(c, limit, nil)
	e.Hear(heard)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = d.Root
	cmd.Env = append([]string{"PATH=" + path, "ROOT=" + d.Root, "HOME=" + d.Root, "LC_ALL=C"}, d.Env...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(c.Stdin), e.Stderr()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel, cmd.WaitDelay = kill, time.Second
	out := &faulty{e: e, fault: fault, kill: kill}
	cmd.Stdout = out
	err := cmd.Run()
	e.End()
	var exit *exec.ExitError
	switch {
	case out.cut:
		err = errors.New("the connection was lost")
	case ctx.Err() != nil:
		err = fmt.Errorf("the command did not end: %w", ctx.Err())
	case err == nil || errors.As(err, &exit) || errors.Is(err, exec.ErrWaitDelay) || out.err != nil:
		r, err := e.Result(cmd.ProcessState.ExitCode())
		return r, remote.Wrap("run a command on", "directory", remote.ErrCut, err)
	}
	r, _ := e.Result(-1)
	return r, remote.Wrap("run a command on", "directory", remote.ErrCut, err)
}

// faulty is the command's standard output, up to the cut.
type faulty struct {
	e     *remote.Exchange
	fault *Fault
	kill  func() error
	came  int
	cut   bool
	err   error
}

func (f *faulty) Write(p []byte) (int, error) {
	if f.fault != nil && f.fault.CutAfter > 0 && f.came+len(p) >= f.fault.CutAfter {
		if !f.cut {
			f.e.Stdout().Write(p[:f.fault.CutAfter-f.came])
			f.came, f.cut = f.fault.CutAfter, true
		}
		if f.fault.Kill {
			f.kill()
		}
		return len(p), nil // the command goes on, unseen
	}
	n, err := f.e.Stdout().Write(p)
	f.came += n
	if err != nil {
		f.err = err
		f.kill()
	}
	return n, err
}

// writeTools makes the directory of stub tools, once.
func (d *Dir) writeTools() error {
	if len(d.commands) > 1 {
		return nil
	}
	for name, text := range d.Tools {
		if !strings.HasPrefix(text, "#!") {
			text = "#!/bin/sh\ncat <<'END OF STUB'\n" + text + "\nEND OF STUB\n"
		}
		if err := os.WriteFile(filepath.Join(d.tools, name), []byte(text), 0o755); err != nil {
			return err
		}
	}
	for _, name := range d.Needs {
		real, err := exec.LookPath(name)
		if err != nil {
			return fmt.Errorf("cannot lend %s: %v", name, err)
		}
		if err := os.Symlink(real, filepath.Join(d.tools, name)); err != nil {
			return err
		}
	}
	return nil
}
