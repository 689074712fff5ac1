package apply

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// maskKey is a key for the marks that stand for secrets, as the masking awk takes it: 16 hexadecimal digits.
func maskKey() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// wordBytes is how many bytes of a content one word of a script holds.
const wordBytes = 2048

// printed is the sh that prints data: printf and octal escapes, of at most 8 KiB a word, which every shell reads alike and which show in no
// process list (printf is the shell's own).
func printed(data []byte) string {
	const octal = "01234567"
	var b strings.Builder
	for len(data) > 0 {
		part := data[:min(len(data), wordBytes)]
		data = data[len(part):]
		b.WriteString("printf '")
		for _, c := range part {
			b.Write([]byte{'\\', octal[c>>6], octal[c>>3&7], octal[c&7]})
		}
		b.WriteString("'\n")
	}
	if b.Len() == 0 {
		return ":\n"
	}
	return b.String()
}
