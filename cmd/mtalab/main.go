// Mtalab runs real, disposable mail hosts on this machine: for tests, for the demonstration and for the benchmark.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := rootCommand().ExecuteContext(ctx)
	var status exitStatus
	switch {
	case errors.As(err, &status):
		os.Exit(int(status))
	case err != nil:
		fmt.Fprintln(os.Stderr, "mtalab:", err)
		os.Exit(1)
	}
}

// exitStatus ends the program with a command's own status, and with no message of its own.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "mtalab",
		Short: "Real disposable mail hosts on this machine",
		Long: `Mtalab runs real mail hosts on this machine, as root: Debian containers with their own init, sshd and
sendmail, postfix or exim, on a network of their own. Images are kept in /var/cache/mtalab, everything
else in /var/lib/mtalab (MTALAB_CACHE and MTALAB_STATE say otherwise). For a second lab beside the first
give it a MTALAB_STATE and a MTALAB_INSTANCE (its name, short) and run it in a network namespace of its own.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(upCommand(), buildCommand(), downCommand(), rebootCommand(), listCommand(), inventoryCommand(), execCommand(), plantCommand(), recipesCommand(), cycleCommand(),
		demoCommand(), testCommand(), nmapCommand(), benchCommand(), daemonCommand())
	return root
}

func upCommand() *cobra.Command {
	var install bool
	c := &cobra.Command{
		Use:   "up [--install] [HOST…]",
		Short: "Build what is missing and boot hosts (without a name: every host)",
		RunE: func(c *cobra.Command, args []string) error {
			lab, err := equippedLab(c.Context(), install)
			if err != nil {
				return err
			}
			return lab.Up(c.Context(), args)
		},
	}
	c.Flags().BoolVar(&install, "install", false, "install what this machine lacks")
	return c
}

func buildCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "build [HOST…]",
		Short:  "Build the images that are missing, and boot nothing",
		Hidden: true,
		RunE: func(c *cobra.Command, args []string) error {
			lab, err := openLab()
			if err != nil {
				return err
			}
			hosts, err := lab.Select(args)
			if err != nil {
				return err
			}
			return eachHost(hosts, 4, func(h Host) error {
				_, err := lab.image(c.Context(), h)
				return err
			})
		},
	}
}

func downCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "down [HOST…]",
		Short: "Stop hosts and take away every trace (without a name: the whole lab)",
		RunE: func(c *cobra.Command, args []string) error {
			lab, err := openLab()
			if err != nil {
				return err
			}
			return lab.Down(c.Context(), args)
		},
	}
}

func listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Show every host, its address and whether it runs",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, args []string) error {
			lab, err := openLab()
			if err != nil {
				return err
			}
			return lab.List(os.Stdout)
		},
	}
}

func inventoryCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "inventory",
		Short: "Print the running hosts as an inventory for mtaharden -i",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, args []string) error {
			lab, err := openLab()
			if err != nil {
				return err
			}
			text, err := lab.Inventory()
			if err != nil {
				return err
			}
			_, err = os.Stdout.WriteString(text)
			return err
		},
	}
}

func execCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "exec HOST|inside|outside -- CMD…",
		Short: "Run a command on a host, or at a vantage point, and end with its status",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			where, argv := execArgs(args)
			if len(argv) == 0 {
				return fmt.Errorf("no command is given: mtalab exec HOST -- CMD…")
			}
			lab, err := openLab()
			if err != nil {
				return err
			}
			status, err := lab.Exec(c.Context(), where, argv, os.Stdin, os.Stdout, os.Stderr)
			if err != nil {
				return err
			}
			if status != 0 {
				return exitStatus(status)
			}
			return nil
		},
	}
	c.Flags().SetInterspersed(false) // the command's flags are its own
	return c
}

// execArgs parts the host from the command; one "--" between them is taken away, any other is the command's own.
func execArgs(args []string) (where string, argv []string) {
	where, argv = args[0], args[1:]
	if len(argv) > 0 && argv[0] == "--" {
		argv = argv[1:]
	}
	return where, argv
}

func plantCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "plant HOST DIR",
		Short: "Put a host back to its image, then copy the tree DIR onto it and restart its MTA",
		Args:  cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			lab, err := openLab()
			if err != nil {
				return err
			}
			return lab.Plant(c.Context(), args[0], args[1])
		},
	}
}

func daemonCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "daemon",
		Short:  "Serve the lab's mail sink and its resolver (started by up)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, args []string) error {
			lab, err := openLab()
			if err != nil {
				return err
			}
			return lab.serve(c.Context())
		},
	}
}
