package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mtaharden/inventory"
	"mtaharden/remediate"
	"mtaharden/remediate/remote/ssh"
)

// reach are the flags of every command that reaches hosts.
type reach struct {
	inventory  []string
	limit      []string
	forks      int
	batch      bool
	state      string
	format     string
	output     string
	lang       string
	verbose    int
	acceptNew  bool
	passwordFD int
	becomeFD   int
	askLogin   bool
	askBecome  bool
	sshConfig  string
	connect    time.Duration
	timeLimit  time.Duration

	prompt           *prompter
	breaker          *remediate.Breaker
	keys             *ssh.Keys              // read, and asked for, once in a run
	password, become func() (string, error) // what was read from the two file descriptors, or is asked for; nil: neither
	inv              *inventory.Inventory   // what load has read
	connectSaid      bool                   // connect was given, and goes before ssh_config
}

func (r *reach) register(f *pflag.FlagSet, output string) {
	f.StringArrayVarP(&r.inventory, "inventory", "i", nil, "inventory `FILE` (may be repeated)")
	f.StringArrayVar(&r.limit, "limit", nil, "only these hosts: `PATTERN` as group, a:&b:!c, glob, @file")
	f.IntVar(&r.forks, "forks", 20, "how many hosts at the same time")
	f.BoolVar(&r.batch, "batch", false, "never ask a person")
	f.StringVar(&r.state, "state", "", "the program's own `DIR` (default $XDG_STATE_HOME/mtaharden)")
	f.StringVar(&r.format, "format", "text", "text, json, jsonl or csv")
	f.StringVarP(&r.output, "output", "o", "", output)
	f.StringVar(&r.lang, "lang", "en", "en or ko")
	f.CountVarP(&r.verbose, "verbose", "v", "say more; -vv shows the SSH dialogue")
	f.BoolVar(&r.acceptNew, "accept-new", false, "trust the key of a host that no known_hosts file names, and remember it")
	f.StringVarP(&r.sshConfig, "ssh-config", "F", "", "read `FILE` in place of the user's and the system's ssh_config; none reads none")
	f.DurationVar(&r.connect, "connect-timeout", 10*time.Second, "give up a host that does not take the connection in `D`")
	f.DurationVar(&r.timeLimit, "host-timeout", 3*time.Minute, "give up a host that is not read in `D`")
	f.IntVar(&r.passwordFD, "password-fd", -1, "read the login password from file descriptor `N`")
	f.IntVar(&r.becomeFD, "become-password-fd", -1, "read the sudo password from file descriptor `N`")
	f.BoolVar(&r.askLogin, "ask-password", false, "ask for the login password, once for all hosts")
	f.BoolVar(&r.askBecome, "ask-become-password", false, "ask for the sudo password, once for all hosts")
}

var formats = []string{"text", "json", "jsonl", "csv"}

// check refuses what no flag may say, before a host is reached. It comes before anything is opened: see readSecrets.
func (r *reach) check(c *cobra.Command) error {
	if err := oneOf("--format", r.format, formats); err != nil {
		return usageError(c, err)
	}
	if err := oneOf("--lang", r.lang, []string{"en", "ko"}); err != nil {
		return usageError(c, err)
	}
	if r.forks < 1 || r.forks > 1000 {
		return usageError(c, fmt.Errorf("--forks %d is not from 1 to 1000", r.forks))
	}
	if r.connect < 0 || r.timeLimit < 0 {
		return usageError(c, fmt.Errorf("a time limit is not negative"))
	}
	if len(r.inventory) == 0 && len(r.limit) > 0 {
		return usageError(c, fmt.Errorf("--limit needs an inventory (-i)"))
	}
	r.lowerForks(c.ErrOrStderr())
	r.connectSaid = c.Flags().Changed("connect-timeout")
	r.keys, r.breaker = &ssh.Keys{}, &remediate.Breaker{}
	r.prompt = &prompter{batch: r.batch, done: c.Context().Done()}
	if err := r.checkAsked(c); err != nil {
		return err
	}
	return r.readSecrets(c)
}

// checkAsked refuses to ask for a password that nobody can type, or that is given already.
func (r *reach) checkAsked(c *cobra.Command) error {
	if r.askLogin && len(r.inventory) == 0 {
		return usageError(c, errors.New("--ask-password needs an inventory (-i): this machine is not logged in to"))
	}
	for _, s := range []struct {
		asked    bool
		flag, fd string
		given    int
	}{{r.askLogin, "--ask-password", "--password-fd", r.passwordFD}, {r.askBecome, "--ask-become-password", "--become-password-fd", r.becomeFD}} {
		switch {
		case s.asked && r.batch:
			return usageError(c, fmt.Errorf("%s asks a person, and --batch asks nobody: leave one of them out, or give the password with %s", s.flag, s.fd))
		case s.asked && s.given != -1:
			return usageError(c, fmt.Errorf("%s and %s both give a password: leave one of them out", s.flag, s.fd))
		}
	}
	return nil
}

// Open files that a host under way needs (its connection, the agent's, a known_hosts file and its lock), and that the rest of the program does.
const (
	filesPerHost = 4
	filesBeside  = 32
)

// lowerForks keeps to the limit of open files: beyond it good hosts would be called unreachable.
func (r *reach) lowerForks(stderr io.Writer) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur >= uint64(filesBeside+filesPerHost*r.forks) {
		return
	}
	r.forks = max((int(limit.Cur)-filesBeside)/filesPerHost, 1)
	fmt.Fprintf(stderr, "mtaharden: %d %s at the same time: this process may open only %d files (ulimit -n)\n", r.forks, plural(r.forks, "host"), limit.Cur)
}

// readSecrets reads the passwords of --password-fd and --become-password-fd before this process opens anything of its own: a number that the caller did
// not open would later be some connection's. One number named twice gives one password for both.
func (r *reach) readSecrets(c *cobra.Command) error {
	read := map[int]string{}
	for _, s := range []struct {
		flag string
		fd   int
		to   *func() (string, error)
	}{{"--password-fd", r.passwordFD, &r.password}, {"--become-password-fd", r.becomeFD, &r.become}} {
		if s.fd == -1 {
			continue
		}
		if s.fd < 0 {
			return usageError(c, fmt.Errorf("%s %d is no file descriptor", s.flag, s.fd))
		}
		if _, have := read[s.fd]; !have {
			secret, err := readSecretFD(s.fd)
			if err != nil {
				return badInput(fmt.Errorf("%s: %w", s.flag, err))
			}
			read[s.fd] = secret
		}
		secret := read[s.fd]
		*s.to = func() (string, error) { return secret, nil }
	}
	return nil
}

func oneOf(flag, got string, allowed []string) error {
	for _, a := range allowed {
		if got == a {
			return nil
		}
	}
	return fmt.Errorf("%s %q is not one of %v", flag, got, allowed)
}

// load reads the inventory and picks the hosts of --limit; inv is nil where no inventory was named.
func (r *reach) load() (inv *inventory.Inventory, hosts []*inventory.Host, err error) {
	if len(r.inventory) == 0 {
		return nil, nil, nil
	}
	inv, err = inventory.Load(r.inventory...)
	if err != nil {
		return nil, nil, badInput(err)
	}
	hosts, err = inv.Select(r.limit...)
	if err != nil {
		return nil, nil, badInput(fmt.Errorf("cannot select hosts: %w", err))
	}
	r.inv = inv
	return inv, hosts, nil
}

// stateDir is the program's own directory, "" where there is no place for one. Nothing is made.
func (r *reach) stateDir() string {
	if r.state != "" {
		return r.state
	}
	base := os.Getenv("XDG_STATE_HOME")
	if home := inventory.Home(); base == "" && home != "" {
		base = filepath.Join(home, ".local", "state")
	}
	if base == "" {
		return ""
	}
	return filepath.Join(base, "mtaharden")
}

// acceptedKeys is the program's own known_hosts file. Its directory is made only where --accept-new may write there: an audit needs none.
func (r *reach) acceptedKeys() (string, error) {
	dir := r.stateDir()
	switch {
	case dir == "" && r.acceptNew:
		return "", badInput(errors.New("cannot find the state directory for --accept-new: there is no home directory; name one with --state"))
	case dir == "":
		return "", nil
	case r.acceptNew:
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", badInput(fmt.Errorf("cannot make the state directory: %w", err))
		}
	}
	return filepath.Join(dir, "known_hosts"), nil
}
