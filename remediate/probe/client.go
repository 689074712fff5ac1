package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// client is one connection to a mail server. It speaks SMTP itself: the libraries for clients build their commands from parsed addresses and
// keep replies to themselves, and net/textproto reads lines of any length, while here addresses are sent as they stand, each reply is
// evidence, and the server may be anything.
type client struct {
	conn    net.Conn
	r       *bufio.Reader
	timeout time.Duration
	log     []Exchange
	session Session
	early   []string // commands that were sent and whose replies were not awaited yet
	secure  *tls.ConnectionState
	used    int  // transactions so far
	met     bool // the server has said something
	stop    func() bool
	over    atomic.Bool // the time for the listener is out, and the connection was closed for that
}

// errTurn is a server that goes on talking where it was this side's turn: replies can no longer be told apart.
var errTurn = errors.New("the server talks out of turn")

// connect opens a connection and puts it under ctx.
func connect(ctx context.Context, dial Dial, addr netip.AddrPort, timeout time.Duration) (*client, error) {
	dialCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := dial(dialCtx, "tcp", addr.String())
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, r: bufio.NewReader(conn), timeout: timeout}
	c.stop = context.AfterFunc(ctx, func() {
		c.over.Store(true)
		conn.Close()
	})
	return c, nil
}

func (c *client) close() {
	c.stop()
	c.conn.Close()
}

// quit takes leave as RFC 5321 asks, without waiting long for the answer; of a server that never greeted, without a word.
func (c *client) quit() {
	if !c.met {
		c.close()
		return
	}
	c.conn.SetDeadline(time.Now().Add(min(c.timeout, 5*time.Second)))
	if c.r.Buffered() == 0 {
		if _, err := io.WriteString(c.conn, "QUIT\r\n"); err == nil {
			// Exim (4.96) holds its answer back for 200 ms, unless this side says that nothing more comes.
			if half, ok := c.conn.(interface{ CloseWrite() error }); ok {
				half.CloseWrite()
			}
			readReply(c.r)
		}
	}
	c.close()
}

// from is the address that the connection comes from, where it tells.
func (c *client) from() (netip.Addr, bool) {
	a, ok := c.conn.LocalAddr().(*net.TCPAddr)
	if !ok || !a.AddrPort().Addr().IsValid() || a.AddrPort().Addr().IsUnspecified() {
		return netip.Addr{}, false
	}
	return a.AddrPort().Addr().Unmap().WithZone(""), true
}

// greet waits for the banner.
func (c *client) greet() (Reply, error) { return c.await("") }

// ahead sends commands that will be said next, in one write (RFC 2920). Where that fails, the first of them will.
func (c *client) ahead(commands []string) {
	if c.r.Buffered() > 0 || len(c.early) > 0 {
		return // say finds out
	}
	c.conn.SetDeadline(time.Now().Add(c.timeout))
	if _, err := io.WriteString(c.conn, strings.Join(commands, "\r\n")+"\r\n"); err == nil {
		c.early = commands
	}
}

// say sends a command, unless it was sent ahead, and waits for its reply. Nothing is sent while the server has said more than it was asked for.
func (c *client) say(command string) (Reply, error) {
	for len(c.early) > 0 {
		next := c.early[0]
		c.early = c.early[1:]
		if reply, err := c.await(next); err != nil || next == command {
			return reply, err
		}
	}
	if c.r.Buffered() > 0 {
		rest, _ := c.r.Peek(min(c.r.Buffered(), 200))
		err := fmt.Errorf("%w: %.80q", errTurn, rest)
		c.log = append(c.log, Exchange{Sent: command, Error: "not sent: " + err.Error()})
		return Reply{}, err
	}
	return c.send(command, command)
}

// send sends text and awaits the reply; the log calls it what.
func (c *client) send(text, what string) (Reply, error) {
	c.conn.SetDeadline(time.Now().Add(c.timeout))
	if _, err := io.WriteString(c.conn, text+"\r\n"); err != nil {
		c.log = append(c.log, Exchange{Sent: what, Error: c.explain(err)})
		return Reply{}, err
	}
	return c.await(what)
}

// await reads the reply to what was sent. One deadline holds for all of it, so that a server which drips is left.
func (c *client) await(sent string) (Reply, error) {
	c.conn.SetDeadline(time.Now().Add(c.timeout))
	reply, err := readReply(c.r)
	c.met = c.met || reply.Code != 0
	x := Exchange{Sent: sent, Reply: reply}
	if err != nil {
		x.Error = c.explain(err)
	}
	c.log = append(c.log, x)
	return reply, err
}

// explain says in plain words how a connection failed.
func (c *client) explain(err error) string {
	if c.over.Load() {
		return timeIsOver
	}
	return plainError(err, c.timeout)
}

func plainError(err error, timeout time.Duration) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("no reply within %v", timeout)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the server closed the connection in the middle of a reply"
	case errors.Is(err, io.EOF):
		return "the server closed the connection"
	}
	return err.Error()
}

// timeIsOver is why what was left was not asked.
const timeIsOver = "the time for this listener was over"

// hello greets the server: EHLO, and HELO where the server does not know that.
func (c *client) hello(name string) (Reply, error) {
	reply, err := c.say("EHLO " + name)
	if err == nil && reply.good() {
		c.session = sessionOf(reply)
		return reply, nil
	}
	if err != nil || reply.Code != 500 && reply.Code != 501 && reply.Code != 502 && reply.Code != 504 {
		return reply, err
	}
	reply, err = c.say("HELO " + name)
	if err == nil && reply.good() {
		c.session = Session{Greeting: reply.Lines[0]}
	}
	return reply, err
}

// sessionOf reads the reply to EHLO. "AUTH=" is how servers older than RFC 2554 wrote it.
func sessionOf(r Reply) Session {
	s := Session{Greeting: r.Lines[0]}
	for _, line := range r.Lines[1:] {
		s.Extensions = append(s.Extensions, line)
		words := strings.Fields(strings.Replace(line, "=", " ", 1))
		if len(words) == 0 {
			continue
		}
		switch strings.ToUpper(words[0]) {
		case "AUTH":
			s.Auth = addWords(s.Auth, words[1:])
		case "STARTTLS":
			s.StartTLS = true
		case "XCLIENT", "XFORWARD":
			s.Spoof = append(s.Spoof, strings.ToUpper(words[0]))
		}
	}
	return s
}

func addWords(to, words []string) []string {
	for _, w := range words {
		w = strings.ToUpper(w)
		known := false
		for _, have := range to {
			known = known || have == w
		}
		if !known {
			to = append(to, w)
		}
	}
	return to
}
