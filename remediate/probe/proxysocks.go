package probe

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
)

// socks4 asks by SOCKS 4 or 4a. In 4a the address 0.0.0.1 says that a name follows the (empty) user.
func (a *ProxyAnswer) socks4(w io.Writer, r *bufio.Reader, host string, port uint16) {
	say := binary.BigEndian.AppendUint16([]byte{4, 1}, port)
	if a.Kind == SOCKS4a {
		say = append(append(say, 0, 0, 0, 1, 0), append([]byte(host), 0)...)
	} else {
		addr, err := netip.ParseAddr(host)
		if err != nil {
			a.unsure("not asked: %v", err)
			return
		}
		v4 := addr.Unmap().As4()
		say = append(append(say, v4[:]...), 0)
	}
	if _, err := w.Write(say); err != nil {
		a.unsure("the request could not be sent: %s", plainError(err, a.limit))
		return
	}
	code, err := readSOCKS4(r)
	if a.strange(err) {
		return
	}
	a.Reply = fmt.Sprintf("SOCKS4 %d", code)
	switch code {
	case 90:
		a.tunnel(w, r)
	case 91:
		a.unsure("it refuses, or reached nothing there: SOCKS 4 does not tell")
	default:
		a.refused(false, "it wants to know the user (identd)")
	}
}

// strange takes care of an answer that is not this protocol's, and of none.
func (a *ProxyAnswer) strange(err error) bool {
	var no notSOCKS
	switch {
	case err == nil:
		return false
	case errors.As(err, &no):
		a.Reply = string(no)
		a.refused(true, "it does not speak %s", map[ProxyKind]string{SOCKS4: "SOCKS 4", SOCKS4a: "SOCKS 4a", SOCKS5: "SOCKS 5"}[a.Kind])
	case errors.Is(err, os.ErrDeadlineExceeded): // a server of another protocol waits for more; a proxy may be waiting for the sink
		a.unsure("no answer of SOCKS: %s", plainError(err, a.limit))
		a.silent, a.cut = true, a.Kind == SOCKS5
	default:
		a.refused(true, "no answer of SOCKS: %s", plainError(err, a.limit))
	}
	return true
}

// notSOCKS is the beginning of an answer that is none of SOCKS.
type notSOCKS string

func (n notSOCKS) Error() string { return string(n) }

// readSOCKS4 reads the eight bytes of an answer: 90 is granted, 91 to 93 are not.
func readSOCKS4(r *bufio.Reader) (byte, error) {
	b, err := r.Peek(2)
	if len(b) > 0 && b[0] != 0 || len(b) > 1 && (b[1] < 90 || b[1] > 93) {
		return 0, notSOCKS(beginning(r))
	}
	if err != nil {
		return 0, err
	}
	var reply [8]byte
	_, err = io.ReadFull(r, reply[:])
	return reply[1], err
}

// beginning is what has come of a strange answer's first line.
func beginning(r *bufio.Reader) string {
	b, _ := r.Peek(min(r.Buffered(), 60))
	for i, c := range b {
		if c == '\r' || c == '\n' {
			return string(b[:i])
		}
	}
	return string(b)
}

func (a *ProxyAnswer) socks5(w io.Writer, r *bufio.Reader, host string, port uint16) {
	if _, err := w.Write([]byte{5, 1, 0}); err != nil { // one way to log in: none
		a.unsure("the request could not be sent: %s", plainError(err, a.limit))
		return
	}
	method, err := readSOCKS5Method(r)
	if a.strange(err) {
		return
	}
	if method != 0 {
		a.Reply = fmt.Sprintf("SOCKS5 method %d", method)
		a.refused(true, "it wants a login")
		return
	}
	if _, err := w.Write(socks5Request(host, port)); err != nil {
		a.unsure("the request could not be sent: %s", plainError(err, a.limit))
		return
	}
	code, err := readSOCKS5Reply(r)
	if err != nil {
		a.unsure("it lets anybody in, and its answer is not whole: %s", plainError(err, a.limit))
		return
	}
	a.Reply = fmt.Sprintf("SOCKS5 %d", code)
	switch code {
	case 0:
		a.tunnel(w, r)
	case 2, 7, 8:
		a.refused(false, "it refuses: %s", socks5Reason(code))
	default:
		a.unsure("it would pass this on, and did not get there: %s", socks5Reason(code))
	}
}

// socks5Request is a CONNECT (RFC 1928, 4). A name longer than 255 bytes cannot be said: it is cut, and leads nowhere.
func socks5Request(host string, port uint16) []byte {
	out := []byte{5, 1, 0}
	if addr, err := netip.ParseAddr(host); err != nil {
		host = host[:min(len(host), 255)]
		out = append(append(out, 3, byte(len(host))), host...)
	} else if addr = addr.Unmap(); addr.Is4() {
		out = append(append(out, 1), addr.AsSlice()...)
	} else {
		out = append(append(out, 4), addr.AsSlice()...)
	}
	return binary.BigEndian.AppendUint16(out, port)
}

// socks5Reason is the meaning of an answer's code (RFC 1928, 6).
func socks5Reason(code byte) string {
	words := []string{"", "general failure", "not allowed by its rules", "network unreachable", "host unreachable", "connection refused", "TTL expired",
		"command not supported", "address type not supported"}
	if int(code) < len(words) {
		return words[code]
	}
	return fmt.Sprintf("code %d", code)
}

// readSOCKS5Method reads the way of logging in that the proxy chose: 0 is none, 255 that none suits it.
func readSOCKS5Method(r *bufio.Reader) (byte, error) {
	b, err := r.Peek(2)
	if len(b) > 0 && b[0] != 5 {
		return 0, notSOCKS(beginning(r))
	}
	if err != nil {
		return 0, err
	}
	r.Discard(2)
	return b[1], nil
}

// readSOCKS5Reply reads the answer to a CONNECT with the address bound, which is of no use here.
func readSOCKS5Reply(r *bufio.Reader) (byte, error) {
	var head [4]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		if n >= 2 && head[0] == 5 && head[1] != 0 {
			return head[1], nil // a failure that is not told to the end
		}
		return 0, err
	}
	length := 0
	switch head[3] {
	case 1:
		length = 4
	case 4:
		length = 16
	case 3:
		n, err := r.ReadByte()
		if err != nil && head[1] == 0 {
			return 0, err
		}
		length = int(n)
	}
	if head[0] != 5 {
		return 0, notSOCKS("an answer of SOCKS " + fmt.Sprint(head[0]))
	}
	if _, err := r.Discard(length + 2); err != nil && head[1] == 0 {
		return 0, err
	}
	return head[1], nil
}
