package ssh_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// member is one host of a fleet and how it must end: kind nil is a good one.
type member struct {
	name   string
	server *remotetest.Server
	change func(t testing.TB, s *remotetest.Server, x *ssh.Target)
	kind   error
	says   string
}

var fleet = []member{
	{name: "good1", server: &remotetest.Server{}},
	{name: "closed port", server: &remotetest.Server{}, change: func(_ testing.TB, _ *remotetest.Server, x *ssh.Target) { x.Port = 1 }, kind: remote.ErrUnreachable, says: "refused"},
	{name: "tarpit", server: &remotetest.Server{SilentAccept: true}, kind: remote.ErrUnreachable, says: "no SSH greeting"},
	{name: "wrong key", server: &remotetest.Server{}, kind: remote.ErrAuth, says: "accepts none of the keys",
		change: func(t testing.TB, _ *remotetest.Server, x *ssh.Target) {
			file, _ := remotetest.NewKeyFile(t, "")
			x.Identities = []string{file}
		}},
	{name: "changed host key", server: &remotetest.Server{}, change: changeKey, kind: remote.ErrHostKey, says: "has changed"},
	{name: "good2", server: &remotetest.Server{}},
	{name: "no sudo", kind: remote.ErrPrivilege, says: "sudo is not installed",
		server: &remotetest.Server{Answer: func(line string, _ io.Reader, _, stderr io.Writer) int {
			fmt.Fprintln(stderr, "/usr/bin/env: sudo: No such file or directory")
			return 127
		}},
		change: func(_ testing.TB, _ *remotetest.Server, x *ssh.Target) { x.Become = "sudo" }},
	{name: "flood", server: &remotetest.Server{Flood: true}, kind: remote.ErrCut, says: "more than 1000 bytes"},
	{name: "hang", server: &remotetest.Server{HangExec: true}, kind: remote.ErrCut, says: "did not end within"},
	{name: "good3", server: &remotetest.Server{}},
}

// patient are the fleet's deadlines: a good host that waits for a bad one is seen, a busy machine is not taken for one.
var patient = remote.Timeouts{Dial: 20 * time.Second, Login: 20 * time.Second, Run: 24 * time.Second}

// runFleet runs ten hosts at once: each failure has its right name, the good ones are done at once, and all of it ends when the deadlines say.
func runFleet(t *testing.T) {
	targets := make([]ssh.Target, len(fleet))
	for i, m := range fleet {
		targets[i] = newTarget(t, m.server)
		targets[i].Name, targets[i].Trace, targets[i].Timeouts = m.name, nil, patient
		if m.change != nil {
			m.change(t, m.server, &targets[i])
		}
	}
	began := time.Now()
	var wg sync.WaitGroup
	for i, m := range fleet {
		wg.Go(func() {
			out, err := visit(t.Context(), targets[i])
			took := time.Since(began)
			if m.kind != nil {
				wants(t, err, m.kind, []string{m.name, m.says})
			} else if err != nil || out != "done\n" || took > patient.Login {
				t.Errorf("%s after %s: %q, %v", m.name, took, out, err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(began); took > bound {
		t.Errorf("the fleet took %s", took)
	}
}

func visit(ctx context.Context, target ssh.Target) (string, error) {
	h, err := ssh.Dial(ctx, target)
	if err != nil {
		return "", err
	}
	defer h.Close()
	r, err := h.Run(ctx, remote.Cmd{Argv: []string{"/bin/sh", "-c", "cat"}, Stdin: []byte("done\n")}, 1000)
	return string(r.Stdout), err
}

// TestFleet: ten hosts, of which seven fail, each in its own way; and after it no goroutine of ours still waits for a host.
func TestFleet(t *testing.T) {
	t.Run("ten hosts", runFleet)
	var stacks string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		buf := make([]byte, 1<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, "remote/ssh.(") && !strings.Contains(stacks, "x/crypto") && !strings.Contains(stacks, "golang.org/x/crypto/ssh.") {
			return
		}
	}
	t.Errorf("still running:\n%s", stacks)
}

// TestSudoByItsWords: sudo's conversation with a program of that name, for what a real one cannot be brought to do in a test.
func TestSudoByItsWords(t *testing.T) {
	cases := []struct {
		name, sudo, says string
	}{
		{"another prompt", `printf 'Corporate Password for joe: ' >&2; read -r p; [ "$p" = "correct secret 1!" ] || exit 1; while [ "$1" != -- ]; do shift; done; shift; exec "$@"`, ""},
		{"a question without an answer", `printf 'Verification code: ' >&2; read -r p`, "sudo did not begin the command within 4s; it last said: Verification code:"},
		{"asks for ever", `while :; do printf '%s' "$3" >&2; read -r p || { echo "sudo: no password was provided" >&2; exit 1; }; echo tries >> "$COUNT"; done`, "no password was provided"},
		{"takes it and says nothing", `read -r p; exit 0`, "did not begin the command"},
		{"needs no password", `while [ "$1" != -- ]; do shift; done; shift; exec "$@"`, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := fakes(t, map[string]string{"sudo": c.sudo})
			s := &remotetest.Server{Env: []string{"PATH=" + dir + ":/usr/bin:/bin", "COUNT=" + dir + "/count"}}
			target := newTarget(t, s)
			target.Become, target.BecomePassword = "sudo", given(secret)
			r, err := dial(t, target).Run(t.Context(), whoami, 1000)
			if c.says == "" {
				if err != nil || !strings.HasSuffix(string(r.Stdout), itself) {
					t.Errorf("%q %q, %v", r.Stdout, r.Stderr, err)
				}
			} else {
				wants(t, err, remote.ErrPrivilege, []string{c.says})
			}
			if tries, err := os.ReadFile(dir + "/count"); err == nil && strings.Count(string(tries), "tries") != 1 {
				t.Errorf("the password was given %d times", strings.Count(string(tries), "tries"))
			}
			for _, line := range s.Commands() {
				if strings.Contains(line, "secret") {
					t.Errorf("the password is in the command line: %s", line)
				}
			}
		})
	}
	t.Run("no password at hand", func(t *testing.T) {
		t.Parallel()
		dir := fakes(t, map[string]string{"sudo": `printf '%s' "$3" >&2; read -r p || exit 1`})
		target := newTarget(t, &remotetest.Server{Env: []string{"PATH=" + dir + ":/usr/bin:/bin"}})
		target.Become, target.BecomePassword = "sudo", func() (string, error) { return "", errors.New("cannot read the password file: gone") }
		_, err := dial(t, target).Run(t.Context(), whoami, 1000)
		wants(t, err, remote.ErrPrivilege, []string{"sudo wants a password: cannot read the password file: gone"})
	})
}

// fakes is a directory of programs, each a shell script, for an account that is not root's.
func fakes(t testing.TB, programs map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	programs["id"] = "echo 1000"
	for name, text := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestAgentThatHangs: an agent that never answers costs its own few seconds, and the key files are still offered.
func TestAgentThatHangs(t *testing.T) {
	socket := t.TempDir() + "/agent"
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	target := newTarget(t, &remotetest.Server{})
	target.Agent = socket
	began := time.Now()
	if _, err := dial(t, target).Run(t.Context(), remote.Cmd{Argv: []string{"true"}}, 10); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > bound {
		t.Errorf("it took %s", took)
	}
}
