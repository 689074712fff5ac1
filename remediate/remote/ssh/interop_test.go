package ssh_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

const secret = "correct secret 1!"

// openSSH is a real sshd with real accounts and a real sudo, on a disposable overlay over one of the lab's images.
type openSSH struct {
	port     int
	key      string // private key file that every account accepts
	known    string // known_hosts with the ed25519 key
	hostKeys map[string]xssh.PublicKey
	extra    []string // accounts whose login shell was lent by this machine
	sudo     string
	log      *logged
}

type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// releases are the images of the lab that a run finds; MTALAB_CACHE says where, as for mtalab.
func releases(t testing.TB) map[string]string {
	cache := os.Getenv("MTALAB_CACHE")
	if cache == "" {
		cache = "/var/cache/mtalab"
	}
	found := map[string]string{}
	for _, r := range []string{"deb11", "deb12", "deb13"} {
		ready, _ := filepath.Glob(filepath.Join(cache, r+"-base-*.ok"))
		if len(ready) > 0 {
			found[r] = strings.TrimSuffix(ready[len(ready)-1], ".ok")
		}
	}
	if os.Getuid() != 0 || len(found) == 0 {
		if os.Getenv("MTALAB") == "1" {
			t.Fatalf("MTALAB=1, but there is no image of the lab in %s, or this is not root", cache)
		}
		t.Skip("needs root and an image of the lab (mtalab up deb12-none makes one)")
	}
	return found
}

// anyRelease is one image of those found.
func anyRelease(t testing.TB) string {
	found := releases(t)
	for _, r := range []string{"deb12", "deb13", "deb11"} {
		if found[r] != "" {
			return found[r]
		}
	}
	return ""
}

// sameRelease reports whether image is of this machine's release, so that it can borrow its shells.
func sameRelease(image string) bool {
	a, _ := os.ReadFile("/etc/os-release")
	b, err := os.ReadFile(filepath.Join(image, "etc/os-release"))
	if err != nil {
		b, _ = os.ReadFile(filepath.Join(image, "usr/lib/os-release"))
	}
	id := func(s []byte) string {
		for line := range strings.Lines(string(s)) {
			if strings.HasPrefix(line, "VERSION_ID=") {
				return line
			}
		}
		return ""
	}
	return id(a) != "" && id(a) == id(b)
}

func startOpenSSH(t testing.TB, image string) *openSSH {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "m"), 0o700); err != nil {
		t.Fatal(err)
	}
	o := &openSSH{hostKeys: map[string]xssh.PublicKey{}, log: &logged{}}
	var pub xssh.PublicKey
	o.key, pub = remotetest.NewKeyFile(t, "")
	if err := os.WriteFile(filepath.Join(dir, "key"), xssh.MarshalAuthorizedKey(pub), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	lend := "0"
	if sameRelease(image) {
		lend = "1"
	}
	script, err := filepath.Abs("testdata/sshd.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-m", "-p", "-f", "--kill-child", "sh", script, image, fmt.Sprint(o.port), dir, filepath.Join(dir, "key"), lend)
	cmd.Stdout, cmd.Stderr = o.log, o.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill() // the namespace's first process goes with it, and all others with that one
		<-ended
	})
	for deadline := time.Now().Add(60 * time.Second); !strings.Contains(o.log.String(), "Server listening on"); time.Sleep(20 * time.Millisecond) {
		if len(ended) > 0 || time.Now().After(deadline) {
			t.Fatalf("sshd does not run:\n%s", o.log)
		}
	}
	o.learn(t, dir)
	return o
}

func (o *openSSH) learn(t testing.TB, dir string) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "ssh_host_*_key.pub"))
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		key, _, _, _, err := xssh.ParseAuthorizedKey(data)
		if err != nil {
			t.Fatal(err)
		}
		o.hostKeys[key.Type()] = key
	}
	o.known = o.knownHosts(t, xssh.KeyAlgoED25519)
	made, _ := os.ReadFile(filepath.Join(dir, "made"))
	o.extra = strings.Fields(string(made))
	version, _ := os.ReadFile(filepath.Join(dir, "sudo"))
	o.sudo = strings.TrimSpace(string(version))
}

// knownHosts writes a file that knows the keys of these types alone.
func (o *openSSH) knownHosts(t testing.TB, types ...string) string {
	t.Helper()
	var b strings.Builder
	for _, typ := range types {
		if o.hostKeys[typ] == nil {
			t.Fatalf("sshd has no %s key", typ)
		}
		b.WriteString(knownhosts.Line([]string{fmt.Sprintf("127.0.0.1:%d", o.port)}, o.hostKeys[typ]) + "\n")
	}
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (o *openSSH) target(t testing.TB, user string) ssh.Target {
	return ssh.Target{
		Name: user + "@real", Address: "127.0.0.1", Port: o.port, User: user, Identities: []string{o.key}, KnownHosts: []string{o.known},
		Timeouts: remote.Timeouts{Dial: 5 * time.Second, Login: 20 * time.Second, Run: 30 * time.Second},
		Trace:    func(line string) { t.Log(line) },
	}
}

func given(password string) func() (string, error) {
	return func() (string, error) { return password, nil }
}

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
			t.Run("agent", o.testAgent)
			t.Run("one login one exec", o.testOneLoginOneExec)
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

func (o *openSSH) testSudo(t *testing.T) {
	users := append([]string{"dashy", "bashy", "free", "usepty", "lecture", "asks", "noisy", "root"}, o.extra...)
	for _, user := range users {
		t.Run(user, func(t *testing.T) {
			target := o.target(t, user)
			target.Become, target.BecomePassword = "sudo", given(secret)
			h := dial(t, target)
			for range 2 { // the second time sudo remembers, or does not
				r, err := h.Run(t.Context(), whoami, 1000)
				if err != nil || r.Exit != 3 || !strings.HasSuffix(string(r.Stdout), "0"+itself) || !strings.HasSuffix(string(r.Stderr), "to standard error\n") {
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
		{"only", given(secret), "sudoers does not allow the account to run /bin/sh as root"},
		{"needtty", nil, "sudo wants a terminal"},
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
		if typ == xssh.InsecureKeyAlgoDSA {
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
	if _, err := exec.LookPath("ssh-agent"); err != nil {
		t.Skip("no ssh-agent on this machine")
	}
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
	if offered != 5 {
		t.Errorf("%d keys were offered, want 5", offered)
	}
}
