// Package ssh is the Host that is reached over SSH: one connection, verified by known_hosts, one channel a command, sudo where it is asked for.
package ssh

import (
	"cmp"
	"context"
	"net"
	"time"

	"mtaharden/remediate/remote"
)

// Target is one host and everything needed to log in to it. The zero value of each field but Address means what its comment says.
type Target struct {
	Name    string // what messages call the host; "" is Address
	Address string // host name or IP address to connect to
	Port    int    // 0 is 22
	User    string // login account; it must be said

	// Identities are private key files, tried in this order before the agent's other keys. One that does not exist is passed over, as ssh does.
	Identities []string
	// IdentitiesOnly keeps the agent's other keys from being offered (ssh_config(5)).
	IdentitiesOnly bool
	// Certificates are certificate files for keys of Identities or of the agent, beside KEY-cert.pub next to each key. One that does not exist is passed over.
	Certificates []string
	// Unnamed says that nobody named Identities: they are those that ssh tries of itself. They come after the agent's keys then, and no passphrase is
	// asked for where the agent holds any.
	Unnamed bool
	// Keys keeps what was read of Identities, and whose turn it is at a hardware key, for the other targets of a run. nil: for this target alone.
	Keys *Keys
	// Doors keeps the logins of a run that are under way at one address to a number that sshd bears. nil: for this target alone.
	Doors *Doors
	// Passphrase opens an encrypted key file that the agent does not hold. It is called before any connection is made, for each file once in a run and
	// again, with the number of the try, where it gave a wrong one. nil: such keys are passed over.
	Passphrase func(file string, try int) ([]byte, error)
	// Agent is the ssh-agent's socket; "" is none. See AgentSocket.
	Agent string
	// Notify tells a person at once what the login waits for: a touch. nil: nobody. It may be called from several goroutines.
	Notify func(text string)
	// Password logs in where no key is accepted. It is called once at most, and only when the server offers to take a password. nil: none.
	Password func() (string, error)
	// NoPassword says why there is none, where the host takes one. "": there is nothing to say.
	NoPassword string

	// Answer asks a person what the host wants to know of one beside key and password (keyboard-interactive, RFC 4256): a one-time code.
	// It is called for each question anew, for no answer serves twice. nil: nobody is there.
	Answer func(question string, echo bool) (string, error)

	// KnownHosts are files of the format in sshd(8). One that does not exist is an empty one. A line that cannot be read is traced and passed over.
	KnownHosts []string
	// Known keeps what was read of them for the other targets of a run. nil: they are read for this target alone.
	Known *KnownFiles
	// RevokedIn are further files of that format, of which the lines that revoke a key count and no others.
	RevokedIn []string
	// RevokedKeys is a file of keys that no host may have, a list or a KRL; where it cannot be read, no host's key is accepted (ssh_config(5),
	// RevokedHostKeys). "" is none.
	RevokedKeys string
	// MinRSABits is how many bits a host's RSA key has at least (RequiredRSASize); 0 leaves it to the library, which takes none under 1024.
	MinRSABits int
	// HostKeyAlias is looked up in place of address and port, as it stands (ssh_config(5)).
	HostKeyAlias string
	// AcceptedKeys is the program's own known_hosts file: it is read with KnownHosts, and it alone is written to. "" is none.
	AcceptedKeys string
	// AcceptNew lets a host that no file knows be trusted at first sight; its key goes to AcceptedKeys. A changed or revoked key is refused all the same.
	AcceptNew bool

	// Become is how root is reached: "sudo", "doas", "su"; "" and "none" run commands as the login account. A login that is root's already needs none,
	// whatever its name is.
	Become string
	// BecomeCommand takes the place of Become's program: the words to run as root are put behind these. nil: Become's own.
	BecomeCommand []string
	// BecomePassword answers it, in answer to its prompt alone. nil: it must not ask (sudo -n).
	BecomePassword func() (string, error)

	// Algorithms are what is asked for, in this order.
	Algorithms Algorithms
	// NotFollowed names what ssh_config asks for and this program cannot do, each with its place: it is said where the login then fails.
	NotFollowed []string

	// ControlPath is the socket of an OpenSSH ControlMaster, whose connection is used where it answers; "" and "none" are none. It is never used where the
	// dial is to be afresh (remote.Afresh).
	ControlPath string

	// AllowLegacy adds, after all others, algorithms that are broken or too weak. What was used is in Transport.Legacy.
	AllowLegacy bool
	Timeouts    remote.Timeouts
	// KeepAlive is how often an idle connection is asked whether it lives; 0 is 15 s. KeepAliveMax unanswered ones end it; 0 is 3.
	KeepAlive    time.Duration
	KeepAliveMax int
	// Jump is the jump host that the target is reached through; nil is none. Connect is not asked then.
	Jump *Jump
	// Connect makes the connection; nil is a TCP connection of this machine's own.
	Connect func(ctx context.Context, network, address string) (net.Conn, error)
	// Through names what Connect's connections run through where that is not this machine alone: the logins through it count together. "" is nothing.
	Through string
	// Trace gets what ssh -v would print, a line a call; nil is none. It may be called from several goroutines, and is never given a secret.
	Trace func(line string)
}

// withDefaults returns t with every zero value that has a meaning filled in.
func (t Target) withDefaults() Target {
	t.Name = cmp.Or(t.Name, t.Address)
	t.Port = cmp.Or(t.Port, 22)
	t.Timeouts = t.Timeouts.Filled()
	t.KeepAlive = cmp.Or(t.KeepAlive, 15*time.Second)
	t.KeepAliveMax = cmp.Or(t.KeepAliveMax, 3)
	if t.Connect == nil {
		t.Connect = new(net.Dialer).DialContext // where a name has addresses of both kinds, it tries both (RFC 8305)
	}
	if t.Keys == nil {
		t.Keys = &Keys{}
	}
	if t.Doors == nil {
		t.Doors = &Doors{}
	}
	if t.Notify == nil {
		t.Notify = func(string) {}
	}
	if t.Trace == nil {
		t.Trace = func(string) {}
	}
	return t
}
