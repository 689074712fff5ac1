package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"mtaharden/remediate/remote/remotetest"
)

// TestInterruptedAudit: hosts that hang in every phase, each with hours to go. An interrupt ends the audit, and the report says of every host how
// far it came; one whose turn had not come was not begun.
func TestInterruptedAudit(t *testing.T) {
	f := newFleet(t)
	hung := []struct {
		name string
		*remotetest.Server
	}{
		// Those that let the login in are first: until one host has, no more than a few are tried.
		{"silent", &remotetest.Server{HangExec: true}}, {"channel", &remotetest.Server{HangAfterAuth: true}}, {"deaf", &remotetest.Server{DeafExec: true}},
		{"banner", &remotetest.Server{SilentAccept: true}}, {"lines", &remotetest.Server{Stall: remotetest.DripLines}},
		{"kex", &remotetest.Server{Stall: remotetest.NoKeyExchange}}, {"login", &remotetest.Server{HangAfterKex: true}},
	}
	for _, s := range hung {
		f.add(s.name, s.Server, `become = "none"`)
	}
	f.add("waiting", &remotetest.Server{}, `become = "none"`)
	inventory := f.inventory()
	begun := func() int32 {
		var n int32
		for _, s := range hung {
			n += min(s.Conns.Load(), 1)
		}
		return n
	}
	go func() {
		for deadline := time.Now().Add(time.Minute); begun() < 6 && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second) // so that they come as far as they come
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGINT); err != nil {
			t.Error(err)
		}
	}()
	began := time.Now()
	code, stdout, stderr := mtaharden("audit", "-i", inventory, "--batch", "--forks", "7", "--format", "json", "--connect-timeout", "1h", "--host-timeout", "2h", "--state", t.TempDir())
	t.Logf("%s from its beginning to its end\n%s", time.Since(began).Round(time.Millisecond), stderr)
	if code != exitInterrupted || !strings.Contains(stderr, "interrupted: no host was changed") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	var r reportJSON
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v\n%s", err, stdout)
	}
	if len(r.Hosts) != len(hung)+1 {
		t.Errorf("%d hosts are reported", len(r.Hosts))
	}
	notBegun := 0
	for _, h := range r.Hosts {
		t.Logf("%s: %s: %s", h.Name, h.State, h.Error)
		if h.State == "ok" || h.Error == "" {
			t.Errorf("%s: %s, %q", h.Name, h.State, h.Error)
		}
		if strings.Contains(h.Error, "not begun") {
			notBegun++
		}
	}
	if notBegun != 1 {
		t.Errorf("%d hosts were not begun", notBegun)
	}
}
