// Command mtaharden audits the mail servers of a fleet over SSH: it finds the MTA of every host, judges its configuration against
// hardened playbooks, and shows the exact change that would mend each finding.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is the release this program is built from; the build may set it.
var version = "0.1.0"

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is main with everything it touches handed in: arguments and streams in, an exit status out.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), endings()...)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	ctx, end := withEnd(ctx)
	defer end()
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if ctx.Err() != nil {
		err = interrupted(err)
	}
	return explain(stderr, err)
}

// endings are the signals that end a run in good order. A hangup that the caller had ignored (nohup) stays ignored.
func endings() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "mtaharden",
		Short: "Audit and harden mail servers over SSH",
		Long: `mtaharden audits mail servers over SSH: it finds the MTA of every host, judges
its configuration against hardened playbooks, and shows the exact change that
would mend each finding. An audit changes nothing on a host.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		// A word that is no command is bad usage, with the nearest right word.
		Args: unknownCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usageError(c, err) })
	root.AddCommand(
		newAuditCommand(),
		newPlanCommand(),
		newApplyCommand(),
		newRollbackCommand(),
		newCollectCommand(),
		newProbeCommand(),
		newRunsCommand(),
		newBackupsCommand(),
		newInventoryCommand(),
		newPlaybookCommand(),
	)
	return root
}
