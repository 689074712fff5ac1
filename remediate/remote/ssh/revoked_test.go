package ssh

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"mtaharden/remediate/remote/remotetest"
)

func rsaSigner(t testing.TB) ssh.Signer {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// only is a key that signs by one algorithm.
func only(t testing.TB, s ssh.Signer, algorithm string) ssh.Signer {
	t.Helper()
	one, err := ssh.NewSignerWithAlgorithms(s.(ssh.AlgorithmSigner), []string{algorithm})
	if err != nil {
		t.Fatal(err)
	}
	return one
}

// shownKeys are keys and certificates of hosts, by name.
func shownKeys(t testing.TB) (keys map[string]ssh.PublicKey, ca ssh.Signer) {
	t.Helper()
	ca, other := remotetest.NewSigner(t), remotetest.NewSigner(t)
	keys = map[string]ssh.PublicKey{"one": remotetest.NewSigner(t).PublicKey(), "two": remotetest.NewSigner(t).PublicKey(), "rsa": rsaSigner(t).PublicKey()}
	for serial := range uint64(25) {
		c := &ssh.Certificate{Key: keys["one"], CertType: ssh.HostCert, Serial: serial, KeyId: fmt.Sprint("id", serial), ValidBefore: ssh.CertTimeInfinity}
		keys[fmt.Sprint("cert", serial)] = signed(t, ca, c)
	}
	keys["other"] = signed(t, other, &ssh.Certificate{Key: keys["two"], CertType: ssh.HostCert, Serial: 5, KeyId: "id3", ValidBefore: ssh.CertTimeInfinity})
	return keys, ca
}

// TestRevocationsAgreeWithOpenSSH: of lists that ssh-keygen has made, the same keys are revoked as ssh-keygen -Q says.
func TestRevocationsAgreeWithOpenSSH(t *testing.T) {
	keygen := remotetest.Need(t, "ssh-keygen", "openssh-client")
	keys, ca := shownKeys(t)
	dir := t.TempDir()
	put := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	authority := put("ca.pub", line(ca.PublicKey()))
	files := map[string]string{}
	for name, key := range keys {
		files[name] = put(name+".pub", line(key))
	}
	for name, spec := range map[string]string{
		"keys": "key: " + line(keys["two"]) + "\nkey: " + line(keys["rsa"]), "sha1": "sha1: " + line(keys["two"]), "sha256": "sha256: " + line(keys["one"]),
		"serial": "serial: 5", "range": "serial: 3-9", "bits": "serial: 3\nserial: 5\nserial: 7\nserial: 8\nserial: 12", "far apart": "serial: 2\nserial: 1000000\nserial: 20",
		"id": "id: id3\nid: id4", "authority": "key: " + line(ca.PublicKey()), "all": "serial: 1-2\nid: id9\nserial: 20\nsha256: " + line(keys["two"]), "none": "",
	} {
		list := filepath.Join(dir, "krl "+name)
		if out, err := exec.Command(keygen, "-k", "-f", list, "-s", authority, put("spec", spec)).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		r, err := readRevocations(list)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var all []string
		for n := range keys {
			all = append(all, files[n])
		}
		out, _ := exec.Command(keygen, append([]string{"-Q", "-f", list}, all...)...).CombinedOutput()
		for n, key := range keys {
			said := strings.Contains(string(out), files[n]) && strings.Contains(lineOf(string(out), files[n]), "REVOKED")
			if !strings.Contains(string(out), files[n]) || r.has(key) != said {
				t.Errorf("list %s: %s is revoked: %v, ssh-keygen says %q", name, n, r.has(key), lineOf(string(out), files[n]))
			}
		}
	}
}

func lineOf(text, with string) string {
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, with+" ") {
			return l
		}
	}
	return ""
}

// TestRevokedHostKeys: a key that such a file names is refused although known_hosts has it, and so is every key where the file cannot be read.
func TestRevokedHostKeys(t *testing.T) {
	keys, ca := shownKeys(t)
	for _, c := range []struct{ name, file, shows, says string }{
		{"another key", line(keys["two"]), "one", ""}, {"none", "", "one", ""}, {"comments", "# " + line(keys["one"]) + "\n\n", "one", ""},
		{"the key", "# x\n" + line(keys["one"]) + " a comment\n", "one", "is revoked by"}, {"of a certificate", line(keys["one"]), "cert3", "is revoked by"},
		{"its authority", line(ca.PublicKey()), "cert3", "is revoked by"}, {"a certificate of it", line(keys["cert3"]), "one", "is revoked by"},
		{"a bad line", line(keys["two"]) + "\nrubbish\n", "one", "cannot be read: line 2"}, {"options", "no-pty " + line(keys["two"]), "one", "cannot be read: line 1"},
		{"cut off", krlMagic + "\x00\x00", "one", "cut off"}, {"unknown section", krlMagic + string(krlHead("\x63\x00\x00\x00\x00")), "one", "unknown kind 99"},
		{"extension", krlMagic + string(krlHead("\xff\x00\x00\x00\x0a\x00\x00\x00\x01x\x01\x00\x00\x00\x00")), "one", "the unknown extension x"},
		{"extension that may be passed over", krlMagic + string(krlHead("\xff\x00\x00\x00\x0a\x00\x00\x00\x01x\x00\x00\x00\x00\x00")), "one", ""},
		{"missing", "-", "one", "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			known := readKnownHosts([]string{made(t, "* "+line(keys["one"])+"\n@cert-authority * "+line(ca.PublicKey())+"\n")})
			target := Target{Address: "mx01", RevokedKeys: made(t, c.file)}.withDefaults()
			if c.file == "-" {
				target.RevokedKeys += ".no"
			}
			err := target.trust(known, keys[c.shows])
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			if target.RevokedKeys = ""; target.trust(known, keys[c.shows]) != nil {
				t.Error("not trusted without the file")
			}
		})
	}
}

func krlHead(sections string) []byte {
	return ssh.Marshal(struct {
		Format           uint32
		Version, Made    uint64
		Flags            uint64
		Reserved, Remark []byte
		Rest             []byte `ssh:"rest"`
	}{Format: 1, Rest: []byte(sections)})
}

func TestRSABits(t *testing.T) {
	key := rsaSigner(t).PublicKey() // of 2048 bits
	known := readKnownHosts([]string{made(t, "* "+line(key)+"\n")})
	for bits, says := range map[int]string{0: "", 2048: "", 3072: "it has 2048 bits, and RequiredRSASize of ssh_config wants 3072"} {
		err := Target{Address: "mx01", MinRSABits: bits}.withDefaults().trust(known, key)
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%d: %v", bits, err)
		}
	}
}

// FuzzRevoked: whatever a RevokedHostKeys file holds, reading it and asking it ends.
func FuzzRevoked(f *testing.F) {
	keys, _ := shownKeys(f)
	f.Add([]byte(line(keys["one"])))
	f.Add([]byte(krlMagic + string(krlHead("\x01\x00\x00\x00\x1d\x00\x00\x00\x00\x00\x00\x00\x00\x22\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x04\x7f\xff\xff\xff"))))
	f.Add([]byte(krlMagic + string(krlHead("\x01\x00\x00\x00\x1d\x00\x00\x00\x00\x00\x00\x00\x00\x21\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x09"))))
	name := filepath.Join(f.TempDir(), "revoked")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := readRevocations(name)
		if err != nil {
			return
		}
		for _, key := range keys {
			r.has(key)
		}
	})
}
