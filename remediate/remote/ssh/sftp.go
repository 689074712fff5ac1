package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"mtaharden/remediate/remote"
)

// sftpFrom is how many bytes go up by SFTP. It is never the quicker way: counted against OpenSSH over a long link, it takes six round trips where a command's input
// takes three, and both take one more for each 2 MiB, sshd's window. But every 32 KiB is acknowledged there, so that a host which stops is noticed within Timeouts.Channel, and a
// long content may have longer than a command (Timeouts.Run) on a slow line: as many times that as it has MiB. One MiB in the usual three minutes is 47 kbit/s.
const sftpFrom = 1 << 20

// fileServer runs sftp-server(8) of OpenSSH, which Linux, the BSDs and Solaris keep in one of these places and AIX in the PATH. What it makes is root's alone.
const fileServer = "PATH=/usr/lib/openssh:/usr/libexec/openssh:/usr/libexec:/usr/lib/ssh:/usr/lib/sftp:/usr/libexec/sftp:$PATH; exec sftp-server -u 077"

// Upload leaves data in a new file by SFTP: of the host's subsystem where the login is root's own, and of its sftp-server run as root where there is a way
// to root that needs no terminal. Why it was not done is traced, and it is not tried again on this connection.
func (h *host) Upload(ctx context.Context, file string, data []byte) (bool, error) {
	if len(data) < sftpFrom || h.noSFTP.Load() {
		return false, nil
	}
	limit := h.t.Timeouts.Run * time.Duration((len(data)+sftpFrom-1)/sftpFrom)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it did not end within %s", limit))
	defer cancel()
	err := h.upload(ctx, file, data)
	switch lost := h.lost.Load(); {
	case err == nil:
		h.t.tracef("uploaded %d bytes by sftp", len(data))
		return true, nil
	case lost != nil:
		return false, remote.Wrap(opRun, h.t.Name, remote.ErrCut, errors.New(*lost))
	case h.conn.over():
		return false, remote.Wrap(opRun, h.t.Name, remote.ErrCut, errors.New(h.cutOff()))
	case errors.Is(err, remote.ErrPrivilege):
		return false, remote.Wrap("become root on", h.t.Name, remote.ErrPrivilege, err)
	}
	h.noSFTP.Store(true)
	h.t.tracef("no sftp, a command will do: %s", err)
	return false, nil
}

// upload opens a channel with an SFTP server behind it, and stores data there.
func (h *host) upload(ctx context.Context, file string, data []byte) error {
	s := &session{running: &running{h: h, ended: make(chan struct{})}, begun: make(chan struct{}), over: make(chan struct{})}
	var line string
	var err error
	if h.t.becomes() {
		if line, err = s.prepare(len(data)); err != nil {
			return err
		}
	}
	var reqs <-chan *ssh.Request
	if s.ch, reqs, err = h.open(ctx); err != nil {
		return err
	}
	defer s.ch.Close() // what hangs there holds nothing of ours but the channel
	s.output.Store(time.Now().UnixNano())
	stop := context.AfterFunc(ctx, func() { s.abort(context.Cause(ctx).Error()) })
	defer stop()
	go s.requests(reqs)
	if h.t.becomes() {
		err = s.asRoot(line)
		defer s.said.Close() // nobody reads it then
	} else {
		s.subsystem()
	}
	if err == nil {
		err = s.watched(file, data)
	}
	if err != nil {
		err = s.why(err)
	}
	return err
}

// session is an SFTP server on its channel.
type session struct {
	*running
	in    io.Reader      // what the server says
	said  *io.PipeReader // the same, where it comes through a way to root
	begun chan struct{}  // closed when the server runs
	over  chan struct{}  // closed when all it said was taken
}

// subsystem begins the host's own.
func (s *session) subsystem() {
	s.in = readerFunc(func(p []byte) (int, error) {
		n, err := s.ch.Read(p)
		s.output.Store(time.Now().UnixNano())
		return n, err
	})
	s.e = remote.NewExchange(remote.Cmd{}, 0, nil)
	s.e.End()
	go func() {
		io.Copy(s.e.Stderr(), s.ch.Stderr())
		<-s.ended
		close(s.over)
	}()
	go func() { // a host that does not know it leaves the channel open
		if ok, err := s.ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"})); err != nil || !ok {
			s.ch.Close()
			return
		}
		close(s.begun)
	}()
}

// prepare makes the conversation in which root is reached, and its command.
func (s *session) prepare(size int) (string, error) {
	limit := 1<<20 + size/64 // a write of 32 KiB is answered by some 30 bytes
	e, argv, err := s.h.prepare(remote.Cmd{Argv: []string{"/bin/sh", "-c", fileServer}}, limit, s.h.tty.Load())
	if err == nil && e.Terminal() {
		err = errors.New("the way to root takes a terminal")
	}
	if err != nil {
		return "", err
	}
	s.e = e
	return remote.CommandLine(argv)
}

// asRoot begins the host's sftp-server as root.
func (s *session) asRoot(line string) error {
	in, out := io.Pipe()
	s.in, s.said, s.came = in, in, sync.OnceFunc(func() { close(s.begun) })
	s.e.Hear(func(p []byte) {
		s.came() // what it says at once is heard first
		out.Write(p)
	})
	s.h.t.tracef("running an sftp server: %s", line)
	if _, err := s.ch.SendRequest("exec", false, ssh.Marshal(struct{ Command string }{line})); err != nil {
		return err
	}
	var both sync.WaitGroup
	both.Go(func() { s.take(s.e.Stdout(), s.ch) })
	both.Go(func() { s.take(s.e.Stderr(), s.ch.Stderr()) })
	go s.e.Feed(opening{s.ch, s.e})
	go func() {
		both.Wait()
		<-s.ended
		s.e.End()
		out.Close()
		close(s.over)
	}()
	return nil
}

// opening is the input of a way to root: behind it comes what the server is told, so that it ends only where there will be no server.
type opening struct {
	ssh.Channel
	e *remote.Exchange
}

func (o opening) Close() error {
	if o.e.GaveUp() {
		return o.CloseWrite()
	}
	return nil
}

// why is how becoming root failed, where that is why there was no server, and else err with what was said.
func (s *session) why(err error) error {
	s.ch.Close()
	if s.said != nil {
		s.said.Close()
	}
	select {
	case <-s.over:
		if r, why := s.outcome(); errors.Is(why, remote.ErrPrivilege) && !remote.WantsTerminal(why) {
			return why
		} else if said := clean(string(r.Stderr)); said != "" {
			err = fmt.Errorf("%w; it said: %s", err, said)
		}
	case <-time.After(linger):
	}
	return err
}

// watched stores data for as long as the server answers: it may be silent for as long as the opening of a channel may take.
func (s *session) watched(file string, data []byte) error {
	stored := make(chan error, 1)
	go func() { stored <- s.store(file, data) }()
	limit := s.h.t.Timeouts.Channel
	tick := time.NewTicker(max(limit/10, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case err := <-stored:
			return err
		case <-tick.C:
		}
		if time.Since(time.Unix(0, s.output.Load())) > limit {
			return fmt.Errorf("the sftp server said nothing for %s", limit)
		}
	}
}

// store waits for the server and has it write the file.
func (s *session) store(file string, data []byte) error {
	select {
	case <-s.begun:
	case <-s.over:
		return errors.New("the host begins no sftp server")
	}
	c, err := sftp.NewClientPipe(s.in, s.ch, sftp.UseConcurrentWrites(true))
	if err != nil {
		return err
	}
	return store(c, file, data)
}

// store writes data to a new file. Its directory must be one that is closed to all but root: SFTP says no mode when it makes a file (version 3 as
// pkg/sftp speaks it), so that for the time of one round trip others could else open what is still empty. The writes are
// under way together, and a link that is lost leaves holes as well as an end too early.
func store(c *sftp.Client, file string, data []byte) error {
	var dir, made fs.FileInfo
	var dirErr, err, modeErr, writeErr error
	var f *sftp.File
	together(func() { dir, dirErr = c.Lstat(path.Dir(file)) }, func() { f, err = c.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL) })
	if err = errors.Join(dirErr, err); err != nil {
		return err
	}
	if !private(dir) {
		return errors.Join(errors.New("its directory is not root's alone"), f.Close())
	}
	together(func() { modeErr = f.Chmod(0o600) }, func() { _, writeErr = f.WriteAt(data, 0) })
	if err = errors.Join(modeErr, writeErr); err != nil {
		return err
	}
	together(func() { made, modeErr = c.Lstat(file) }, func() { err = f.Close() })
	if err = errors.Join(modeErr, err); err != nil {
		return err
	}
	if made.Size() != int64(len(data)) || made.Mode() != 0o600 {
		return fmt.Errorf("it made %d bytes of mode %s", made.Size(), made.Mode())
	}
	return nil
}

// private reports whether a directory is root's and closed to all others.
func private(dir fs.FileInfo) bool {
	said, ok := dir.Sys().(*sftp.FileStat)
	return ok && said.UID == 0 && dir.IsDir() && dir.Mode().Perm()&0o077 == 0
}

// together does both at once: two requests that are one round trip.
func together(a, b func()) {
	var both sync.WaitGroup
	both.Go(a)
	b()
	both.Wait()
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
