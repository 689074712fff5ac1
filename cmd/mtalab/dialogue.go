package main

import (
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"strings"
	"time"
)

// A relayForm is one way to ask a server to pass on a stranger's mail: the 16 that nmap's smtp-open-relay tries.
// {srv} is the server's own name, {ip} its address as a literal has it (RFC 5321 §4.1.3), {d} a domain that is not its own.
type relayForm struct{ Name, From, To string }

func relayForms() []relayForm {
	return []relayForm{
		{"null-sender", "", "relaytest@{d}"},
		{"plain", "antispam@{d}", "relaytest@{d}"},
		{"own-sender", "antispam@{srv}", "relaytest@{d}"},
		{"literal-sender", "antispam@[{ip}]", "relaytest@{d}"},
		{"percent-literal", "antispam@[{ip}]", "relaytest%{d}@[{ip}]"},
		{"percent-name", "antispam@[{ip}]", "relaytest%{d}@{srv}"},
		{"quoted", "antispam@[{ip}]", `"relaytest@{d}"`},
		{"quoted-percent", "antispam@[{ip}]", `"relaytest%{d}"`},
		{"double-at-literal", "antispam@[{ip}]", "relaytest@{d}@[{ip}]"},
		{"quoted-literal", "antispam@[{ip}]", `"relaytest@{d}"@[{ip}]`},
		{"double-at-name", "antispam@[{ip}]", "relaytest@{d}@{srv}"},
		{"route-literal", "antispam@[{ip}]", "@[{ip}]:relaytest@{d}"},
		{"route-name", "antispam@[{ip}]", "@{srv}:relaytest@{d}"},
		{"bang", "antispam@[{ip}]", "{d}!relaytest"},
		{"bang-literal", "antispam@[{ip}]", "{d}!relaytest@[{ip}]"},
		{"bang-name", "antispam@[{ip}]", "{d}!relaytest@{srv}"},
	}
}

const (
	foreignDomain = "example.org"
	greetLimit    = 10 * time.Second // sendmail's GreetPause holds the greeting for 5 s
	replyLimit    = 15 * time.Second
)

// A Witness is what a stranger met. Replies holds the reply that decided each form.
type Witness struct {
	Dead    string // why there was no greeting; empty where there was one
	Forms   map[string]bool
	Replies map[string]string
	Asks    map[string]string // vrfy, expn → disclosed, refused
}

// accepted counts the forms whose MAIL and RCPT were both taken.
func (w *Witness) accepted() int {
	n := 0
	for _, ok := range w.Forms {
		if ok {
			n++
		}
	}
	return n
}

// ailing says whether every reply to a form was for a fault of the server's own (RFC 3463: 4.3.x, mail system status).
func (w *Witness) ailing() bool {
	for _, reply := range w.Replies {
		if !strings.Contains(reply, " 4.3.") {
			return false
		}
	}
	return len(w.Replies) > 0
}

// A caller talks SMTP to one server: one connection a case, each reply read before the next command, never DATA.
type caller struct {
	to   netip.AddrPort
	helo string
	dial func(netip.AddrPort) (net.Conn, error)
}

// witness tries every relay form, and VRFY and EXPN.
func (c caller) witness(forms, asks bool) *Witness {
	w := &Witness{Forms: map[string]bool{}, Replies: map[string]string{}, Asks: map[string]string{}}
	s, err := c.open()
	if err != nil {
		w.Dead = err.Error()
		return w
	}
	name := s.name
	s.close()
	if forms {
		for _, f := range relayForms() {
			fill := strings.NewReplacer("{srv}", name, "{ip}", literal(c.to.Addr()), "{d}", foreignDomain)
			w.Forms[f.Name], w.Replies[f.Name] = c.try(fill.Replace(f.From), fill.Replace(f.To))
		}
	}
	if asks {
		for _, verb := range []string{"vrfy", "expn"} {
			w.Asks[verb] = c.ask(strings.ToUpper(verb), name)
		}
	}
	return w
}

func literal(a netip.Addr) string {
	if a.Is6() {
		return "IPv6:" + a.String()
	}
	return a.String()
}

func (c caller) try(from, to string) (bool, string) {
	s, err := c.open()
	if err != nil {
		return false, err.Error()
	}
	defer s.close()
	if code, reply := s.say("MAIL FROM:<" + from + ">"); code != 250 {
		return false, reply
	}
	code, reply := s.say("RCPT TO:<" + to + ">")
	return code == 250 || code == 251, reply
}

// ask says whether a verb tells who is here: it gives a mailbox out (250, 251), or it answers for a known user otherwise
// than for an unknown one. Some servers want a domain, so that the names are asked with and without it.
func (c caller) ask(verb, host string) string {
	for _, domain := range []string{"", "@" + host} {
		s, err := c.open()
		if err != nil {
			return "refused"
		}
		known, _ := s.say(verb + " alice" + domain)
		unknown, _ := s.say(verb + " nobody-of-that-name" + domain)
		s.close()
		if known == 250 || known == 251 || known/100 == 2 && unknown/100 == 5 {
			return "disclosed"
		}
	}
	return "refused"
}

// A session is one connection after its greeting and EHLO.
type session struct {
	conn net.Conn
	text *textproto.Conn
	name string
	ehlo string // the reply
}

func (c caller) open() (*session, error) {
	conn, err := c.dial(c.to)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, text: textproto.NewConn(conn)}
	_ = conn.SetDeadline(time.Now().Add(greetLimit))
	code, greeting, err := s.text.ReadResponse(0)
	if err != nil || code != 220 {
		s.close()
		return nil, fmt.Errorf("no greeting: %d %s %v", code, greeting, err)
	}
	s.name, _, _ = strings.Cut(greeting, " ")
	if code, s.ehlo = s.say("EHLO " + c.helo); code != 250 {
		s.close()
		return nil, fmt.Errorf("EHLO was answered %s", s.ehlo)
	}
	return s, nil
}

func (s *session) say(line string) (int, string) {
	_ = s.conn.SetDeadline(time.Now().Add(replyLimit))
	if err := s.text.PrintfLine("%s", line); err != nil {
		return 0, err.Error()
	}
	code, reply, err := s.text.ReadResponse(0)
	if err != nil && code == 0 {
		return 0, err.Error()
	}
	return code, fmt.Sprintf("%d %s", code, reply)
}

func (s *session) close() { _ = s.conn.Close() }

// callerFrom asks a host from a vantage point, or (itself) from the host to its own address.
func (l *Lab) callerFrom(where string, h Host, port int, ipv6 bool) caller {
	addr, helo, netns := h.Addr, where+"."+l.Network.Domain, l.netnsPath(where)
	if ipv6 {
		addr = h.Addr6
	}
	if _, ok := l.Vantages[where]; ok {
		helo = l.vantageName(where)
	}
	if where == "itself" {
		helo, netns = h.Name+"."+l.Network.Domain, fmt.Sprintf("/proc/%d/ns/net", l.leader(h.Name))
	}
	return caller{
		to: netip.AddrPortFrom(addr, uint16(port)), helo: helo,
		dial: func(to netip.AddrPort) (conn net.Conn, err error) {
			err = inNetns(netns, func() error {
				conn, err = net.DialTimeout("tcp", to.String(), 5*time.Second)
				return err
			})
			return conn, err
		},
	}
}

// compare lists where a stranger met something else than the recipe says.
func (o Stranger) compare(where string, w *Witness) []string {
	var wrong []string
	if w.Dead != "" && o.DeadToo {
		return nil
	}
	if (w.Dead != "") != o.Dead {
		return []string{fmt.Sprintf("%s: dead is %t, want %t (%s)", where, w.Dead != "", o.Dead, w.Dead)}
	}
	for _, f := range relayForms() {
		if strings.HasPrefix(w.Replies[f.Name], "421") || strings.HasPrefix(w.Replies[f.Name], "no greeting") {
			wrong = append(wrong, fmt.Sprintf("%s: %s was not answered: %s", where, f.Name, w.Replies[f.Name]))
		}
	}
	if o.Some && w.accepted() == 0 {
		wrong = append(wrong, fmt.Sprintf("%s: no form is accepted (plain: %s)", where, w.Replies["plain"]))
	}
	if o.Accepts >= 0 && w.accepted() != o.Accepts {
		var which []string
		for _, f := range relayForms() {
			if w.Forms[f.Name] {
				which = append(which, f.Name)
			}
		}
		wrong = append(wrong, fmt.Sprintf("%s: %d forms are accepted %v, want %d (plain: %s)", where, w.accepted(), which, o.Accepts, w.Replies["plain"]))
	}
	for _, f := range relayForms() {
		if want := o.Forms[f.Name]; want != "" && w.Forms[f.Name] != (want == "accepted") {
			wrong = append(wrong, fmt.Sprintf("%s: %s is not %s: %s", where, f.Name, want, w.Replies[f.Name]))
		}
	}
	for _, verb := range []string{"vrfy", "expn"} {
		if want := o.Asks[verb]; want != "" && w.Asks[verb] != want {
			wrong = append(wrong, fmt.Sprintf("%s: %s is %s, want %s", where, verb, w.Asks[verb], want))
		}
	}
	return wrong
}
