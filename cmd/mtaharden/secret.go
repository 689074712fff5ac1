package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/term"
)

// maxSecret bounds a password or passphrase, in bytes.
const maxSecret = 4096

// readSecretFile returns the first line of a file that only its owner may read.
func readSecretFile(name string) (string, error) {
	f, err := openSecret(name, "the password")
	if err != nil {
		return "", err
	}
	defer f.Close()
	return firstLine(f, name)
}

// openSecret opens a file that only its owner may read. A pipe or a device is refused, not waited for: a pipe gives its password once, a file to each host.
func openSecret(name, what string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // the open of a pipe that nobody writes to would not return
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", what, err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		f.Close()
		return nil, fmt.Errorf("cannot read %s: %w", what, err)
	case !info.Mode().IsRegular():
		f.Close()
		return nil, fmt.Errorf("cannot read %s: %s is no regular file", what, name)
	case info.Mode().Perm()&0o077 != 0:
		f.Close()
		return nil, fmt.Errorf("cannot use %s: its mode is %#o, others may read it; chmod 600 it", name, info.Mode().Perm())
	}
	return f, nil
}

// readSecretFD returns the first line of an open file descriptor of this process.
func readSecretFD(fd int) (string, error) {
	f := os.NewFile(uintptr(fd), fmt.Sprintf("file descriptor %d", fd))
	if f == nil {
		return "", fmt.Errorf("cannot read the password: file descriptor %d is not open", fd)
	}
	defer f.Close()
	return firstLine(f, f.Name())
}

func firstLine(r io.Reader, name string) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxSecret)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("cannot read the password from %s: %v", name, err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", fmt.Errorf("cannot read the password from %s: it is empty", name)
	}
	return line, nil
}

// prompter asks a person for secrets on the terminal, for each once, however many hosts want it. In a batch, or without a terminal, it refuses.
type prompter struct {
	batch bool
	done  <-chan struct{} // the run has ended: nobody waits for an answer any more
	mu    sync.Mutex
	asked map[string]func() (string, error)
	ttyMu sync.Mutex // one question at a time
}

func (p *prompter) ask(what string) (string, error) {
	p.mu.Lock()
	answer := p.asked[what]
	if answer == nil {
		answer = sync.OnceValues(func() (string, error) { return p.read(what, false) })
		if p.asked == nil {
			p.asked = map[string]func() (string, error){}
		}
		p.asked[what] = answer
	}
	p.mu.Unlock()
	return answer()
}

// passphrase asks for the passphrase of a key file; a second try says that the first was wrong.
func (p *prompter) passphrase(file string, try int) ([]byte, error) {
	what := "passphrase of " + file
	if try > 1 {
		what = "that does not open it; " + what
	}
	secret, err := p.read(what, false)
	if err == nil && secret == "" {
		err = errors.New("no passphrase was given")
	}
	return []byte(secret), err
}

// askSecrets asks for the passwords of --ask-password and --ask-become-password, before any host is reached.
func (r *reach) askSecrets() error {
	for _, s := range []struct {
		asked      bool
		flag, what string
		to         *func() (string, error)
	}{{r.askLogin, "--ask-password", "the login password", &r.password}, {r.askBecome, "--ask-become-password", "the password of the way to root (sudo)", &r.become}} {
		if !s.asked || *s.to != nil {
			continue
		}
		secret, err := r.prompt.read(s.what, false)
		switch {
		case err != nil:
			return badInput(fmt.Errorf("%s: %w", s.flag, err))
		case secret == "":
			return badInput(fmt.Errorf("%s: no password was given", s.flag))
		case len(secret) > maxSecret:
			return badInput(fmt.Errorf("%s: a password has at most %d bytes", s.flag, maxSecret))
		}
		*s.to = func() (string, error) { return secret, nil }
	}
	return nil
}

// fresh asks for what serves once, each time anew: a one-time code. It is shown as it is typed where echo says so.
func (p *prompter) fresh(what string, echo bool) (string, error) { return p.read(what, echo) }

func (p *prompter) read(what string, echo bool) (string, error) {
	p.ttyMu.Lock()
	defer p.ttyMu.Unlock()
	if p.batch {
		return "", fmt.Errorf("%s is needed, and --batch does not ask", what)
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("%s is needed, and there is no terminal to ask on", what)
	}
	fd := int(tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %v", what, err)
	}
	type typed struct {
		secret []byte
		err    error
	}
	answer := make(chan typed, 1)
	if !echo {
		term.MakeRaw(fd) // from before the question on: what is typed at once is not shown either
	}
	fmt.Fprintf(tty, "%s: ", strings.TrimRight(what, ": "))
	go func() { // a read from a terminal cannot be called back: an interrupted run leaves it to the program's end
		var secret []byte
		var err error
		if echo {
			var line string
			line, err = bufio.NewReader(io.LimitReader(tty, maxSecret)).ReadString('\n')
			secret = []byte(strings.TrimRight(line, "\r\n"))
		} else {
			secret, err = term.ReadPassword(fd)
			term.Restore(fd, before)
			fmt.Fprintln(tty)
		}
		tty.Close()
		answer <- typed{secret, err}
	}()
	select {
	case a := <-answer:
		if a.err != nil {
			return "", fmt.Errorf("cannot read %s: %v", what, a.err)
		}
		return string(a.secret), nil
	case <-p.done:
		term.Restore(fd, before)
		fmt.Fprintln(tty)
		return "", fmt.Errorf("%s is needed, and the run was interrupted", what)
	}
}
