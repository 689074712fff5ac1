package ssh

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// opensshMagic begins the body of a key in OpenSSH's own format (PROTOCOL.key).
const opensshMagic = "openssh-key-v1\x00"

// keyHeader is what stands before the private part in OpenSSH's own format, never encrypted.
type keyHeader struct {
	Cipher  string
	KDF     string
	Options string
	Count   uint32
	Public  []byte
	Rest    []byte `ssh:"rest"`
}

func header(data []byte) (keyHeader, bool) {
	var h keyHeader
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "OPENSSH PRIVATE KEY" {
		return h, false
	}
	body, ok := bytes.CutPrefix(block.Bytes, []byte(opensshMagic))
	return h, ok && ssh.Unmarshal(body, &h) == nil
}

// headerKey is the public key that a private key file in OpenSSH's own format names, without its passphrase; nil where there is none.
func headerKey(data []byte) ssh.PublicKey {
	h, ok := header(data)
	if !ok {
		return nil
	}
	key, err := ssh.ParsePublicKey(h.Public)
	if err != nil {
		return nil
	}
	return key
}

// pemCiphers are those of RFC 1421 files that crypto/x509 opens.
var pemCiphers = []string{"DES-CBC", "DES-EDE3-CBC", "AES-128-CBC", "AES-192-CBC", "AES-256-CBC"}

// foreign says why a private key file is one that this program cannot read although ssh or another program can, and what to do; nil where that
// is not so.
func foreign(name string, data []byte) error {
	text := strings.TrimSpace(string(data[:min(len(data), 200)]))
	switch {
	case strings.HasPrefix(text, "PuTTY-User-Key-File-"):
		return fmt.Errorf("it is a PuTTY key: puttygen %s -O private-openssh -o NEW writes it as OpenSSH's", name)
	case strings.HasPrefix(text, "---- BEGIN SSH2 "):
		return fmt.Errorf("it is a key of SSH Tectia's: ssh-keygen -i -f %s writes it as OpenSSH's", name)
	case strings.HasPrefix(text, "SSH PRIVATE KEY FILE FORMAT 1.1"):
		return fmt.Errorf("it is a key of SSH protocol 1, which no host of today takes: make a new one")
	}
	if h, ok := header(data); ok {
		if key := headerKey(data); key != nil && strings.HasPrefix(key.Type(), "sk-") {
			return fmt.Errorf("it stands for a hardware key, which is reached through the agent alone: ssh-add %s", name)
		}
		if !slices.Contains([]string{"none", "aes256-ctr", "aes256-cbc"}, h.Cipher) {
			return fmt.Errorf("it is encrypted with %s, which cannot be read here: ssh-keygen -p -Z aes256-ctr -f %s writes it anew, ssh-add gives it to the agent",
				clean(h.Cipher), name)
		}
		return nil
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil
	}
	cipher, _, _ := strings.Cut(block.Headers["DEK-Info"], ",")
	if cipher != "" && !slices.Contains(pemCiphers, cipher) {
		return fmt.Errorf("it is encrypted with %s, which cannot be read here: ssh-keygen -p -f %s writes it anew, ssh-add gives it to the agent", clean(cipher), name)
	}
	if strings.HasSuffix(block.Type, "CERTIFICATE") || strings.HasSuffix(block.Type, "PUBLIC KEY") {
		return fmt.Errorf("it is no private key but a %s", strings.ToLower(clean(block.Type)))
	}
	return nil
}
