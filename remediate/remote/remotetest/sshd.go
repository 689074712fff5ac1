// Package remotetest is hosts for tests: an SSH server within the test's process and a directory that passes for a machine, both with faults on demand.
package remotetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Server is an SSH server on a loopback port. Its fields are set before Start.
type Server struct {
	Addr     string            // to listen on; "": a port of 127.0.0.1
	User     string            // the account that may log in
	Keys     []ssh.PublicKey   // accepted of it
	Password string            // accepted of it; "" is none
	Keyboard bool              // the password is asked for by keyboard-interactive
	Code     func() string     // what is asked for beside the key, once it is accepted; nil: nothing
	HostKeys []ssh.Signer      // none: a new ed25519 key
	Version  string            // "": SSH-2.0-remotetest
	Shell    []string          // login shell, given "-c" and the command; none: /bin/sh
	Env      []string          // environment of commands; none: PATH alone
	Config   *ssh.ServerConfig // algorithms and the like; nil: the library's

	Forward func(network, addr string) (net.Conn, error) // makes the connections that are asked for (direct-tcpip); nil refuses them

	// Answer stands in for commands: it has the command line and the streams, and returns the exit status. nil: the shell runs them.
	Answer func(line string, stdin io.Reader, stdout, stderr io.Writer) int

	// SFTP serves the subsystem of that name, as sftp-server(8) does: ServeFiles. nil: there is none.
	SFTP func(io.ReadWriteCloser)

	Stall         Stall         // how it never comes to an end
	SilentAccept  bool          // connections are taken and never spoken to
	Greeting      string        // written instead of SSH
	BannerDelay   time.Duration // before the version string
	HangAfterKex  bool          // authentication requests are never answered
	HangAfterAuth bool          // channels are never opened
	NoChannel     bool          // channels are refused
	HangExec      bool          // commands hang
	DeafExec      bool          // commands are started and nothing of them is ever read, written or answered
	Flood         bool          // commands write for ever
	HangForward   bool          // connections onward are never answered
	CutAfter      int           // the connection is cut when a command has written as many bytes; 0: never

	Logins, Execs, Conns, AuthTries, Forwards atomic.Int32

	mu       sync.Mutex
	commands []string
	heard    []string
	listener net.Listener
	stop     chan struct{}
	wg       sync.WaitGroup
}

// Start runs the server until the test ends and returns its port.
func (s *Server) Start(t testing.TB) int {
	t.Helper()
	at := s.Addr
	if at == "" {
		at = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.HostKeys) == 0 {
		s.HostKeys = []ssh.Signer{NewSigner(t)}
	}
	s.listener, s.stop = l, make(chan struct{})
	s.wg.Go(s.accept)
	t.Cleanup(func() {
		close(s.stop)
		l.Close()
		s.wg.Wait()
	})
	return l.Addr().(*net.TCPAddr).Port
}

// Passwords are those that were sent to it, in order, right and wrong.
func (s *Server) Passwords() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.heard)
}

// Commands are the command lines that were run.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.commands...)
}

// KnownHosts writes a known_hosts file with the server's keys and returns its path.
func (s *Server) KnownHosts(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	for _, k := range s.HostKeys {
		b.WriteString(knownhosts.Line([]string{s.listener.Addr().String()}, k.PublicKey()) + "\n")
	}
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.Conns.Add(1)
		s.wg.Go(func() {
			ended := make(chan struct{})
			s.wg.Go(func() { // no connection outlives the test
				select {
				case <-s.stop:
				case <-ended:
				}
				conn.Close()
			})
			s.serve(conn)
			close(ended)
		})
	}
}

func (s *Server) serve(conn net.Conn) {
	if s.SilentAccept {
		io.Copy(io.Discard, conn)
		return
	}
	if s.Greeting != "" {
		io.WriteString(conn, s.Greeting)
		return
	}
	if s.BannerDelay > 0 {
		select {
		case <-time.After(s.BannerDelay):
		case <-s.stop:
		}
	}
	spoken, over := s.stalls(conn)
	if over {
		return
	}
	c, chans, reqs, err := ssh.NewServerConn(spoken, s.config())
	if err != nil {
		return
	}
	defer c.Close()
	go ssh.DiscardRequests(reqs)
	for ch := range chans {
		switch {
		case s.HangAfterAuth:
			continue
		case ch.ChannelType() == "direct-tcpip":
			s.wg.Go(func() { s.forward(ch) })
			continue
		case s.NoChannel || ch.ChannelType() != "session":
			ch.Reject(ssh.Prohibited, "no sessions here")
			continue
		}
		channel, reqs, err := ch.Accept()
		if err == nil {
			s.wg.Go(func() { s.session(conn, channel, reqs) })
		}
	}
}

// counted counts each login before its client hears of it, and may look; then it logs as the server's own configuration says.
func (s *Server) counted(log func(ssh.ConnMetadata, string, error)) func(ssh.ConnMetadata, string, error) {
	return func(m ssh.ConnMetadata, method string, err error) {
		if err == nil {
			s.Logins.Add(1)
		}
		if log != nil {
			log(m, method, err)
		}
	}
}

func (s *Server) config() *ssh.ServerConfig {
	c := &ssh.ServerConfig{}
	if s.Config != nil {
		copied := *s.Config
		c = &copied
	}
	c.ServerVersion = s.Version
	if c.ServerVersion == "" {
		c.ServerVersion = "SSH-2.0-remotetest"
	}
	c.AuthLogCallback = s.counted(c.AuthLogCallback)
	tried := func() {
		s.AuthTries.Add(1)
		if s.HangAfterKex {
			<-s.stop
		}
	}
	no := errors.New("no")
	c.PublicKeyCallback = func(m ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		tried()
		for _, k := range s.Keys {
			if m.User() == s.User && bytes.Equal(k.Marshal(), key.Marshal()) {
				return nil, s.second()
			}
		}
		return nil, no
	}
	check := func(m ssh.ConnMetadata, password string) (*ssh.Permissions, error) {
		tried()
		s.mu.Lock()
		s.heard = append(s.heard, password)
		s.mu.Unlock()
		if s.Password != "" && m.User() == s.User && password == s.Password {
			return nil, nil
		}
		return nil, no
	}
	switch {
	case s.Password == "":
	case s.Keyboard:
		c.KeyboardInteractiveCallback = func(m ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Password: "}, []bool{false})
			if err != nil || len(answers) != 1 {
				return nil, no
			}
			return check(m, answers[0])
		}
	default:
		c.PasswordCallback = func(m ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) { return check(m, string(p)) }
	}
	for _, k := range s.HostKeys {
		c.AddHostKey(k)
	}
	return c
}

// second is what a host with two factors says of a good key: that it wants the code too.
func (s *Server) second() error {
	if s.Code == nil {
		return nil
	}
	return &ssh.PartialSuccessError{Next: ssh.ServerAuthCallbacks{
		KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Verification code: "}, []bool{false})
			if err == nil && (len(answers) != 1 || answers[0] != s.Code()) {
				err = errors.New("a wrong code")
			}
			return nil, err
		},
	}}
}

func (s *Server) session(conn net.Conn, ch ssh.Channel, reqs <-chan *ssh.Request) {
	defer ch.Close()
	for req := range reqs {
		if req.Type == "subsystem" && s.SFTP != nil {
			req.Reply(true, nil)
			go ssh.DiscardRequests(reqs)
			s.SFTP(ch)
			return
		}
		if req.Type != "exec" {
			req.Reply(req.Type == "env", nil)
			continue
		}
		var msg struct{ Command string }
		if err := ssh.Unmarshal(req.Payload, &msg); err != nil {
			return
		}
		req.Reply(true, nil)
		s.Execs.Add(1)
		s.mu.Lock()
		s.commands = append(s.commands, msg.Command)
		s.mu.Unlock()
		go ssh.DiscardRequests(reqs)
		s.exec(conn, ch, msg.Command)
		return
	}
}

func (s *Server) exec(conn net.Conn, ch ssh.Channel, line string) {
	out := io.Writer(ch)
	if s.CutAfter > 0 {
		out = &cutter{ch, conn, s.CutAfter}
	}
	switch {
	case s.DeafExec:
		<-s.stop
		return
	case s.HangExec:
		io.Copy(io.Discard, ch)
		<-s.stop
		return
	case s.Flood:
		block := bytes.Repeat([]byte("flood!\n"), 4096)
		for {
			if _, err := out.Write(block); err != nil {
				return
			}
		}
	}
	if s.Answer != nil {
		status := s.Answer(line, ch, out, ch.Stderr())
		ch.SendRequest("exit-status", false, ssh.Marshal(struct{ S uint32 }{uint32(status)}))
		return
	}
	shell := s.Shell
	if len(shell) == 0 {
		shell = []string{"/bin/sh"}
	}
	cmd := exec.Command(shell[0], append(shell[1:], "-c", line)...)
	cmd.Env = s.Env
	if len(cmd.Env) == 0 {
		cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = out, ch.Stderr()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	s.finish(cmd, ch)
}

// finish runs cmd with the channel's input and sends its status.
func (s *Server) finish(cmd *exec.Cmd, ch ssh.Channel) {
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(ch.Stderr(), err)
		ch.SendRequest("exit-status", false, ssh.Marshal(struct{ S uint32 }{126}))
		return
	}
	ended := make(chan struct{})
	s.wg.Go(func() {
		select {
		case <-s.stop:
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		case <-ended:
		}
	})
	go func() {
		io.Copy(stdin, ch)
		stdin.Close()
	}()
	cmd.Wait()
	close(ended)
	if w, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		name := map[syscall.Signal]string{syscall.SIGKILL: "KILL", syscall.SIGTERM: "TERM", syscall.SIGSEGV: "SEGV"}[w.Signal()]
		ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
			S    string
			C    bool
			T, L string
		}{name, false, "", ""}))
		return
	}
	ch.SendRequest("exit-status", false, ssh.Marshal(struct{ S uint32 }{uint32(cmd.ProcessState.ExitCode())}))
}

// cutter ends the connection when left bytes have been written.
type cutter struct {
	io.Writer
	conn net.Conn
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	if _, err := c.Writer.Write(p[:n]); err != nil {
		return 0, err
	}
	if c.left -= n; c.left == 0 {
		c.conn.Close()
		return n, io.ErrClosedPipe
	}
	return n, nil
}
