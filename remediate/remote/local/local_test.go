package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/remote"
)

func open(t *testing.T, target Target) *host {
	t.Helper()
	h, err := Dial(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return h.(*host)
}

func sh(script string, args ...string) remote.Cmd {
	return remote.Cmd{Argv: append([]string{"/bin/sh", "-c", script, "sh"}, args...)}
}

func TestRun(t *testing.T) {
	h := open(t, Target{Become: "none"})
	c := sh(`cat; printf '%s\n' "$1" >&2; exit 7`, "it's\na\\b")
	c.Stdin = []byte("in\x00put")
	r, err := h.Run(t.Context(), c, 100)
	if err != nil || r.Exit != 7 || string(r.Stdout) != "in\x00put" || string(r.Stderr) != "it's\na\\b\n" {
		t.Errorf("Run = %d %q %q, %v", r.Exit, r.Stdout, r.Stderr, err)
	}
	if r, err = h.Run(t.Context(), sh("kill -9 $$"), 100); err != nil || r.Exit != 137 {
		t.Errorf("killed: %d, %v", r.Exit, err)
	}
	if r, err = h.Run(t.Context(), remote.Cmd{Argv: []string{"/no/such/program"}}, 100); err != nil || r.Exit != 127 {
		t.Errorf("no such program: %d, %v", r.Exit, err)
	}
	if tr := h.Transport(); tr.Name != "local" || tr.User == "" || tr.Become != "" {
		t.Errorf("Transport = %+v", tr)
	}
}

func TestRunCut(t *testing.T) {
	h := open(t, Target{Become: "none", Timeouts: remote.Timeouts{Run: 2 * time.Second}})
	for name, c := range map[string]struct {
		cmd  remote.Cmd
		says string
	}{
		"flood":  {sh("yes"), "more than 1000 bytes to standard output"},
		"hang":   {sh("sleep 60; :"), "did not end within 2s"},
		"daemon": {sh("sleep 60 & wait"), "did not end within 2s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := h.Run(t.Context(), c.cmd, 1000)
			if !errors.Is(err, remote.ErrCut) || !strings.Contains(err.Error(), c.says) || time.Since(began) > 30*time.Second {
				t.Errorf("after %s: %v", time.Since(began), err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Run(ctx, sh("sleep 60"), 1000); err == nil {
		t.Error("a cancelled command ran")
	}
}

// A command that leaves a daemon behind, which keeps the output open, has ended all the same.
func TestRunDaemonHoldsOutput(t *testing.T) {
	began := time.Now()
	r, err := open(t, Target{Become: "none"}).Run(t.Context(), sh("sleep 60 & echo started; exit 3"), 1000)
	if err != nil || r.Exit != 3 || string(r.Stdout) != "started\n" || time.Since(began) > 30*time.Second {
		t.Errorf("after %s: %d %q %v", time.Since(began), r.Exit, r.Stdout, err)
	}
}

// TestNoSudo: what is said where sudo is missing or says no, by programs of that name in PATH. Real sudo is asked in the ssh room's interop test.
func TestNoSudo(t *testing.T) {
	for name, c := range map[string]struct{ sudo, says string }{
		"missing":  {"echo '/usr/bin/env: sudo: No such file or directory' >&2; exit 127", "sudo is not installed"},
		"password": {"echo 'sudo: a password is required' >&2; exit 1", "sudo wants a password and none was given"},
		"sudoers":  {"echo 'joe is not in the sudoers file.' >&2; exit 1", "the account is not in sudoers"},
		"mute":     {"exit 9", "sudo ended with status 9 and said nothing"},
		"liar":     {"exit 0", "sudo ended with status 0 and said nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for tool, script := range map[string]string{"sudo": c.sudo, "id": "echo 1000"} { // root's own test asks sudo all the same
				if err := os.WriteFile(filepath.Join(dir, tool), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", dir)
			h := open(t, Target{})
			h.root = false
			_, err := h.Run(t.Context(), remote.Cmd{Argv: []string{"true"}}, 100)
			if !errors.Is(err, remote.ErrPrivilege) || !strings.Contains(err.Error(), "cannot become root on localhost: "+c.says) {
				t.Errorf("got %v, want %s", err, c.says)
			}
		})
	}
	if _, err := Dial(t.Context(), Target{Become: "magic"}); !errors.Is(err, remote.ErrPrivilege) {
		t.Errorf("an unknown way to root: %v", err)
	}
}
