package ssh_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	xssh "golang.org/x/crypto/ssh"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// TestAskedOnce: twelve hosts of one encrypted key, dialled at once. A person is asked for its passphrase before any of them is connected to, until it is
// right, and never again.
func TestAskedOnce(t *testing.T) {
	file, pub := remotetest.NewKeyFile(t, "open sesame")
	var mu sync.Mutex
	var tries []int
	keys := &ssh.Keys{}
	servers := make([]*remotetest.Server, 12)
	targets := make([]ssh.Target, len(servers))
	for i := range servers {
		servers[i] = &remotetest.Server{Keys: []xssh.PublicKey{pub}}
		x := newTarget(t, servers[i])
		x.Identities, x.Keys = []string{file}, keys
		x.Passphrase = func(name string, try int) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			tries = append(tries, try)
			return []byte(map[bool]string{true: "open sesame", false: "close"}[try == 3]), nil
		}
		targets[i] = x
	}
	keys.Unlock(t.Context(), targets)
	for i, s := range servers {
		if n := s.Conns.Load(); n != 0 {
			t.Fatalf("host %d was connected to before the passphrase was known", i)
		}
	}
	var wg sync.WaitGroup
	for _, x := range targets {
		wg.Go(func() {
			h, err := ssh.Dial(t.Context(), x)
			if err != nil {
				t.Error(err)
				return
			}
			h.Close()
		})
	}
	wg.Wait()
	if len(tries) != 3 || tries[0] != 1 || tries[2] != 3 {
		t.Errorf("asked were tries %v, want 1 to 3 of one file", tries)
	}
}

// made writes a file of a test's directory, as a private key has to be.
func made(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// tool runs a program of this machine that makes keys.
func tool(t testing.TB, words ...string) {
	t.Helper()
	remotetest.Need(t, words[0], map[string]string{"openssl": "openssl", "ssh-keygen": "openssh-client"}[words[0]])
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(words, " "), err, out)
	}
}

// genpkey has openssl write an encrypted PKCS #8 key.
func genpkey(words ...string) func(t *testing.T) string {
	return func(t *testing.T) string {
		file := filepath.Join(t.TempDir(), "id")
		plain := file + ".plain"
		tool(t, "openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", plain)
		tool(t, append([]string{"openssl", "pkcs8", "-topk8", "-in", plain, "-out", file, "-passout", "pass:open sesame"}, words...)...)
		return file
	}
}

func keygen(words ...string) func(t *testing.T) string {
	return func(t *testing.T) string {
		file := filepath.Join(t.TempDir(), "id")
		tool(t, append([]string{"ssh-keygen", "-q", "-f", file}, words...)...)
		return file
	}
}

// TestKeyFormats: every form in which a key file may be. One that opens logs in; of any other the refusal says what it is and what to do.
func TestKeyFormats(t *testing.T) {
	cases := []struct {
		name string
		make func(t *testing.T) string
		says string // "": it logs in
	}{
		{"ed25519, encrypted", keygen("-t", "ed25519", "-N", "open sesame"), ""},
		{"rsa, encrypted, aes256-cbc", keygen("-t", "rsa", "-b", "2048", "-N", "open sesame", "-Z", "aes256-cbc"), ""},
		{"ecdsa, PEM, encrypted", keygen("-t", "ecdsa", "-m", "PEM", "-N", "open sesame"), ""},
		{"rsa, PKCS8, encrypted by ssh-keygen", keygen("-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", "open sesame"), ""},
		{"PKCS8, aes-256-cbc", genpkey("-v2", "aes-256-cbc"), ""},
		{"PKCS8, aes-128-cbc with sha512", genpkey("-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"), ""},
		{"PKCS8, 3des with sha1", genpkey("-v2", "des3", "-v2prf", "hmacWithSHA1"), ""},
		{"PKCS8, scrypt", genpkey("-scrypt"), ""},
		{"PKCS8, PBES1", genpkey("-v1", "PBE-SHA1-3DES"), "by the scheme 1.2.840.113549.1.12.1.3 and not by PBES2; ssh-keygen -p -f"},
		{"PKCS8, camellia", genpkey("-v2", "camellia-256-cbc"), "by the cipher 1.2.392.200011.61.1.1.1.4; ssh-keygen -p -f"},
		{"cipher of ssh's own", keygen("-t", "ed25519", "-N", "open sesame", "-Z", "chacha20-poly1305@openssh.com"),
			"it is encrypted with chacha20-poly1305@openssh.com, which cannot be read here: ssh-keygen -p -Z aes256-ctr -f"},
		{"PEM, camellia", func(t *testing.T) string {
			return made(t, "id", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: CAMELLIA-256-CBC,0123456789ABCDEF0123456789ABCDEF\n\nAAAA\n-----END RSA PRIVATE KEY-----\n")
		}, "it is encrypted with CAMELLIA-256-CBC, which cannot be read here: ssh-keygen -p -f"},
		{"PuTTY", func(t *testing.T) string { return made(t, "id.ppk", "PuTTY-User-Key-File-3: ssh-ed25519\n") }, "it is a PuTTY key: puttygen"},
		{"Tectia", func(t *testing.T) string { return made(t, "id", "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n") }, "it is a key of SSH Tectia's: ssh-keygen -i -f"},
		{"a public key", func(t *testing.T) string {
			_, pub := remotetest.NewKeyFile(t, "")
			return made(t, "id.pub", string(xssh.MarshalAuthorizedKey(pub)))
		}, "it is a public key, and the agent does not hold its private half"},
		{"a certificate of the web's", func(t *testing.T) string {
			return made(t, "id", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
		}, "it is no private key but a certificate"},
		{"hardware", skFile, "it stands for a hardware key, which is reached through the agent alone: ssh-add"},
		{"rubbish", func(t *testing.T) string { return made(t, "id", "hello\n") }, "it is no private key that can be read here"},
		{"a pipe that nobody writes to", func(t *testing.T) string {
			file := filepath.Join(t.TempDir(), "id")
			if err := syscall.Mkfifo(file, 0o600); err != nil {
				t.Fatal(err)
			}
			return file
		}, "it is a pipe or a device, and no file"},
		{"a device", func(*testing.T) string { return "/dev/zero" }, "it is a pipe or a device, and no file"},
		{"a directory", func(t *testing.T) string { return t.TempDir() }, "is a directory"},
		{"wrong passphrase", keygen("-t", "ed25519", "-N", "another"), "it is encrypted and the passphrase does not open it"},
		{"wrong passphrase, PKCS8", keygen("-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", "another"), "it is encrypted and the passphrase does not open it"},
		{"escape sequences", func(t *testing.T) string {
			return made(t, "id", "-----BEGIN \x1b[31m CERTIFICATE-----\nAAAA\n-----END \x1b[31m CERTIFICATE-----\n")
		}, "it is no private key but a [31m certificate"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := c.make(t)
			s := &remotetest.Server{}
			if c.says == "" {
				s.Keys = []xssh.PublicKey{publicOf(t, file)}
			}
			x := newTarget(t, s)
			x.Identities = []string{file}
			x.Passphrase = func(string, int) ([]byte, error) { return []byte("open sesame"), nil }
			if c.says == "" {
				dial(t, x)
				return
			}
			_, err := ssh.Dial(t.Context(), x)
			t.Log(err)
			wants(t, err, remote.ErrAuth, []string{c.says, file})
		})
	}
}

// publicOf is the public half of an encrypted key, as ssh-keygen tells it.
func publicOf(t *testing.T, file string) xssh.PublicKey {
	t.Helper()
	out, err := exec.Command("ssh-keygen", "-y", "-P", "open sesame", "-f", file).Output()
	if err != nil {
		t.Fatalf("ssh-keygen -y: %v", err)
	}
	key, _, _, _, err := xssh.ParseAuthorizedKey(out)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// skFile is the file that ssh-keygen writes beside a hardware key: it names the key and holds no half of it.
func skFile(t *testing.T) string {
	pub := newTouched(t).pub.Marshal()
	return made(t, "id_ed25519_sk", opensshFile("none", pub))
}
