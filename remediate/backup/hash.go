package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Hash is a content's name: "sha256:HEX".
func Hash(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Holds says whether data is the content of the state, by its hash and size.
func (s State) Holds(data []byte) bool {
	if s.Absent || s.Size != int64(len(data)) {
		return false
	}
	if strings.HasPrefix(s.Hash, "cksum:") {
		return s.Hash == fmt.Sprintf("cksum:%d %d", crc(data), len(data))
	}
	return s.Hash == Hash(data)
}

// crc is the checksum of cksum(1): POSIX, XCU cksum, "the CRC ... polynomial" 0x04C11DB7, over the content and then its length, complemented.
func crc(data []byte) uint32 {
	var table [256]uint32
	for i := range table {
		c := uint32(i) << 24
		for range 8 {
			if c&(1<<31) != 0 {
				c = c<<1 ^ 0x04C11DB7
			} else {
				c <<= 1
			}
		}
		table[i] = c
	}
	var c uint32
	for _, b := range data {
		c = c<<8 ^ table[byte(c>>24)^b]
	}
	for n := len(data); n > 0; n >>= 8 {
		c = c<<8 ^ table[byte(c>>24)^byte(n)]
	}
	return ^c
}
