package ssh_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mtaharden/remediate/journal"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// long is a content that goes up by SFTP where the host has it.
var long = bytes.Repeat([]byte("\x00'\\!\xff\r\n line"), 120000)

// spoiled is an SFTP server's stream with something done when so many bytes have been read from it.
type spoiled struct {
	io.ReadWriteCloser
	left int
	then func() error
}

func (s *spoiled) Read(p []byte) (int, error) {
	if s.left <= 0 {
		if err := s.then(); err != nil {
			return 0, err
		}
	}
	n, err := s.ReadWriteCloser.Read(p)
	s.left -= n
	return n, err
}

// fileServers are SFTP servers: whether the content went up by one, and else why not, in the trace. The content arrives in each case.
var fileServers = []struct {
	name  string
	serve func(rw io.ReadWriteCloser, stop <-chan struct{})
	why   string
}{
	{"works", func(rw io.ReadWriteCloser, _ <-chan struct{}) { remotetest.ServeFiles(rw) }, ""},
	{"none", nil, "the host begins no sftp server"},
	{"ends at once", func(io.ReadWriteCloser, <-chan struct{}) {}, "no sftp, a command will do: "},
	{"a start-up file that prints", func(rw io.ReadWriteCloser, _ <-chan struct{}) {
		io.WriteString(rw, "noise on stdout\n")
		remotetest.ServeFiles(rw)
	}, "packet too long"},
	{"one that prints an empty line", func(rw io.ReadWriteCloser, _ <-chan struct{}) {
		io.WriteString(rw, "\n")
		remotetest.ServeFiles(rw)
	}, "packet too long"},
	{"another version", func(rw io.ReadWriteCloser, stop <-chan struct{}) {
		rw.Write([]byte{0, 0, 0, 5, 2, 0, 0, 0, 9})
		<-stop
	}, "unexpected server version"},
	{"an answer to nothing", func(rw io.ReadWriteCloser, stop <-chan struct{}) {
		rw.Write([]byte{0, 0, 0, 5, 2, 0, 0, 0, 3, 0, 0, 0, 9, 101, 9, 9, 9, 9, 0, 0, 0, 0})
		<-stop
	}, "connection lost"},
	{"hangs", func(_ io.ReadWriteCloser, stop <-chan struct{}) { <-stop }, "the sftp server said nothing for"},
	{"hangs half-way", func(rw io.ReadWriteCloser, stop <-chan struct{}) {
		remotetest.ServeFiles(&spoiled{rw, len(long) / 2, func() error { <-stop; return io.EOF }})
	}, "the sftp server said nothing for"},
	{"ends half-way", func(rw io.ReadWriteCloser, _ <-chan struct{}) {
		remotetest.ServeFiles(&spoiled{rw, len(long) / 2, func() error { return io.EOF }})
	}, "connection lost"},
}

// place makes a directory that is root's alone.
func place(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("what goes up by SFTP goes to a directory of root's")
	}
	dir := filepath.Join(t.TempDir(), "it's a place")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// traced keeps what a target traces.
func traced(t *testing.T, target *ssh.Target) func() string {
	var mu sync.Mutex
	var all strings.Builder
	target.Trace = func(line string) {
		mu.Lock()
		defer mu.Unlock()
		all.WriteString(line + "\n")
		t.Log(line)
	}
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return all.String()
	}
}

// arrived checks a file that was uploaded.
func arrived(t *testing.T, file string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes arrived of %d, %v", len(got), len(want), err)
	}
	if st, err := os.Lstat(file); err != nil || st.Mode() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

// TestFileServers: a long content arrives whatever the host's SFTP server does; what does not work is not tried twice.
func TestFileServers(t *testing.T) {
	for _, c := range fileServers {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, stop := place(t), make(chan struct{})
			s := &remotetest.Server{}
			if c.serve != nil {
				s.SFTP = func(rw io.ReadWriteCloser) { c.serve(rw, stop) }
			}
			target := newTarget(t, s)
			target.Timeouts.Run = 60 * time.Second
			target.Timeouts.Channel = 4 * time.Second
			said := traced(t, &target)
			h := dial(t, target)
			t.Cleanup(func() { close(stop) }) // before the server is waited for
			for i := range 2 {
				file := filepath.Join(dir, fmt.Sprint("up", i))
				if err := journal.Upload(t.Context(), h, file, long); err != nil {
					t.Fatal(err)
				}
				arrived(t, file, long)
			}
			did := strings.Count(said(), "uploaded 1440000 bytes by sftp")
			if c.why == "" && (did != 2 || s.Execs.Load() != 0) {
				t.Errorf("%d went up by sftp, %d commands were run", did, s.Execs.Load())
			}
			if c.why != "" && (did != 0 || s.Execs.Load() != 2 || strings.Count(said(), "no sftp, a command will do: ") != 1 || !strings.Contains(said(), c.why)) {
				t.Errorf("%d went up by sftp, %d commands were run; it does not say %q once", did, s.Execs.Load(), c.why)
			}
		})
	}
}

// TestFileServerPlaces: a short content costs no channel of its own; what SFTP cannot keep private or would have to follow is left to the command.
func TestFileServerPlaces(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		do   func(dir string) error
		by   string // in the trace
	}{
		{"as it is to be", long, func(string) error { return nil }, "by sftp"},
		{"short", long[:1<<20-1], func(string) error { return nil }, "running a command"},
		{"a directory that others may read", long, func(dir string) error { return os.Chmod(dir, 0o755) }, "its directory is not root's alone"},
		{"a directory of somebody's", long, func(dir string) error { return os.Chown(dir, 25, 26) }, "its directory is not root's alone"},
		{"no directory", long, os.Remove, "no sftp, a command will do: file does not exist"},
		{"a file is there", long, func(dir string) error { return os.WriteFile(filepath.Join(dir, "up"), []byte("x"), 0o644) }, "no sftp"},
		{"a link is there", long, func(dir string) error { return os.Symlink("../other", filepath.Join(dir, "up")) }, "no sftp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := place(t)
			if err := c.do(dir); err != nil {
				t.Fatal(err)
			}
			other := filepath.Join(filepath.Dir(dir), "other")
			if err := os.WriteFile(other, []byte("others'"), 0o640); err != nil {
				t.Fatal(err)
			}
			target := newTarget(t, &remotetest.Server{SFTP: remotetest.ServeFiles})
			target.Timeouts.Run = 60 * time.Second
			said := traced(t, &target)
			if err := journal.Upload(t.Context(), dial(t, target), filepath.Join(dir, "up"), c.data); err != nil {
				t.Fatal(err)
			}
			arrived(t, filepath.Join(dir, "up"), c.data)
			if data, _ := os.ReadFile(other); string(data) != "others'" {
				t.Errorf("where the link leads is %.20q", data)
			}
			if !strings.Contains(said(), c.by) {
				t.Errorf("it does not say %q", c.by)
			}
		})
	}
}

// lostConn is a connection that is lost when so much has been sent.
type lostConn struct {
	net.Conn
	mu   sync.Mutex
	left int
	then func()
}

func (c *lostConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.left -= len(p)
	over := c.left < 0
	c.mu.Unlock()
	if over {
		c.then()
	}
	return c.Conn.Write(p)
}

// TestFileServerCut: a link that is lost half-way, or a caller that has had enough, ends the upload; no second way is tried.
func TestFileServerCut(t *testing.T) {
	for _, name := range []string{"the link", "the caller"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := place(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			s := &remotetest.Server{SFTP: remotetest.ServeFiles}
			target := newTarget(t, s)
			target.Connect = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, address)
				if err != nil {
					return nil, err
				}
				then := func() { conn.Close() }
				if name == "the caller" {
					then = func() { cancel(fmt.Errorf("the user had enough")) }
				}
				return &lostConn{Conn: conn, left: len(long) / 2, then: then}, nil
			}
			err := journal.Upload(ctx, dial(t, target), filepath.Join(dir, "up"), long)
			says := map[string]string{"the link": "the connection was lost", "the caller": "the user had enough"}[name]
			wants(t, err, remote.ErrCut, []string{"cannot upload 1440000 bytes: cannot run a command on mx01: " + says})
			if s.Execs.Load() != 0 {
				t.Error("a command was run")
			}
			if data, err := os.ReadFile(filepath.Join(dir, "up")); err == nil && bytes.Equal(data, long) {
				t.Error("all of it arrived: the test shows nothing")
			}
		})
	}
}

// TestFileServerAsRoot: where the login is not root's, the host's sftp-server runs as root; no way to root that takes a terminal carries it, and no
// refusal costs a second one.
func TestFileServerAsRoot(t *testing.T) {
	const sudo = `printf '%s' "$3" >&2; read -r p; [ "$p" = word ] || { printf '%s' "$3" >&2; read -r p; echo 'Sorry, try again.' >&2; exit 1; }
while [ "$1" != -- ]; do shift; done; shift; PATH=TOOLS:/usr/sbin:/usr/bin:/sbin:/bin; export PATH; exec "$@"`
	for _, c := range []struct {
		name, way, password, server string
		says, fails                 string
	}{
		{"sftp-server", "sudo", "word", "", "uploaded 1440000 bytes by sftp", ""},
		{"no sftp-server", "sudo", "word", "none", "sftp-server: not found", ""},
		{"one that prints", "sudo", "word", "#!/bin/sh\necho noise\nexec cat >/dev/null\n", "packet too long", ""},
		{"one that hangs", "sudo", "word", "#!/bin/sh\nexec sleep 100\n", "the sftp server said nothing for", ""},
		{"one that is refused", "sudo", "word", "#!/bin/sh\necho it does not like this >&2; exit 1\n", "it does not like this", ""},
		{"a wrong password", "sudo", "other", "", "", "sudo refused the password"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, tools := place(t), t.TempDir()
			for name, text := range map[string]string{"id": "#!/bin/sh\necho 1000\n", "sudo": "#!/bin/sh\n" + strings.ReplaceAll(sudo, "TOOLS", tools), fileServer: c.server} {
				if text == "" {
					remotetest.FileServer(t, tools)
				} else if text != "none" {
					if err := os.WriteFile(filepath.Join(tools, name), []byte(text), 0o755); err != nil {
						t.Fatal(err)
					}
				}
			}
			s := &remotetest.Server{Env: []string{"PATH=" + tools + ":/usr/sbin:/usr/bin:/sbin:/bin"}}
			target := newTarget(t, s)
			target.Become, target.BecomePassword = c.way, given(c.password)
			target.Timeouts.Run, target.Timeouts.Channel = 60*time.Second, 4*time.Second
			said := traced(t, &target)
			err := journal.Upload(t.Context(), dial(t, target), filepath.Join(dir, "up"), long)
			if c.fails != "" {
				wants(t, err, remote.ErrPrivilege, []string{c.fails})
				if n := s.Execs.Load(); n != 1 {
					t.Errorf("the password was tried %d times", n)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			arrived(t, filepath.Join(dir, "up"), long)
			if !strings.Contains(said(), c.says) {
				t.Errorf("it does not say %q", c.says)
			}
		})
	}
}

const fileServer = "sftp-server"
