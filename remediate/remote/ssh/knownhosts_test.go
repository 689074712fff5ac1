package ssh

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"mtaharden/remediate/remote/remotetest"
)

func line(key ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) }

func ecdsaSigner(t testing.TB) ssh.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func hostCert(t testing.TB, ca ssh.Signer, key ssh.PublicKey, name string, until time.Time) *ssh.Certificate {
	t.Helper()
	c := &ssh.Certificate{Key: key, CertType: ssh.HostCert, ValidAfter: 1, ValidBefore: uint64(until.Unix())}
	if name != "" {
		c.ValidPrincipals = []string{name}
	}
	return signed(t, ca, c)
}

func signed(t testing.TB, ca ssh.Signer, c *ssh.Certificate) *ssh.Certificate {
	t.Helper()
	if err := c.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	return c
}

// trusts are known_hosts files, texts in which KEY, OTHER, ECDSA and CA stand for keys, and what is thought of a host that shows KEY.
var trusts = []struct {
	name  string
	files []string
	port  int
	alias string
	shows string // "": KEY; else the name of a certificate of KEY
	says  string // of the error; "" is trust
}{
	{name: "plain", files: []string{"mx01.example.com KEY"}},
	{name: "in a list", files: []string{"a,mx01.example.com,192.0.2.1 KEY some comment"}},
	{name: "second file", files: []string{"mx02 OTHER", "mx01.example.com KEY"}},
	{name: "second key of the same type", files: []string{"mx01.example.com OTHER\nmx01.example.com KEY"}},
	{name: "hashed", files: []string{"HASHED KEY"}},
	{name: "hashed with port", files: []string{"HASHPORT KEY"}, port: 2222},
	{name: "wildcard", files: []string{"*.example.com KEY"}},
	{name: "wildcard but not this one", files: []string{"*.example.com,!mx01.example.com KEY"}, says: "not known"},
	{name: "port", files: []string{"[mx01.example.com]:2222 KEY"}, port: 2222},
	{name: "port, known without", files: []string{"mx01.example.com KEY"}, port: 2222},
	{name: "port, another key known without", files: []string{"mx01.example.com OTHER"}, port: 2222, says: "not known"},
	{name: "port, another key known with", files: []string{"[mx01.example.com]:2222 OTHER\nmx01.example.com KEY"}, port: 2222, says: "has changed"},
	{name: "only with another port", files: []string{"[mx01.example.com]:2222 KEY"}, says: "not known"},
	{name: "alias", files: []string{"front KEY"}, alias: "front"},
	{name: "alias without the port", files: []string{"front KEY"}, alias: "front", port: 2222},
	{name: "alias with a port of its own", files: []string{"[front]:2222 KEY"}, alias: "[front]:2222"},
	{name: "alias hides the name", files: []string{"mx01.example.com KEY"}, alias: "front", says: "no line for front is in"},
	{name: "unknown", files: []string{"mx02.example.com KEY"}, says: "the host key is not known: the host shows ssh-ed25519 SHA256:"},
	{name: "no file", files: nil, says: "not known"},
	{name: "changed", files: []string{"# comment\n\nmx01.example.com OTHER"}, says: "file0:3"},
	{name: "another type known", files: []string{"mx01.example.com ECDSA"}, says: "has changed"},
	{name: "revoked", files: []string{"mx01.example.com KEY\n@revoked * KEY"}, says: "is revoked at"},
	{name: "revoked in another file", files: []string{"mx01.example.com KEY", "@revoked * KEY"}, says: "file1:1"},
	{name: "CA", files: []string{"@cert-authority *.example.com CA"}, shows: "good"},
	{name: "CA on another port", files: []string{"@cert-authority *.example.com CA"}, shows: "good", port: 2222},
	{name: "CA expired", files: []string{"@cert-authority *.example.com CA"}, shows: "expired", says: "expired"},
	{name: "CA for another name", files: []string{"@cert-authority *.example.com CA"}, shows: "misnamed", says: "not in the set of valid principals"},
	{name: "CA revoked", files: []string{"@cert-authority *.example.com CA\n@revoked * CA"}, shows: "good", says: "revoked"},
	{name: "CA of others", files: []string{"@cert-authority *.example.org CA"}, shows: "good", says: "not known"},
	{name: "certificate of nobody known, its key is", files: []string{"mx01.example.com KEY"}, shows: "good"},
	{name: "certificate of nobody known, its key revoked", files: []string{"mx01.example.com KEY\n@revoked * KEY"}, shows: "good", says: "is revoked"},
	{name: "plain key where a CA is", files: []string{"@cert-authority *.example.com CA"}, says: "is not signed by"},
	{name: "bad lines before", files: []string{"rubbish\nmx01.example.com ssh-ed25519 AAAA\n@what x KEY\n|1|x|y KEY\nmx01.example.com KEY"}},
	{name: "bad lines and unknown", files: []string{"rubbish\nmx02 KEY"}, says: "file0:1: cannot read this line"},
	{name: "bad lines and changed", files: []string{"rubbish\nmx01.example.com OTHER"}, says: "file0:2"},
	{name: "bad lines and revoked", files: []string{"rubbish\n@revoked * KEY\nmx01.example.com KEY"}, says: "file0:2"},
	{name: "a line too long", files: []string{"# " + strings.Repeat("x", 70000) + "\nmx01.example.com KEY"}},
	{name: "upper case", files: []string{"MX01.example.com KEY"}},
	{name: "upper case in a pattern", files: []string{"*.Example.COM KEY"}},
	{name: "negated in upper case", files: []string{"*.example.com,!MX01.example.com KEY"}, says: "not known"},
	{name: "question mark", files: []string{"mx0?.example.com KEY"}},
	{name: "any host on any port", files: []string{"* KEY"}, port: 2222},
	{name: "any host on this port", files: []string{"[*.example.com]:2222 KEY"}, port: 2222},
	{name: "any host on another port", files: []string{"[*.example.com]:2223 KEY"}, port: 2222, says: "not known"},
	{name: "port 22 in brackets", files: []string{"[mx01.example.com]:22 KEY"}},
	{name: "brackets without a port", files: []string{"[mx01.example.com] KEY"}},
	{name: "alias in upper case", files: []string{"front KEY"}, alias: "FRONT"},
	{name: "revoked for another host", files: []string{"mx01.example.com KEY\n@revoked mx02.example.com KEY"}},
	{name: "revoked where nothing else is known", files: []string{"@revoked * KEY"}, says: "is revoked at"},
	{name: "revoked without the port", files: []string{"@revoked mx01.example.com KEY"}, port: 2222, says: "is revoked at"},
	{name: "CA for a pattern of names", files: []string{"@cert-authority *.example.com CA"}, shows: "wildcard"},
	{name: "CA for any name", files: []string{"@cert-authority *.example.com CA"}, shows: "anyone"},
	{name: "CA for the alias", files: []string{"@cert-authority front CA"}, shows: "alias", alias: "front"},
	{name: "CA for the alias, of the name", files: []string{"@cert-authority front CA"}, shows: "good", alias: "front", says: "not in the set of valid principals"},
	{name: "CA of a user", files: []string{"@cert-authority *.example.com CA"}, shows: "user", says: "for a user and not for a host"},
	{name: "CA not yet", files: []string{"@cert-authority *.example.com CA"}, shows: "early", says: "not yet valid"},
	{name: "CA and a key that is known", files: []string{"@cert-authority *.example.com OTHER\nmx01.example.com KEY"}, shows: "good"},
	{name: "a CA and another key known", files: []string{"@cert-authority *.example.com CA\nmx01.example.com OTHER"}, says: "has changed"},
	{name: "CA expired, and its key is known", files: []string{"@cert-authority *.example.com CA\nmx01.example.com KEY"}, shows: "expired"},
	{name: "CA expired, and another key is known", files: []string{"@cert-authority *.example.com CA\nmx01.example.com OTHER"}, shows: "expired", says: "expired"},
	{name: "CA that signs by SHA-1", files: []string{"@cert-authority *.example.com RSACA"}, shows: "sha1", says: "signed by ssh-rsa"},
	{name: "CA that signs by SHA-2", files: []string{"@cert-authority *.example.com RSACA"}, shows: "sha2"},
	{name: "revoked by a line that holds a certificate", files: []string{"mx01.example.com KEY\n@revoked * CERT"}, says: "is revoked at"},
	{name: "revoked CA by a line that holds a certificate", files: []string{"mx01.example.com KEY\n@revoked * CERT"}, shows: "good", says: "is revoked at"},
	{name: "known by a line that holds a certificate", files: []string{"mx01.example.com CERT"}},
	{name: "CA without the marker", files: []string{"*.example.com CA"}, shows: "good", says: "has changed"},
}

// addresses are names of hosts, and how known_hosts may have them.
func TestTrustByAddress(t *testing.T) {
	key := remotetest.NewSigner(t).PublicKey()
	for _, c := range []struct {
		address string
		port    int
		known   string
		trusted bool
	}{
		{"2001:db8::1", 0, "2001:db8::1", true}, {"2001:DB8::1", 0, "2001:db8::1", true}, {"2001:db8:0::1", 0, "2001:db8::1", true}, {"2001:db8::1", 0, "[2001:db8::1]", true},
		{"2001:db8::1", 2222, "[2001:db8::1]:2222", true}, {"2001:DB8:0::1", 2222, "[2001:db8::1]:2222", true}, {"2001:db8::1", 2222, "2001:db8::1", true},
		{"2001:db8::1", 0, "2001:db8::2", false}, {"2001:db8::1", 0, "[2001:db8::1]:2222", false},
		{"fe80::1%eth0", 0, "fe80::1%eth0", true}, {"fe80::1%eth0", 22, "fe80::1%eth1", false}, {"fe80::1%eth0", 2222, "[fe80::1%eth0]:2222", true},
		{"bücher.example", 0, "xn--bcher-kva.example", true}, {"bücher.example", 0, "bücher.example", true}, {"BÜCHER.example", 0, "xn--bcher-kva.example", true},
		{"bücher.example", 2222, "[xn--bcher-kva.example]:2222", true}, {"xn--bcher-kva.example", 0, "xn--bcher-kva.example", true}, {"bücher.example", 0, "bucher.example", false},
	} {
		k := readKnownHosts([]string{made(t, c.known+" "+line(key)+"\n")})
		target := Target{Address: c.address, Port: c.port}.withDefaults()
		if err := target.trust(k, key); (err == nil) != c.trusted {
			t.Errorf("%s port %d, known is %s: %v", c.address, c.port, c.known, err)
		}
	}
}

func made(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTrust(t *testing.T) {
	key, other, ec, ca := remotetest.NewSigner(t).PublicKey(), remotetest.NewSigner(t).PublicKey(), ecdsaSigner(t).PublicKey(), remotetest.NewSigner(t)
	rsaCA := rsaSigner(t)
	cert := hostCert(t, ca, key, "mx01.example.com", time.Now().Add(time.Hour))
	fill := strings.NewReplacer("RSACA", line(rsaCA.PublicKey()), "CERT", line(cert), "OTHER", line(other), "KEY", line(key), "ECDSA", line(ec), "CA", line(ca.PublicKey()), "HASHED", xknownhosts.HashHostname("mx01.example.com"), "HASHPORT", xknownhosts.HashHostname("[mx01.example.com]:2222"))
	shown := map[string]ssh.PublicKey{
		"":         key,
		"good":     hostCert(t, ca, key, "mx01.example.com", time.Now().Add(time.Hour)),
		"expired":  hostCert(t, ca, key, "mx01.example.com", time.Now().Add(-time.Hour)),
		"misnamed": hostCert(t, ca, key, "mx02.example.com", time.Now().Add(time.Hour)),
		"wildcard": hostCert(t, ca, key, "*.Example.com", time.Now().Add(time.Hour)),
		"anyone":   hostCert(t, ca, key, "", time.Now().Add(time.Hour)),
		"alias":    hostCert(t, ca, key, "front", time.Now().Add(time.Hour)),
		"user":     signed(t, ca, &ssh.Certificate{Key: key, CertType: ssh.UserCert, ValidAfter: 1, ValidBefore: ssh.CertTimeInfinity}),
		"sha1":     hostCert(t, only(t, rsaCA, ssh.KeyAlgoRSA), key, "mx01.example.com", time.Now().Add(time.Hour)),
		"sha2":     hostCert(t, only(t, rsaCA, ssh.KeyAlgoRSASHA256), key, "mx01.example.com", time.Now().Add(time.Hour)),
		"early":    signed(t, ca, &ssh.Certificate{Key: key, CertType: ssh.HostCert, ValidAfter: 1 << 40, ValidBefore: ssh.CertTimeInfinity}),
	}
	for _, c := range trusts {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			target := Target{Address: "MX01.example.com", Port: c.port, HostKeyAlias: c.alias, KnownHosts: []string{filepath.Join(dir, "missing")}}.withDefaults()
			for i, text := range c.files {
				file := filepath.Join(dir, "file"+string(rune('0'+i)))
				if err := os.WriteFile(file, []byte(fill.Replace(text)), 0o600); err != nil {
					t.Fatal(err)
				}
				target.KnownHosts = append(target.KnownHosts, file)
			}
			known := readKnownHosts(target.KnownHosts)
			switch err := target.trust(known, shown[c.shows]); {
			case c.says == "" && err != nil:
				t.Errorf("not trusted: %v", err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("got %v, want an error that says %q", err, c.says)
			}
		})
	}
}

func TestProblemsNameLines(t *testing.T) {
	key := line(remotetest.NewSigner(t).PublicKey())
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte("mx01 "+key+"\nrubbish\n# fine\n\n@revoked\nmx02 "+key+"\n|1|bad|hash "+key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := Problems(file)
	if len(got) != 3 {
		t.Fatalf("problems: %q", got)
	}
	for i, at := range []string{":2: ", ":5: ", ":7: "} {
		if !strings.HasPrefix(got[i], file+at) {
			t.Errorf("problem %d is %q, want one of line %s", i, got[i], at)
		}
	}
	if p := Problems(filepath.Join(t.TempDir(), "none")); len(p) != 0 {
		t.Errorf("a missing file is a problem: %q", p)
	}
}

func TestAlgorithms(t *testing.T) {
	ed, ec, ca := remotetest.NewSigner(t).PublicKey(), ecdsaSigner(t).PublicKey(), remotetest.NewSigner(t).PublicKey()
	for text, want := range map[string]string{
		"":                              ssh.KeyAlgoED25519,
		"mx01 " + line(ec):              ssh.KeyAlgoECDSA256,
		"mx01 " + line(ed):              ssh.KeyAlgoED25519,
		"@cert-authority * " + line(ca): ssh.CertAlgoRSASHA256v01,
	} {
		file := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		k := readKnownHosts([]string{file})
		target := Target{Address: "mx01"}.withDefaults()
		config, err := target.config(k)
		if err != nil {
			t.Fatal(err)
		}
		got := config.HostKeyAlgorithms
		if got[0] != want {
			t.Errorf("%.30q: first is %s, want %s", text, got[0], want)
		}
		for _, bad := range ssh.InsecureAlgorithms().HostKeys {
			if contains(got, bad) {
				t.Errorf("%s is asked for", bad)
			}
		}
		if !contains(got, ssh.KeyAlgoRSASHA512) || !contains(got, ssh.KeyAlgoED25519) {
			t.Errorf("%v lacks the plain ones", got)
		}
		target.AllowLegacy = true
		if config, err := target.config(k); err != nil || !contains(config.HostKeyAlgorithms, ssh.KeyAlgoRSA) {
			t.Error("legacy is allowed and ssh-rsa not asked for")
		}
	}
}

func TestAcceptNew(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "known_hosts")
	if err := os.WriteFile(users, []byte("# mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	key, other := remotetest.NewSigner(t).PublicKey(), remotetest.NewSigner(t).PublicKey()
	target := Target{Address: "mx01", Port: 2222, KnownHosts: []string{users}, AcceptNew: true, AcceptedKeys: filepath.Join(dir, "state", "known_hosts")}.withDefaults()
	judge := func(target Target, key ssh.PublicKey) error {
		return target.trust(readKnownHosts([]string{users, target.AcceptedKeys}), key)
	}
	unknown := target
	unknown.AcceptNew = false
	if err := judge(unknown, key); err == nil {
		t.Error("an unknown key was trusted unasked")
	}
	// Many runs meet many hosts at once; each key is written once.
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			x := target
			if i%2 == 0 {
				x.Address = "mx02"
			}
			empty := readKnownHosts(nil)
			if err := x.trust(empty, key); err != nil {
				t.Errorf("not accepted: %v", err)
			}
		})
	}
	wg.Wait()
	if err := judge(unknown, key); err != nil {
		t.Errorf("an accepted key is not trusted afterwards: %v", err)
	}
	if err := judge(target, other); err == nil || !strings.Contains(err.Error(), "has changed") || !strings.Contains(err.Error(), target.AcceptedKeys+":") {
		t.Errorf("another key after that: %v", err)
	}
	empty := readKnownHosts(nil)
	if err := target.trust(empty, other); err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("another key in a race: %v", err)
	}
	data, err := os.ReadFile(target.AcceptedKeys)
	if err != nil || strings.Count(string(data), "\n") != 2 || strings.Count(string(data), "[mx01]:2222 ") != 1 {
		t.Errorf("accepted: %q, %v", data, err)
	}
	if info, err := os.Stat(target.AcceptedKeys); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if data, err := os.ReadFile(users); err != nil || string(data) != "# mine" {
		t.Errorf("the user's file was changed: %q", data)
	}
}

func TestAcceptNewRefusesRevoked(t *testing.T) {
	dir := t.TempDir()
	revoked := filepath.Join(dir, "revoked")
	third := remotetest.NewSigner(t).PublicKey()
	if err := os.WriteFile(revoked, []byte("@revoked * "+line(third)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	known := readKnownHosts([]string{revoked})
	target := Target{Address: "mx09", AcceptNew: true, AcceptedKeys: filepath.Join(dir, "accepted")}.withDefaults()
	if err := target.trust(known, third); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("a revoked key was accepted as new: %v", err)
	}
}

// FuzzKnownHosts: no file makes the reader panic or trust a key that no line holds; a good last line counts whatever stands before it.
func FuzzKnownHosts(f *testing.F) {
	key, other := remotetest.NewSigner(f).PublicKey(), remotetest.NewSigner(f).PublicKey()
	for _, seed := range []string{"", "rubbish", "@revoked", "@cert-authority x", "|1|a|b c d", "mx01 " + line(other), "\x00\xff", "[mx01]:x ssh-rsa AAAA", "* " + line(other), "a\r\nb\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "known_hosts")
		text := string(data) + "\nmx01 " + line(key) + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k := readKnownHosts([]string{file})
		target := Target{Address: "mx01"}.withDefaults()
		if err := target.trust(k, key); err != nil && !strings.Contains(err.Error(), "is revoked at") {
			t.Errorf("a good line does not count: %v", err)
		}
		if err := target.trust(k, other); err == nil && !strings.Contains(text, strings.Fields(line(other))[1]) {
			t.Error("a key that no line holds is trusted")
		}
	})
}

// TestKnownFilesReadOnce: the targets of a run share one reading of the same files, at once and later; others, and no KnownFiles at all, read anew.
func TestKnownFilesReadOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "known_hosts")
	key := remotetest.NewSigner(t).PublicKey()
	if err := os.WriteFile(file, []byte("mx01 "+line(key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	target := Target{Address: "mx01"}.withDefaults()
	var files KnownFiles
	var first sync.Map
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			known := files.read([]string{file})
			if err := target.trust(known, key); err != nil {
				t.Errorf("not trusted: %v", err)
			}
			first.Store(known, true)
		})
	}
	wg.Wait()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	readings := 0
	first.Range(func(any, any) bool { readings++; return true })
	if err := target.trust(files.read([]string{file}), key); err != nil || readings != 1 {
		t.Errorf("%d readings, not 1; later: %v", readings, err)
	}
	var none *KnownFiles
	for name, read := range map[string]func([]string) *knownHosts{"other files": files.read, "none": none.read} {
		if target.trust(read([]string{file, file}), key) == nil {
			t.Errorf("%s: a file that is gone is still believed", name)
		}
	}
}
