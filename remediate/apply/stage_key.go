package apply

import (
	"crypto/rand"
	"encoding/hex"
)

// maskKey is a key for the marks that stand for secrets, as the masking awk takes it: 16 hexadecimal digits.
func maskKey() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
