package ssh_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/ssh"
)

const rootSecret = "root secret 2!"

// becomings are the ways to root, each with what came of it on real programs. says "" is root.
var becomings = []struct {
	name, user, way string
	command         []string
	password, says  string
}{
	{name: "root already", user: "root", way: "sudo"},
	{name: "uid 0 of another name", user: "toor", way: "sudo"},
	{name: "uid 0 of another name, doas", user: "toor", way: "doas"},
	{name: "uid 0 of another name, su", user: "toor", way: "su"},
	{name: "sudo, NOPASSWD", user: "free", way: "sudo"},
	{name: "sudo, NOPASSWD with a password at hand", user: "free", way: "sudo", password: secret},
	{name: "sudo, password", user: "dashy", way: "sudo", password: secret},
	{name: "sudo, lecture", user: "lecture", way: "sudo", password: secret},
	{name: "sudo, prompt of its own", user: "asks", way: "sudo", password: secret},
	{name: "sudo, use_pty", user: "usepty", way: "sudo", password: secret},
	{name: "sudo, requiretty", user: "needtty", way: "sudo"},
	{name: "sudo, requiretty, use_pty, lecture, password", user: "ttypw", way: "sudo", password: secret},
	{name: "sudo, !visiblepw", user: "visible", way: "sudo", password: secret},
	{name: "sudo, rootpw", user: "rootpw", way: "sudo", password: rootSecret},
	{name: "sudo, targetpw", user: "targetpw", way: "sudo", password: rootSecret},
	{name: "doas, nopass", user: "doasfree", way: "doas"},
	{name: "doas, nopass with a password at hand", user: "doasfree", way: "doas", password: secret},
	{name: "doas, password", user: "doaspw", way: "doas", password: secret},
	{name: "doas, persist, tcsh", user: "doaskeep", way: "doas", password: secret},
	{name: "su", user: "nosudo", way: "su", password: rootSecret},
	{name: "su, fish", user: "ufish", way: "su", password: rootSecret},
	{name: "su, tcsh", user: "utcsh", way: "su", password: rootSecret},
	{name: "command that asks nothing", user: "free", way: "sudo", command: []string{"/usr/bin/sudo", "-n"}},
	{name: "command that asks", user: "dashy", command: []string{"sudo", "-H"}, password: secret},

	{name: "sudo, wrong", user: "dashy", way: "sudo", password: "wrong secret", says: "sudo refused the password (sudo: 1 incorrect password attempt)"},
	{name: "sudo on a terminal, wrong", user: "ttypw", way: "sudo", password: "wrong secret", says: "sudo refused the password (sudo: 1 incorrect password attempt)"},
	{name: "sudo, use_pty, wrong", user: "usepty", way: "sudo", password: "wrong secret", says: "sudo refused the password (sudo: 1 incorrect password attempt)"},
	{name: "sudo, rootpw, the account's own", user: "rootpw", way: "sudo", password: secret, says: "sudo refused the password, which is to be that of root"},
	{name: "sudo, none", user: "dashy", way: "sudo", says: "sudo wants a password and none was given"},
	{name: "sudo, not in sudoers", user: "nosudo", way: "sudo", password: secret, says: "the account is not in sudoers"},
	{name: "sudo, another command alone", user: "only", way: "sudo", password: secret, says: "sudoers does not allow the account to run this as root"},
	{name: "sudo, requiretty and PermitTTY no", user: "notty", way: "sudo", says: "sudo wants a terminal, and sshd gives none (sshd_config(5), PermitTTY)"},
	{name: "doas, wrong", user: "doaspw", way: "doas", password: "wrong secret", says: "doas refused the password (doas: Auth"},
	{name: "doas, none", user: "doaspw", way: "doas", says: "doas wants a password and none was given (doas: Auth"},
	{name: "doas, not in doas.conf", user: "nodoas", way: "doas", password: secret, says: "doas.conf does not allow the account to become root (doas: Operation not permitted)"},
	{name: "su, wrong", user: "nosudo", way: "su", password: "wrong secret", says: "su refused root's password (su: Authentication failure)"},
	{name: "su, none", user: "nosudo", way: "su", says: "su wants root's password and none was given"},
	{name: "su, pam_wheel", user: "nosu", way: "su", password: rootSecret, says: "su is not for this account (pam_wheel, or the group of su's file) (su: Permission denied)"},
	{name: "su, PermitTTY no", user: "notty", way: "su", password: rootSecret, says: "su wants a terminal, and sshd gives none"},
	{name: "no such command", user: "free", command: []string{"dzdo", "-n"}, says: "dzdo is not installed"},
	{name: "no such command, with a password", user: "free", command: []string{"dzdo"}, password: secret, says: "dzdo is not installed"},
	{name: "login shell", user: "nologin", way: "sudo", password: secret, says: "the account's login shell refuses to run commands"},
	{name: "a way that is none", user: "free", way: "magic", says: `"magic" is no way of becoming root known here`},
}

// shown is everything that the host's processes show of themselves, and what root has on disk of it.
var shown = remote.Cmd{Argv: []string{"/bin/sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ /var/log/* /root/.*history /home/*/.*history 2>/dev/null; :"}}

// TestBecome: every way to root with real programs, on each release: bytes pass as they are, the status and standard error are the command's own, the password
// stands nowhere, and a refusal says what it is of.
func TestBecome(t *testing.T) {
	for release, image := range withDoas(t) {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			o := startOpenSSH(t, image)
			for _, c := range becomings {
				t.Run(c.name, func(t *testing.T) {
					x := o.target(t, c.user)
					x.Become, x.BecomeCommand = c.way, c.command
					if c.password != "" {
						x.BecomePassword = given(c.password)
					}
					if c.says != "" {
						refusesRoot(t, x, c.says)
						return
					}
					becomesRoot(t, x)
				})
			}
			if strings.Contains(o.log.String(), "secret") {
				t.Error("a password is in sshd's log")
			}
		})
	}
}

func becomesRoot(t *testing.T, x ssh.Target) {
	h := dial(t, x)
	noise := make([]byte, 70000)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	for range 2 { // the second time the way remembers, or does not
		r, err := h.Run(t.Context(), whoami, 1000)
		if err != nil || r.Exit != 3 || string(r.Stdout) != "0"+itself || !strings.HasSuffix(string(r.Stderr), "to standard error\n") || strings.Contains(string(r.Stderr), "mtaharden") {
			t.Errorf("%d %q %q, %v", r.Exit, r.Stdout, r.Stderr, err)
		}
	}
	r, err := h.Run(t.Context(), remote.Cmd{Argv: []string{"/bin/cat"}, Stdin: noise}, 1<<20)
	if err != nil || r.Exit != 0 || !bytes.Equal(r.Stdout, noise) {
		t.Errorf("of %d bytes came %d, status %d, %v: %q", len(noise), len(r.Stdout), r.Exit, err, r.Stderr)
	}
	r, err = h.Run(t.Context(), remote.Script("id -u; echo \"$1\"", "an argument"), 1000)
	if err != nil || string(r.Stdout) != "0\nan argument\n" {
		t.Errorf("a script: %q %q, %v", r.Stdout, r.Stderr, err)
	}
	r, err = h.Run(t.Context(), shown, 8<<20)
	if err != nil || len(r.Stdout) == 0 || bytes.Contains(r.Stdout, []byte("secret")) {
		t.Errorf("a password shows on the host, or nothing does: %d bytes, %v", len(r.Stdout), err)
	}
}

func refusesRoot(t *testing.T, x ssh.Target, says string) {
	h, err := ssh.Dial(t.Context(), x)
	if err == nil {
		defer h.Close()
		_, err = h.Run(t.Context(), whoami, 1000)
	}
	t.Log(err)
	wants(t, err, remote.ErrPrivilege, []string{"cannot become root on " + x.Name, says})
	if x.BecomePassword != nil && strings.Contains(says, "refused") && !remote.PasswordRefused(err) {
		t.Errorf("%v is not told from other refusals", err)
	}
}

// TestOneTimeCodeOpenSSH: a real sshd with pam_oath, which wants a code beside the key: each login takes the next one, a used one is refused, and where
// nobody answers the refusal says what was asked.
func TestOneTimeCodeOpenSSH(t *testing.T) {
	for release, image := range withDoas(t) {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			o := startOpenSSH(t, image)
			codes := []string{"755224", "287082", "359152"} // RFC 4226, appendix D
			next := 0
			x := o.target(t, "otp")
			x.Become = "sudo"
			x.Answer = func(question string, echo bool) (string, error) {
				t.Logf("asked: %q", question)
				next++
				return codes[next-1], nil
			}
			for range 2 {
				h := dial(t, x)
				if r, err := h.Run(t.Context(), whoami, 1000); err != nil || string(r.Stdout) != "0"+itself {
					t.Errorf("%q, %v", r.Stdout, err)
				}
				if p := h.Transport().Person; !strings.Contains(p, "One-time password (OATH) for `otp'") {
					t.Errorf("a person did %q", p)
				}
			}
			x.Answer = func(string, bool) (string, error) { return codes[0], nil }
			_, err := ssh.Dial(t.Context(), x)
			wants(t, err, remote.ErrAuth, []string{"the host took ssh-ed25519 SHA256:", "and wants more"})
			x.Answer = nil
			_, err = ssh.Dial(t.Context(), x)
			t.Log(err)
			wants(t, err, remote.ErrAuth, []string{"and wants more"})
			x.Answer = func(string, bool) (string, error) { return "", errors.New("there is no terminal to ask on") }
			_, err = ssh.Dial(t.Context(), x)
			wants(t, err, remote.ErrAuth, []string{"there is no terminal to ask on"})
		})
	}
}
