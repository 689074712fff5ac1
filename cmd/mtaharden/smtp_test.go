package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"
)

// mailServer is an SMTP server of a test, and how it behaves:
//
//	open     takes every recipient
//	relay    takes every recipient but those of domains that exist nowhere
//	closed   takes recipients of its own domain alone
//	syntax   finds fault with the writing of every foreign recipient
//	dead     refuses service in its banner
//	evil     is closed, with escape sequences in all that it says
//	silent   takes connections and says nothing
//	hangs    is silent on its first connection and closed afterwards
//	hangup   closes each connection at once
type mailServer struct {
	kind, name string
	log        func(string)
	mu         sync.Mutex
	count      int
}

func (s *mailServer) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.count++
		n := s.count
		s.mu.Unlock()
		s.log("connect")
		go func() {
			defer c.Close()
			c.SetDeadline(time.Now().Add(5 * time.Minute))
			s.talk(c, n)
		}()
	}
}

func (s *mailServer) talk(c net.Conn, n int) {
	banner := "220 " + s.name + " ESMTP"
	switch {
	case s.kind == "silent", s.kind == "hangs" && n == 1:
		io.Copy(io.Discard, c)
		return
	case s.kind == "hangup":
		return
	case s.kind == "dead":
		banner = "554 no service for you"
	case s.kind == "evil":
		banner += " \x1b[31m\x9b2J\u202e"
	}
	io.WriteString(c, banner+"\r\n")
	in := bufio.NewScanner(c)
	for in.Scan() {
		s.log(in.Text())
		reply := s.reply(in.Text())
		if s.kind == "evil" {
			reply += " \x1b]0;owned\x07"
		}
		io.WriteString(c, reply+"\r\n")
		if strings.HasPrefix(reply, "354") {
			for in.Scan() && in.Text() != "." {
				s.log(in.Text())
			}
			io.WriteString(c, "250 2.0.0 queued\r\n")
		}
		if strings.HasPrefix(reply, "221") {
			return
		}
	}
}

func (s *mailServer) reply(line string) string {
	verb, rest, _ := strings.Cut(strings.ToUpper(line), " ")
	switch verb {
	case "EHLO":
		return "250-" + s.name + " at your service\r\n250-SIZE 1000\r\n250 8BITMIME"
	case "HELO", "RSET", "NOOP", "MAIL":
		return "250 2.0.0 ok"
	case "RCPT":
		return s.recipient(rest)
	case "DATA":
		return "354 go on"
	case "QUIT":
		return "221 2.0.0 bye"
	case "VRFY":
		return "252 2.0.0 perhaps"
	}
	return "502 5.5.1 no such command"
}

func (s *mailServer) recipient(rcpt string) string {
	rcpt = strings.TrimPrefix(rcpt, "TO:")
	own := strings.Contains(rcpt, "@"+strings.ToUpper(s.name)+">") && !strings.ContainsAny(rcpt, "%!:\"") || !strings.Contains(rcpt, "@")
	own = own && strings.Contains(rcpt, "POSTMASTER")
	switch {
	case own, s.kind == "open", s.kind == "relay" && !strings.Contains(rcpt, ".INVALID") && !strings.Contains(rcpt, "<MTH"):
		return "250 2.1.5 ok"
	case s.kind == "syntax":
		return "501 5.1.3 Bad recipient address syntax"
	}
	return "554 5.7.1 Relay access denied"
}

// listenMail starts a server on an address, until the test ends.
func listenMail(addr string, s *mailServer, cleanup func(func()), fail func(string, ...any)) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fail("cannot listen on %s: %v", addr, err)
	}
	cleanup(func() { l.Close() })
	go s.serve(l)
}

// startMail starts a server on a free port of loopback.
func startMail(t *testing.T, kind string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go (&mailServer{kind: kind, name: "mx.example.edu", log: func(string) {}}).serve(l)
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// serveMail is the script command `smtp ADDR:PORT KIND`: a mail server until the script ends. What it hears is appended to $WORK/ADDR:PORT.log.
func serveMail(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: smtp ADDR:PORT KIND")
	}
	file := ts.MkAbs(args[0] + ".log")
	var mu sync.Mutex
	log := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		if f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
			fmt.Fprintln(f, line)
			f.Close()
		}
	}
	log("listening")
	listenMail(args[0], &mailServer{kind: args[1], name: "mx.example.edu", log: log}, ts.Defer, ts.Fatalf)
}

// serveProxy is the script command `httpproxy ADDR:PORT`: an HTTP proxy that passes on everything.
func serveProxy(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", args[0])
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go passOn(c)
		}
	}()
}

func passOn(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	if first, err := r.Peek(1); err != nil || first[0] < 'A' {
		return // it is no SOCKS proxy
	}
	line, err := r.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "CONNECT ") {
		io.WriteString(c, "HTTP/1.1 405 Method Not Allowed\r\n\r\n")
		return
	}
	for more := line; strings.TrimSpace(more) != "" && err == nil; {
		more, err = r.ReadString('\n')
	}
	to, err := net.Dial("tcp", strings.Fields(line)[1])
	if err != nil {
		io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer to.Close()
	io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	go io.Copy(to, r)
	io.Copy(c, to)
}

// serveNames is the script command `dns ADDR:PORT NAME=ADDRESS…`: a DNS server that knows these names.
func serveNames(ts *testscript.TestScript, neg bool, args []string) {
	known := map[string]net.IP{}
	for _, a := range args[1:] {
		name, addr, _ := strings.Cut(a, "=")
		known[dns.Fqdn(name)] = net.ParseIP(addr)
	}
	pc, err := net.ListenPacket("udp", args[0])
	ts.Check(err)
	s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		name, kind := q.Question[0].Name, q.Question[0].Qtype
		ip, ok := known[strings.ToLower(name)]
		head := dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: 1}
		switch {
		case !ok:
			m.Rcode = dns.RcodeNameError
		case kind == dns.TypeA && ip.To4() != nil:
			m.Answer = append(m.Answer, &dns.A{Hdr: head, A: ip})
		case kind == dns.TypeTXT:
			m.Answer = append(m.Answer, &dns.TXT{Hdr: head, Txt: []string{"because\x1b[31m"}})
		}
		w.WriteMsg(m)
	})}
	go s.ActivateAndServe()
	ts.Defer(func() { pc.Close() })
}

// await is the script command `await FILE TEXT`: it waits until the file holds the text.
func await(ts *testscript.TestScript, neg bool, args []string) {
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if data, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && strings.Contains(string(data), args[1]) {
			return
		}
	}
	ts.Fatalf("%s does not hold %q", filepath.Base(args[0]), args[1])
}
