package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"mtaharden/inventory"
	"mtaharden/remediate"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/local"
	"mtaharden/remediate/remote/ssh"
	"mtaharden/remediate/remote/sshconfig"
)

// dialer turns the inventory's hosts into connections.
type dialer struct {
	reach    *reach
	config   *sshconfig.Config // nil where no inventory is read
	jumps    ssh.Jumps
	accepted string // the program's own known_hosts; "" where there is no place for it
	hostKeys ssh.KnownFiles
	doors    ssh.Doors
	refusals refusals
	notify   func(text string)
	trace    func(host string) func(string)
}

// newDialer returns what reaches the hosts of r; its connections to jump hosts end with the command.
func newDialer(c *cobra.Command, r *reach) (*dialer, error) {
	accepted, err := r.acceptedKeys()
	if err != nil {
		return nil, err
	}
	if err := r.askSecrets(); err != nil {
		return nil, err
	}
	stderr := c.ErrOrStderr()
	d := &dialer{reach: r, accepted: accepted}
	if d.config, err = r.openSSHConfig(stderr); err != nil {
		return nil, err
	}
	atEnd(c.Context(), func() { d.jumps.Close() })
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

// dial logs in to h, a host that the command is about.
func (d *dialer) dial(ctx context.Context, h *inventory.Host) (remote.Host, error) {
	return d.login(ctx, h, meant)
}

// pass logs in to h, which stands on the way to others.
func (d *dialer) pass(ctx context.Context, h *inventory.Host) (remote.Host, error) {
	return d.login(ctx, h, passed)
}

func (d *dialer) login(ctx context.Context, h *inventory.Host, as role) (remote.Host, error) {
	at := door{h.Name, h.User, as}
	if err := d.refusals.of(at); err != nil {
		return nil, err
	}
	t, err := d.target(ctx, h, as)
	if err != nil {
		return nil, err
	}
	host, err := ssh.Dial(ctx, t)
	if errors.Is(err, remote.ErrAuth) {
		d.refusals.note(at, err)
	}
	return host, err
}

// maxUnable is how often a run logs in to a host where the login fails at this machine: a touch that was missed may come the next time, and nobody is asked for ever.
const maxUnable = 3

// refusals are what hosts said that refused us in this run. They are not asked again: every further refusal counts towards an account's being locked, and
// an apply would dial until its time is over. The zero value is ready, for several goroutines too.
type refusals struct {
	mu     sync.Mutex
	errs   map[door]error
	unable map[door]int
}

func (r *refusals) note(at door, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.errs == nil {
		r.errs, r.unable = map[door]error{}, map[door]int{}
	}
	if errors.Is(err, remote.ErrUnable) {
		if r.unable[at]++; r.unable[at] < maxUnable {
			return
		}
	}
	r.errs[at] = err
}

// of is why a host is not logged in to any more; nil where it is.
func (r *refusals) of(at door) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.errs[at]
}

// door is a host with the account and the passwords that it is entered by.
type door struct {
	host, user string
	as         role
}

// role is what a host is reached for. The passwords of the flags are for the hosts that the command is about: a jump host or a vantage is another machine,
// often somebody else's, and is sent none that the inventory does not name for it.
type role int

const (
	meant role = iota
	passed
)

// openSSHConfig reads ssh_config for the hosts of an inventory, and says what of it cannot be followed.
func (r *reach) openSSHConfig(stderr io.Writer) (*sshconfig.Config, error) {
	if len(r.inventory) == 0 {
		return nil, nil
	}
	config, err := sshconfig.Open(r.sshConfig)
	if err != nil {
		return nil, badInput(err)
	}
	for _, note := range config.Notes {
		fmt.Fprintf(stderr, "mtaharden: %s\n", facts.Printable(note))
	}
	return config, nil
}

// own is h in the words of the ssh room, apart from the way to it.
func (d *dialer) own(h *inventory.Host, s *sshconfig.Settings, as role) (ssh.Target, error) {
	t := ssh.Target{
		Name:          h.Name,
		AcceptedKeys:  d.accepted,
		Known:         &d.hostKeys,
		Keys:          d.reach.keys,
		Doors:         &d.doors,
		Notify:        d.notify,
		AcceptNew:     h.AcceptNew || d.reach.acceptNew,
		Agent:         ssh.AgentSocket(s.IdentityAgent, inventory.Home(), os.Getenv),
		Become:        h.Become,
		BecomeCommand: h.BecomeCommand,
		AllowLegacy:   h.AllowLegacySSH,
		Timeouts:      remote.Timeouts{Dial: d.reach.connectTime(s), Run: d.reach.timeLimit},
		Trace:         d.trace(h.Name),
	}
	lay(&t, h, s, inventory.Home())
	if t.User == "" {
		me, err := user.Current()
		if err != nil {
			return t, fmt.Errorf("the inventory names no user, and this machine's cannot be found: %v", err)
		}
		t.User = me.Username
	}
	t.Passphrase = d.reach.prompt.passphrase
	if !d.reach.batch {
		t.Answer = func(question string, echo bool) (string, error) {
			return d.reach.prompt.fresh(h.Name+" asks: "+question, echo)
		}
	}
	t.Password = d.password(h, as)
	if t.Password == nil && d.reach.password != nil {
		t.NoPassword = "the password given on the command line is not for hosts on the way: a jump host's or a vantage's is the password_file of its stanza in [hosts]"
	}
	if as == meant {
		t.BecomePassword = d.becomePassword(h)
	}
	if h.CollectCommand != nil {
		t.Become = "none" // the command becomes root by itself: its account may run nothing else
	}
	return t, nil
}

// credentials are what a login and its way to root are tried with, as the breaker tells them apart.
func (d *dialer) credentials(ctx context.Context, h *inventory.Host) (login, root remediate.Credential) {
	t, err := d.target(ctx, h, meant)
	if err != nil {
		return login, root // it is said where it is dialled
	}
	login.Key = fmt.Sprintf("login %q %q %q %q %v %q", t.User, t.Identities, t.Certificates, t.Agent, t.IdentitiesOnly, source(d.reach.password, h.PasswordFile))
	login.Name = "the login of " + t.User
	if t.BecomePassword != nil && t.Become != "none" && t.User != "root" {
		root.Key = fmt.Sprintf("root %q %q %q %q", t.User, t.Become, t.BecomeCommand, source(d.reach.become, h.BecomePasswordFile))
		root.Name = "the password by which " + t.User + " becomes root"
	}
	return login, root
}

// source tells where a password is from, as far as one is told from another: the flag's is the same for all hosts, whatever files they name.
func source(flag func() (string, error), file string) string {
	if flag != nil {
		return "flag"
	}
	return "file " + file
}

// unlock asks for the passphrases of the hosts' keys, each once, before any host is connected to.
func (d *dialer) unlock(ctx context.Context, hosts []*inventory.Host) {
	d.prepare(ctx, hosts)
	var targets []ssh.Target
	for _, h := range hosts {
		if t, err := d.target(ctx, h, meant); err == nil { // what is wrong with it is said where it is dialled
			targets = append(targets, t)
		}
	}
	d.reach.keys.Unlock(ctx, targets)
}

// password is what h is logged in to with where no key is taken; nil is none.
func (d *dialer) password(h *inventory.Host, as role) func() (string, error) {
	switch {
	case as == meant && d.reach.password != nil:
		return d.reach.password
	case h.PasswordFile != "":
		return func() (string, error) { return readSecretFile(h.PasswordFile) }
	}
	return nil
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
