package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"mtaharden/remediate/facts"
)

// The exit statuses are a contract: scripts depend on them.
const (
	exitInternal    = 1   // a fault of this program
	exitFound       = 2   // a fail, expired waiver, unknown or error finding
	exitIncomplete  = 3   // a host was reached but not read to the end
	exitAsItWas     = 3   // apply, rollback: a host is as it was
	exitUnreachable = 4   // unreachable, host key, authentication, privilege
	exitRolledBack  = 5   // apply: a host was rolled back
	exitPerson      = 6   // apply, rollback: a person is needed, or the state is not known
	exitUsage       = 64  // usage, or a bad input file
	exitInterrupted = 130 // a signal ended the run
)

// status is an error with the exit status it ends the program with. Its err may be nil: a verdict is no message.
type status struct {
	code int
	err  error
	hint string
}

func (s *status) Error() string {
	if s.err == nil {
		return fmt.Sprintf("exit status %d", s.code)
	}
	return s.err.Error()
}

func (s *status) Unwrap() error { return s.err }

// badInput says that what the user gave (a flag, a file) cannot be used.
func badInput(err error) error {
	if err == nil {
		return nil
	}
	return &status{code: exitUsage, err: err}
}

func usageError(c *cobra.Command, err error) error {
	return &status{code: exitUsage, err: err, hint: fmt.Sprintf("see %q", c.CommandPath()+" --help")}
}

func unknownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %q", args[0])
	s := &status{code: exitUsage, err: err, hint: fmt.Sprintf("see %q", c.CommandPath()+" --help")}
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		s.hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return s
}

// exactArgs checks the number of arguments; what is wrong is bad usage, in the words of the command's own usage line.
func exactArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if check(c, args) == nil {
			return nil
		}
		_, wanted, _ := strings.Cut(c.Use, " ")
		wanted = strings.Trim(wanted, "[]")
		switch {
		case wanted != "" && !strings.HasPrefix(wanted, "-") && len(args) == 0:
			return usageError(c, fmt.Errorf("%s needs a %s", c.Name(), wanted))
		case wanted != "" && !strings.HasPrefix(wanted, "-"):
			return usageError(c, fmt.Errorf("%s takes one %s, got %d: %q", c.Name(), wanted, len(args), args))
		case c.Flags().Lookup("limit") != nil:
			return usageError(c, fmt.Errorf("%s takes no argument, got %q: hosts are named by --limit", c.Name(), args[0]))
		}
		return usageError(c, fmt.Errorf("%s takes no argument, got %q", c.Name(), args[0]))
	}
}

func interrupted(err error) error {
	var s *status
	if errors.As(err, &s) && s.code == exitInterrupted {
		return err // it says itself what the signal left
	}
	return &status{code: exitInterrupted, err: errors.Join(errors.New("interrupted: no host was changed, so nothing is left to undo"), dropCancelled(err))}
}

func dropCancelled(err error) error {
	var s *status
	if err == nil || errors.Is(err, context.Canceled) || errors.As(err, &s) {
		return nil
	}
	return err
}

// explain prints what a run ended with and returns its exit status.
func explain(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	s := &status{code: exitInternal, err: err}
	if !errors.As(err, &s) {
		s = &status{code: exitInternal, err: err}
	}
	if s.err != nil {
		for _, line := range strings.Split(s.err.Error(), "\n") {
			fmt.Fprintln(w, "mtaharden:", facts.Printable(line)) // a file's name may hold anything
		}
	}
	if s.hint != "" {
		fmt.Fprintln(w, "mtaharden: hint:", s.hint)
	}
	return s.code
}
