package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/mail"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

const sinkMaxBytes = 1 << 20

// A sinkRecord is one message that the sink took, one JSON object a line in STATE/sink.jsonl.
type sinkRecord struct {
	Time    time.Time `json:"time"`
	Client  string    `json:"client"`
	From    string    `json:"from"`
	To      []string  `json:"to"`
	Bytes   int64     `json:"bytes"`
	Subject string    `json:"subject,omitempty"`
}

// sink takes every message for any domain, and writes down that it did.
type sink struct {
	mu  sync.Mutex
	out io.Writer
}

func (l *Lab) serveSink(ctx context.Context) error {
	f, err := os.OpenFile(filepath.Join(l.State, "sink.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	server := smtp.NewServer(&sink{out: f})
	server.Domain = "sink." + l.Network.Domain
	server.Addr = fmt.Sprintf("%s:25", nth(l.Network.Bridge4, l.Network.Sink))
	server.MaxMessageBytes = sinkMaxBytes
	server.MaxRecipients = 100
	server.ReadTimeout, server.WriteTimeout = time.Minute, time.Minute
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	return server.ListenAndServe()
}

func (s *sink) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &sinkSession{sink: s, record: sinkRecord{Client: c.Conn().RemoteAddr().String()}}, nil
}

type sinkSession struct {
	sink   *sink
	record sinkRecord
}

func (s *sinkSession) Mail(from string, _ *smtp.MailOptions) error {
	s.record.From, s.record.To = from, nil
	return nil
}

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.record.To = append(s.record.To, to)
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	var message bytes.Buffer
	n, err := io.Copy(&message, r) // the server bounds it: MaxMessageBytes
	if err != nil {
		return err
	}
	s.record.Subject = ""
	if m, err := mail.ReadMessage(&message); err == nil {
		s.record.Subject = m.Header.Get("Subject")
	}
	s.record.Bytes, s.record.Time = n, time.Now().UTC()
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	return json.NewEncoder(s.sink.out).Encode(s.record)
}

func (s *sinkSession) Reset()        { s.record.From, s.record.To = "", nil }
func (s *sinkSession) Logout() error { return nil }
