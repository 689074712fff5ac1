package postfix

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// TestShowRandom prints a random configuration, MTAHARDEN_SHOW its seed, as a case would hold it.
func TestShowRandom(t *testing.T) {
	seed, err := strconv.ParseUint(os.Getenv("MTAHARDEN_SHOW"), 10, 64)
	if err != nil {
		t.Skip("prints nothing: MTAHARDEN_SHOW names no seed")
	}
	c, _ := randomCase(seed)
	for name, text := range c.files {
		fmt.Printf("-- %s --\n%s", name, text)
	}
}
