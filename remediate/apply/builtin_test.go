package apply

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// colon is a file that is written by ":". That is a special built-in utility: where the file cannot be opened the shell ends at once, and nothing behind
// it is done (POSIX, XCU 2.8.1, Consequences of Shell Errors); "true" fails like any other command.
var colon = regexp.MustCompile("(^|[^a-zA-Z0-9_])" + `:\s+>"`)

// TestColon holds that no script for hosts ends where a disk is full or read-only without having said so and put things back.
func TestColon(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return fs.SkipDir
		}
		if strings.HasSuffix(name, "_test.go") || !strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, ".sh") {
			return nil
		}
		text, err := os.ReadFile(name)
		for i, line := range strings.Split(string(text), "\n") {
			if colon.MatchString(line) {
				t.Errorf("%s:%d: %s", name, i+1, line)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
