package ssh_test

import (
	"encoding/pem"

	xssh "golang.org/x/crypto/ssh"
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
