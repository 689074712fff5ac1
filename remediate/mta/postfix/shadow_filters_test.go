package postfix

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"strings"
)

// The filters that the shadow's Postfix asks before it takes a message: each decides by the recipient's own text, so that a question put
// twice is answered alike.

// refuses reports whether a filter refuses a recipient: two in three it takes.
func refuses(rcpt string) bool {
	sum := fnv.New32()
	io.WriteString(sum, strings.ToLower(rcpt))
	return sum.Sum32()%3 == 0
}

// serveMilter speaks the milter protocol as a filter that wants no changes: each packet is a length, a command and its data, and each
// command but macros, an abort and the end is answered, here with "continue" or, at a recipient, "reject" (libmilter's mfdef.h).
func serveMilter() error {
	return serveLines("127.0.0.1:9995", func(c net.Conn) {
		for {
			var size uint32
			if binary.Read(c, binary.BigEndian, &size) != nil || size == 0 || size > 1<<20 {
				return
			}
			packet := make([]byte, size)
			if _, err := io.ReadFull(c, packet); err != nil {
				return
			}
			switch packet[0] {
			case 'O': // the version, no actions, every step
				c.Write([]byte{0, 0, 0, 13, 'O', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0})
			case 'D', 'A', 'K':
			case 'Q':
				return
			case 'R':
				reply := byte('c')
				if refuses(string(packet[1:])) {
					reply = 'r'
				}
				c.Write([]byte{0, 0, 0, 1, reply})
			default:
				c.Write([]byte{0, 0, 0, 1, 'c'})
			}
		}
	})
}

// serveProxyFilter is an SMTP server that takes what a before-queue filter would.
func serveProxyFilter() error {
	return serveLines("127.0.0.1:9994", func(c net.Conn) {
		r := bufio.NewReader(c)
		fmt.Fprint(c, "220 filter ESMTP\r\n")
		for data := false; ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " ")
			switch {
			case data && line == ".\r\n":
				data = false
				fmt.Fprint(c, "250 taken\r\n")
			case data:
			case verb == "DATA":
				data = true
				fmt.Fprint(c, "354 go on\r\n")
			case verb == "RCPT" && refuses(line):
				fmt.Fprint(c, "550 5.7.1 not through this filter\r\n")
			case verb == "QUIT":
				fmt.Fprint(c, "221 bye\r\n")
				return
			default:
				fmt.Fprint(c, "250 well\r\n")
			}
		}
	})
}
