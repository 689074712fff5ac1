package ssh_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/local"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// whoami is a command that shows whose it is, what it was given and that its words came through.
var whoami = remote.Cmd{Argv: []string{"/bin/sh", "-c", `printf '%s\n' "$(id -u)" "$@"; cat; echo "to standard error" >&2; exit 3`, "sh", "it's", `a\b`, "no!", "$HOME *"}, Stdin: []byte("line 1\nline 2\n")}

const itself = "\nit's\na\\b\nno!\n$HOME *\nline 1\nline 2\n"

func TestOpenSSH(t *testing.T) {
	for release, image := range releases(t) {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			o := startOpenSSH(t, image)
			t.Logf("%s; accounts with lent shells: %v", o.sudo, o.extra)
			t.Run("logins", o.testLogins)
			t.Run("refusals", o.testRefusals)
			t.Run("sudo", o.testSudo)
			t.Run("no privilege", o.testNoPrivilege)
			t.Run("host keys", o.testHostKeys)
			t.Run("expired password", o.testExpired)
			t.Run("agent", o.testAgent)
			t.Run("booting", o.testBooting)
			t.Run("one login one exec", o.testOneLoginOneExec)
			t.Run("this machine", o.testLocal)
		})
	}
}

func (o *openSSH) testLogins(t *testing.T) {
	cases := map[string]func(*ssh.Target){
		"root":  func(*ssh.Target) {},
		"dashy": func(*ssh.Target) {},
		"free":  func(x *ssh.Target) { x.Identities, x.Password = nil, given(secret) },
		"kbd":   func(x *ssh.Target) { x.Password = given(secret) },
		"two":   func(x *ssh.Target) { x.Password = given(secret) },
	}
	for user, change := range cases {
		t.Run(user, func(t *testing.T) {
			target := o.target(t, user)
			change(&target)
			r, err := dial(t, target).Run(t.Context(), whoami, 1000)
			if err != nil || r.Exit != 3 || !strings.HasSuffix(string(r.Stdout), itself) || string(r.Stderr) != "to standard error\n" {
				t.Errorf("%d %q %q, %v", r.Exit, r.Stdout, r.Stderr, err)
			}
		})
	}
}

func (o *openSSH) testRefusals(t *testing.T) {
	other, _ := remotetest.NewKeyFile(t, "")
	cases := []struct {
		user   string
		change func(*ssh.Target)
		says   string
	}{
		{"dashy", func(x *ssh.Target) { x.Identities = []string{other} }, "accepts none of the keys offered"},
		{"nobodyatall", func(*ssh.Target) {}, "accepts none of the keys offered"},
		{"dashy", func(x *ssh.Target) { x.Identities, x.Password = nil, given("wrong secret") }, "the host refused the password"},
		{"kbd", func(x *ssh.Target) { x.Password = given("wrong secret") }, "the host refused the password"},
		{"two", func(*ssh.Target) {}, "the host took ssh-ed25519 SHA256:"},
		{"two", func(x *ssh.Target) { x.Password = given("wrong secret") }, "the host refused the password"},
		{"locked", func(*ssh.Target) {}, "Your account has expired"},
	}
	for _, c := range cases {
		t.Run(c.user+" "+c.says, func(t *testing.T) {
			target := o.target(t, c.user)
			c.change(&target)
			h, err := ssh.Dial(t.Context(), target)
			if err == nil {
				h.Close()
				t.Fatal("Dial succeeded")
			}
			t.Log(err)
			wants(t, err, remote.ErrAuth, []string{c.says})
		})
	}
}

// testExpired: an account whose password must be changed is let in, and runs nothing: what sshd says of it is said.
func (o *openSSH) testExpired(t *testing.T) {
	x := o.target(t, "expiring")
	r, err := dial(t, x).Run(t.Context(), whoami, 1000)
	if err != nil || r.Exit != 1 || len(r.Stdout) > 0 || !strings.Contains(string(r.Stderr), "Your password has expired") {
		t.Errorf("%d %q %q, %v", r.Exit, r.Stdout, r.Stderr, err)
	}
	x.Become, x.BecomePassword = "sudo", given(secret)
	refusesRoot(t, x, "the account's password has expired and must be changed (Password change required but no TTY available.)")
}

func (o *openSSH) testSudo(t *testing.T) {
	users := append([]string{"dashy", "bashy", "free", "usepty", "lecture", "asks", "noisy", "needtty", "root"}, o.extra...)
	for _, user := range users {
		t.Run(user, func(t *testing.T) {
			target := o.target(t, user)
			target.Become, target.BecomePassword = "sudo", given(secret)
			h := dial(t, target)
			for range 2 { // the second time sudo remembers, or does not
				r, err := h.Run(t.Context(), whoami, 1000)
				if err != nil || r.Exit != 3 || string(r.Stdout) != "0"+itself || !strings.HasSuffix(string(r.Stderr), "to standard error\n") {
					t.Errorf("%d %q %q, %v", r.Exit, r.Stdout, r.Stderr, err)
				}
				if strings.Contains(string(r.Stderr), "mtaharden") {
					t.Errorf("our own marks are in standard error: %q", r.Stderr)
				}
			}
		})
	}
	t.Run("without a password", func(t *testing.T) {
		target := o.target(t, "free")
		target.Become = "sudo"
		r, err := dial(t, target).Run(t.Context(), whoami, 1000)
		if err != nil || string(r.Stdout) != "0"+itself {
			t.Errorf("%q, %v", r.Stdout, err)
		}
	})
}

func (o *openSSH) testNoPrivilege(t *testing.T) {
	cases := []struct {
		user     string
		password func() (string, error)
		says     string
	}{
		{"dashy", given("wrong secret"), "sudo refused the password (sudo: 1 incorrect password attempt)"},
		{"dashy", nil, "sudo wants a password and none was given"},
		{"nosudo", given(secret), "the account is not in sudoers"},
		{"nosudo", nil, "sudo wants a password and none was given"},
		{"only", nil, "sudo wants a password and none was given"},
		{"only", given(secret), "sudoers does not allow the account to run this as root"},
		{"nologin", given(secret), "login shell refuses"},
	}
	for _, c := range cases {
		t.Run(c.user+" "+c.says, func(t *testing.T) {
			target := o.target(t, c.user)
			target.Become, target.BecomePassword = "sudo", c.password
			_, err := dial(t, target).Run(t.Context(), whoami, 1000)
			t.Log(err)
			wants(t, err, remote.ErrPrivilege, []string{"cannot become root on " + c.user + "@real", c.says})
		})
	}
}

// testHostKeys: sshd has three keys. Whichever one is known is the one that is asked for.
func (o *openSSH) testHostKeys(t *testing.T) {
	for typ := range o.hostKeys {
		target := o.target(t, "root")
		target.KnownHosts = []string{o.knownHosts(t, typ)}
		var legacy string
		if typ == "ssh-dss" {
			target.AllowLegacy, legacy = true, "host key ssh-dss"
		}
		if tr := dial(t, target).Transport(); !strings.HasPrefix(tr.HostKey, typ+" ") || strings.Join(tr.Legacy, ", ") != legacy {
			t.Errorf("known %s: host key %s, legacy %v", typ, tr.HostKey, tr.Legacy)
		}
	}
	for _, typ := range []string{xssh.KeyAlgoRSA, xssh.KeyAlgoECDSA256, xssh.KeyAlgoED25519} {
		if o.hostKeys[typ] == nil {
			t.Errorf("sshd has no %s key", typ)
		}
	}
}

// testOneLoginOneExec: sshd's own log of one Dial and one Run, with sudo.
func (o *openSSH) testOneLoginOneExec(t *testing.T) {
	before := len(o.log.String())
	target := o.target(t, "dashy")
	target.Become, target.BecomePassword = "sudo", given(secret)
	h := dial(t, target)
	if _, err := h.Run(t.Context(), whoami, 1000); err != nil {
		t.Fatal(err)
	}
	h.Close()
	var log string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if log = o.log.String()[before:]; strings.Contains(log, "session closed for user dashy") || strings.Contains(log, "Close session") {
			break
		}
	}
	for line, want := range map[string]int{"Connection from 127.0.0.1": 1, "Accepted publickey for dashy": 1, "Starting session: command for dashy": 1, "Starting session": 1, "Failed": 0} {
		if n := strings.Count(log, line); n != want {
			t.Errorf("sshd's log has %q %d times, want %d:\n%s", line, n, want, log)
		}
	}
	if strings.Contains(o.log.String(), "secret") {
		t.Error("a password is in sshd's log")
	}
}

func (o *openSSH) testAgent(t *testing.T) {
	remotetest.Need(t, "ssh-agent", "openssh-client")
	socket := filepath.Join(t.TempDir(), "agent")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
	}
	add := func(file string) {
		t.Helper()
		c := exec.Command("ssh-add", "-q", file)
		c.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("ssh-add: %v: %s", err, out)
		}
	}
	for range 6 { // more keys than a host bears: the named one must come first
		file, _ := remotetest.NewKeyFile(t, "")
		add(file)
	}
	add(o.key)
	target := o.target(t, "root")
	target.Agent = socket
	public := filepath.Join(t.TempDir(), "id.pub") // the private key is the agent's alone
	signer, err := os.ReadFile(o.key)
	if err != nil {
		t.Fatal(err)
	}
	s, err := xssh.ParsePrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(public, xssh.MarshalAuthorizedKey(s.PublicKey()), 0o644); err != nil {
		t.Fatal(err)
	}
	target.Identities = []string{public}
	if _, err := dial(t, target).Run(t.Context(), whoami, 1000); err != nil {
		t.Error(err)
	}
	target.Identities = []string{o.key} // in both: offered once
	var offered int
	target.Trace = func(line string) { offered += strings.Count(line, "offering ") }
	dial(t, target)
	if offered != 6 {
		t.Errorf("%d keys were offered, want 6", offered)
	}
}

// TestMain lets the test's own program be the one that runs on the disposable machine, as an account that is not root's.
func TestMain(m *testing.M) {
	if address := os.Getenv("MTAHARDEN_TEST_CONNECT"); address != "" {
		os.Exit(beProxy(address))
	}
	if remotetest.IsFileServer() {
		os.Exit(0)
	}
	if os.Getenv("MTAHARDEN_TEST_LOCAL") != "" {
		os.Exit(beLocal())
	}
	os.Exit(m.Run())
}

// beLocal runs whoami on "this machine" and passes on what came of it. The password comes in the environment: it is a test's.
func beLocal() int {
	x := local.Target{Timeouts: remote.Timeouts{Login: 20 * time.Second, Run: 30 * time.Second}}
	if p := os.Getenv("MTAHARDEN_TEST_PASSWORD"); p != "" {
		x.BecomePassword = given(p)
	}
	h, err := local.Dial(context.Background(), x)
	if err != nil {
		fmt.Println("dial:", err)
		return 100
	}
	r, err := h.Run(context.Background(), whoami, 1000)
	fmt.Printf("%+v\n%v\n%s", h.Transport(), err, r.Stdout)
	return r.Exit
}

// testLocal: the local host's sudo, real, for accounts with and without the right and the password.
func (o *openSSH) testLocal(t *testing.T) {
	if !o.lent {
		t.Skip("this machine's programs do not run there")
	}
	for _, c := range []struct{ user, password, says string }{
		{"root", "", "Become:"},
		{"free", "", "Become:sudo"},
		{"free", secret, "Become:sudo"},
		{"dashy", secret, "Become:sudo"},
		{"dashy", "wrong secret", "cannot become root on localhost: sudo refused the password"},
		{"dashy", "", "cannot become root on localhost: sudo wants a password and none was given"},
		{"nosudo", secret, "cannot become root on localhost: the account is not in sudoers"},
	} {
		t.Run(c.user+" "+c.says, func(t *testing.T) {
			r, err := dial(t, o.target(t, c.user)).Run(t.Context(), remote.Cmd{Argv: []string{
				"/usr/bin/env", "MTAHARDEN_TEST_LOCAL=1", "MTAHARDEN_TEST_PASSWORD=" + c.password, "/usr/test-program"}}, 10000)
			if err != nil || !strings.Contains(string(r.Stdout), c.says) {
				t.Errorf("%d %q %q, %v", r.Exit, r.Stdout, r.Stderr, err)
			}
			if good := strings.HasPrefix(c.says, "Become"); good != strings.HasSuffix(string(r.Stdout), "\n<nil>\n0"+itself) {
				t.Errorf("%d %q", r.Exit, r.Stdout)
			}
		})
	}
}
