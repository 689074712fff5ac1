package ssh

import (
	"bytes"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"
)

// FuzzKeyFile: whatever a key file holds, reading and opening it ends, what is said of it has no escape sequence, and one that opened can sign.
func FuzzKeyFile(f *testing.F) {
	f.Add([]byte("PuTTY-User-Key-File-3: ssh-ed25519\n"), []byte("x"))
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: \x1b[31m,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"), []byte("x"))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: bytes.Repeat([]byte{0x30}, 40)}), []byte("x"))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: append([]byte(opensshMagic), ssh.Marshal(keyHeader{Cipher: "none", KDF: "none", Count: 1})...)}), []byte("x"))
	files, _ := filepath.Glob("testdata/key-*")
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, []byte("open sesame"))
	}
	name := filepath.Join(f.TempDir(), "id")
	f.Fuzz(func(t *testing.T, data, phrase []byte) {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		k := (&Keys{}).file(name)
		k.open(func(string, int) ([]byte, error) { return bytes.Clone(phrase), nil })
		signer, err := k.usable()
		if err == nil && signer == nil {
			t.Fatal("a key that is usable and none")
		}
		if err != nil && (strings.ContainsAny(err.Error(), "\x1b\u009b") || !utf8.ValidString(err.Error())) {
			t.Errorf("an escape sequence in %q", err)
		}
	})
}

// FuzzCertificate: whatever stands in a certificate's file, what is said of it is a line.
func FuzzCertificate(f *testing.F) {
	f.Add([]byte("ssh-ed25519-cert-v01@openssh.com AAAA x"), "root")
	if data, err := os.ReadFile("testdata/key-cert.pub"); err == nil {
		f.Add(data, "root")
	}
	f.Fuzz(func(t *testing.T, data []byte, user string) {
		cert, ok := parsePublic(data).(*ssh.Certificate)
		if !ok {
			return
		}
		for _, said := range []string{outdated(cert, time.Unix(1, 0)), describeCertificate(cert, "file"), principals(cert, "root")} {
			if strings.ContainsAny(said, "\n\x1b") {
				t.Errorf("%q", said)
			}
		}
	})
}
