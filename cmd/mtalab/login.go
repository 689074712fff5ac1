package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// An Account is somebody whom a recipe's host lets in, and relays for then.
type Account struct{ User, Password string }

// mechanisms are the ways of logging in that are tried where they are offered (RFC 4616, and the LOGIN that everybody has).
func mechanisms() []string { return []string{"PLAIN", "LOGIN"} }

const arrivalLimit = 40 * time.Second // from the reply until the message is at the sink, on a machine that is busy

// logins has somebody abroad log in by every mechanism that is offered, under TLS where that is, and send to a foreign domain. It says by mechanism
// how that ended: 250 where the message was taken and arrived, and a wrong password was not.
func (l *Lab) logins(ctx context.Context, c caller, a Account, from string) map[string]string {
	replies := map[string]string{}
	s, err := c.secured()
	if err != nil {
		return replies
	}
	offered := strings.Fields(strings.Join(offers(s.ehlo), " "))
	s.close()
	for _, mechanism := range mechanisms() {
		if slices.Contains(offered, mechanism) {
			replies["by login "+mechanism] = l.login(ctx, c, mechanism, a, from)
		}
	}
	return replies
}

func (l *Lab) login(ctx context.Context, c caller, mechanism string, a Account, from string) string {
	wrong, err := c.secured()
	if err != nil {
		return err.Error()
	}
	defer wrong.close()
	if code, reply := wrong.login(mechanism, Account{a.User, "not " + a.Password}); code == 235 {
		return "a wrong password is let in: " + reply
	}
	s, err := c.secured()
	if err != nil {
		return err.Error()
	}
	defer s.close()
	if code, reply := s.login(mechanism, a); code != 235 {
		return reply
	}
	subject := "relayed for a login " + rand.Text()
	reply := s.send(from, "relaytest@"+foreignDomain, subject)
	if strings.HasPrefix(reply, "250") && !l.arrived(ctx, subject) {
		return "taken, and not arrived: " + reply
	}
	return reply
}

// arrived waits until the sink has a message of that subject.
func (l *Lab) arrived(ctx context.Context, subject string) bool {
	for end := time.Now().Add(arrivalLimit); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
		if data, err := os.ReadFile(filepath.Join(l.State, "sink.jsonl")); err == nil && took(data, subject) {
			return true
		}
	}
	return false
}

// took says whether the sink's record has a message of that subject.
func took(record []byte, subject string) bool {
	for line := range bytes.Lines(record) {
		var r sinkRecord
		if json.Unmarshal(line, &r) == nil && r.Subject == subject {
			return true
		}
	}
	return false
}

// secured is a session under TLS where the server offers that, by a certificate of whatever name: the lab's hosts sign their own.
func (c caller) secured() (*session, error) {
	s, err := c.open()
	if err != nil || !slices.Contains(offers(s.ehlo), "STARTTLS") {
		return s, err
	}
	if code, reply := s.say("STARTTLS"); code != 220 {
		s.close()
		return nil, errors.New("STARTTLS was answered " + reply)
	}
	secure := tls.Client(s.conn, &tls.Config{InsecureSkipVerify: true})
	s.conn, s.text = secure, textproto.NewConn(secure)
	code, ehlo := s.say("EHLO " + c.helo)
	if s.ehlo = ehlo; code != 250 {
		s.close()
		return nil, fmt.Errorf("EHLO under TLS was answered %s", ehlo)
	}
	return s, nil
}

// login logs in. 235 is a login that succeeded (RFC 4954).
func (s *session) login(mechanism string, a Account) (int, string) {
	coded := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	if mechanism == "PLAIN" {
		return s.say("AUTH PLAIN " + coded("\x00"+a.User+"\x00"+a.Password))
	}
	code, reply := 0, ""
	for _, line := range []string{"AUTH LOGIN", coded(a.User)} {
		if code, reply = s.say(line); code != 334 {
			return code, reply
		}
	}
	return s.say(coded(a.Password))
}
