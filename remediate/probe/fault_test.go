package probe

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mtaharden/remediate/judge"
)

const faultGreeting, faultTLS = "> EHLO .*\n< 250 mx.example\n", "> EHLO .*\n< 250-mx.example\n< 250 STARTTLS\n> STARTTLS\n< 220 go\n< !tls\n"

// faultServer refuses relaying and knows VRFY.
const faultServer = `
> MAIL FROM:.*
< 250 2.1.0 Ok
> RCPT TO:<postmaster@mx.example>
< 250 2.1.5 Ok
> RCPT TO:.*
< 550 5.7.1 Relaying denied
> VRFY .*
< 252 2.5.2 Cannot VRFY user
`

// TestFaults breaks a closed server at every one of its replies in turn, in each way. Whatever breaks, nothing is called relayed or
// disclosed, nothing is called refused without a reply that refuses, and what could not be asked is said.
func TestFaults(t *testing.T) {
	faults := []string{"!close", "!stall", `!text "\x00\xff\x1b[31m\r\n"`, "!endless", "!drip", "421 4.3.2 closing", "250", "999 what", "451 4.3.5 Server configuration error",
		`!text "250 ok\r\n250 twice\r\n"`}
	for i, fault := range faults {
		greeting := faultGreeting
		if i == 0 {
			greeting = faultTLS
		}
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			everyFault(t, greeting, fault)
		})
	}
}

// everyFault breaks each reply in turn.
func everyFault(t *testing.T, greeting, fault string) {
	asked, whole := 0, false
	for n := 0; !whole; n++ {
		s := parseServer(t, greeting+faultServer)
		s.fault = func(at int) string {
			if at == n {
				return fault
			}
			return ""
		}
		synctest.Test(t, func(t *testing.T) {
			r := Ask(t.Context(), Listener{Addr: netip.MustParseAddrPort("192.0.2.1:25")},
				Config{Dial: s.dial, From: netip.MustParseAddr("198.51.100.7"), Relay: true, Forms: []string{"plain", "percent-name"}, Budget: time.Hour})
			s.open.Wait()
			faithful(t, fmt.Sprintf("%s at reply %d", fault, n), r, fault == "250" || fault[0] == '!')
		})
		whole = s.replies <= n
		asked++
	}
	if asked < 40 {
		t.Errorf("%s: only %d replies were broken", fault, asked)
	}
}

// faithful checks that a report claims no more than its dialogues show. A fault may be a false grant: then the server did say so.
func faithful(t *testing.T, what string, r *Report, mayGrant bool) {
	t.Helper()
	if r.Err != nil {
		t.Errorf("%s: %v", what, r.Err)
		return
	}
	if len(r.Answers) == 0 {
		t.Errorf("%s: no answer", what)
	}
	for _, a := range r.Answers {
		if a.Judge != judge.Network || a.Question.Listener != "192.0.2.1:25" || a.Question.ClientAddr != "198.51.100.7" || a.Text == "" {
			t.Errorf("%s: %+v", what, a)
		}
	}
	for _, c := range r.Cases {
		code := 0
		granted := false
		for _, x := range c.Dialogue {
			if x.Error == "" {
				code = x.Reply.Code
				granted = granted || x.Reply.Code == 250 && len(x.Sent) > 4 && x.Sent[:4] == "RCPT"
			}
		}
		switch {
		case c.Verdict.Open() && !(mayGrant && granted):
			t.Errorf("%s: %s is %s: %s", what, c.Form, c.Verdict, c.Why)
		case c.Verdict == Refused && code < 400:
			t.Errorf("%s: %s is refused without such a reply: %s", what, c.Form, c.Why)
		case c.Why == "":
			t.Errorf("%s: %s has no reason", what, c.Form)
		}
	}
	for _, v := range r.Services {
		if v.Outcome == judge.Disclosed && !mayGrant && v.Verb != judge.Vrfy && v.Verb != judge.Expn {
			t.Errorf("%s: %s is disclosed: %s", what, v.Verb, v.Text)
		}
	}
}

// A server whose banner did not come before the time for it was over was not tested: that it serves nobody was not seen.
func TestTimeOver(t *testing.T) {
	for _, relay := range []bool{true, false} {
		var ends []net.Conn
		dial := func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			ends = append(ends, far)
			return near, nil
		}
		r := Ask(t.Context(), Listener{Addr: netip.MustParseAddrPort("192.0.2.11:25")}, Config{Dial: dial, Relay: relay, Budget: 50 * time.Millisecond})
		if r.Err == nil || r.Dead != "" || len(r.Answers) > 0 {
			t.Errorf("relay %v: error %v, dead %q, answers %v", relay, r.Err, r.Dead, r.Answers)
		}
		for _, c := range ends {
			c.Close()
		}
	}
}

// A dialogue cut by the end of the time was not had: a server that greeted is not called dead for it.
func TestTimeOverLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				fmt.Fprint(far, "220 mx.example ESMTP\r\n")
				for in := bufio.NewScanner(far); in.Scan(); {
					if strings.HasPrefix(in.Text(), "EHLO") {
						fmt.Fprint(far, "250 mx.example\r\n")
					}
				}
			}()
			return near, nil
		}
		r := Ask(t.Context(), Listener{Addr: netip.MustParseAddrPort("192.0.2.11:25")}, Config{Dial: dial, Relay: true, Budget: 30 * time.Second})
		if r.Err != nil || r.Dead != "" || len(r.Cases) == 0 || len(r.Answers) == 0 {
			t.Fatalf("error %v, dead %q, %d cases", r.Err, r.Dead, len(r.Cases))
		}
		for _, a := range r.Answers {
			if a.Question.Verb == judge.Rcpt && a.Outcome != judge.CannotTell {
				t.Errorf("%s: %s (%s)", a.Question.Form, a.Outcome, a.Text)
			}
		}
	})
}
