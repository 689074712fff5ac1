package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mtaharden/inventory"
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
	connect    time.Duration
	timeLimit  time.Duration

	prompt *prompter
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
	f.DurationVar(&r.connect, "connect-timeout", 10*time.Second, "give up a host that does not take the connection in `D`")
	f.DurationVar(&r.timeLimit, "host-timeout", 3*time.Minute, "give up a host that is not read in `D`")
	f.IntVar(&r.passwordFD, "password-fd", -1, "read the login password from file descriptor `N`")
	f.IntVar(&r.becomeFD, "become-password-fd", -1, "read the sudo password from file descriptor `N`")
}

var formats = []string{"text", "json", "jsonl", "csv"}

// check refuses what no flag may say, before a host is reached.
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
	r.prompt = &prompter{batch: r.batch}
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

// load reads the inventory and picks the hosts of --limit; ok is false where no inventory was named.
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
	return inv, hosts, nil
}

// stateDir returns the program's own directory, made if it is not there.
func (r *reach) stateDir() (string, error) {
	dir := r.state
	if dir == "" {
		base := os.Getenv("XDG_STATE_HOME")
		if base == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", badInput(fmt.Errorf("cannot find the state directory: %v; name one with --state", err))
			}
			base = filepath.Join(home, ".local", "state")
		}
		dir = filepath.Join(base, "mtaharden")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", badInput(fmt.Errorf("cannot make the state directory: %w", err))
	}
	return dir, nil
}
