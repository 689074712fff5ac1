package ssh

import (
	"cmp"
	"errors"
	"slices"

	"golang.org/x/crypto/ssh"

	"mtaharden/remediate/remote"
)

// way is how root is reached; "" where commands run as the login account.
func (t Target) way() string {
	switch {
	case t.Become == "none" || t.User == "root":
		return ""
	case len(t.BecomeCommand) > 0:
		return "command"
	}
	return t.Become
}

// becomes reports whether commands need a way to root.
func (t Target) becomes() bool { return t.way() != "" }

// how is that way for one command.
func (t Target) how(tty bool) remote.How {
	return remote.How{Way: t.way(), Command: t.BecomeCommand, Login: t.User, Password: t.BecomePassword, Terminal: tty}
}

// checkBecome refuses a way that is not known, before anything is connected.
func (t Target) checkBecome() error {
	if t.Become == "" || t.Become == "none" || t.Become != "command" && slices.Contains(remote.Ways(), t.Become) {
		return nil
	}
	_, err := remote.NewBecome(remote.How{Way: cmp.Or(t.Become, "?")})
	return err
}

// prepare makes the conversation of one command, and its words.
func (h *host) prepare(c remote.Cmd, limit int, tty bool) (*remote.Exchange, []string, error) {
	if !h.t.becomes() {
		e := remote.NewExchange(c, limit, nil)
		if c.Bare {
			return e, c.Argv, nil
		}
		return e, e.Begin(c.Argv), nil
	}
	b, err := remote.NewBecome(h.t.how(tty))
	if err != nil {
		return nil, nil, err
	}
	e, argv := remote.NewExchange(c, limit, b), c.Argv
	if !c.Bare {
		argv = e.Begin(argv)
	}
	argv, err = b.Argv(argv, len(c.Stdin))
	return e, argv, err
}

// The modes of a terminal (RFC 4254, 8): it neither echoes nor changes what passes, until the shell that root starts sets it to pass all bytes.
var terminalModes = string([]byte{
	53, 0, 0, 0, 0, // ECHO
	72, 0, 0, 0, 0, // ONLCR
	0,
})

// terminal asks for one where the command needs it.
func (r *running) terminal() error {
	if !r.e.Terminal() {
		return nil
	}
	ok, err := r.ch.SendRequest("pty-req", true, ssh.Marshal(struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}{"dumb", 80, 24, 0, 0, terminalModes}))
	if err != nil {
		return errors.New("the connection was lost")
	}
	if !ok {
		return remote.NoTerminal(r.h.t.way())
	}
	return nil
}
