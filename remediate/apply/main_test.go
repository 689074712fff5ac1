package apply

import (
	commandline "flag"
	"os"
	"testing"
)

// TestMain lets eight tests run at once where the command line says nothing else: they wait for guards more than they compute.
func TestMain(m *testing.M) {
	commandline.Parse()
	given := false
	commandline.Visit(func(f *commandline.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		commandline.Set("test.parallel", "8")
	}
	os.Exit(m.Run())
}
