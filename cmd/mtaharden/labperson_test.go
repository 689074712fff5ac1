package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	xssh "golang.org/x/crypto/ssh"

	"mtaharden/inventory"
	"mtaharden/remediate/remote/remotetest"
)

// codes are the one-time codes of a host: each login takes the next one, and none is taken twice. At each login it is noted what the host is.
type codes struct {
	mu    sync.Mutex
	taken []string // what the host was, at each login that took a code
	state func() string
}

func code(n int) string { return fmt.Sprintf("%06d", 100000+n*7) }

// take is the code that the host wants now.
func (c *codes) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken = append(c.taken, c.state())
	return code(len(c.taken))
}

// front is an SSH server that wants a code beside the key, before a host of the lab: it has the host's own key, and its commands run there.
func (l lab) front(t *testing.T, host string, c *codes) (config string) {
	t.Helper()
	inv, err := inventory.Load(l.inventory)
	if err != nil {
		t.Fatal(err)
	}
	at, ok := inv.Host(host)
	if !ok || len(at.Identity) != 1 {
		t.Fatalf("the lab has no %s", host)
	}
	mine, err := os.ReadFile(at.Identity[0])
	if err != nil {
		t.Fatal(err)
	}
	login, err := xssh.ParsePrivateKey(mine)
	here, err1 := os.Getwd()
	theirs, err2 := xssh.ParsePrivateKey([]byte(l.on(t, host, "cat /etc/ssh/ssh_host_ed25519_key")))
	if err := errors.Join(err, err1, err2); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	shell := filepath.Join(dir, "shell")
	if err := os.WriteFile(shell, []byte(fmt.Sprintf("#!/bin/sh\ncd '%s' && exec '%s' exec %s -- /bin/sh \"$@\"\n", here, l.program, host)), 0o700); err != nil {
		t.Fatal(err)
	}
	s := &remotetest.Server{User: "root", Keys: []xssh.PublicKey{login.PublicKey()}, HostKeys: []xssh.Signer{theirs}, Code: c.take, Shell: []string{shell}, Env: os.Environ()}
	port := s.Start(t)
	config = filepath.Join(dir, "config")
	text := fmt.Sprintf("Host %s\n ProxyCommand bash -c 'exec 3<>/dev/tcp/127.0.0.1/%d; cat <&3 & exec cat >&3'\n", host, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

// TestLabOneTimeCode carries an audit and an apply through on a host whose every login wants a new code: the person at the terminal is asked for each, and for that
// of the login which confirms while the host is still as it was. Whoever mistypes that one has changed nothing.
func TestLabOneTimeCode(t *testing.T) {
	l := needLab(t)
	t.Parallel()
	const host, file = "deb13-exim", "/etc/exim4"
	remotetest.Alone(t, host)
	t.Cleanup(func() { l.putBack(t, host) })
	l.plantDemo(t, host, mtaOf(host))
	look := func() string { return l.on(t, host, "find "+file+" -type f -exec sha256sum {} + | sort | sha256sum") }
	before := look()
	c := &codes{state: look}
	flags := []string{"-i", l.inventory, "-F", l.front(t, host, c), "--limit", host, "--state", filepath.Join(t.TempDir(), "state")}
	person := func(wrong int, args ...string) (string, error) {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, append(args, flags...)...)
		cmd.Args[0], cmd.Env = "mtaharden", append(os.Environ(), "SSH_AUTH_SOCK=")
		first := len(c.taken)
		return attendTo(cmd, "Verification code: ", func(n int) string {
			if n == wrong {
				return "000000"
			}
			return code(first + n)
		})
	}
	screen, err := person(0, "audit")
	if exitOf(err) != fmt.Sprint(exitFound) || strings.Count(screen, "asks: Verification code: ") != 1 || len(c.taken) != 1 {
		t.Fatalf("the audit: %v, %d codes\n%s", err, len(c.taken), screen)
	}
	for _, n := range []int{1, 2, 3} {
		if strings.Contains(screen, code(n)) {
			t.Errorf("a code was to be seen:\n%s", screen)
		}
	}
	// The judging, the change, and before the bar the login that confirms: the last one mistyped.
	screen, err = person(3, "apply", "--yes")
	if exitOf(err) == "0" || !strings.Contains(screen, "the second login, by which the change is confirmed, is not open") || look() != before {
		t.Fatalf("an apply whose second login is refused: %v; the host is as before: %v\n%s", err, look() == before, screen)
	}
	c.taken = nil
	screen, err = person(0, "apply", "--yes")
	if err != nil || !strings.Contains(screen, "changed and confirmed") || look() == before {
		t.Fatalf("the apply: %v\n%s", err, screen)
	}
	if len(c.taken) != 3 || slices.ContainsFunc(c.taken, func(s string) bool { return s != before }) {
		t.Errorf("%d logins, the host as before at each: %v", len(c.taken), c.taken)
	}
}
