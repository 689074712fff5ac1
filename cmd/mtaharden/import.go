package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"mtaharden/inventory"
)

// maxInput bounds an input file, in bytes.
const maxInput = 16 << 20

func newInventoryImportCommand() *cobra.Command {
	output := ""
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Make an inventory of an Ansible inventory (INI)",
		Long: `import reads an Ansible inventory in INI form, and prints one of this program's: hosts
and ranges, groups, how each host is reached, and variables. Passwords are never
taken over. What was left out is said on stderr. It ends with 2 where the result
needs a person's hand before it can be used.`,
		Args: exactArgs(cobra.ExactArgs(1)),
	}
	c.Flags().StringVarP(&output, "output", "o", "", "write the inventory to `FILE`")
	c.RunE = func(c *cobra.Command, args []string) error {
		ini, err := readBounded(args[0])
		if err != nil {
			return badInput(fmt.Errorf("cannot import: %w", err))
		}
		text, notes, err := inventory.FromAnsible(args[0], ini)
		if err != nil {
			return badInput(fmt.Errorf("cannot import: %w", err))
		}
		for _, n := range notes {
			fmt.Fprintln(c.ErrOrStderr(), n)
		}
		out, err := openReport(c.OutOrStdout(), output)
		if err != nil {
			return err
		}
		defer out.discard()
		if _, err := io.WriteString(out, text); err != nil {
			return fmt.Errorf("cannot write the inventory: %w", err)
		}
		if err := out.commit(); err != nil {
			return err
		}
		if _, err := inventory.Parse("imported", text, "/"); err != nil {
			return &status{code: exitFound, err: fmt.Errorf("the result needs your hand:\n%w", err)}
		}
		return nil
	}
	return c
}

func readBounded(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxInput+1))
	if err == nil && len(data) > maxInput {
		err = errors.New(name + " is too large")
	}
	return string(data), err
}
