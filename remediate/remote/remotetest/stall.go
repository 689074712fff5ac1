package remotetest

import (
	"bytes"
	"io"
	"net"
	"time"
)

// Stall is a way in which a server takes a connection and never comes to an end with it.
type Stall int

// The ways.
const (
	NoStall         Stall = iota
	DripLines             // lines before the version, byte by byte
	EndlessLines          // lines before the version, as fast as they go
	EndlessLine           // a version line without an end
	NoKeyExchange         // the version, and nothing after it
	DripKeyExchange       // the version, and everything after it byte by byte
)

// drip is how long a server that drips takes for a byte.
const drip = 50 * time.Millisecond

// stalls speaks to conn in the server's way, and reports whether that was all.
func (s *Server) stalls(conn net.Conn) (net.Conn, bool) {
	lines := bytes.Repeat([]byte("please wait, a machine will be with you\r\n"), 100)
	switch s.Stall {
	case NoStall:
		return conn, false
	case DripKeyExchange:
		return &dripping{Conn: conn, stop: s.stop, free: len(s.config().ServerVersion + "\r\n")}, false
	case DripLines:
		conn = &dripping{Conn: conn, stop: s.stop}
	case EndlessLine:
		lines = bytes.Repeat([]byte("SSH-2.0-long "), 100)
	case NoKeyExchange:
		io.WriteString(conn, s.config().ServerVersion+"\r\n")
		io.Copy(io.Discard, conn)
		return conn, true
	}
	go io.Copy(io.Discard, conn)
	for {
		if _, err := conn.Write(lines); err != nil {
			return conn, true
		}
	}
}

// dripping is a connection on which what is written goes out byte by byte, once so many free bytes have gone.
type dripping struct {
	net.Conn
	stop chan struct{}
	free int
}

func (d *dripping) Write(p []byte) (int, error) {
	for i := range p {
		if d.free--; d.free < 0 {
			select {
			case <-time.After(drip):
			case <-d.stop:
				return i, io.ErrClosedPipe
			}
		}
		if _, err := d.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}
