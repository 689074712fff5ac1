package remote

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// stderrKeep is how much standard error a Result holds; stderrLimit is how much a command may write there before it is cut off.
const (
	stderrKeep  = 64 << 10
	stderrLimit = 16 << 20
)

// Exchange is one command's conversation: what goes in, what came out, and how becoming root went. A transport makes one for each
// command, connects its three ends to the command's streams, and asks for the Result when the command has ended.
type Exchange struct {
	mu     sync.Mutex
	limit  int
	out    []byte
	err    []byte
	errAll int
	cut    error
	sudo   *Sudo
	stdin  []byte
	input  chan []byte // what Feed has to write, in order; closed when nothing more will come
	closed bool
	heard  func([]byte)
}

// NewExchange begins the conversation of c. At most limit bytes of standard output are taken; sudo is nil where root is not asked for.
func NewExchange(c Cmd, limit int, sudo *Sudo) *Exchange {
	e := &Exchange{limit: limit, sudo: sudo, stdin: c.Stdin, input: make(chan []byte, 3)}
	if sudo == nil || !sudo.asks() {
		e.give(c.Stdin)
		e.endInput()
	}
	return e
}

// Feed writes the standard input to w and closes it. Where sudo may ask for a password nothing is written before sudo has asked or the command
// runs: so a password goes to sudo's own prompt alone, and no line of the input is ever taken for one.
func (e *Exchange) Feed(w io.WriteCloser) {
	defer w.Close()
	for part := range e.input {
		if _, err := w.Write(part); err != nil {
			return
		}
	}
}

// Stdout takes the command's standard output. Write fails once the limit is passed.
func (e *Exchange) Stdout() io.Writer { return writerFunc(e.takeOut) }

// Stderr takes the command's standard error, and with it sudo's prompt and the mark that root has been reached.
func (e *Exchange) Stderr() io.Writer { return writerFunc(e.takeErr) }

// Hear has heard called with the standard output as it comes. It is called before the command begins.
func (e *Exchange) Hear(heard func([]byte)) { e.heard = heard }

// End says that the command has ended; Feed writes no more.
func (e *Exchange) End() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.endInput()
}

// Waiting reports whether sudo has still to begin the command, and what it said so far.
func (e *Exchange) Waiting() (waiting bool, said string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sudo == nil || e.sudo.ready {
		return false, ""
	}
	return true, lastLines(string(e.sudo.strip(e.err)), 2)
}

// Result is what the command left behind, for its exit status. The error is an ErrCut where the output was too long, an ErrPrivilege where sudo
// did not let the command run.
func (e *Exchange) Result(exit int) (Result, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := Result{Stdout: e.out, Stderr: e.err, Exit: exit}
	if e.sudo != nil {
		r.Stderr = e.sudo.strip(e.err)
	}
	switch {
	case e.cut != nil:
		return r, e.cut
	case e.sudo != nil && !e.sudo.ready:
		return r, &cause{ErrPrivilege, e.sudo.refusal(r)}
	}
	return r, nil
}

func (e *Exchange) takeOut(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if room := e.limit - len(e.out); len(p) > room {
		e.out = append(e.out, p[:max(room, 0)]...)
		e.cutOff(fmt.Errorf("it wrote more than %d bytes to standard output", e.limit))
		return 0, e.cut
	}
	e.out = append(e.out, p...)
	if e.heard != nil {
		e.heard(p)
	}
	return len(p), nil
}

func (e *Exchange) takeErr(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.errAll += len(p)
	if e.errAll > stderrLimit {
		e.cutOff(fmt.Errorf("it wrote more than %d bytes to standard error", stderrLimit))
		return 0, e.cut
	}
	e.err = append(e.err, p[:min(len(p), max(stderrKeep-len(e.err), 0))]...)
	if e.sudo != nil && !e.sudo.ready {
		e.converse()
	}
	return len(p), nil
}

// converse answers sudo. A second prompt means that the password was wrong: the input is closed, so that one run costs one failed attempt
// and not the three that sudo would take from the lines that follow.
func (e *Exchange) converse() {
	reply, done := e.sudo.heard(e.err)
	switch {
	case e.sudo.ready && e.closed && e.sudo.asks():
		e.cutOff(errors.New("sudo refused the password and began the command all the same, when its input was closed"))
	case e.sudo.ready:
		e.give(e.stdin)
		e.endInput()
	case reply != nil:
		e.give(reply)
	case done:
		e.endInput()
	}
}

func (e *Exchange) cutOff(err error) {
	if e.cut == nil {
		e.cut = &cause{ErrCut, err}
	}
}

func (e *Exchange) give(part []byte) {
	if !e.closed && len(part) > 0 {
		e.input <- part // never blocks: at most a password and the input are given
	}
}

func (e *Exchange) endInput() {
	if !e.closed {
		e.closed = true
		close(e.input)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Stuck is the ErrPrivilege of a sudo that neither refused nor began the command.
func Stuck(why, said string) error {
	if said != "" {
		why += "; it last said: " + said
	}
	return &cause{ErrPrivilege, errors.New(why)}
}

// cause is an error of one of the kinds whose text is the cause alone.
type cause struct {
	kind error
	err  error
}

func (c *cause) Error() string   { return c.err.Error() }
func (c *cause) Unwrap() []error { return []error{c.kind, c.err} }

// Wrap makes err the *Error of an operation on host. The kind is the one err carries already, else kind.
func Wrap(op, host string, kind, err error) error {
	if err == nil {
		return nil
	}
	for _, k := range []error{ErrUnreachable, ErrHostKey, ErrAuth, ErrPrivilege, ErrForbidden, ErrCut} {
		if errors.Is(err, k) {
			kind = k
		}
	}
	return &Error{Op: op, Host: host, Kind: kind, Err: err}
}
