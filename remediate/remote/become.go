package remote

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Become is one becoming of root: the words that ask for it, and what the host tells of how it went. It serves one command.
type Become struct {
	way      string   // sudo, doas, su or command
	command  []string // of "command": the words before those that are to run as root
	login    string   // the account that logged in
	password func() (string, error)
	tty      bool // the command runs on a terminal: then all it writes comes as one stream

	prompt   string // what sudo asks with (-p), up to the name of the account whose password it wants
	mark     string // written by a shell that root started: root has been reached
	sync     string // a line before the command's own input: what stands before it is thrown away, a password that was not asked for too
	ready    bool   // the mark has been seen
	sent     bool   // the password has been given
	answered int    // how much had been said when it was
	twice    bool   // and was asked for once more
	whose    string // the account whose password sudo asked for; "" where it did not say
	noPass   error  // why there was no password to give
}

// How says how root is reached.
type How struct {
	Way      string                 // sudo, doas, su, or "command"
	Command  []string               // of "command": its words, which the words to run as root are put behind
	Login    string                 // the account that logs in; "" is not known
	Password func() (string, error) // what the way asks for; nil: it must not ask
	Terminal bool                   // there is to be a terminal, because without one the way refused (WantsTerminal)
}

// Ways are the names that How.Way may have.
func Ways() []string { return []string{"sudo", "doas", "su", "command"} }

// NewBecome returns the becoming of root for one command.
func NewBecome(h How) (*Become, error) {
	if !slices.Contains(Ways(), h.Way) || (h.Way == "command") != (len(h.Command) > 0) {
		return nil, &cause{ErrPrivilege, fmt.Errorf("%q is no way of becoming root known here", h.Way)}
	}
	n := strings.TrimPrefix(Nonce(), noncePrefix)
	b := &Become{way: h.Way, command: h.Command, login: h.Login, password: h.Password, tty: h.Terminal}
	b.prompt, b.mark, b.sync = "mtaharden "+n+" password of ", "mtaharden-"+n+"-root", "mtaharden-"+n+"-input"
	if b.asks() && b.way != "sudo" {
		b.tty = true // doas and su ask on a terminal alone, and of another command nothing is known
	}
	return b, nil
}

// NewSudo returns the becoming of root by sudo. A nil password means that it must not ask (sudo -n).
func NewSudo(password func() (string, error)) *Become {
	b, _ := NewBecome(How{Way: "sudo", Password: password})
	return b
}

// Terminal reports whether the command has to run on a terminal.
func (b *Become) Terminal() bool { return b.tty }

func (b *Become) asks() bool { return b.password != nil }

// waits reports whether the command's input is held back until root has been reached.
func (b *Become) waits() bool { return b.asks() || b.tty || b.way == "su" || b.way == "command" }

// name is the program that is asked.
func (b *Become) name() string {
	if b.way == "command" {
		return path.Base(b.command[0])
	}
	return b.way
}

// already runs the words that follow the first $0 of them where the login is root's whatever its name is, else all of them. A login's PATH may
// lead nowhere: the usual places stand behind it.
const already = "PATH=$PATH:/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin; export PATH; test \"`id -u 2>/dev/null`\" = 0 && shift $0; exec \"$@\""

// Argv is the words that run argv as root; input is how many bytes of standard input it is to get. They hold no secret, and the login shells sh, csh and
// fish read them alike. The shell in the middle says that root was reached: what fails before is the way's failure, what fails after is the
// command's own.
func (b *Become) Argv(argv []string, input int) ([]string, error) {
	words := []string{"/usr/bin/env", "LC_ALL=C"} // a path: a csh start-up file may have an alias of that name
	root := append([]string{"/bin/sh", "-c", b.middle(input), "sh"}, argv...)
	switch b.way {
	case "sudo":
		words = append(words, "sudo")
		switch {
		case !b.asks():
			words = append(words, "-n")
		case b.tty:
			words = append(words, "-p", b.prompt+"%p: ")
		default:
			words = append(words, "-S", "-p", b.prompt+"%p: ")
		}
		words = append(words, "-H", "-u", "root", "--")
	case "doas":
		words = append(words, "doas")
		if !b.asks() {
			words = append(words, "-n")
		}
		words = append(words, "-u", "root", "--")
	case "command":
		words = append(words, b.command...)
	case "su":
		line, err := CommandLine(root)
		return append(words, "su", "root", "-c", line), err // root's own shell reads it; root's su asks nobody
	}
	return append(append([]string{"/bin/sh", "-c", already, strconv.Itoa(len(words))}, words...), root...), nil
}

// middle is the script of the shell that root starts.
func (b *Become) middle(input int) string {
	skip := "while read -r x; do case $x in " + b.sync + ") break;; esac; done; "
	switch {
	case b.tty:
		// A terminal has no end of input and no standard error of its own: the input is counted, and what the command says on standard error comes
		// behind its output, with its status. A link that is lost is no reason to end: without a terminal it would be none either. POSIX has no head -c.
		n := strconv.Itoa(input)
		source := "{ if printf x | head -c 1 >/dev/null 2>&1; then head -c " + n + "; else dd bs=1 count=" + n + " 2>/dev/null; fi; } |"
		if input == 0 {
			source = "</dev/null"
		}
		return "stty raw -echo 2>/dev/null; trap \"\" HUP; echo; echo " + b.mark + "; " + skip +
			"exec 3>&1; e=`" + source + " \"$@\" 2>&1 >&3 3>&-`; r=$?; echo; echo " + b.mark + "-end $r; printf \"%s\\n\" \"$e\"; exit $r"
	case b.waits():
		return "echo " + b.mark + " >&2; " + skip + `exec "$@"`
	}
	return "echo " + b.mark + ` >&2; exec "$@"`
}

// otherPrompt finds a prompt that is not sudo's own: a PAM module's in its place (sudo(8), -p: it replaces PAM's only where PAM's is the usual one),
// that of doas and su.
var otherPrompt = regexp.MustCompile(`(?i)(password|passwort|passphrase|암호|비밀번호|パスワード)[^\n]*: ?$`)

// heard takes all that was said so far. reply is what the way is to be told; done means that nothing more is to be said.
func (b *Become) heard(said []byte) (reply []byte, done bool) {
	if end := b.reached(said); end > 0 {
		b.ready = true
		return nil, true
	}
	prompts := bytes.Count(said, []byte(b.prompt))
	switch {
	case !b.asks():
		return nil, b.waits() && otherPrompt.Match(said)
	case b.sent:
		b.twice = b.twice || prompts > 1 || bytes.Contains(said, []byte("Sorry, try again.")) || otherPrompt.Match(said[min(b.answered, len(said)):])
		return nil, b.twice
	case !b.asked(said) && !otherPrompt.Match(said):
		return nil, false
	}
	b.sent, b.answered = true, len(said)
	pw, err := b.password()
	if err == nil {
		err = typeable(pw, b.tty)
	}
	if err != nil {
		b.noPass = err
		return nil, true
	}
	return []byte(pw + "\n"), false
}

// reached is where the line of the mark ends; 0 where it has not come.
func (b *Become) reached(said []byte) int {
	for _, end := range []string{"\n", "\r\n"} { // a terminal makes the second of the first
		if at := bytes.Index(said, []byte(b.mark+end)); at >= 0 {
			return at + len(b.mark+end)
		}
	}
	return 0
}

// asked reports whether sudo has asked with its own prompt, and notes whose password it wants.
func (b *Become) asked(said []byte) bool {
	_, rest, ok := bytes.Cut(said, []byte(b.prompt))
	whose, ends := bytes.CutSuffix(rest, []byte(": "))
	if !ok || !ends || bytes.ContainsAny(whose, "\n") {
		return false
	}
	b.whose = string(whose)
	return true
}

// typeable refuses a password that cannot be given.
func typeable(pw string, tty bool) error {
	switch {
	case strings.ContainsAny(pw, "\n\x00"):
		return errors.New("it holds a line break or a NUL")
	case tty && strings.ContainsFunc(pw, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return errors.New("it holds a control character, which a terminal takes for a key")
	}
	return nil
}

// strip returns what was said without the prompts and the mark.
func (b *Become) strip(said []byte) []byte {
	for {
		at := bytes.Index(said, []byte(b.prompt))
		if at < 0 {
			break
		}
		rest := said[at+len(b.prompt):]
		if name, after, ok := bytes.Cut(rest, []byte(": ")); ok && !bytes.ContainsAny(name, "\n") {
			rest = after
		}
		said = append(bytes.Clone(said[:at]), rest...)
	}
	said = bytes.ReplaceAll(said, []byte(b.mark+"\r\n"), nil)
	return bytes.ReplaceAll(said, []byte(b.mark+"\n"), nil)
}
