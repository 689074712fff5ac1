package remote

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Sudo is one becoming of root: the words that ask for it, and what standard error tells of how it went. It serves one command.
type Sudo struct {
	password func() (string, error)
	prompt   string // what sudo asks with: -p
	mark     string // written to standard error by a shell that root started: root has been reached
	ready    bool   // the mark has been seen
	sent     bool   // the password has been given
	noPass   error  // why there was no password to give
}

// otherPrompt finds a prompt that a PAM module put in place of sudo's own (sudo(8), -p: it replaces PAM's only where PAM's is the usual one).
var otherPrompt = regexp.MustCompile(`(?i)(password|passwort|passphrase|암호|비밀번호|パスワード)[^\n]*: ?$`)

// NewSudo returns the becoming of root for one command. A nil password means that sudo must not ask (sudo -n).
func NewSudo(password func() (string, error)) *Sudo {
	nonce := make([]byte, 8)
	rand.Read(nonce) // never fails (crypto/rand)
	n := hex.EncodeToString(nonce)
	return &Sudo{password: password, prompt: "mtaharden " + n + " password: ", mark: "mtaharden-" + n + "-root"}
}

// Argv is the words that run argv as root. They hold no secret, and the login shells sh, csh and fish read them alike.
// The shell in the middle says that root was reached: what fails before is sudo's failure, what fails after is the command's own.
func (s *Sudo) Argv(argv []string) []string {
	words := []string{"/usr/bin/env", "LC_ALL=C", "sudo", "-n"} // a path: a csh start-up file may have an alias of that name
	if s.asks() {
		words = []string{"/usr/bin/env", "LC_ALL=C", "sudo", "-S", "-p", s.prompt}
	}
	words = append(words, "-H", "-u", "root", "--", "/bin/sh", "-c", "echo "+s.mark+` >&2; exec "$@"`, "sh")
	return append(words, argv...)
}

func (s *Sudo) asks() bool { return s.password != nil }

// heard takes all of standard error so far. reply is what sudo is to be told; done means that nothing more is to be said.
func (s *Sudo) heard(stderr []byte) (reply []byte, done bool) {
	if bytes.Contains(stderr, []byte(s.mark+"\n")) {
		s.ready = true
		return nil, true
	}
	prompts := bytes.Count(stderr, []byte(s.prompt))
	switch {
	case !s.asks():
		return nil, false
	case s.sent:
		return nil, prompts > 1 || bytes.Contains(stderr, []byte("Sorry, try again."))
	case prompts == 0 && !otherPrompt.Match(stderr):
		return nil, false
	}
	s.sent = true
	pw, err := s.password()
	if err == nil && strings.ContainsAny(pw, "\n\x00") {
		err = errors.New("it holds a line break or a NUL")
	}
	if err != nil {
		s.noPass = err
		return nil, true
	}
	return []byte(pw + "\n"), false
}

// strip returns stderr without the prompts and the mark.
func (s *Sudo) strip(stderr []byte) []byte {
	stderr = bytes.ReplaceAll(stderr, []byte(s.prompt), nil)
	return bytes.ReplaceAll(stderr, []byte(s.mark+"\n"), nil)
}

// refusals are what sudo and the shells say, with what it means. Order matters: a wrong password is followed by more general lines.
// The words are sudo's own (plugins/sudoers: logging.c, auth/sudo_auth.c, policy.c) as seen from 1.8.27, 1.9.5, 1.9.13 and 1.9.16.
var refusals = []struct{ says, means string }{
	{"is not in the sudoers", "the account is not in sudoers"},
	{"may not run sudo", "the account is not in sudoers"},
	{"is not allowed to execute", "sudoers does not allow the account to run this as root"},
	{"is not allowed to run sudo", "the account is not in sudoers"},
	{"incorrect password attempt", "sudo refused the password"},
	{"incorrect authentication attempt", "sudo refused the password"},
	{"Sorry, try again", "sudo refused the password"},
	{"Authentication failed", "sudo refused the password"},
	{"must have a tty", "sudo wants a terminal (requiretty in sudoers)"},
	{"no tty present", "sudo wants a password and none was given"},
	{"a password is required", "sudo wants a password and none was given"},
	{"interactive authentication is required", "sudo wants a password and none was given"},
	{"account or password is expired", "the account or its password has expired"},
	{"account validation failure", "the account is locked or has expired"},
	{"no valid sudoers sources", "sudoers cannot be read"},
	{"must be owned by uid 0 and have the setuid bit", "sudo is not set-user-ID root"},
	{"effective uid is not 0", "sudo is not set-user-ID root"},
	{"no new privileges", "the session forbids new privileges"},
	{"sudo: not found", "sudo is not installed"},
	{"sudo: command not found", "sudo is not installed"},
	{"sudo: No such file or directory", "sudo is not installed"},
	{"sudo’: No such file or directory", "sudo is not installed"},
	{"sudo': No such file or directory", "sudo is not installed"},
	{"currently not available", "the account's login shell refuses to run commands"},
}

// refusal says why the command did not run as root.
func (s *Sudo) refusal(r Result) error {
	if s.noPass != nil {
		return fmt.Errorf("sudo wants a password: %v", s.noPass)
	}
	all := string(r.Stderr) + "\n" + string(r.Stdout)
	if err := known(all); err != nil {
		return err
	}
	said := lastLines(all, 3)
	if said == "" {
		return fmt.Errorf("sudo ended with status %d and said nothing", r.Exit)
	}
	return fmt.Errorf("sudo ended with status %d and said: %s", r.Exit, said)
}

// known is what one of the refusals in text means; nil where there is none.
func known(text string) error {
	for _, known := range refusals {
		for line := range strings.Lines(text) {
			if strings.Contains(line, known.says) {
				return fmt.Errorf("%s (%s)", known.means, Clean(line))
			}
		}
	}
	return nil
}

// Refused says whether a command that has a sudo of its own in its words failed because that sudo did not let it run: the error is an ErrPrivilege, or nil.
func Refused(c Cmd, r Result) error {
	if r.Exit == 0 || !slices.Contains(c.Argv, "sudo") && !slices.Contains(c.Argv, "/usr/bin/sudo") {
		return nil
	}
	if why := known(string(r.Stderr)); why != nil {
		return &cause{ErrPrivilege, why}
	}
	return nil
}

// lastLines returns the last n lines that are not empty, as one line that is safe on a terminal.
func lastLines(text string, n int) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = Clean(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(len(lines)-n, 0):], " / ")
}

// Clean returns what a host said as one line for a message: control characters become spaces, at most 300 bytes are kept.
func Clean(text string) string {
	text = strings.ToValidUTF8(text, "?")
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x200e || r == 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return ' '
		}
		return r
	}, text))
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}
