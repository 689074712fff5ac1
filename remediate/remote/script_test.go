package remote_test

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"mtaharden/remediate/remote"
)

func runScript(t *testing.T, shell []string, c remote.Cmd, stdin []byte) (string, error) {
	t.Helper()
	argv := append(slices.Clone(shell), c.Argv[1:]...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.Output()
	return string(out), err
}

// TestScript: arguments of any kind arrive, a line before the nonce is never run, and a status is passed on.
func TestScript(t *testing.T) {
	odd := []string{"", "a b", "it's", "$(echo no)", "-n", "two\nlines", `back\slash`, "!x", "# mh-"}
	c := remote.Script("for w; do printf '<%s>' \"$w\"; done\ncat\nexit 7", odd...)
	for _, shell := range [][]string{{"dash"}, {"bash"}, {"busybox", "sh"}, {"mksh"}, {"ksh93"}, {"yash"}, {"posh"}} {
		if _, err := exec.LookPath(shell[0]); err != nil {
			t.Logf("%s is not here", shell[0])
			continue
		}
		out, err := runScript(t, shell, c, append([]byte("echo a password\n"), c.Stdin...))
		want := "<" + strings.Join(odd, "><") + ">"
		if out != want {
			t.Errorf("%s: got %q, want %q", shell[0], out, want)
		}
		if err == nil || err.Error() != "exit status 7" {
			t.Errorf("%s: ended with %v, want status 7", shell[0], err)
		}
	}
	for _, w := range c.Argv {
		if strings.ContainsAny(w, "'\\!\n") {
			t.Errorf("the word %q is not read alike by every shell", w)
		}
	}
}

// TestScriptCut: of a script that arrives in part nothing runs, wherever it was cut.
func TestScriptCut(t *testing.T) {
	c := remote.Script("echo one\necho two", "x")
	ran := 0
	for n := range len(c.Stdin) - 1 {
		out, _ := runScript(t, []string{"/bin/sh"}, c, c.Stdin[:n])
		switch out {
		case "":
		case "one\ntwo\n":
			if ran++; n < bytes.Index(c.Stdin, []byte("\nmh_script\n")) {
				t.Fatalf("%d bytes ran the whole script", n)
			}
		default:
			t.Fatalf("%d bytes of it printed %q", n, out)
		}
	}
	t.Logf("cut at %d places; %d of them lie behind the call", len(c.Stdin)-1, ran)
}
