package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"time"
)

// arrivals is an mbox file or a Maildir in which messages of a probe are looked for.
type arrivals struct {
	name  string
	begun time.Time
}

func newMailbox(name string) *arrivals { return &arrivals{name, time.Now()} }

// What is read of a mailbox: of an mbox its end, of a Maildir so many new messages, each so far, in bytes.
const (
	mboxRead     = 16 << 20
	maildirRead  = 64 << 10
	maildirFiles = 10000
)

// holds says whether a message with the token has come.
func (m *arrivals) holds(_ context.Context, token string) (bool, error) {
	info, err := os.Stat(m.name)
	if err != nil {
		return false, err
	}
	if !info.IsDir() {
		return fileHolds(m.name, max(info.Size()-mboxRead, 0), mboxRead, token)
	}
	read := 0
	for _, dir := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(m.name, dir))
		if err != nil {
			return false, err
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || !info.Mode().IsRegular() || info.ModTime().Before(m.begun.Add(-time.Minute)) {
				continue // it may be moved while it is looked at, and is found at the next look
			}
			if read++; read > maildirFiles {
				return false, nil
			}
			if found, err := fileHolds(filepath.Join(m.name, dir, e.Name()), 0, maildirRead, token); found && err == nil {
				return true, nil
			}
		}
	}
	return false, nil
}

func fileHolds(name string, from, length int64, token string) (bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.NewSectionReader(f, from, length))
	return bytes.Contains(data, []byte(token)), err
}
