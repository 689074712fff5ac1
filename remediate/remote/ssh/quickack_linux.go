package ssh

import (
	"net"

	"golang.org/x/sys/unix"
)

// promptly makes conn acknowledge at once what it reads. sshd sends two small packets at the first channel's opening; with Nagle's algorithm on its side the
// second waits for the first one's acknowledgement, which Linux delays by 40 ms. TCP_QUICKACK is not lasting (tcp(7)), so it is set again after each read.
func promptly(conn net.Conn) net.Conn {
	if tcp, ok := conn.(*net.TCPConn); ok {
		return &quickAck{tcp}
	}
	return conn
}

type quickAck struct{ *net.TCPConn }

func (q *quickAck) Read(p []byte) (int, error) {
	n, err := q.TCPConn.Read(p)
	if raw, rawErr := q.SyscallConn(); rawErr == nil && n > 0 {
		raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
	}
	return n, err
}
