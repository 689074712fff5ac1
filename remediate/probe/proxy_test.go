package probe

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/judge"
)

// serve answers every connection to a port of loopback with handle, until the test ends.
func serve(t *testing.T, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Minute))
				handle(c)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// says greets like a mail server, and takes leave.
func says(greeting string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, greeting)
		bufio.NewReader(c).ReadString('\n')
		io.WriteString(c, "221 bye\r\n")
	}
}

// through joins two connections until either ends.
func through(a net.Conn, r io.Reader, to string) {
	b, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer b.Close()
	go func() {
		io.Copy(b, r)
		b.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(a, b)
}

// httpProxy is a proxy for CONNECT, and for GET and POST of what is no web server.
func httpProxy(c net.Conn) {
	r := bufio.NewReader(c)
	if first, err := r.Peek(1); err != nil || first[0] < 'A' {
		return
	}
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	if req.Method == http.MethodConnect {
		io.WriteString(c, "HTTP/1.0 200 Connection Established\r\nProxy-agent: old\r\n\r\n")
		through(c, r, req.Host)
		return
	}
	io.WriteString(c, "HTTP/1.1 200 Gatewaying\r\nContent-Type: text/plain\r\n\r\n")
	through(c, strings.NewReader(req.Method+" / HTTP/1.0\r\n\r\nQUIT\r\n"), req.Host)
}

// socksProxy is a proxy for SOCKS 4, 4a and 5 that lets anybody in.
func socksProxy(c net.Conn) {
	r := bufio.NewReader(c)
	version, _ := r.ReadByte()
	if version > 5 {
		r.Discard(r.Buffered()) // all that was sent is taken, so that it is no reset
		return
	}
	if version == 4 {
		b := make([]byte, 7)
		io.ReadFull(r, b)
		r.ReadString(0)
		host := net.IP(b[3:7]).String()
		if b[3] == 0 {
			host, _ = r.ReadString(0)
			host = strings.TrimRight(host, "\x00")
		}
		c.Write([]byte{0, 90, 0, 0, 0, 0, 0, 0})
		through(c, r, net.JoinHostPort(host, portOf(b[1:3])))
		return
	}
	n, _ := r.ReadByte()
	io.ReadFull(r, make([]byte, n))
	c.Write([]byte{5, 0})
	head := make([]byte, 4)
	io.ReadFull(r, head)
	var host string
	switch head[3] {
	case 1, 4:
		b := make([]byte, map[byte]int{1: 4, 4: 16}[head[3]])
		io.ReadFull(r, b)
		host = net.IP(b).String()
	case 3:
		n, _ := r.ReadByte()
		b := make([]byte, n)
		io.ReadFull(r, b)
		host = string(b)
	}
	port := make([]byte, 2)
	io.ReadFull(r, port)
	c.Write([]byte{5, 0, 0, 3, 3, 'a', 'b', 'c', 0, 9})
	through(c, r, net.JoinHostPort(host, portOf(port)))
}

func portOf(b []byte) string {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{}), uint16(b[0])<<8|uint16(b[1])).String()[len("0.0.0.0:"):]
}

// answer is a port that gives the same answer to whatever comes.
func answer(text string) func(net.Conn) {
	return func(c net.Conn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, text)
	}
}

// closes hangs up once something has come.
func closes(c net.Conn) { c.Read(make([]byte, 4096)) }

// TestProxy: what is an open proxy, what is none, and of what it cannot be told.
func TestProxy(t *testing.T) {
	sink := serve(t, says("220-sink.example.com\r\n220 ready\r\n")).String()
	other := serve(t, says("554 no service for you\r\n")).String()
	none := "127.0.0.1:1"
	for _, c := range []struct {
		name   string
		handle func(net.Conn)
		sinks  []string
		open   string // the kinds that are open
		text   string // of the answer to CONNECT
	}{
		{"HTTP", httpProxy, []string{sink}, "connect post get", "a mail server greets through it"},
		{"SOCKS", socksProxy, []string{sink}, "socks5 socks4 socks4a", ""},
		{"the second sink", httpProxy, []string{none, sink}, "connect post get", "no greeting came through it"},
		{"a sink that refuses", httpProxy, []string{other}, "", "the mail server behind it refuses service"},
		{"no sink", httpProxy, []string{none}, "", "no greeting came through it: the server closed"},
		{"a web server that grants all", answer("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"), []string{sink}, "", "no mail server's greeting but \"<html>\""},
		{"a page that speaks of 220", answer("HTTP/1.1 200 OK\r\n\r\n<p>\r\n220 sink.example.com\r\n"), []string{sink}, "", "no mail server's greeting"},
		{"forbidden", answer("HTTP/1.1 403 Forbidden\r\n\r\n220 sink\r\n"), []string{sink}, "", "it refuses"},
		{"login", answer("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), []string{sink}, "", "it wants a login"},
		{"gateway", answer("HTTP/1.1 503 Service Unavailable\r\n\r\n"), []string{sink}, "", "would pass this on"},
		{"a mail server", func(c net.Conn) { io.WriteString(c, "220 mx.example.com ESMTP\r\n"); closes(c) }, []string{sink}, "", "a mail server itself listens here"},
		{"TLS", answer("\x15\x03\x01\x00\x02\x02\x46\r\n"), []string{sink}, "", "it speaks TLS"},
		{"SSH", answer("SSH-2.0-x\r\n"), []string{sink}, "", "an SSH server listens here"},
		{"endless interim answers", answer(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 50)), []string{sink}, "", "one interim status after the other"},
		{"an endless header", answer("HTTP/1.1 200 OK\r\n" + strings.Repeat("a: b\r\n", 300)), []string{sink}, "", "more than 100 lines"},
		{"an endless line", answer("HTTP/1.1 200 " + strings.Repeat("x", 200000)), []string{sink}, "", "a line of more than"},
		{"nothing", closes, []string{sink}, "", "closed the connection"},
		{"SOCKS with a login", answer("\x05\xff"), []string{sink}, "", ""},
		{"SOCKS that refuses", func(c net.Conn) {
			c.Read(make([]byte, 3))
			c.Write([]byte{5, 0})
			c.Read(make([]byte, 100))
			c.Write([]byte{5, 2, 0, 1, 0, 0, 0, 0, 0, 0})
		}, []string{sink}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := AskProxy(t.Context(), serve(t, c.handle), ProxyConfig{Dial: new(net.Dialer).DialContext, Sinks: c.sinks, Timeout: 30 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			open := map[ProxyKind]bool{}
			for _, a := range got {
				if a.Outcome == judge.Relayed {
					open[a.Kind] = true
					if !strings.HasPrefix(a.Banner, "220") {
						t.Errorf("%s: open without a greeting: %+v", a.Kind, a)
					}
				}
				if a.Outcome == "" || a.Text == "" {
					t.Errorf("%s: no outcome: %+v", a.Kind, a)
				}
			}
			for _, kind := range proxyKinds() {
				if want := strings.Contains(" "+c.open+" ", " "+string(kind)+" "); open[kind] != want {
					t.Errorf("%s is open: %t, want %t: %+v", kind, open[kind], want, got)
				}
			}
			if got[0].Kind != HTTPConnect || !strings.Contains(got[0].Text, c.text) {
				t.Errorf("CONNECT: %q, want %q", got[0].Text, c.text)
			}
		})
	}
}

// TestProxySilent: a port that says nothing is left when the time is out, and is told from a refusal.
func TestProxySilent(t *testing.T) {
	t.Parallel()
	at := serve(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	got, err := AskProxy(t.Context(), at, ProxyConfig{Dial: new(net.Dialer).DialContext, Sinks: []string{"192.0.2.1:25"}, Timeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range got {
		if a.Outcome != judge.CannotTell || !strings.Contains(a.Text, "no reply within") {
			t.Errorf("%s: %s: %s", a.Kind, a.Outcome, a.Text)
		}
	}
	if _, err := AskProxy(t.Context(), netip.MustParseAddrPort("127.0.0.1:1"), ProxyConfig{Dial: new(net.Dialer).DialContext, Sinks: []string{"192.0.2.1:25"}}); err == nil {
		t.Error("a closed port is no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := AskProxy(ctx, at, ProxyConfig{Dial: new(net.Dialer).DialContext, Sinks: []string{"192.0.2.1:25"}}); err == nil {
		t.Error("an interrupted question is no error")
	}
}

// FuzzHTTPReply: whatever a port says, reading it ends, takes no more than is there, and a status is one.
func FuzzHTTPReply(f *testing.F) {
	for _, seed := range []string{"HTTP/1.0 200 Connection established\r\n\r\n220 x\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403\r\n\r\n", "220 x\r\n", "HTTP/1.1  200 OK\n\n", "HTTP/9"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code, line, err := readHTTPReply(bufio.NewReader(strings.NewReader(text)))
		if err == nil && (code < 200 || code > 599 || !strings.HasPrefix(line, "HTTP/")) {
			t.Fatalf("%q is read as %d %q", text, code, line)
		}
		a := ProxyAnswer{Kind: HTTPConnect, Sink: "192.0.2.1:25"}
		a.http(io.Discard, bufio.NewReader(strings.NewReader(text)))
		if a.Outcome == judge.Relayed && (!strings.HasPrefix(text, "HTTP/") || !strings.Contains(text, "\n220")) {
			t.Fatalf("%q is taken for an open proxy", text)
		}
	})
}

// FuzzSOCKSReply: the same for SOCKS; nothing is granted but by its byte.
func FuzzSOCKSReply(f *testing.F) {
	for _, seed := range []string{"\x00\x5a\x00\x00\x00\x00\x00\x00220 x\r\n", "\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00220 x\r\n", "\x05\xff", "HTTP/1.1 400\r\n", "\x05\x00\x05\x02", "\x05\x00\x05\x00\x00\x03\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []ProxyKind{SOCKS4, SOCKS4a, SOCKS5} {
			a := ProxyAnswer{Kind: kind, Sink: "192.0.2.1:25"}
			r := bufio.NewReader(strings.NewReader(text))
			if kind == SOCKS5 {
				a.socks5(io.Discard, r, "192.0.2.1", 25)
			} else {
				a.socks4(io.Discard, r, "192.0.2.1", 25)
			}
			granted := kind == SOCKS5 && strings.HasPrefix(text, "\x05\x00\x05\x00") || kind != SOCKS5 && strings.HasPrefix(text, "\x00\x5a")
			if a.Outcome == "" || a.Outcome == judge.Relayed && (!granted || !strings.Contains(text, "220")) {
				t.Fatalf("%s: %q is %+v", kind, text, a)
			}
		}
	})
}
