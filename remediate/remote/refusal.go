package remote

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// errTerminal says that the way to root wants a terminal.
var errTerminal = errors.New("a terminal is wanted")

// WantsTerminal reports whether becoming root failed for want of a terminal alone: nothing was begun, and no password was sent.
func WantsTerminal(err error) bool { return errors.Is(err, errTerminal) }

// errPassword says that a password was refused.
var errPassword = errors.New("the password was refused")

// PasswordRefused reports whether becoming root failed because the password was refused.
func PasswordRefused(err error) bool { return errors.Is(err, errPassword) }

// NoTerminal is the ErrPrivilege of a way to root that needs a terminal on a host that gives none.
func NoTerminal(way string) error {
	return &cause{ErrPrivilege, fmt.Errorf("%s wants a terminal, and sshd gives none (sshd_config(5), PermitTTY)", way)}
}

// refusals are what the ways to root and the shells say, with what it means. "%" is the program's name. Order matters: a wrong password is followed by
// more general lines. The words are those of sudo (plugins/sudoers: logging.c, auth/sudo_auth.c, policy.c) as seen from 1.8.27 to 1.9.16, of OpenDoas
// 6.8, of su in util-linux 2.36 to 2.41 with Linux-PAM, and of busybox.
var refusals = []struct {
	of    string // the way; "" is any
	says  string
	means string
}{
	{"sudo", "is not in the sudoers", "the account is not in sudoers"},
	{"sudo", "may not run sudo", "the account is not in sudoers"},
	{"sudo", "is not allowed to execute", "sudoers does not allow the account to run this as root"},
	{"sudo", "is not allowed to run sudo", "the account is not in sudoers"},
	{"sudo", "incorrect password attempt", "sudo refused the password"},
	{"sudo", "incorrect authentication attempt", "sudo refused the password"},
	{"sudo", "Sorry, try again", "sudo refused the password"},
	{"sudo", "Authentication failed", "sudo refused the password"},
	{"sudo", "must have a tty", "sudo wants a terminal (requiretty in sudoers)"},
	{"sudo", "no tty present", "sudo wants a password and none was given"},
	{"sudo", "a password is required", "sudo wants a password and none was given"},
	{"sudo", "interactive authentication is required", "sudo wants a password and none was given"},
	{"sudo", "account or password is expired", "the account or its password has expired"},
	{"sudo", "account validation failure", "the account is locked or has expired"},
	{"sudo", "no valid sudoers sources", "sudoers cannot be read"},
	{"sudo", "must be owned by uid 0 and have the setuid bit", "sudo is not set-user-ID root"},
	{"sudo", "effective uid is not 0", "sudo is not set-user-ID root"},
	{"sudo", "no new privileges", "the session forbids new privileges"},
	{"doas", "doas is not enabled", "doas is not enabled: there is no doas.conf"},
	{"doas", "Operation not permitted", "doas.conf does not allow the account to become root"},
	{"doas", "a tty is required", "doas wants a terminal"},
	{"doas", "Authorization required", "doas wants a password and none was given"},
	{"doas", "Authentication required", "doas wants a password and none was given"},
	{"doas", "Authorization failed", "doas refused the password"},
	{"doas", "Authentication failed", "doas refused the password"},
	{"doas", "not installed setuid", "doas is not set-user-ID root"},
	{"su", "must be run from a terminal", "su wants a terminal"},
	{"su", "must be suid", "su is not set-user-ID root"},
	{"su", "account has expired", "root's account has expired"},
	{"su", "Authentication token is no longer valid", "root's password has expired"},
	{"su", "You are required to change your password", "root's password has expired"},
	{"su", "Authentication failure", "su refused root's password"},
	{"su", "ncorrect password", "su refused root's password"},
	{"su", "su: Permission denied", "su is not for this account (pam_wheel, or the group of su's file)"},
	{"", "%: not found", "% is not installed"},
	{"", "%: command not found", "% is not installed"},
	{"", "%: inaccessible or not found", "% is not installed"},
	{"", "%: No such file or directory", "% is not installed"},
	{"", "%’: No such file or directory", "% is not installed"},
	{"", "%': No such file or directory", "% is not installed"},
	{"", "%’: Permission denied", "% is not for this account"},
	{"", "%': Permission denied", "% is not for this account"},
	{"", "Password change required but no TTY available", "the account's password has expired and must be changed"}, // sshd itself: nothing is run
	{"", "currently not available", "the account's login shell refuses to run commands"},
}

// refusal says why the command did not run as root.
func (b *Become) refusal(r Result) error {
	name := b.name()
	if b.noPass != nil {
		return fmt.Errorf("%s wants a password: %v", name, b.noPass)
	}
	all := string(r.Stderr) + "\n" + string(r.Stdout)
	if b.way == "su" && !b.asks() {
		return fmt.Errorf("su wants root's password and none was given%s", b.quoted(all))
	}
	means, line := known(b.way, name, all)
	switch {
	case b.sent && strings.Contains(means, " refused ") && b.whose != "" && b.whose != b.login:
		return &cause{errPassword, fmt.Errorf("%s, which is to be that of %s (%s)", means, Clean(b.whose), Clean(line))}
	case b.sent && strings.Contains(means, " refused "):
		return &cause{errPassword, fmt.Errorf("%s (%s)", means, Clean(line))}
	case means != "" && !b.tty && !b.sent && (strings.Contains(means, "wants a terminal")):
		return &cause{errTerminal, fmt.Errorf("%s (%s)", means, Clean(line))}
	case means != "":
		return fmt.Errorf("%s (%s)", means, Clean(line))
	case b.sent && b.twice:
		return &cause{errPassword, fmt.Errorf("%s refused the password%s", name, b.quoted(all))}
	}
	said := lastLines(all, 3)
	if said == "" {
		return fmt.Errorf("%s ended with status %d and said nothing", name, r.Exit)
	}
	return fmt.Errorf("%s ended with status %d and said: %s", name, r.Exit, said)
}

func (b *Become) quoted(all string) string {
	if said := lastLines(all, 2); said != "" {
		return " (" + said + ")"
	}
	return ""
}

// known is what one of the refusals in text means, and its line; "" where there is none.
func known(way, name, text string) (means, said string) {
	for _, known := range refusals {
		if known.of != "" && known.of != way {
			continue
		}
		says := strings.ReplaceAll(known.says, "%", name)
		for line := range strings.Lines(text) {
			if strings.Contains(line, says) {
				return strings.ReplaceAll(known.means, "%", name), line
			}
		}
	}
	return "", ""
}

// Refused says whether a command that has a sudo of its own in its words failed because that sudo did not let it run: the error is an ErrPrivilege, or nil.
func Refused(c Cmd, r Result) error {
	if r.Exit == 0 || !slices.Contains(c.Argv, "sudo") && !slices.Contains(c.Argv, "/usr/bin/sudo") {
		return nil
	}
	if means, line := known("sudo", "sudo", string(r.Stderr)); means != "" {
		return &cause{ErrPrivilege, fmt.Errorf("%s (%s)", means, Clean(line))}
	}
	return nil
}
