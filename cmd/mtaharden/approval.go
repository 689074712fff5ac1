package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// approval is what people say of a change, for those who ask later who let it happen: it stands in the plan, in each host's journal, in
// etckeeper's commits, in this controller's history and in the reports.
type approval struct {
	ticket string
	note   string
}

func (a *approval) register(f *pflag.FlagSet) {
	f.StringVar(&a.ticket, "ticket", "", "the change's `ID`, for the journal and the report")
	f.StringVar(&a.note, "note", "", "a line of `TEXT` on why it is made, for the same places")
}

func (a *approval) check(c *cobra.Command) error {
	for _, f := range []struct{ flag, text string }{{"--ticket", a.ticket}, {"--note", a.note}} {
		if strings.ContainsFunc(f.text, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(f.text) > 200 {
			return usageError(c, fmt.Errorf("%s is one line of at most 200 bytes", f.flag))
		}
	}
	return nil
}

// whoAmI is who runs this program, and on which machine: behind sudo, who called it.
func whoAmI() (person, machine string) {
	person = "unknown"
	if u, err := user.Current(); err == nil {
		person = u.Username
	}
	if who := os.Getenv("SUDO_USER"); who != "" && person == "root" {
		person = who + " as root"
	}
	machine, _ = os.Hostname()
	return person, machine
}

// programName is this program's name, version and the first 12 digits of its file's sha256, where that can be read.
func programName() string {
	name := "mtaharden " + version
	file, err := os.Executable()
	if err != nil {
		return name
	}
	f, err := os.Open(file)
	if err != nil {
		return name
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return name
	}
	return name + " (sha256 " + hex.EncodeToString(sum.Sum(nil)[:6]) + ")"
}
