package apply_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mtaharden/remediate/apply"
)

// TestStageFresh: an empty directory of the stage has the directories of the live one to a depth of three, each with its owner and mode, whatever it
// is named, and nothing else; a name that holds a line end is refused.
func TestStageFresh(t *testing.T) {
	s := newSite(t)
	queue := filepath.Join(s.dir, "queue")
	for i := range 700 {
		dir := filepath.Join(queue, fmt.Sprintf("d%d", i%7), fmt.Sprintf("n %d ", i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, 1000+i%3, 2000+i%2); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, os.FileMode(0o700+i%5)|os.ModeSetgid); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(queue, "deep/a/$(b)/c"), 0o755); err != nil {
		t.Fatal(err)
	}
	list := `cd "$1" && find . -mindepth 1 -maxdepth 3 -printf '%P\t%y\t%U:%G\t%m\n' | grep -v message | LC_ALL=C sort`
	want, err := exec.Command("sh", "-c", list, "sh", queue).Output()
	if err != nil || strings.Count(string(want), "\n") < 700 {
		t.Fatalf("%v: %s", err, want)
	}
	if got := inStage(t, s.stage(t, s.input("b = 2\n")), list, queue); got != string(want) {
		t.Errorf("in the stage:\n%s\nlive:\n%s", got, want)
	}
	if err := os.Mkdir(filepath.Join(queue, "two\n0:0/4777/.."), 0o755); err != nil {
		t.Fatal(err)
	}
	s.run = t.TempDir()
	if _, err := apply.Stage(t.Context(), s.host, s.run, s.input("b = 2\n")); err == nil || !strings.Contains(err.Error(), "holds a line end") {
		t.Errorf("got %v", err)
	}
}
