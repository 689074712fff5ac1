package probe

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// server is a scripted SMTP server. Its script, a line each:
//
//	wait DURATION             a pause before the banner; who talks in it gets "554 early" and is left
//	banner REPLY              default "220 mx.example ESMTP"
//	errors N REPLY            after N replies of 4yz or 5yz REPLY is sent and the connection closed
//	turns N REPLY             after N replies of 4yz or 5yz every RCPT gets REPLY
//	slows N DURATION          after N replies of 4yz or 5yz each reply comes so late
//	connections N REPLY       the (N+1)th and later connections get REPLY for a banner
//	header                    a PROXY header is waited for first
//	header2                   one of version 2 alone: what is no such header gets silence
//	> REGEXP [ | REGEXP]      (or >tls, >plain: in that state alone) what is said next answers commands that fit the first, where the last greeting and MAIL, put together, hold the second
//	< REPLY LINE
//	< !close, !stall, !tls, !text "quoted Go string"
//
// In a reply mthTOKEN stands for the made-up account of the command.
// The first fitting block answers; without one it is 500.
type server struct {
	wait        time.Duration
	banner      string
	errors      int
	errorReply  string
	turns       int
	turnReply   string
	slows       int
	lateness    time.Duration
	limit       int
	limitReply  string
	header      bool   // "header": it waits for a PROXY header first
	binary      bool   // "header2": it waits for one of version 2, and says nothing before
	wants       string // "wants": what it refuses whoever sends none with
	blocks      []block
	certificate tls.Certificate
	implicit    bool // TLS from the first byte
	fault       func(n int) string
	hello       func(*tls.ClientHelloInfo) // sees what is offered before it is answered

	open        sync.WaitGroup
	mu          sync.Mutex
	connections int
	replies     int
	early       int
	commands    []string
	messages    []string
}

type block struct {
	when          string // "", or in which state alone: tls, plain
	command, mail *regexp.Regexp
	lines         []string
}

func parseServer(t testing.TB, script string) *server {
	t.Helper()
	s := &server{banner: "220 mx.example ESMTP", certificate: testCertificate(t)}
	for i, line := range strings.Split(script, "\n") {
		word, rest, _ := strings.Cut(line, " ")
		var err error
		switch word {
		case "", "#":
		case "wait":
			s.wait, err = time.ParseDuration(rest)
		case "banner":
			s.banner = rest
		case "header":
			s.header = true
		case "header2":
			s.binary = true
		case "wants": // as Exim does: who sends no header within three seconds is greeted, and refused whatever he says
			s.wants = rest
		case "errors", "connections", "turns", "slows":
			count, reply, _ := strings.Cut(rest, " ")
			var n int
			n, err = strconv.Atoi(count)
			switch word {
			case "errors":
				s.errors, s.errorReply = n, reply
			case "connections":
				s.limit, s.limitReply = n, reply
			case "turns":
				s.turns, s.turnReply = n, reply
			default:
				s.slows = n
				s.lateness, err = time.ParseDuration(reply)
			}
		case ">", ">tls", ">plain":
			command, mail, _ := strings.Cut(rest, " | ")
			b := block{when: strings.TrimPrefix(word, ">"), command: regexp.MustCompile("(?i)^(?:" + command + ")$")}
			if mail != "" {
				b.mail = regexp.MustCompile("(?i)" + mail)
			}
			s.blocks = append(s.blocks, b)
		case "<":
			if len(s.blocks) == 0 {
				t.Fatalf("script line %d: a reply without a command", i+1)
			}
			b := &s.blocks[len(s.blocks)-1]
			b.lines = append(b.lines, rest)
		default:
			err = errors.New("unknown word " + word)
		}
		if err != nil {
			t.Fatalf("script line %d: %v", i+1, err)
		}
	}
	return s
}

func testCertificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.example"}, DNSNames: []string{"mx.example"},
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// dial is a Dial to the server, over a pipe.
func (s *server) dial(_ context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	s.mu.Lock()
	s.connections++
	n := s.connections
	s.mu.Unlock()
	s.open.Go(func() {
		defer far.Close()
		s.serve(far, n)
	})
	return near, nil
}

// peer is one connection of the server.
type peer struct {
	s    *server
	conn net.Conn
	r    *bufio.Reader
	helo string
	mail string
	bad  int

	secure  bool
	unnamed bool // it sent no header where one is wanted
}

func (s *server) serve(conn net.Conn, n int) {
	p := &peer{s: s, conn: conn, r: bufio.NewReader(conn)}
	if s.implicit && !p.tls() {
		return
	}
	if s.header {
		if line, err := p.r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "PROXY TCP") {
			return
		}
	}
	if s.binary && !p.told() {
		return
	}
	if s.wants != "" && !p.named() {
		return
	}
	if s.wait > 0 && !p.quiet(s.wait) {
		return
	}
	banner := s.banner
	if s.limit > 0 && n > s.limit {
		banner = s.limitReply
	}
	if !p.reply(banner) {
		return
	}
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			return
		}
		if !p.answer(strings.TrimRight(line, "\r\n")) {
			return
		}
	}
}

// told reads a PROXY header of version 2 with IPv4 addresses. Without one it stays silent until the client has left.
func (p *peer) told() bool {
	h := make([]byte, 28)
	if _, err := io.ReadFull(p.r, h); err != nil {
		return false
	}
	if string(h[:16]) != "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" || !slices.Equal(h[20:24], []byte{192, 0, 2, 1}) || h[26] != 0 || h[27] != 25 {
		io.Copy(io.Discard, p.conn)
		return false
	}
	return true
}

// named waits for a PROXY header of version 1 for three seconds. Who sends none stays unnamed.
func (p *peer) named() bool {
	p.conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	_, err := p.r.Peek(1)
	p.conn.SetReadDeadline(time.Time{})
	if p.unnamed = err != nil; p.unnamed {
		var late net.Error
		return errors.As(err, &late) && late.Timeout()
	}
	line, err := p.r.ReadString('\n')
	return err == nil && strings.HasPrefix(line, "PROXY TCP4 198.51.100.7 192.0.2.1 ") || strings.HasPrefix(line, "PROXY TCP4 127.0.0.1 192.0.2.1 ")
}

// quiet waits, and says whether the client did too.
func (p *peer) quiet(d time.Duration) bool {
	p.conn.SetReadDeadline(time.Now().Add(d))
	_, err := p.r.Peek(1)
	p.conn.SetReadDeadline(time.Time{})
	if err != nil {
		var late net.Error
		return errors.As(err, &late) && late.Timeout()
	}
	p.s.mu.Lock()
	p.s.early++
	p.s.mu.Unlock()
	p.reply("554 early")
	return false
}

func (p *peer) answer(command string) bool {
	p.s.mu.Lock()
	p.s.commands = append(p.s.commands, command)
	p.s.mu.Unlock()
	if strings.HasPrefix(strings.ToUpper(command), "MAIL") {
		p.mail = command
	}
	if strings.HasPrefix(strings.ToUpper(command), "EHLO") || strings.HasPrefix(strings.ToUpper(command), "HELO") {
		p.helo, p.mail = command, ""
	}
	if p.unnamed {
		return p.reply(p.s.wants)
	}
	if p.s.errors > 0 && p.bad >= p.s.errors {
		p.reply(p.s.errorReply)
		return false
	}
	if p.s.slows > 0 && p.bad >= p.s.slows {
		time.Sleep(p.s.lateness)
	}
	if p.s.turns > 0 && p.bad >= p.s.turns && strings.HasPrefix(strings.ToUpper(command), "RCPT") {
		return p.reply(p.s.turnReply)
	}
	for _, b := range p.s.blocks {
		if (b.when == "" || (b.when == "tls") == p.secure) && b.command.MatchString(command) && (b.mail == nil || b.mail.MatchString(p.helo+" "+p.mail)) {
			if strings.HasPrefix(b.lines[0], "235") {
				p.helo += " (logged in)"
			}
			lines := slices.Clone(b.lines)
			for i := range lines {
				lines[i] = strings.ReplaceAll(lines[i], "mthTOKEN", tokens.FindString(command))
			}
			return p.reply(lines...)
		}
	}
	switch strings.ToUpper(command) {
	case "QUIT":
		p.reply("221 bye")
		return false
	case "RSET":
		return p.reply("250 reset")
	}
	return p.reply("500 unrecognized command")
}

// reply sends lines and does what the words with "!" say.
func (p *peer) reply(lines ...string) bool {
	p.s.mu.Lock()
	n := p.s.replies
	p.s.replies++
	p.s.mu.Unlock()
	if p.s.fault != nil {
		if what := p.s.fault(n); what != "" {
			lines = []string{what}
		}
	}
	for _, line := range lines {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "!close":
			return false
		case "!stall":
			io.Copy(io.Discard, p.conn)
			return false
		case "!tls":
			if !p.tls() {
				return false
			}
		case "!text":
			text, err := strconv.Unquote(rest)
			if err != nil {
				panic(err)
			}
			if _, err := io.WriteString(p.conn, text); err != nil {
				return false
			}
		case "!drip":
			for range 1000 {
				if _, err := io.WriteString(p.conn, "2"); err != nil {
					return false
				}
				time.Sleep(7 * time.Second)
			}
		case "!endless":
			for {
				if _, err := io.WriteString(p.conn, "250-more\r\n"); err != nil {
					return false
				}
			}
		default:
			if line[0] == '4' || line[0] == '5' {
				p.bad++
			}
			if _, err := io.WriteString(p.conn, line+"\r\n"); err != nil {
				return false
			}
			if strings.HasPrefix(line, "354") {
				return p.message()
			}
		}
	}
	return true
}

// message reads a message up to its dot.
func (p *peer) message() bool {
	var b strings.Builder
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		b.WriteString(line)
	}
	p.s.mu.Lock()
	p.s.messages = append(p.s.messages, b.String())
	p.s.mu.Unlock()
	return p.answer("(message)")
}

func (p *peer) tls() bool {
	conn := tls.Server(p.conn, &tls.Config{Certificates: []tls.Certificate{p.s.certificate}, MinVersion: tls.VersionTLS11,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if p.s.hello != nil {
				p.s.hello(hello)
			}
			return nil, nil
		}})
	if err := conn.Handshake(); err != nil {
		return false
	}
	p.conn, p.r, p.secure = conn, bufio.NewReader(conn), true
	return true
}

// summary is a report in lines, without what changes from run to run.
func summary(r *Report, s *server) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("banner %q after %v", r.Banner, r.Greeting)
	if r.Err != nil {
		line("error %v", r.Err)
	}
	if r.Dead != "" {
		line("dead %s", r.Dead)
	}
	line("product %q version %q", r.Product, r.Version)
	line("plain %q %q", r.Plain.Greeting, r.Plain.Extensions)
	line("secure %q %q", r.Secure.Greeting, r.Secure.Extensions)
	if t := r.TLS; t != nil {
		line("tls %s %s names %s error %q verify %v", t.Version, t.Versions, t.Names, t.Error, t.VerifyError != "")
	}
	for _, n := range r.Notes {
		line("note %s", n)
	}
	for _, v := range r.Services {
		line("%s%s %s: %s", v.Verb, underTLS(v.TLS), v.Outcome, v.Text)
	}
	for _, c := range r.Cases {
		line("%s <%s> <%s>%s %s: %s", c.Form, c.Sender, c.Recipient, underTLS(c.TLS), c.Verdict, c.Why)
	}
	for _, a := range r.Answers {
		line("= %s %s%s %s", a.Question.Verb, a.Question.Form, underTLS(a.Question.TLS), a.Outcome)
	}
	line("connections %d, early %d, messages %d", s.connections, s.early, len(s.messages))
	return tokens.ReplaceAllString(b.String(), "mthTOKEN")
}

var tokens = regexp.MustCompile(`mth[0-9a-f]{12}`)

func underTLS(yes bool) string {
	if yes {
		return " (TLS)"
	}
	return ""
}
