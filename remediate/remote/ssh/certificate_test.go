package ssh_test

import (
	"crypto/rand"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// opensshFile is a private key file in OpenSSH's own format, of which no more than the header is right.
func opensshFile(cipher string, public []byte) string {
	body := append([]byte("openssh-key-v1\x00"), xssh.Marshal(struct {
		Cipher, KDF, Options string
		Count                uint32
		Public, Private      []byte
	}{cipher, "none", "", 1, public, make([]byte, 64)})...)
	return string(pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: body}))
}

// certify writes a user certificate of a new key, whose file is named too.
func certify(t *testing.T, ca xssh.Signer, principals []string, from, to time.Time) (key, cert string) {
	t.Helper()
	key, pub := remotetest.NewKeyFile(t, "")
	c := &xssh.Certificate{
		Key: pub, CertType: xssh.UserCert, KeyId: "ops 2026", ValidPrincipals: principals, ValidAfter: uint64(from.Unix()), ValidBefore: uint64(to.Unix()),
		Permissions: xssh.Permissions{Extensions: map[string]string{"permit-pty": ""}},
	}
	if err := c.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	cert = key + "-cert.pub"
	if err := os.WriteFile(cert, xssh.MarshalAuthorizedKey(c), 0o644); err != nil {
		t.Fatal(err)
	}
	return key, cert
}

// TestCertificates: certificates of files and of a real agent at a real sshd, which takes those of its authority; one that cannot work is named with why.
func TestCertificates(t *testing.T) {
	o := startOpenSSH(t, anyRelease(t))
	now := time.Now()
	cases := []struct {
		name       string
		principals []string
		from, to   time.Duration
		change     func(t *testing.T, x *ssh.Target, key, cert string)
		says       string // "": it logs in
	}{
		{name: "beside the key", principals: []string{"dashy"}, from: -time.Hour, to: time.Hour},
		{name: "named", principals: []string{"x", "dashy"}, from: -time.Hour, to: time.Hour, change: func(t *testing.T, x *ssh.Target, _, cert string) {
			x.Certificates = []string{filepath.Join(t.TempDir(), "c")}
			if err := os.Rename(cert, x.Certificates[0]); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "in the agent", principals: []string{"dashy"}, from: -time.Hour, to: time.Hour, change: func(t *testing.T, x *ssh.Target, key, cert string) {
			x.Agent, x.Identities = agentWith(t, key), nil
		}},
		{name: "in the agent and named", principals: []string{"dashy"}, from: -time.Hour, to: time.Hour, change: func(t *testing.T, x *ssh.Target, key, cert string) {
			x.Agent, x.Identities, x.Certificates, x.IdentitiesOnly = agentWith(t, key), nil, []string{cert}, true
		}},
		{name: "expired", principals: []string{"dashy"}, from: -2 * time.Hour, to: -time.Hour, says: "was not offered: it expired at " + now.Add(-time.Hour).UTC().Format("2006-01-02 15:04:05 MST")},
		{name: "not yet", principals: []string{"dashy"}, from: time.Hour, to: 2 * time.Hour, says: "was not offered: it holds only from " + now.Add(time.Hour).UTC().Format("2006-01-02 15:04:05 MST") + " on"},
		{name: "for another", principals: []string{"alice", "bob"}, from: -time.Hour, to: time.Hour, says: `the certificate "ops 2026"`},
		{name: "for another, and why", principals: []string{"alice", "bob"}, from: -time.Hour, to: time.Hour, says: "it is for alice, bob and not for dashy"},
		{name: "for nobody", from: -time.Hour, to: time.Hour, says: "it names no account at all"},
		{name: "without its key", principals: []string{"dashy"}, from: -time.Hour, to: time.Hour, change: func(t *testing.T, x *ssh.Target, _, cert string) {
			other, _ := remotetest.NewKeyFile(t, "")
			x.Identities, x.Certificates = []string{other}, []string{cert}
		}, says: "neither the files nor the agent have its key"},
		{name: "no certificate", principals: []string{"dashy"}, from: -time.Hour, to: time.Hour, change: func(t *testing.T, x *ssh.Target, key, _ string) {
			other, _ := remotetest.NewKeyFile(t, "")
			x.Identities, x.Certificates = []string{other}, []string{key}
		}, says: "it is no certificate"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			key, cert := certify(t, o.ca, c.principals, now.Add(c.from), now.Add(c.to))
			x := o.target(t, "dashy")
			x.Identities = []string{key}
			if c.change != nil {
				c.change(t, &x, key, cert)
			}
			if c.says == "" {
				if r, err := dial(t, x).Run(t.Context(), whoami, 1000); err != nil || r.Exit != 3 {
					t.Error(err)
				}
				return
			}
			_, err := ssh.Dial(t.Context(), x)
			t.Log(err)
			wants(t, err, remote.ErrAuth, []string{c.says})
		})
	}
	t.Run("few tries", func(t *testing.T) { // MaxAuthTries 3: the key that is named first is the one
		x := o.target(t, "targetpw")
		for range 5 {
			other, _ := remotetest.NewKeyFile(t, "")
			x.Identities = append(x.Identities, other)
		}
		dial(t, x)
		x.Identities = append(x.Identities[1:], x.Identities[0])
		_, err := ssh.Dial(t.Context(), x)
		t.Log(err)
		wants(t, err, remote.ErrAuth, []string{"accepts none of the keys offered", "Too many authentication failures", "name the right key first"})
	})
	t.Run("the sixth", func(t *testing.T) {
		x := o.target(t, "dashy")
		var others []string
		for range 6 {
			other, _ := remotetest.NewKeyFile(t, "")
			others = append(others, other)
		}
		x.Identities = append(others[:5:5], o.key)
		dial(t, x)
		x.Identities = append(others, o.key)
		_, err := ssh.Dial(t.Context(), x)
		t.Log(err)
		wants(t, err, remote.ErrAuth, []string{"1 more keys were not offered", o.key})
	})
}

// agentWith is a real agent that holds a key and the certificate beside it.
func agentWith(t *testing.T, key string) string {
	socket := filepath.Join(t.TempDir(), "a")
	startAgent(t, socket)
	toolWith(t, "SSH_AUTH_SOCK="+socket, "ssh-add", "-q", key)
	return socket
}

func startAgent(t *testing.T, socket string) {
	t.Helper()
	remotetest.Need(t, "ssh-agent", "openssh-client")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			return
		}
	}
	t.Fatal("ssh-agent does not listen")
}

func toolWith(t *testing.T, env string, words ...string) {
	t.Helper()
	c := exec.Command(words[0], words[1:]...)
	c.Env = append(os.Environ(), env)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", words[0], err, out)
	}
}
