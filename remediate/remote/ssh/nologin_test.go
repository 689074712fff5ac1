package ssh_test

import (
	"context"
	"testing"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/ssh"
)

const booting = `System is booting up. Unprivileged users are not permitted to log in yet. Please come back later. For technical details, see pam_nologin(8).`

// testBooting: while a real host boots, pam_nologin lets root in alone. That is no refusal of a credential, whatever it was; what a person
// wrote into /etc/nologin is, and so is a wrong password meanwhile.
func (o *openSSH) testBooting(t *testing.T) {
	root := dial(t, o.target(t, "root"))
	said := func(text string) {
		t.Helper()
		if r, err := root.Run(context.WithoutCancel(t.Context()), remote.Cmd{Argv: []string{"/bin/sh", "-c", "rm -f /etc/nologin; cat > /etc/n; [ ! -s /etc/n ] || mv /etc/n /etc/nologin"}, Stdin: []byte(text)}, 100); err != nil || r.Exit != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	t.Cleanup(func() { said("") })
	for _, c := range []struct {
		name, text, user string
		change           func(*ssh.Target)
		kind             error
		says             string
	}{
		{"a key", booting, "dashy", nil, remote.ErrUnreachable, `the host lets nobody but root in just now: it says "System is booting up. Unprivileged users`},
		{"a password", booting, "free", func(x *ssh.Target) { x.Identities, x.Password = nil, given(secret) }, remote.ErrUnreachable, "the host lets nobody but root in just now"},
		{"a password by keyboard-interactive", booting, "kbd", func(x *ssh.Target) { x.Password = given(secret) }, remote.ErrUnreachable, "the host lets nobody but root in just now"},
		{"a key and a password", booting, "two", func(x *ssh.Target) { x.Password = given(secret) }, remote.ErrUnreachable, "the host lets nobody but root in just now"},
		{"going down", "System is going down. Unprivileged users are not permitted to log in anymore. For technical details, see pam_nologin(8).\n", "dashy", nil, remote.ErrUnreachable, "going down"},
		{"a wrong password", booting, "free", func(x *ssh.Target) { x.Identities, x.Password = nil, given("wrong secret") }, remote.ErrAuth, "the host refused the password"},
		{"a wrong password by keyboard-interactive", booting, "kbd", func(x *ssh.Target) { x.Password = given("wrong secret") }, remote.ErrAuth, "the host refused the password"},
		{"a person's words", "Wartung bis morgen\n", "dashy", nil, remote.ErrAuth, `it said "Wartung bis morgen"`},
		{"an expired account", booting, "locked", nil, remote.ErrAuth, "Your account has expired"},
	} {
		t.Run(c.name, func(t *testing.T) {
			said(c.text)
			x := o.target(t, c.user)
			if c.change != nil {
				c.change(&x)
			}
			h, err := ssh.Dial(t.Context(), x)
			if err == nil {
				h.Close()
			}
			t.Log(err)
			wants(t, err, c.kind, []string{c.says})
		})
	}
}
