package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSecretFile: a password comes from a regular file of the owner's alone. A pipe that nobody writes to is not waited for.
func TestSecretFile(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, mode := range map[string]os.FileMode{"good": 0o600, "open": 0o640} {
		if err := os.WriteFile(at(name), []byte("a word\nmore\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(at("empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(at("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("good", at("link")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, says string }{
		{at("good"), ""},
		{at("link"), ""},
		{at("open"), "cannot use " + at("open") + ": its mode is 0640, others may read it; chmod 600 it"},
		{at("empty"), "cannot read the password from " + at("empty") + ": it is empty"},
		{at("none"), "cannot read the password: open " + at("none") + ": no such file"},
		{at("pipe"), "cannot read the password: " + at("pipe") + " is no regular file"},
		{dir, "cannot read the password: " + dir + " is no regular file"},
		{"/dev/zero", "cannot read the password: /dev/zero is no regular file"},
	} {
		type result struct {
			word string
			err  error
		}
		got := make(chan result, 1)
		go func() {
			word, err := readSecretFile(c.file)
			got <- result{word, err}
		}()
		select {
		case r := <-got:
			if c.says == "" && (r.err != nil || r.word != "a word") {
				t.Errorf("%s: %q, %v", c.file, r.word, r.err)
			}
			if c.says != "" && (r.err == nil || !strings.HasPrefix(r.err.Error(), c.says)) {
				t.Errorf("%s: %v, want %q", c.file, r.err, c.says)
			}
		case <-time.After(30 * time.Second):
			t.Errorf("%s is still waited for", c.file)
		}
	}
}
