package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// errNobodyToAsk: there is no terminal.
var errNobodyToAsk = errors.New("there is no terminal to ask on")

// question asks on the terminal and returns the line that was typed. When the context ends, the question is taken back. It has the terminal for itself: a yes
// is not to be taken for the one-time code that another host waits for.
func (p *prompter) question(ctx context.Context, question string) (string, error) {
	p.ttyMu.Lock()
	defer p.ttyMu.Unlock()
	if ctx.Err() != nil {
		return "", fmt.Errorf("nobody was asked: %w", context.Cause(ctx))
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", errNobodyToAsk
	}
	fmt.Fprint(tty, question)
	type typed struct {
		line string
		err  error
	}
	answer := make(chan typed, 1)
	go func() { // a read from a terminal cannot be called back: an interrupted run leaves it to the program's end
		line, err := bufio.NewReader(io.LimitReader(tty, 4096)).ReadString('\n')
		tty.Close()
		answer <- typed{line, err}
	}()
	select {
	case a := <-answer:
		if a.err != nil {
			return "", fmt.Errorf("cannot read the answer: %w", a.err)
		}
		return strings.TrimSpace(a.line), nil
	case <-ctx.Done():
		fmt.Fprintln(tty)
		return "", fmt.Errorf("the question was taken back: %w", context.Cause(ctx))
	}
}
