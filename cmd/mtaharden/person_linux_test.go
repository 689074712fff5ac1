package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// seen is what was to be seen on a terminal.
type seen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *seen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *seen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// openPTY makes a pseudo-terminal: a person's side and a program's.
func openPTY() (person, program *os.File, err error) {
	person, err = os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		person.Close()
		return nil, nil, err
	}
	return person, program, nil
}

// answer is what a person types once a question is seen: a line, or the key that interrupts.
type answer struct{ question, typed string }

const interruptKey = "\x03" // termios(3), VINTR

// attend runs cmd at a terminal of its own, and answers what is asked there, in this order. It returns all that was to be seen on the terminal.
func attend(cmd *exec.Cmd, answers []answer) (string, error) {
	asked := 0
	screen, err := converse(cmd, func(unread string) (taken int, typed string) {
		if asked == len(answers) {
			return 0, ""
		}
		a := answers[asked]
		i := strings.Index(unread, a.question)
		if i < 0 {
			return 0, ""
		}
		asked++
		return i + len(a.question), a.typed
	})
	if asked < len(answers) {
		err = fmt.Errorf("%q was never asked: %v", answers[asked].question, err)
	}
	return screen, err
}

// attendTo is attend for one question that is asked any number of times; typed has the answer to the n-th, from 1.
func attendTo(cmd *exec.Cmd, question string, typed func(n int) string) (string, error) {
	n := 0
	return converse(cmd, func(unread string) (int, string) {
		i := strings.Index(unread, question)
		if i < 0 {
			return 0, ""
		}
		n++
		return i + len(question), typed(n)
	})
}

// converse shows what is on the terminal and was not yet answered to reply, which says how much of it is read and what is typed then.
func converse(cmd *exec.Cmd, reply func(unread string) (taken int, typed string)) (string, error) {
	person, program, err := openPTY()
	if err != nil {
		return "", err
	}
	defer person.Close()
	cmd.Stdin, cmd.SysProcAttr = program, &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if cmd.Stdout == nil {
		cmd.Stdout = program
	}
	if cmd.Stderr == nil {
		cmd.Stderr = program
	}
	err = cmd.Start()
	program.Close()
	if err != nil {
		return "", err
	}
	screen, read := &seen{}, make(chan struct{})
	go func() { // it ends when the last program has closed the terminal
		io.Copy(screen, person)
		close(read)
	}()
	bound := time.AfterFunc(5*time.Minute, func() { cmd.Process.Kill() }) // a question that never comes ends the test, not the machine
	defer bound.Stop()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for at := 0; ; {
		if n, typed := reply(screen.String()[at:]); n > 0 {
			at += n
			line := typed + "\n"
			if typed == interruptKey {
				line = typed
			}
			io.WriteString(person, line)
		}
		select {
		case err = <-done:
			<-read
			return screen.String(), err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// attended is the script command `attended STATUS ANSWERS SCREEN COMMAND…`: it runs the command at a terminal, types what each line QUESTION => ANSWER of a file
// says, and keeps what was to be seen in another file.
func attended(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: attended STATUS ANSWERS SCREEN COMMAND…")
	}
	var answers []answer
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		question, typed, _ := strings.Cut(strings.TrimSpace(line), "=>")
		answers = append(answers, answer{strings.TrimSpace(question), strings.TrimSpace(typed)})
	}
	var path string
	for dir := range strings.SplitSeq(ts.Getenv("PATH"), ":") {
		if at, err := exec.LookPath(dir + "/" + args[3]); err == nil {
			path = at
			break
		}
	}
	cmd := exec.Command(path, args[4:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "XDG_STATE_HOME", "GOCOVERDIR"} {
		if value := ts.Getenv(name); value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	screen, err := attend(cmd, answers)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(screen), 0o600))
	ts.Logf("%s", screen)
	got := "0"
	if err != nil {
		got = exitOf(err)
	}
	if got != args[0] {
		ts.Fatalf("the exit status is %s, not %s", got, args[0])
	}
}

// TestAttend: a question that is never asked is no success.
func TestAttend(t *testing.T) {
	screen, err := attend(exec.Command("/bin/sh", "-c", `printf 'name: '; read n; echo "hello $n"`), []answer{{"name: ", "kim"}})
	if err != nil || !strings.Contains(screen, "hello kim") {
		t.Errorf("%q, %v", screen, err)
	}
	if _, err := attend(exec.Command("/bin/sh", "-c", "echo other"), []answer{{"name: ", "kim"}}); err == nil || !strings.Contains(err.Error(), "was never asked") {
		t.Error(err)
	}
}
