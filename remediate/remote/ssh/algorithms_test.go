package ssh

import (
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"mtaharden/remediate/remote/remotetest"
)

// TestSignatures: which of a key's signatures PubkeyAcceptedAlgorithms leaves, for plain keys and certificates.
func TestSignatures(t *testing.T) {
	ed, ca := remotetest.NewSigner(t).PublicKey(), remotetest.NewSigner(t)
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := ssh.NewPublicKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key     ssh.PublicKey
		allowed []string
		want    string
	}{
		{ed, nil, "ssh-ed25519"}, {ed, []string{"ssh-ed25519"}, "ssh-ed25519"}, {ed, []string{"rsa-sha2-256"}, ""},
		{rs, nil, "rsa-sha2-512 rsa-sha2-256 ssh-rsa"}, {rs, []string{"rsa-sha2-256", "ssh-ed25519"}, "rsa-sha2-256"}, {rs, []string{}, ""},
		{hostCert(t, ca, rs, "x", time.Now()), []string{"rsa-sha2-256"}, ""}, {hostCert(t, ca, rs, "x", time.Now()), []string{"rsa-sha2-256-cert-v01@openssh.com"}, "rsa-sha2-256"},
		{hostCert(t, ca, ed, "x", time.Now()), []string{"ssh-ed25519-cert-v01@openssh.com"}, "ssh-ed25519"},
	} {
		if got := strings.Join(signatures(c.key, c.allowed), " "); got != c.want {
			t.Errorf("%s of %v: %q, want %q", c.key.Type(), c.allowed, got, c.want)
		}
	}
}

// TestAlgorithmsOnAnotherPort: a line for all hosts does not hide what is known of the host without its port.
func TestAlgorithmsOnAnotherPort(t *testing.T) {
	ec, other := ecdsaSigner(t).PublicKey(), remotetest.NewSigner(t).PublicKey()
	for _, first := range []string{"@revoked * ", "@cert-authority *.example.org ", "@revoked [mx01]:2222 "} {
		k := readKnownHosts([]string{made(t, first+line(other)+"\nmx01 "+line(ec)+"\n")})
		config, err := Target{Address: "mx01", Port: 2222}.withDefaults().config(k)
		if err != nil || config.HostKeyAlgorithms[0] != ssh.KeyAlgoECDSA256 {
			t.Errorf("after %s: %v, %v", first, config.HostKeyAlgorithms, err)
		}
	}
}
