package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// maxSecret bounds a password or passphrase, in bytes.
const maxSecret = 4096

// readSecretFile returns the first line of a file that only its owner may read.
func readSecretFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("cannot use %s: its mode is %#o, others may read it; chmod 600 it", name, info.Mode().Perm())
	}
	return firstLine(f, name)
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

// once returns a function that runs read a single time, whoever asks, and remembers what came.
func once(read func() (string, error)) func() (string, error) {
	return sync.OnceValues(read)
}

// prompter asks a person for a secret on the terminal. In a batch, or without a terminal, it refuses.
type prompter struct {
	batch bool
	mu    sync.Mutex
}

func (p *prompter) ask(what string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.batch {
		return "", fmt.Errorf("%s is needed, and --batch does not ask", what)
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("%s is needed, and there is no terminal to ask on", what)
	}
	defer tty.Close()
	fmt.Fprintf(tty, "%s: ", what)
	secret, err := term.ReadPassword(int(tty.Fd()))
	fmt.Fprintln(tty)
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %v", what, err)
	}
	return string(secret), nil
}
