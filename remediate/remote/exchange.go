package remote

import (
	"bytes"
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
	become *Become
	term   *terminal // nil: the command has three streams of its own
	stdin  []byte
	input  chan []byte // what Feed has to write, in order; closed when nothing more will come
	closed bool
	gaveUp bool // the way to root wants what is not to be had: its input ended before the command's
	heard  func([]byte)
	begin  string // the line before the command's own output; "" where there is none, or it has passed
}

// NewExchange begins the conversation of c. At most limit bytes of standard output are taken; become is nil where root is not asked for.
func NewExchange(c Cmd, limit int, become *Become) *Exchange {
	e := &Exchange{limit: limit, become: become, stdin: c.Stdin, input: make(chan []byte, 4)}
	if become != nil && become.tty {
		e.term = newTerminal(become)
	}
	if become == nil || !become.waits() {
		e.give(c.Stdin)
		e.endInput()
	}
	return e
}

// Feed writes the standard input to w and closes it. Where a password may be asked for, nothing is written before it is asked for or the
// command runs: so a password goes to a prompt alone, and no line of the input is ever taken for one.
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

// Stderr takes the command's standard error, and with it the prompt and the mark that root has been reached.
func (e *Exchange) Stderr() io.Writer { return writerFunc(e.takeErr) }

// Terminal reports whether the command has to run on a terminal: its standard error then comes with its output, and its input has no end.
func (e *Exchange) Terminal() bool { return e.term != nil }

// Hear has heard called with the standard output as it comes. It is called before the command begins.
func (e *Exchange) Hear(heard func([]byte)) { e.heard = heard }

// Begin takes away from standard output what stands before the command's own: what the start-up files of a login shell print. The words that
// it returns run argv and say first where its output begins. Where that is never said (a forced command: sshd(8), authorized_keys) all of it is
// the command's. It is called before the command begins.
func (e *Exchange) Begin(argv []string) []string {
	mark := Nonce() + "-begin"
	e.begin = mark
	return append([]string{"/bin/sh", "-c", "echo " + mark + `; exec "$@"`, "sh"}, argv...)
}

// Begun reports whether the command's own output has begun; true where nothing tells it from what stands before.
func (e *Exchange) Begun() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.begin == ""
}

// noiseLimit is how many bytes may stand before a command's own output; where more have come and it never said that it begins, all is its own.
const noiseLimit = 1 << 20

// End says that the command has ended; Feed writes no more.
func (e *Exchange) End() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.endInput()
}

// Waiting reports whether the way to root has still to begin the command, and what it said so far.
func (e *Exchange) Waiting() (waiting bool, said string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.become == nil || e.become.ready {
		return false, ""
	}
	return true, lastLines(string(e.become.strip(e.err)), 2)
}

// GaveUp reports whether the input ended because the way to root wants what is not to be had, and not because all of it was given.
func (e *Exchange) GaveUp() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.gaveUp
}

// Result is what the command left behind, for its exit status. The error is an ErrCut where the output was too long, an ErrPrivilege where the
// command was not let run as root.
func (e *Exchange) Result(exit int) (Result, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.term != nil {
		e.output(e.term.rest())
	}
	if e.begin != "" { // it never came, or not to its end
		out := e.take()
		for n := len(e.begin); n > len(noncePrefix); n-- {
			out = bytes.TrimSuffix(out, []byte(e.begin[:n]))
		}
		e.begin = ""
		e.own(out)
	}
	r := Result{Stdout: e.out, Stderr: e.err, Exit: exit}
	if e.become != nil {
		r.Stderr = e.become.strip(e.err)
	}
	if e.term != nil {
		if status, stderr, ok := e.term.status(); ok {
			r.Exit, r.Stderr = status, append(r.Stderr, stderr...)
		}
	}
	switch {
	case e.cut != nil:
		return r, e.cut
	case e.become != nil && !e.become.ready:
		return r, &cause{ErrPrivilege, e.become.refusal(r)}
	}
	return r, nil
}

func (e *Exchange) takeOut(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.term == nil {
		return e.output(p)
	}
	all := len(p)
	if !e.become.ready {
		before := len(e.err)
		if _, err := e.said(p); err != nil || !e.become.ready {
			return all, err
		}
		end := e.become.reached(e.err) // what follows the mark is the command's
		p = p[max(end-before, 0):]
		e.err = e.err[:end]
	}
	if _, err := e.output(e.term.output(p)); err != nil {
		return 0, err
	}
	return all, nil
}

// output takes what the command wrote to standard output, and what its login shell wrote there before it.
func (e *Exchange) output(p []byte) (int, error) {
	if e.begin == "" {
		return e.own(p)
	}
	e.out = append(e.out, p...)
	for _, end := range []string{"\n", "\r\n"} { // a terminal makes the second of the first
		if _, own, ok := bytes.Cut(e.out, []byte(e.begin+end)); ok {
			e.begin, e.out = "", nil
			if _, err := e.own(own); err != nil {
				return 0, err
			}
			return len(p), nil
		}
	}
	if len(e.out) > noiseLimit {
		e.begin = ""
		if _, err := e.own(e.take()); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// take returns what came before the command's output was told from the rest, and forgets it.
func (e *Exchange) take() []byte {
	out := e.out
	e.out = nil
	return out
}

// own takes what is the command's own output.
func (e *Exchange) own(p []byte) (int, error) {
	if room := e.limit - len(e.out); len(p) > room {
		e.out = append(e.out, p[:max(room, 0)]...)
		e.cutOff(fmt.Errorf("it wrote more than %d bytes to standard output", e.limit))
		return 0, e.cut
	}
	e.out = append(e.out, p...)
	if e.heard != nil && len(p) > 0 {
		e.heard(p)
	}
	return len(p), nil
}

func (e *Exchange) takeErr(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.said(p)
}

// said takes what was said on standard error, or on the terminal before root was reached.
func (e *Exchange) said(p []byte) (int, error) {
	e.errAll += len(p)
	if e.errAll > stderrLimit {
		e.cutOff(fmt.Errorf("it wrote more than %d bytes to standard error", stderrLimit))
		return 0, e.cut
	}
	e.err = append(e.err, p[:min(len(p), max(stderrKeep-len(e.err), 0))]...)
	if e.become != nil && !e.become.ready {
		e.converse()
	}
	return len(p), nil
}

// endOfInput is the key that ends a line of input on a terminal (termios(3), VEOF).
const endOfInput = "\x04"

// converse answers who asks for a password. A second prompt means that it was wrong: the input is ended, so that one run costs one failed attempt
// and not the three that sudo would take from the lines that follow.
func (e *Exchange) converse() {
	reply, done := e.become.heard(e.err)
	switch {
	case e.become.ready && e.closed && e.become.waits():
		e.cutOff(fmt.Errorf("%s refused the password and began the command all the same, when its input was closed", e.become.name()))
	case e.become.ready && e.become.waits():
		e.give(append([]byte(e.become.sync+"\n"), e.stdin...))
		e.endInput()
	case e.become.ready:
		e.endInput()
	case reply != nil:
		e.give(reply)
	case done && e.term != nil:
		e.give([]byte(endOfInput))
		e.endInput()
	case done:
		e.gaveUp = true
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

// Stuck is the ErrPrivilege of a way to root that neither refused nor began the command.
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

// Unable is the cause of a login that failed at this machine before the host could refuse anything: an ErrUnable.
func Unable(err error) error { return &cause{ErrUnable, err} }

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
