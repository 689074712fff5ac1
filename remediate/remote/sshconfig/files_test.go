package sshconfig

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// opened is open, which does not wait for whoever might write to a pipe.
func opened(t *testing.T, file string) (*Config, error) {
	t.Helper()
	type result struct {
		c   *Config
		err error
	}
	got := make(chan result, 1)
	go func() {
		c, err := open(file, "")
		got <- result{c, err}
	}()
	select {
	case r := <-got:
		return r.c, r.err
	case <-time.After(30 * time.Second):
		t.Fatalf("%s is still waited for", file)
		return nil, nil
	}
}

// TestNoFile: a pipe or a device in the place of a configuration is an error that names it; nobody is waited for.
func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"-F": pipe, "a device": "/dev/zero", "Include": write(t, "Include "+pipe+"\nHost foo\n Port 1\n"), "Include of a pattern": write(t, "Include "+dir+"/*\n")} {
		want := pipe
		if name == "a device" {
			want = file
		}
		if _, err := opened(t, file); err == nil || !strings.Contains(err.Error(), "cannot read ssh_config: "+want+": it is a pipe or a device, and no file") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := opened(t, os.DevNull); err != nil {
		t.Error(err)
	}
}

// TestDirectory: a directory beside the files of an Include costs nothing, as for ssh; one that is named by -F is a mistake.
func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "z"), []byte("Host foo\n User joe\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := openBoth(t, write(t, "Include "+dir+"/*\nHost *\n Port 4\n"))
	if err != nil {
		t.Fatal(err)
	}
	if n := b.agree(t, Query{Host: "foo"}); n == 0 {
		t.Error("nothing was compared")
	}
	if s, err := b.without.Resolve(t.Context(), Query{Host: "foo"}); err != nil || s.User != "joe" || s.Port != 4 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := open(dir, ""); err == nil || !strings.Contains(err.Error(), "it is a directory") {
		t.Error(err)
	}
}

// TestHungSSH: where ssh -G hangs for host after host, no more of them wait for it.
func TestHungSSH(t *testing.T) {
	asked := filepath.Join(t.TempDir(), "asked")
	ssh := fakeSSH(t, "case $* in *localhost) echo 'hostname localhost'; exit;; esac\necho x >>"+asked+"\nexec sleep 100\n")
	c, err := open(write(t, "Port 4\n"), ssh)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range maxHung {
		all.Go(func() {
			if _, err := c.Resolve(t.Context(), Query{Host: fmt.Sprint("mx", i)}); err == nil || !strings.Contains(err.Error(), "ssh -G did not end within 10s") {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 20 {
		if _, err := c.Resolve(t.Context(), Query{Host: fmt.Sprint("more", i)}); err == nil || !strings.Contains(err.Error(), "ssh -G did not end within 10s for others, and is run no more") {
			t.Error(err)
		}
	}
	if text, err := os.ReadFile(asked); err != nil || strings.Count(string(text), "x") != maxHung {
		t.Errorf("ssh was run %q, %v", text, err)
	}
}
