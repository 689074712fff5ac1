package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"mtaharden/inventory"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/local"
	"mtaharden/remediate/remote/ssh"
)

// dialer turns the inventory's hosts into connections.
type dialer struct {
	reach    *reach
	accepted string // the program's own known_hosts; "" where there is no place for it
	known    ssh.KnownFiles
	notify   func(text string)
	trace    func(host string) func(string)
}

func newDialer(r *reach, stderr io.Writer) (*dialer, error) {
	accepted, err := r.acceptedKeys()
	if err != nil {
		return nil, err
	}
	d := &dialer{reach: r, accepted: accepted}
	var mu sync.Mutex
	d.trace = func(host string) func(string) {
		if r.verbose < 2 {
			return nil
		}
		return func(line string) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(stderr, "%s: %s\n", host, facts.Printable(line))
		}
	}
	d.notify = func(text string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(stderr, "mtaharden: %s\n", facts.Printable(text))
	}
	return d, nil
}

// dial logs in to h.
func (d *dialer) dial(ctx context.Context, h *inventory.Host) (remote.Host, error) {
	if len(h.Jump) > 0 {
		// Dialled directly, its name could lead to another machine.
		err := fmt.Errorf("the inventory reaches it through %s, and this version cannot dial through a jump host", strings.Join(h.Jump, ", "))
		return nil, &remote.Error{Op: "connect to", Host: h.Name, Kind: remote.ErrUnreachable, Err: err}
	}
	t, err := d.target(h)
	if err != nil {
		return nil, &remote.Error{Op: "log in to", Host: h.Name, Kind: remote.ErrAuth, Err: err}
	}
	return ssh.Dial(ctx, t)
}

// target is h in the words of the ssh room, with what the inventory leaves unsaid filled in as ssh does it.
func (d *dialer) target(h *inventory.Host) (ssh.Target, error) {
	t := ssh.Target{
		Name:          h.Name,
		Address:       cmp.Or(h.Address, h.Name),
		Port:          h.Port,
		User:          h.User,
		Identities:    h.Identity,
		KnownHosts:    h.KnownHosts,
		HostKeyAlias:  h.HostKeyAlias,
		AcceptedKeys:  d.accepted,
		Known:         &d.known,
		Keys:          d.reach.keys,
		Notify:        d.notify,
		AcceptNew:     h.AcceptNew || d.reach.acceptNew,
		Agent:         ssh.AgentSocket("", inventory.Home(), os.Getenv),
		Become:        h.Become,
		BecomeCommand: h.BecomeCommand,
		AllowLegacy:   h.AllowLegacySSH,
		Password:      d.reach.password,
		Timeouts:      remote.Timeouts{Dial: d.reach.connect, Run: d.reach.timeLimit},
		Trace:         d.trace(h.Name),
	}
	if t.User == "" {
		me, err := user.Current()
		if err != nil {
			return t, fmt.Errorf("the inventory names no user, and this machine's cannot be found: %v", err)
		}
		t.User = me.Username
	}
	d.defaultFiles(&t)
	t.Passphrase = d.reach.prompt.passphrase
	if !d.reach.batch {
		t.Answer = func(question string, echo bool) (string, error) {
			return d.reach.prompt.fresh(h.Name+" asks: "+question, echo)
		}
	}
	if h.PasswordFile != "" && d.reach.password == nil {
		t.Password = func() (string, error) { return readSecretFile(h.PasswordFile) }
	}
	t.BecomePassword = d.becomePassword(h)
	if h.CollectCommand != nil {
		t.Become = "none" // the command becomes root by itself: its account may run nothing else
	}
	return t, nil
}

// unlock asks for the passphrases of the hosts' keys, each once, before any host is connected to.
func (d *dialer) unlock(ctx context.Context, hosts []*inventory.Host) {
	var targets []ssh.Target
	for _, h := range hosts {
		if t, err := d.target(h); err == nil { // what is wrong with it is said where it is dialled
			targets = append(targets, t)
		}
	}
	d.reach.keys.Unlock(ctx, targets)
}

// defaultFiles are ssh's own: the keys and known_hosts of the user and the machine.
func (d *dialer) defaultFiles(t *ssh.Target) {
	home := inventory.Home()
	t.Unnamed = t.Identities == nil
	if t.Unnamed && home != "" {
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			t.Identities = append(t.Identities, filepath.Join(home, ".ssh", name))
		}
	}
	if t.KnownHosts == nil {
		t.KnownHosts = []string{"/etc/ssh/ssh_known_hosts"}
		if home != "" {
			t.KnownHosts = []string{filepath.Join(home, ".ssh", "known_hosts"), "/etc/ssh/ssh_known_hosts"}
		}
	}
}

func (d *dialer) becomePassword(h *inventory.Host) func() (string, error) {
	switch {
	case d.reach.become != nil:
		return d.reach.become
	case h.BecomePasswordFile != "":
		return func() (string, error) { return readSecretFile(h.BecomePasswordFile) }
	default:
		return nil
	}
}

// typing is how long a person has for sudo's password.
const typing = 2 * time.Minute

// thisMachine is the host that is judged without an inventory. Where sudo wants a password, the person at the terminal is asked for it.
func (d *dialer) thisMachine(ctx context.Context) (remote.Host, error) {
	t := local.Target{BecomePassword: d.reach.become, Timeouts: remote.Timeouts{Run: d.reach.timeLimit}, Trace: d.trace("localhost")}
	if t.BecomePassword == nil && !d.reach.batch {
		t.BecomePassword = func() (string, error) { return d.reach.prompt.ask("your password for sudo") }
		t.Timeouts.Login = typing
	}
	return local.Dial(ctx, t)
}
