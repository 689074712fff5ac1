package facts

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestLogin: under every shell the collector names the address that the login has for the host, though sudo has cleared the environment.
func TestLogin(t *testing.T) {
	for _, shell := range shells {
		for name, c := range map[string]struct{ how, want string }{
			"plain":   {`"$@"; :`, "198.51.100.7"},
			"cleared": {`env -i "PATH=$PATH" sh -c '"$@"; :' sh "$@"; :`, "198.51.100.7"},
		} {
			cmd := exec.Command("sh", append([]string{"-c", c.how, "sh"}, shell...)...)
			cmd.Env = append(os.Environ(), "SSH_CONNECTION=198.51.100.7 50022 192.0.2.1 22")
			cmd.Stdin = strings.NewReader(Strip(Script("")))
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("%v %s: %v", shell, name, err)
				continue
			}
			s, err := Parse(strings.NewReader(string(out)))
			if err != nil {
				t.Errorf("%v %s: %v", shell, name, err)
			} else if s.Login != c.want {
				t.Errorf("%v %s: login %q, not %q", shell, name, s.Login, c.want)
			}
		}
	}
}
