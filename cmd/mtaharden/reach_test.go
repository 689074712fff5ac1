package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/tools/txtar"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"

	xssh "golang.org/x/crypto/ssh"
)

// sshds are the real servers of testdata/reach.sh.
type sshds struct {
	dir  string
	port int // of the first
	key  string
}

// images are the lab's, by release.
func images(t *testing.T) map[string]string {
	cache := os.Getenv("MTALAB_CACHE")
	if cache == "" {
		cache = "/var/cache/mtalab"
	}
	found := map[string]string{}
	for _, release := range []string{"deb11", "deb12", "deb13"} {
		if ready, _ := filepath.Glob(filepath.Join(cache, release+"-base-*.ok")); len(ready) > 0 {
			found[release] = strings.TrimSuffix(ready[len(ready)-1], ".ok")
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

// startSSHDs starts them; their accounts take a key file and more keys. Ports that were free when they were chosen may be somebody's when they are listened on:
// others are tried then.
func startSSHDs(t *testing.T, image string, more ...xssh.PublicKey) *sshds {
	t.Helper()
	for range 5 {
		if s := trySSHDs(t, freePorts(t, 4), image, more...); s != nil {
			return s
		}
	}
	t.Fatal("whatever ports are chosen, another program listens on one of them")
	return nil
}

// trySSHDs is startSSHDs on these ports; nil where one of them is taken.
func trySSHDs(t *testing.T, port int, image string, more ...xssh.PublicKey) *sshds {
	t.Helper()
	s := &sshds{dir: t.TempDir(), port: port}
	key, pub := remotetest.NewKeyFile(t, "")
	s.key = key
	public := filepath.Join(s.dir, "login.pub")
	var keys []byte
	for _, k := range append(more, pub) {
		keys = append(keys, xssh.MarshalAuthorizedKey(k)...)
	}
	if err := os.WriteFile(public, keys, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-m", "-p", "-f", "--kill-child", "sh", "testdata/reach.sh", image, s.dir, public, fmt.Sprint(s.port))
	out, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stderr = out
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		stdin.Close()
		cmd.Process.Kill() // the namespace's first process goes with it, and all others with that one
		cmd.Wait()
	})
	t.Cleanup(stop)
	said := make([]byte, 100)
	n, err := stdout.Read(said)
	log, _ := os.ReadFile(out.Name())
	switch {
	case strings.Contains(string(log), "Address already in use"):
		stop()
		return nil
	case err != nil || !strings.Contains(string(said[:n]), "ready"):
		t.Fatalf("the sshds do not run: %v\n%s", err, log)
	}
	return s
}

// freePorts finds n ports in a row that are free now, on both loopback addresses.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for first := 20000 + os.Getpid()%5000; first < 32000; first += n {
		free := true
		for i := range n {
			l, err := net.Listen("tcp", fmt.Sprintf(":%d", first+i))
			if err != nil {
				free = false
				break
			}
			l.Close()
		}
		if free {
			return first
		}
	}
	t.Fatal("no ports are free")
	return 0
}

// words puts the servers' own things in the place of names in a row.
func (s *sshds) words(t *testing.T, dir string) *strings.Replacer {
	t.Helper()
	key := func(name string) string {
		text, err := os.ReadFile(filepath.Join(s.dir, name+".pub"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(string(text))[:2], " ")
	}
	at := func(i int) string { return fmt.Sprint(s.port + i) }
	return strings.NewReplacer("PORT0", at(0), "PORT1", at(1), "PORT2", at(2), "PORT3", at(3), "CLOSED", "1", "DIR", dir, "LOGINKEY", s.key,
		"K-ED25519", key("ed25519"), "K-ECDSA", key("ecdsa"), "K-RSA", key("rsa"), "K-OWN", key("own"), "K-CA", key("ca"),
		"NETCAT", `bash -c 'exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3'`)
}

// sshRow is a way to reach a host, and what is to come of it.
type sshRow struct {
	name   string
	config string   // ssh_config
	inv    string   // the inventory
	known  string   // known_hosts; "" has the three keys of every port and name that is used
	args   []string // further flags
	want   string   // "ACCOUNT PORT" of the login; "" where it fails
	kind   error
	says   []string
}

const usualKnown = "* K-ED25519\n* K-ECDSA\n* K-RSA\n* K-OWN\n"

// outcome reaches the row's one host, and returns the account and the port that the host saw.
func (one sshRow) outcome(t *testing.T, s *sshds) (string, string, error) {
	t.Helper()
	dir := t.TempDir()
	fill := s.words(t, dir)
	known := one.known
	if known == "" {
		known = usualKnown
	}
	files := txtar.Archive{Files: []txtar.File{
		{Name: "config", Data: []byte(one.config + "\nHost *\n IdentityFile LOGINKEY\n UserKnownHostsFile DIR/known\n GlobalKnownHostsFile DIR/none\n")},
		{Name: "inv.toml", Data: []byte(one.inv)}, {Name: "known", Data: []byte(known)},
	}}
	for _, f := range files.Files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), []byte(fill.Replace(string(f.Data))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var got string
	var stderr bytes.Buffer
	r := &reach{}
	c := &cobra.Command{Use: "reach", SilenceUsage: true, SilenceErrors: true, RunE: func(c *cobra.Command, _ []string) error {
		var err error
		got, err = r.whoami(c)
		return err
	}}
	r.register(c.Flags(), "")
	c.SetErr(&stderr)
	args := []string{"-i", filepath.Join(dir, "inv.toml"), "-F", filepath.Join(dir, "config"), "--state", filepath.Join(dir, "state"), "--batch"}
	for _, a := range one.args {
		args = append(args, fill.Replace(a))
	}
	c.SetArgs(args)
	ctx, end := withEnd(t.Context())
	defer end()
	err := c.ExecuteContext(ctx)
	return got, stderr.String(), err
}

// whoami logs in to the first host of the inventory.
func (r *reach) whoami(c *cobra.Command) (string, error) {
	if err := r.check(c); err != nil {
		return "", err
	}
	_, hosts, err := r.load()
	if err != nil {
		return "", err
	}
	d, err := newDialer(c, r)
	if err != nil {
		return "", err
	}
	d.unlock(c.Context(), hosts)
	h, err := d.dial(c.Context(), hosts[0])
	if err != nil {
		return "", err
	}
	defer h.Close()
	out, err := h.Run(context.WithoutCancel(c.Context()), remote.Cmd{Argv: []string{"/bin/sh", "-c", `set -- $(id -un) $SSH_CONNECTION; echo "$1 $5"`}}, 1000)
	return strings.TrimSpace(string(out.Stdout)), err
}

// TestReach: the sshRows against real sshds of each release, with what ssh -G says; and for one of them again with our own reader of ssh_config, where no ssh is installed.
func TestReach(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	t.Setenv("SHELL", "/bin/sh")
	without := pathWithoutSSH(t)
	for release, image := range images(t) {
		t.Run(release, func(t *testing.T) {
			s := startSSHDs(t, image)
			for _, one := range sshRows {
				t.Run(one.name, func(t *testing.T) { one.test(t, s) })
			}
			if release != "deb12" {
				return
			}
			t.Setenv("PATH", without)
			for _, one := range sshRows {
				t.Run("without ssh/"+one.name, func(t *testing.T) { one.test(t, s) })
			}
		})
	}
}

// TestReachDeadFamily: a name with a dead IPv6 address and a live IPv4 one is reached (RFC 8305). The names are those of a hosts file that only a child of this test sees.
func TestReachDeadFamily(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	one := sshRow{config: "User joe\nPort PORT0\n", inv: "[hosts.\"both.example\"]\n", known: "[both.example]:PORT0 K-ED25519\n", want: "joe PORT0"}
	if dir := os.Getenv("REACH_DIR"); dir != "" {
		var first int
		if _, err := fmt.Sscan(os.Getenv("REACH_PORT"), &first); err != nil {
			t.Fatal(err)
		}
		found, err := net.LookupHost("both.example")
		if err != nil || len(found) != 2 {
			t.Fatalf("both.example is %v, %v", found, err)
		}
		one.test(t, &sshds{dir: dir, port: first, key: os.Getenv("REACH_KEY")})
		return
	}
	var image string
	for _, image = range images(t) {
		break
	}
	s := startSSHDs(t, image)
	hosts := filepath.Join(s.dir, "hosts")
	if err := os.WriteFile(hosts, []byte("100::1 both.example\n127.0.0.1 both.example localhost\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-m", "sh", "-c", `mount --bind "$1" /etc/hosts && exec "$2" -test.v -test.run '^TestReachDeadFamily$'`, "sh", hosts, os.Args[0])
	cmd.Env = append(os.Environ(), "REACH_DIR="+s.dir, fmt.Sprintf("REACH_PORT=%d", s.port), "REACH_KEY="+s.key)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestReachDeadFamily") {
		t.Errorf("%v\n%s", err, out)
	}
}

// pathWithoutSSH is a PATH with what the sshRows need, and without ssh.
func pathWithoutSSH(t *testing.T) string {
	dir := t.TempDir()
	for _, name := range []string{"sh", "bash", "cat", "true", "false"} {
		at, err := exec.LookPath(name)
		if err == nil {
			err = os.Symlink(at, filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (one sshRow) test(t *testing.T, s *sshds) {
	got, stderr, err := one.outcome(t, s)
	want := s.words(t, "").Replace(one.want)
	if one.kind == nil {
		if err != nil || got != want {
			t.Errorf("reached %q, want %q: %v\n%s", got, want, err, stderr)
		}
		return
	}
	if err == nil {
		t.Fatalf("reached %q", got)
	}
	t.Log(err)
	if !errors.Is(err, one.kind) {
		t.Errorf("%v is not of the kind %q", err, one.kind)
	}
	fill := s.words(t, "")
	for _, says := range one.says {
		if !strings.Contains(err.Error(), fill.Replace(says)) {
			t.Errorf("%v does not say %q", err, fill.Replace(says))
		}
	}
}
