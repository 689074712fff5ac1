package postfix

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// conversation is one SMTP session with the real Postfix.
type conversation struct {
	h     *helper
	port  string
	c     net.Conn
	r     *bufio.Reader
	mark  int      // where the log stood when it began
	lines []string // of the last reply
}

// dialogues is a dialogue, and once more where postscreen says that the client may come back.
func (h *helper) dialogues(a ask) string {
	reply := h.dialogue(a)
	if a.Again && strings.HasPrefix(reply, "450 4.3.2 ") {
		reply = h.dialogue(a)
	}
	return reply
}

// dialogue is one SMTP session up to DATA's reply, and through the message where the configuration has restrictions of its end; its
// result is the last reply, or the first refusal.
func (h *helper) dialogue(a ask) string {
	port := "25"
	if _, p, err := net.SplitHostPort(a.Q.Listener); err == nil {
		port = p
	}
	if a.Proxy != "" {
		port = a.Proxy
	}
	v := &conversation{h: h, port: port, mark: h.log.mark()}
	var err error
	if v.c, err = net.Dial("tcp", "127.0.0.1:"+port); err != nil {
		return "dead: " + err.Error()
	}
	defer func() { v.c.Close() }()
	v.r = bufio.NewReader(v.c)
	if a.Proxy != "" {
		fmt.Fprint(v.c, a.header())
	}
	if greeting := v.read(); !strings.HasPrefix(greeting, "2") {
		if a.Proxy != "" { // it goes to the question's client
			return greeting
		}
		return whenRefused(greeting)
	}
	if a.Q.TLS {
		if why := v.startTLS(a.Cert); why != "" {
			return why
		}
	}
	if a.Names && a.Q.Helo != "" { // a greeting of its own comes behind
		var why string
		if h.named, why = v.announces("XCLIENT"); why != "" {
			return why
		}
	}
	return v.talk(a)
}

// header is what a proxy says of the client (HAProxy's protocol, version 1); the addresses at which it came are among the case's own.
func (a ask) header() string {
	if strings.Contains(a.Q.ClientAddr, ":") {
		return "PROXY TCP6 " + a.Q.ClientAddr + " ::1 4567 25\r\n"
	}
	return "PROXY TCP4 " + a.Q.ClientAddr + " 10.9.9.1 4567 25\r\n"
}

// announces reports whether the greeting to EHLO names a command, "" where EHLO is refused; gone is a reply that ends the session.
func (v *conversation) announces(command string) (named, gone string) {
	v.lines = nil
	switch last := v.say("EHLO probe"); {
	case strings.HasPrefix(last, "421"), strings.HasPrefix(last, "dead"):
		return "", last
	case !strings.HasPrefix(last, "2"):
		return "", ""
	case slices.ContainsFunc(v.lines, func(line string) bool { return strings.HasPrefix(line[min(4, len(line)):], command) }):
		return "yes", ""
	}
	return "no", ""
}

// whenRefused: the greeting goes to the test's own address, not to the question's client.
func whenRefused(greeting string) string {
	if strings.HasPrefix(greeting, "dead") || greeting == "" {
		return greeting
	}
	return "unasked: the test itself is refused: " + greeting
}

func (v *conversation) startTLS(cert bool) string {
	if reply := v.say("EHLO probe"); strings.HasPrefix(reply, "421") {
		return reply
	}
	if reply := v.say("STARTTLS"); !strings.HasPrefix(reply, "220") {
		return "unasked: no TLS: " + reply
	}
	c := tls.Client(v.c, v.h.tls.client(cert))
	v.c.SetDeadline(time.Now().Add(patience))
	defer v.c.SetDeadline(time.Time{})
	if err := c.Handshake(); err != nil {
		return "unasked: TLS: " + err.Error()
	}
	v.c, v.r = c, bufio.NewReader(c)
	return ""
}

// talk is the dialogue as the question's client.
func (v *conversation) talk(a ask) string {
	last := ""
	for _, line := range a.lines() {
		switch last = v.say(line); {
		case strings.HasPrefix(line, "XCLIENT") && strings.HasPrefix(last, "501"):
			return "unasked: " + last // an address of a protocol that is off
		case !strings.HasPrefix(last, "2"):
			return last
		}
	}
	last = v.say("DATA")
	if strings.HasPrefix(last, "2") { // a filter has made another command of it
		return "554 nothing was sent: " + last
	}
	if strings.HasPrefix(last, "354") && v.h.judgesMessages() {
		last = v.say("Subject: a trial\r\n\r\nnothing\r\n.") // it stays in the shadow's queue
		if strings.HasPrefix(last, "451 4.6.0") {
			return "unasked: the restrictions take it, and the queue does not: " + last
		}
	}
	return last
}

// judgesMessages reports whether the configuration has something to say at the end of a message.
func (h *helper) judgesMessages() bool {
	return strings.Contains(h.written["/etc/postfix/main.cf"]+h.written["/etc/postfix/master.cf"], "smtpd_end_of_data_restrictions")
}

// lines are the commands up to the recipient.
func (a ask) lines() []string {
	var out []string
	hello := "EHLO "
	if a.Helo {
		hello = "HELO "
	}
	if a.Proxy == "" {
		out = append(out, a.xclient())
	} else if a.Claim != nil {
		as := ask{Q: a.Q}
		as.Q.ClientAddr, as.Q.ClientName, as.Q.User = a.Claim.Addr, a.Claim.Name, a.Claim.User
		out = append(out, as.xclient())
	}
	if a.Q.Helo != "" {
		out = append(out, hello+a.Q.Helo)
	}
	return append(out, "MAIL FROM:<"+a.Q.Sender+">", "RCPT TO:<"+a.Q.Recipient+">")
}

// xclient names the client (XCLIENT_README).
func (a ask) xclient() string {
	name, addr, reverse := a.Q.ClientName, a.Q.ClientAddr, a.Q.ClientName
	if name == "" {
		name, reverse = "[UNAVAILABLE]", "[UNAVAILABLE]"
		if a.Reverse != "" {
			reverse = a.Reverse
		}
	}
	if strings.Contains(addr, ":") {
		addr = "IPV6:" + addr
	}
	x := "XCLIENT NAME=" + name + " REVERSE_NAME=" + reverse + " ADDR=" + addr
	if a.Helo {
		x += " PROTO=SMTP"
	}
	if a.Q.User != "" {
		x += " LOGIN=" + a.Q.User
	}
	return x
}

// atCommand parts what a daemon said last from the command at which it ended.
const atCommand = " (at "

func (v *conversation) say(line string) string {
	fmt.Fprintf(v.c, "%s\r\n", line)
	reply := v.read()
	if strings.HasPrefix(reply, "dead") {
		reply += atCommand + line + ")"
	}
	return reply
}

// read is the last line of a reply. A daemon that ends fatally meanwhile is dead; how long a living one thinks is no answer.
func (v *conversation) read() string {
	text := ""
	for start := time.Now(); ; {
		v.c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		part, err := v.r.ReadString('\n')
		text += part
		switch {
		case err == nil:
			v.lines = append(v.lines, text)
			if len(text) < 4 || text[3] != '-' {
				return strings.TrimSpace(text)
			}
			text = ""
		case !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.EOF) && !isReset(err):
			return "dead: " + err.Error()
		case errors.Is(err, os.ErrDeadlineExceeded):
			if line := v.h.log.fatal(v.mark, v.port); line != "" {
				return "dead: " + line
			}
		default:
			v.h.log.settle()
			return "dead: the connection ended: " + v.h.log.fatal(v.mark, v.port)
		}
		if time.Since(start) > patience {
			return "unasked: no reply in a minute"
		}
	}
}

func isReset(err error) bool { return strings.Contains(err.Error(), "reset by peer") }
