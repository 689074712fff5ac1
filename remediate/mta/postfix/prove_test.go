package postfix

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/judge"
)

// fakeSMTP answers each command by the first of replies whose prefix it has; it takes n connections.
func fakeSMTP(t *testing.T, greeting string, replies map[string]string) (host, port string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	serve := func(c net.Conn) {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		if greeting == "" {
			return
		}
		fmt.Fprintf(c, "%s\r\n", greeting)
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			reply := "250 2.0.0 Ok"
			for prefix, text := range replies {
				if strings.HasPrefix(line, prefix) {
					reply = text
				}
			}
			if reply == "" {
				return
			}
			fmt.Fprintf(c, "%s\r\n", strings.ReplaceAll(reply, "\n", "\r\n"))
		}
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	host, port, _ = net.SplitHostPort(ln.Addr().String())
	return host, port
}

// TestProveScript: dialogues end where the server refuses, with its own words; one that does not greet, or hangs up, is told from one that refuses.
func TestProveScript(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("needs bash")
	}
	type server struct {
		greeting string
		replies  map[string]string
	}
	good := map[string]string{"XCLIENT": "220 lab ESMTP", "EHLO": "250-lab\n250-AUTH PLAIN\n250 DSN", "DATA": "354 go on"}
	with := func(prefix, reply string) map[string]string {
		out := map[string]string{prefix: reply}
		for k, v := range good {
			if k != prefix {
				out[k] = v
			}
		}
		return out
	}
	q := judge.Question{Verb: judge.Rcpt, ClientAddr: "198.51.100.7", Helo: "[198.51.100.7]", Sender: "", Recipient: "a|b*@example.org"}
	for _, c := range []struct {
		name   string
		server server
		verb   judge.Verb
		want   string
	}{
		{"taken", server{"220 lab", good}, judge.Rcpt, "end\t354 go on"},
		{"refused", server{"220 lab", with("RCPT", "554 5.7.1 <a|b*@example.org>: Relay access denied")}, judge.Rcpt, "4\t554 5.7.1 <a|b*@example.org>: Relay access denied"},
		{"offers", server{"220 lab", good}, judge.Auth, "end\t250 lab AUTH PLAIN DSN"},
		{"banner", server{"220 lab ESMTP Postfix", good}, judge.Banner, "end\t220 lab ESMTP Postfix"},
		{"no XCLIENT", server{"220 lab", with("XCLIENT", "550 5.7.0 Error: insufficient authorization")}, judge.Rcpt, "1\t550 5.7.0 Error: insufficient authorization"},
		{"busy", server{"421 4.7.0 too many", good}, judge.Rcpt, "greeting\t421 4.7.0 too many"},
		{"silent", server{"", good}, judge.Rcpt, "greeting\tthe connection ended"},
		{"hangs up", server{"220 lab", with("MAIL", "")}, judge.Rcpt, "3\tthe connection ended"},
	} {
		t.Run(c.name, func(t *testing.T) {
			host, port := fakeSMTP(t, c.server.greeting, c.server.replies)
			q.Verb = c.verb
			line := strings.Join(append([]string{"key", host, port, "plain"}, commandsOf(q)...), fieldMark)
			cmd := exec.Command("bash", "-c", proveScript)
			var stderr bytes.Buffer
			cmd.Stdin, cmd.Stderr = strings.NewReader(line+"\n"+line+"\n"), &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, stderr.String())
			}
			if want := "key\t" + c.want + "\n"; string(out) != want+want {
				t.Errorf("got %q, want twice %q; %s", out, want, stderr.String())
			}
		})
	}
	line := strings.Join([]string{"key", "127.0.0.1", "1", "plain"}, fieldMark)
	cmd := exec.Command("bash", "-c", proveScript)
	cmd.Stdin = strings.NewReader(line + "\n")
	if out, _ := cmd.Output(); string(out) != "key\tconnect\tcannot connect\n" {
		t.Errorf("a port that nobody listens on: %q", out)
	}
}
