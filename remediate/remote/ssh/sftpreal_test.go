package ssh_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"mtaharden/remediate/journal"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/ssh"
)

// TestFileServersOpenSSH: a long content goes up by the SFTP server of every release, of every kind, and through every way to root that leaves its streams alone; where
// there is none that works, by a command.
func TestFileServersOpenSSH(t *testing.T) {
	const by = "uploaded 1440000 bytes by sftp"
	for release, image := range releases(t) {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			o := startOpenSSH(t, image, "Subsystem sftp /usr/lib/openssh/sftp-server", "Subsystem sftp internal-sftp", "Subsystem sftp /nonexistent/sftp-server",
				"Subsystem sftp echo noise; exec /usr/lib/openssh/sftp-server", "Subsystem sftp sleep 1000", "Subsystem sftp /usr/lib/openssh/sftp-server -R",
				"Subsystem sftp ulimit -f 1000; exec /usr/lib/openssh/sftp-server")
			ed25519 := o.hostKeys[xssh.KeyAlgoED25519]
			for _, c := range []struct {
				name, user, become, says string
				daemon                   int  // 0: the one without the subsystem
				master                   bool // over a ControlMaster
			}{
				{"sftp-server", "root", "", by, 1, false},
				{"internal-sftp", "root", "", by, 2, false},
				{"a program that is not there", "root", "", "no sftp, a command will do: ", 3, false},
				{"one that prints", "root", "", "packet too long", 4, false},
				{"one that hangs", "root", "", "the sftp server said nothing for 3s", 5, false},
				{"one that may not write", "root", "", "permission denied", 6, false},
				{"one that breaks off half-way", "root", "", "no sftp, a command will do: ", 7, false},
				{"none", "root", "", "the host begins no sftp server", 0, false},
				{"sudo", "free", "sudo", by, 0, false},
				{"sudo that asks", "dashy", "sudo", by, 0, false},
				{"sudo with a terminal of its own", "usepty", "sudo", by, 0, false},
				{"sudo that wants a terminal", "needtty", "sudo", "no sftp, a command will do: ", 0, false},
				{"sudo that asks on a terminal", "ttypw", "sudo", "no sftp, a command will do: ", 0, false},
				{"a start-up file that prints, sudo", "noisy", "sudo", by, 0, false},
				{"a PATH that leads nowhere, sudo", "nopath", "sudo", by, 0, false},
				{"root of another name, sudo", "toor", "sudo", by, 0, false},
				{"su", "nosudo", "su", "the way to root takes a terminal", 0, false},
				{"csh, sudo", "ucsh", "sudo", by, 0, false},
				{"fish, sudo", "ufish", "sudo", by, 0, false},
				{"a ControlMaster", "root", "", by, 1, true},
				{"a ControlMaster, internal-sftp", "root", "", by, 2, true},
				{"a ControlMaster, one that prints", "root", "", "packet too long", 4, true},
				{"a ControlMaster, none", "root", "", "the host begins no sftp server", 0, true},
				{"a ControlMaster, sudo that asks", "dashy", "sudo", by, 0, true},
			} {
				if strings.HasPrefix(c.user, "u") && c.user != "usepty" && !slices.Contains(o.extra, c.user) {
					continue
				}
				t.Run(c.name, func(t *testing.T) {
					target := o.target(t, c.user)
					if c.daemon > 0 {
						target = o.other(t, c.daemon-1, ed25519)
					}
					target.Become = c.become
					switch c.user {
					case "free", "needtty", "root", "toor":
					case "nosudo":
						target.BecomePassword = given(rootSecret)
					default:
						target.BecomePassword = given(secret)
					}
					target.Timeouts.Channel, target.Timeouts.Run = 20*time.Second, 60*time.Second
					if c.daemon == 5 {
						target.Timeouts.Channel = 3 * time.Second
					}
					if c.master {
						target.ControlPath, _ = startMaster(t, target)
					}
					uploads(t, target, strings.ReplaceAll(c.name, " ", "."), c.says)
				})
			}
		})
	}
}

// uploads has a long content arrive on a real host, in the way that the trace says.
func uploads(t *testing.T, target ssh.Target, name, says string) {
	t.Helper()
	said := traced(t, &target)
	h := dial(t, target)
	if got := h.Transport().Master; got != target.ControlPath {
		t.Fatalf("it goes over the ControlMaster %q, not %q", got, target.ControlPath)
	}
	dir := "/var/lib/up." + name
	if r, err := h.Run(t.Context(), remote.Script("mkdir "+dir), 100); err != nil || r.Exit != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := journal.Upload(t.Context(), h, dir+"/up", long); err != nil {
		t.Fatal(err)
	}
	r, err := h.Run(t.Context(), remote.Script(`set -- "$1" $(sha256sum <"$1"); stat -c "%u %a %h" "$1"; echo $2; ls -A ${1%/*}`, dir+"/up"), 1000)
	if want := fmt.Sprintf("0 600 1\n%x\nup\n", sha256.Sum256(long)); err != nil || string(r.Stdout) != want {
		t.Errorf("there is %q, %v; want %q", r.Stdout, err, want)
	}
	if !strings.Contains(said(), says) {
		t.Errorf("it does not say %q", says)
	}
}

// TestFileServersDoas: a real doas that asks nothing leaves the streams to the SFTP server; one that asks does so on a terminal, and a command does it there.
func TestFileServersDoas(t *testing.T) {
	for release, image := range withDoas(t) {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			o := startOpenSSH(t, image)
			for _, c := range []struct{ user, password, says string }{
				{"doasfree", "", "uploaded 1440000 bytes by sftp"},
				{"doasfree", secret, "the way to root takes a terminal"},
				{"doaspw", secret, "the way to root takes a terminal"},
				{"doaskeep", secret, "the way to root takes a terminal"},
			} {
				t.Run(c.user+c.password, func(t *testing.T) {
					x := o.target(t, c.user)
					x.Become = "doas"
					if c.password != "" {
						x.BecomePassword = given(c.password)
					}
					uploads(t, x, strings.ReplaceAll(c.user+c.password, " ", "."), c.says)
				})
			}
		})
	}
}
