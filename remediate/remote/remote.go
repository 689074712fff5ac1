// Package remote is the narrow waist over which a machine is reached: a command with its standard input goes in,
// bounded output and an exit status come back, and what went wrong on the way has one of these names.
package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Failures a caller acts on. Every transport wraps one of them, so that errors.Is names the phase that failed.
var (
	// ErrUnreachable: no connection, or one that ended before the login was complete.
	ErrUnreachable = errors.New("unreachable")
	// ErrHostKey: the host's key is unknown, changed or revoked.
	ErrHostKey = errors.New("host key")
	// ErrAuth: the host refused every credential offered.
	ErrAuth = errors.New("authentication failed")
	// ErrUnable: an ErrAuth that is this machine's own: a key that does not sign, a password that cannot be read. The host refused nothing.
	ErrUnable = errors.New("the credential cannot be used")
	// ErrPrivilege: the login works, becoming root does not.
	ErrPrivilege = errors.New("no privilege")
	// ErrForbidden: the host opens no connections onward for this login (sshd_config(5): AllowTcpForwarding, PermitOpen).
	ErrForbidden = errors.New("forwarding is forbidden")
	// ErrCut: the command was begun and its end was not seen: time ran out, the link was lost, too much output.
	ErrCut = errors.New("cut off")
)

// Cmd is one command for a host.
type Cmd struct {
	Argv  []string // the words of the command; a transport quotes them for the login shell (sh, csh and fish read them alike)
	Stdin []byte   // standard input; nil is an empty one
	Say   string   // what it does, in a line for people, where its words are a script; "" lets the words speak
	Tells bool     // it writes to standard output all the while: one that is long silent hangs (Timeouts.Idle)
	Bare  bool     // the login may run these words and no others (a restricted shell, a forced command): nothing is put before them
}

// Line is the command in one line for people.
func (c Cmd) Line() string { return cmp.Or(c.Say, c.String()) }

// String is the command as a person would type it into a POSIX shell.
func (c Cmd) String() string {
	words := make([]string, len(c.Argv))
	for i, w := range c.Argv {
		words[i] = Quote(w)
	}
	return strings.Join(words, " ")
}

// Quote returns word as one word of a POSIX shell command line (XCU 2.2.2, single quotes). A word that needs no quotes is returned as it is.
func Quote(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Result is what a command left behind.
type Result struct {
	Stdout []byte
	Stderr []byte // bounded to 64 KiB: it is for messages
	Exit   int
}

// Transport says how a host was reached, for the report: a weak transport is worth a finding of its own.
type Transport struct {
	Name    string   // "ssh" or "local"
	User    string   // the account that logged in
	Become  string   // "" or how root was reached: sudo
	HostKey string   // type and SHA256 fingerprint of the host's key
	Server  string   // the server's version string
	Legacy  []string // algorithms in use that are no longer thought safe
	Master  string   // the ControlMaster of OpenSSH whose connection is used; "" where the connection is its own. HostKey and Server are then not known
	Person  string   // what a person had to do for this login: answer a question, touch a key; "" where it took nobody
}

// Host is one machine.
type Host interface {
	// Run runs c as root (by the host's own way of becoming it) and waits for its end. At most limit bytes of standard output are
	// taken; more is ErrCut. The Result holds what had come when an error is returned. A non-zero exit is no error.
	Run(ctx context.Context, c Cmd, limit int) (Result, error)
	Transport() Transport
	Close() error
}

// Keeper is a Host on which a command can go on beside others.
type Keeper interface {
	// Keep runs c as Run does, but for as long as ctx lives: no time of the Host's own bounds it. heard gets standard output as it comes,
	// one call at a time.
	Keep(ctx context.Context, c Cmd, limit int, heard func([]byte)) (Result, error)
}

// Dialer is a Host that can open connections from where it stands. Dial bounds each opening by Timeouts.Dial; the connection keeps
// deadlines, and lives at most as long as the Host. An error wraps ErrForbidden where the host's own policy refused to connect at all.
type Dialer interface {
	Dial(ctx context.Context, network, addr string) (net.Conn, error)
}

// Uploader is a Host that may take a long content by a protocol for files, not only as a command's input.
type Uploader interface {
	// Upload leaves data in file, which is not there yet, for root alone from its first byte on. It reports false where the content is short, the host
	// has no such way, or it broke off: the caller then does it by a command, over whatever is there. The error says that no command would get
	// further: ctx has ended, the connection is lost (ErrCut), root is refused (ErrPrivilege).
	Upload(ctx context.Context, file string, data []byte) (bool, error)
}

// Timeouts bound each phase of reaching a host, each from its own beginning; zero means the default.
type Timeouts struct {
	Dial        time.Duration // TCP connect; default 10 s
	Banner      time.Duration // from the connection to the line in which the server names its version; default: Login
	KeyExchange time.Duration // from there until the host has proven its key; default: Login
	Auth        time.Duration // from there until it lets us in; default: Login. A person who is asked gets longer
	Channel     time.Duration // the opening of a channel; default: Login
	Login       time.Duration // each of the four above whose own is not said, and the way to root; default 20 s
	Idle        time.Duration // how long a command that tells how it goes (Cmd.Tells) may be silent; default 120 s
	Run         time.Duration // one command from start to end; default 180 s
}

// Filled returns t with every zero value made its default.
func (t Timeouts) Filled() Timeouts {
	t.Dial = cmp.Or(t.Dial, 10*time.Second)
	t.Login = cmp.Or(t.Login, 20*time.Second)
	t.Banner = cmp.Or(t.Banner, t.Login)
	t.KeyExchange = cmp.Or(t.KeyExchange, t.Login)
	t.Auth = cmp.Or(t.Auth, t.Login)
	t.Channel = cmp.Or(t.Channel, t.Login)
	t.Idle = cmp.Or(t.Idle, 120*time.Second)
	t.Run = cmp.Or(t.Run, 180*time.Second)
	return t
}

// Error is a failure at a host: what was tried, on whom, and why it failed.
type Error struct {
	Op   string // "connect to", "log in to", "become root on", "run the collector on"
	Host string
	Kind error // one of the Err values above
	Err  error // the cause
}

func (e *Error) Error() string { return fmt.Sprintf("cannot %s %s: %v", e.Op, e.Host, e.Err) }

func (e *Error) Unwrap() []error { return []error{e.Kind, e.Err} }
