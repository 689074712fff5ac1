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
	more     []int  // of the other daemons
	key      string // private key file that every account accepts
	known    string // known_hosts with the ed25519 key
	hostKeys map[string]xssh.PublicKey
	dropbear xssh.PublicKey // nil where it does not run there
	extra    []string       // accounts whose login shell was lent by this machine
	sudo     string
	ca       xssh.Signer // whose certificates sshd takes
	lent     bool        // this machine's programs run there: /usr/test-program is this one
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

// withDoas are the images that have every way to log in and to become root, each over the base it was made for: the newest of each.
func withDoas(t testing.TB) map[string]string {
	t.Helper()
	cache := os.Getenv("MTALAB_CACHE")
	if cache == "" {
		cache = "/var/cache/mtalab"
	}
	newest := func(pattern string) (found string) {
		var at time.Time
		all, _ := filepath.Glob(filepath.Join(cache, pattern))
		for _, name := range all {
			if info, err := os.Stat(name); err == nil && info.ModTime().After(at) {
				found, at = strings.TrimSuffix(name, ".ok"), info.ModTime()
			}
		}
		return found
	}
	out := map[string]string{}
	for release := range releases(t) {
		layer, base := newest(release+"-login-*.ok"), newest(release+"-base-*.ok")
		if layer != "" && base != "" {
			out[release] = layer + ":" + base
		}
	}
	if len(out) == 0 {
		if os.Getenv("MTALAB") == "1" {
			t.Fatal("MTALAB=1, but the lab has no image of deb11-login, deb12-login or deb13-login")
		}
		t.Skip("needs an image of the lab (mtalab up deb12-login makes one)")
	}
	return out
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

// startOpenSSH boots it, with more daemons beside the first: each is options of sshd, or the word dropbear. Their ports are in more. A port that was free when
// it was chosen may be somebody's when it is listened on: others are tried then.
func startOpenSSH(t testing.TB, image string, daemons ...string) *openSSH {
	t.Helper()
	for range 5 {
		if o := tryOpenSSH(t, freePort, image, daemons...); o != nil {
			return o
		}
	}
	t.Fatal("whatever port is chosen, another program listens on it")
	return nil
}

const taken = "Address already in use"

// tryOpenSSH boots it on ports as port gives them; nil where one of them is taken.
func tryOpenSSH(t testing.TB, port func(testing.TB) int, image string, daemons ...string) *openSSH {
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
	o.port = port(t)
	var more []string
	for _, d := range daemons {
		o.more = append(o.more, port(t))
		more = append(more, fmt.Sprint(o.more[len(o.more)-1]), d)
	}
	lend := "0"
	if sameRelease(image) {
		lend, o.lent = "1", true
	}
	script, err := filepath.Abs("testdata/sshd.sh")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-m", "-p", "-f", "--kill-child", "sh", script, image, fmt.Sprint(o.port), dir, filepath.Join(dir, "key"), lend, self)
	cmd.Args = append(cmd.Args, more...)
	cmd.Stdout, cmd.Stderr = o.log, o.log
	if _, err := cmd.StdinPipe(); err != nil { // it ends when this test's process does, however that comes about
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := sync.OnceFunc(func() {
		cmd.Process.Kill() // the namespace's first process goes with it, and all others with that one
		<-ended
	})
	t.Cleanup(stop)
	first := fmt.Sprintf("Server listening on 127.0.0.1 port %d.", o.port)
	for deadline := time.Now().Add(60 * time.Second); !o.running(first, daemons); time.Sleep(20 * time.Millisecond) {
		switch over := len(ended) > 0 || time.Now().After(deadline); {
		case strings.Contains(o.log.String(), taken):
			stop()
			return nil
		case over && strings.Contains(o.log.String(), first):
			deadline = deadline.Add(time.Hour) // of the others, one that does not run is noticed where it is wanted
			daemons = nil
		case over:
			t.Fatalf("sshd does not run:\n%s", o.log)
		}
	}
	o.learn(t, dir)
	return o
}

// running says whether the first daemon listens, and those of the others that are sshd's.
func (o *openSSH) running(first string, daemons []string) bool {
	log := o.log.String()
	for i, d := range daemons {
		if d != "dropbear" && !strings.Contains(log, fmt.Sprintf("Server listening on 127.0.0.1 port %d.", o.more[i])) {
			return false
		}
	}
	return strings.Contains(log, first)
}

// TestPortTaken: where another program listens on the port that was chosen, that is seen, and another port does.
func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	image := anyRelease(t)
	theirs := func(testing.TB) int { return l.Addr().(*net.TCPAddr).Port }
	if o := tryOpenSSH(t, theirs, image); o != nil {
		t.Fatalf("it runs on a port that is taken:\n%s", o.log)
	}
	calls := 0
	second := func(t testing.TB) int {
		if calls++; calls == 2 {
			return theirs(t)
		}
		return freePort(t)
	}
	if o := tryOpenSSH(t, second, image, "-o LogLevel=INFO"); o != nil {
		t.Fatalf("a second daemon runs on a port that is taken:\n%s", o.log)
	}
	dial(t, startOpenSSH(t, image, "-o LogLevel=INFO").target(t, "root"))
}

// freePort is a port that nobody listens on just now.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
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
	if data, err := os.ReadFile(filepath.Join(dir, "dropbear.pub")); err == nil {
		if o.dropbear, _, _, _, err = xssh.ParseAuthorizedKey(data); err != nil {
			t.Fatal(err)
		}
	}
	o.known = o.knownHosts(t, xssh.KeyAlgoED25519)
	data, err := os.ReadFile(filepath.Join(dir, "user_ca"))
	if err != nil {
		t.Fatal(err)
	}
	if o.ca, err = xssh.ParsePrivateKey(data); err != nil {
		t.Fatal(err)
	}
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
