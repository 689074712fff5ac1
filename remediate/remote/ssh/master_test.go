package ssh_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// startMaster has this machine's ssh log in to x and listen on a socket; stop ends it.
func startMaster(t *testing.T, x ssh.Target) (socket string, stop func()) {
	t.Helper()
	remotetest.Need(t, "ssh", "openssh-client")
	dir, err := os.MkdirTemp("", "cm") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	cmd := exec.Command("ssh", "-F", "none", "-M", "-S", socket, "-N", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile="+x.KnownHosts[0],
		"-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-i", x.Identities[0], "-p", strconv.Itoa(x.Port), x.User+"@"+x.Address)
	var out strings.Builder
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() { // a test's clock and its end may come together
		cmd.Process.Kill()
		cmd.Wait()
	})
	t.Cleanup(func() {
		stop()
		os.RemoveAll(dir)
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			return socket, stop
		}
		if time.Now().After(deadline) {
			stop()
			t.Fatalf("the ControlMaster does not listen: %s", out.String())
		}
	}
}

// TestControlMaster: a running ssh's connection carries every command, its output, status and input; a dial that is to be afresh makes its own; where the
// master ends half-way the error says so, and where it is dead the host is dialled.
func TestControlMaster(t *testing.T) {
	s := &remotetest.Server{}
	x := newTarget(t, s)
	x.Timeouts.Run = bound
	var stop func()
	x.ControlPath, stop = startMaster(t, x)
	conns := s.Conns.Load()
	h := dial(t, x)
	if tr := h.Transport(); tr.Master != x.ControlPath || tr.User != x.User {
		t.Errorf("%+v", tr)
	}
	for range 3 {
		r, err := h.Run(t.Context(), whoami, 1000)
		if err != nil || r.Exit != 3 || !strings.HasSuffix(string(r.Stdout), itself) || string(r.Stderr) != "to standard error\n" {
			t.Errorf("%d %q %q, %v", r.Exit, r.Stdout, r.Stderr, err)
		}
	}
	if n := s.Conns.Load(); n != conns {
		t.Errorf("%d connections beside the master's", n-conns)
	}
	own, err := ssh.Dial(remote.Afresh(t.Context()), x)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if tr := own.Transport(); tr.Master != "" || tr.HostKey == "" || s.Conns.Load() != conns+1 {
		t.Errorf("a dial afresh rode the master: %+v", tr)
	}
	time.AfterFunc(time.Second, stop)
	if _, err := h.Run(t.Context(), remote.Cmd{Argv: []string{"/bin/sh", "-c", "sleep 60; :"}}, 100); err == nil {
		t.Error("a command outlived its master")
	} else {
		wants(t, err, remote.ErrCut, []string{"the ControlMaster at " + x.ControlPath + " ended"})
	}
	if tr := dial(t, x).Transport(); tr.Master != "" {
		t.Errorf("a dead master was ridden: %+v", tr)
	}
}

// TestNoMaster: what is no ControlMaster costs a moment, is traced, and the host is dialled.
func TestNoMaster(t *testing.T) {
	dir, err := os.MkdirTemp("", "cm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listen := func(name string, serve func(net.Conn)) string {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		os.Chmod(filepath.Join(dir, name), 0o600)
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				serve(c)
			}
		}()
		return filepath.Join(dir, name)
	}
	open := listen("open", func(c net.Conn) { c.Close() })
	os.Chmod(open, 0o666)
	file := filepath.Join(dir, "file")
	os.WriteFile(file, nil, 0o600)
	for name, c := range map[string]struct{ path, says string }{
		"absent":       {filepath.Join(dir, "absent"), "no such file"},
		"a file":       {file, "not a socket of this user's alone"},
		"others may":   {open, "not a socket of this user's alone"},
		"hangs up":     {listen("up", func(c net.Conn) { c.Close() }), "does not answer"},
		"says rubbish": {listen("rub", func(c net.Conn) { c.Write([]byte("HTTP/1.1 400 no\r\n\r\n")); c.Close() }), "does not answer"},
		"says nothing": {listen("mute", func(c net.Conn) {}), "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newTarget(t, &remotetest.Server{})
			x.ControlPath = c.path
			var said strings.Builder
			x.Trace = func(line string) { said.WriteString(line + "\n") }
			if tr := dial(t, x).Transport(); tr.Master != "" || !strings.Contains(said.String(), c.says) {
				t.Errorf("%+v\n%s", tr, said.String())
			}
		})
	}
}
