package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtaharden/remediate"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta/all"
	"mtaharden/remediate/report"
)

// Where `collect --sudoers` supposes the installed collector, and the account that may run it.
const (
	installedCollector = "/usr/local/libexec/mtaharden-collect"
	auditAccount       = "mtaudit"
)

type collecting struct {
	judging
	digest, sudoers bool
}

func newCollectCommand() *cobra.Command {
	k := &collecting{}
	c := &cobra.Command{
		Use:   "collect",
		Short: "Print the script that an audit runs, or save what it says of each host",
		Long: `collect prints the one script that an audit runs on a host. It changes nothing
there; read it, or run it by hand where SSH cannot reach:

  mtaharden collect > collect.sh
  sh collect.sh > mx1.snap                     as root, on the host
  mtaharden audit --snapshot mx1.snap          back here

With -i it runs the script on every host and saves each snapshot as DIR/HOST.snap.`,
		Args: exactArgs(cobra.NoArgs),
	}
	f := c.Flags()
	k.reach.register(f, "save the snapshots in `DIR`")
	f.BoolVar(&k.digest, "digest", false, "print the digest of the script instead")
	f.BoolVar(&k.sudoers, "sudoers", false, "print the lines that let an account run an installed copy alone")
	c.RunE = func(c *cobra.Command, _ []string) error { return collect(c, k) }
	return c
}

func collect(c *cobra.Command, k *collecting) error {
	if err := k.check(c); err != nil {
		return err
	}
	if k.digest && k.sudoers {
		return usageError(c, errors.New("--digest and --sudoers exclude each other"))
	}
	if len(k.inventory) == 0 {
		if k.output != "" {
			return usageError(c, errors.New("-o needs an inventory (-i); the script goes to standard output"))
		}
		return printScript(c, k)
	}
	if k.digest || k.sudoers {
		return usageError(c, errors.New("--digest and --sudoers reach no host: leave out -i"))
	}
	if k.output == "" {
		return usageError(c, errors.New("-o DIR is needed: a snapshot a host"))
	}
	return saveSnapshots(c, k)
}

func printScript(c *cobra.Command, k *collecting) error {
	parts := remediate.Parts(all.Drivers())
	text := facts.Script(parts...)
	switch {
	case k.digest:
		text = facts.Digest(text) + "\n"
	case k.sudoers:
		text = "# /etc/sudoers.d/mtaharden\n" + facts.Sudoers(auditAccount, installedCollector, parts...) +
			"\n# before the key in ~" + auditAccount + "/.ssh/authorized_keys\n" + facts.AuthorizedKey(installedCollector) + "\n" +
			"\n# in the inventory\nuser = \"" + auditAccount + "\"\nbecome = \"none\"\ncollect_command = \"sudo -n " + installedCollector + "\"\n"
	}
	_, err := fmt.Fprint(c.OutOrStdout(), text)
	return err
}

func saveSnapshots(c *cobra.Command, k *collecting) error {
	targets, err := k.targets(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(k.output, 0o700); err != nil {
		return badInput(fmt.Errorf("cannot save snapshots: %w", err))
	}
	var sum report.Summary
	var failed error
	p := newProgress(c.ErrOrStderr(), len(targets))
	p.single = true // the snapshots are all there is to see
	remediate.CollectAll(c.Context(), remediate.Config{Targets: targets, Drivers: all.Drivers(), Forks: k.forks, Breaker: k.breaker, Now: time.Now}, func(o remediate.Outcome) {
		rep := reported(o)
		p.done(rep.Name, rep.State, rep.Error, o.Took)
		sum.Add(rep)
		if len(o.Raw) > 0 {
			failed = errors.Join(failed, saveWhole(filepath.Join(k.output, fileName(o.Target.Name)), o.Raw))
		}
	})
	if failed != nil {
		return failed
	}
	p.hints(false)
	return verdict(sum, &k.judging)
}

// fileName is a host's snapshot file: the inventory's name for it, with nothing in it that is a path.
func fileName(host string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r == 0 || r == os.PathSeparator {
			return '_'
		}
		return r
	}, strings.TrimLeft(host, ".")) + ".snap"
}
