package probe

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestReplies holds the table of replies to testdata/replies.txt: lines "VERDICT[/AGAIN] COMMAND[!] REPLY", "!" where the recipient's domain is
// plainly foreign; "#" begins a comment. A reply of several lines is written with " // " between them.
func TestReplies(t *testing.T) {
	table, err := loadTables()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("testdata/replies.txt")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	n := 0
	for i, line := range strings.Split(string(data), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		n++
		want, rest, _ := strings.Cut(line, " ")
		at, text, _ := strings.Cut(rest, " ")
		at, foreign := strings.CutSuffix(at, "!")
		wire := strings.ReplaceAll(text, " // ", "\r\n") + "\r\n"
		reply, err := readReply(bufio.NewReader(strings.NewReader(wire)))
		if err != nil {
			t.Fatalf("replies.txt:%d: %v", i+1, err)
		}
		rule := table.rule(at, reply, foreign)
		got := string(rule.Verdict)
		if rule.Again != "" {
			got += "/" + string(rule.Again)
		}
		used[rule.Why+got] = true
		if got != want {
			t.Errorf("replies.txt:%d: %s %q is %s (%s), not %s", i+1, at, text, got, rule.Why, want)
		}
	}
	for _, r := range table.replies {
		got := string(r.Verdict)
		if r.Again != "" {
			got += "/" + string(r.Again)
		}
		if !used[r.Why+got] {
			t.Errorf("no reply in replies.txt meets the rule %q (%s)", r.Why, got)
		}
	}
	if n < 80 {
		t.Errorf("only %d replies were judged", n)
	}
}

// TestProducts recognises products by what they show and by how they talk: lines "PRODUCT<TAB>VERSION<TAB>LEAKS<TAB>BANNER<TAB>DIALOGUE".
func TestProducts(t *testing.T) {
	table, err := loadTables()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("testdata/products.tsv")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, line := range strings.Split(strings.Trim(string(data), "\n"), "\n") {
		f := strings.Split(line, "\t")
		if len(f) != 5 {
			t.Fatalf("products.tsv:%d: %d fields", i+1, len(f))
		}
		n++
		own := []string{"mx.example.com", "postfix.example.com"}
		name, version := table.identify([]string{f[3]}, f[3]+"\n"+strings.ReplaceAll(f[4], " // ", "\n"), own)
		leaks := "-"
		if table.leak(f[3], own) != "" {
			leaks = "leaks"
		}
		if name != f[0] || version != f[1] || leaks != f[2] {
			t.Errorf("products.tsv:%d: %q %q %s (%s)", i+1, name, version, leaks, table.leak(f[3], own))
		}
	}
	if n < 20 {
		t.Errorf("only %d products", n)
	}
}

func FuzzReply(f *testing.F) {
	for _, seed := range []string{"220 mx ESMTP\r\n", "250-a\r\n250-b\n250 c\r\n", "250\r\n", "454 4.7.1 <a@b>: Relay access denied\r\n", "250-\r\n550 no\r\n", "\x00\xff\r\n", "2", ""} {
		f.Add([]byte(seed))
	}
	table, err := loadTables()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		reply, err := readReply(bufio.NewReader(bytes.NewReader(data)))
		if err == nil && (reply.Code < 200 || reply.Code > 599 || len(reply.Lines) == 0) {
			t.Errorf("%q is %+v", data, reply)
		}
		if len(reply.Lines) > maxReplyLines || len(reply.text()) > maxReplyBytes+maxTextLine+maxReplyLines || len(reply.String()) > maxShown+8 {
			t.Errorf("a reply of %d lines and %d bytes", len(reply.Lines), len(reply.text()))
		}
		for _, at := range []string{"BANNER", "EHLO", "MAIL", "RCPT", "DATA"} {
			for _, foreign := range []bool{true, false} {
				rule := table.rule(at, reply, foreign)
				if (rule.Verdict == taken) != reply.good() {
					t.Errorf("%s %v is %s", at, reply, rule.Verdict)
				}
				if rule.Verdict == refused && reply.Code < 400 {
					t.Errorf("%s %v is refused", at, reply)
				}
			}
		}
	})
}

// FuzzServer lets a server say anything, a line for each reply: whatever it says, the report claims no more than that.
func FuzzServer(f *testing.F) {
	f.Add("220 a.example x\n250 a.example\n250 ok\n250 ok\n250 ok\n", false)
	f.Add("220 a.example x\n250-a.example\\r\\n250 STARTTLS\n454 no\n250 ok\n550 5.7.1 Relaying denied\n", true)
	f.Add("!stall\n220 x\n", true)
	f.Fuzz(func(t *testing.T, script string, relay bool) {
		lines := strings.Split(script, "\n")
		at := 0
		s := &server{banner: "220 mx.example ESMTP", certificate: tlsCertificateForFuzz}
		s.fault = func(int) string {
			line := "550 no"
			if at < len(lines) {
				line = strings.TrimLeft(lines[at], "!")
			}
			at++
			if line == "" {
				return "!close"
			}
			return line
		}
		synctest.Test(t, func(t *testing.T) {
			r := Ask(t.Context(), Listener{Addr: netip.MustParseAddrPort("192.0.2.1:25")},
				Config{Dial: s.dial, From: netip.MustParseAddr("198.51.100.7"), Relay: relay, Forms: []string{"plain"}, Brief: true, Budget: time.Hour})
			s.open.Wait()
			faithful(t, "fuzz", r, true)
		})
	})
}

var tlsCertificateForFuzz = testCertificate(&testing.B{})

// TestReadReply meets the ends of connections.
func TestReadReply(t *testing.T) {
	near, far := net.Pipe()
	far.Close()
	if _, err := readReply(bufio.NewReader(near)); err == nil {
		t.Error("a closed connection gave a reply")
	}
	if _, err := readReply(bufio.NewReader(strings.NewReader(strings.Repeat("2", 10000)))); !errors.Is(err, errGarbled) {
		t.Errorf("a line without end: %v", err)
	}
	if r, err := readReply(bufio.NewReader(strings.NewReader("250-a\r\n250"))); err == nil {
		t.Errorf("a cut reply is %v", r)
	}
}
