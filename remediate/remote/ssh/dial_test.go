package ssh_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// bound tells a hang from an end, no more: a busy machine under the race detector takes half a minute for the passphrase of a key alone.
const bound = 5 * time.Minute

// quick are the deadlines of tests: long enough for a busy machine, short enough to be waited for.
var quick = remote.Timeouts{Dial: 4 * time.Second, Login: 4 * time.Second, Run: 5 * time.Second}

// newTarget starts s and returns a target that may log in to it.
func newTarget(t testing.TB, s *remotetest.Server) ssh.Target {
	t.Helper()
	file, pub := remotetest.NewKeyFile(t, "")
	s.User, s.Keys = "admin", append(s.Keys, pub)
	port := s.Start(t)
	return ssh.Target{
		Name: "mx01", Address: "127.0.0.1", Port: port, User: "admin", Identities: []string{file},
		KnownHosts: []string{s.KnownHosts(t)}, Timeouts: quick,
		Trace: func(line string) { t.Log(line) },
	}
}

func dial(t testing.TB, target ssh.Target) remote.Host {
	t.Helper()
	h, err := ssh.Dial(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func TestRun(t *testing.T) {
	s := &remotetest.Server{}
	h := dial(t, newTarget(t, s))
	r, err := h.Run(t.Context(), remote.Cmd{Argv: []string{"/bin/sh", "-c", `cat; printf "it's %s\n" "$1" >&2; exit 7`, "sh", `a\b!`}, Stdin: []byte("in\x00put")}, 1<<20)
	if err != nil || r.Exit != 7 || string(r.Stdout) != "in\x00put" || string(r.Stderr) != "it's a\\b!\n" {
		t.Errorf("Run = %d %q %q, %v", r.Exit, r.Stdout, r.Stderr, err)
	}
	r, err = h.Run(t.Context(), remote.Cmd{Argv: []string{"/bin/sh", "-c", "kill -9 $PPID"}}, 1<<20)
	if err != nil || r.Exit != 137 || !strings.Contains(string(r.Stderr), "killed by signal KILL") {
		t.Errorf("killed: Run = %d %q, %v", r.Exit, r.Stderr, err)
	}
	if s.Logins.Load() != 1 || s.Execs.Load() != 2 || s.Conns.Load() != 1 {
		t.Errorf("%d connections, %d logins and %d execs for two commands", s.Conns.Load(), s.Logins.Load(), s.Execs.Load())
	}
	tr := h.Transport()
	if tr.Name != "ssh" || tr.User != "admin" || tr.Become != "" || !strings.HasPrefix(tr.HostKey, "ssh-ed25519 SHA256:") || tr.Server != "SSH-2.0-remotetest" || len(tr.Legacy) != 0 {
		t.Errorf("Transport = %+v", tr)
	}
}

// TestRunLargeBothWays: more than a window goes in and comes out at once, on both outputs.
func TestRunLargeBothWays(t *testing.T) {
	h := dial(t, newTarget(t, &remotetest.Server{}))
	in := strings.Repeat("0123456789abcde\n", 4<<20/16)
	r, err := h.Run(t.Context(), remote.Cmd{Argv: []string{"/bin/sh", "-c", "tee /dev/stderr"}, Stdin: []byte(in)}, 5<<20)
	if err != nil || string(r.Stdout) != in || len(r.Stderr) != 64<<10 {
		t.Errorf("%d bytes out, %d bytes of standard error, %v", len(r.Stdout), len(r.Stderr), err)
	}
}

// A command that leaves a daemon behind, which keeps the output open, has ended all the same.
func TestRunDaemonHoldsOutput(t *testing.T) {
	target := newTarget(t, &remotetest.Server{})
	target.Timeouts.Run = 20 * time.Second
	h := dial(t, target)
	began := time.Now()
	r, err := h.Run(t.Context(), remote.Cmd{Argv: []string{"/bin/sh", "-c", "sleep 60 & echo started; exit 3"}}, 1000)
	if err != nil || r.Exit != 3 || string(r.Stdout) != "started\n" || time.Since(began) > bound {
		t.Errorf("after %s: %d %q %v", time.Since(began), r.Exit, r.Stdout, err)
	}
}

// failures are the ways in which a host is not reached or a command does not end. kind and says are what the error must be.
var failures = []struct {
	name   string
	server *remotetest.Server
	change func(t testing.TB, s *remotetest.Server, target *ssh.Target)
	kind   error
	says   []string
}{
	{"closed port", &remotetest.Server{}, func(t testing.TB, _ *remotetest.Server, x *ssh.Target) { x.Port = 1 }, remote.ErrUnreachable, []string{"cannot connect to mx01", "refused"}},
	{"no such name", &remotetest.Server{}, func(t testing.TB, _ *remotetest.Server, x *ssh.Target) { x.Address = "no-such-host.invalid" }, remote.ErrUnreachable, []string{"no-such-host.invalid"}},
	{"tarpit", &remotetest.Server{SilentAccept: true}, nil, remote.ErrUnreachable, []string{"no SSH greeting came within 4s"}},
	{"slow banner", &remotetest.Server{BannerDelay: time.Minute}, nil, remote.ErrUnreachable, []string{"no SSH greeting came within 4s"}},
	{"not ssh", &remotetest.Server{Greeting: "220 mx01 ESMTP\r\n"}, nil, remote.ErrUnreachable, []string{"speaks no SSH", "220 mx01 ESMTP"}},
	{"penalty", &remotetest.Server{Greeting: "Not allowed at this time\r\n"}, nil, remote.ErrUnreachable, []string{"turns this address away", "PerSourcePenalties"}},
	{"too many logins", &remotetest.Server{Greeting: "Exceeded MaxStartups\r\n"}, nil, remote.ErrUnreachable, []string{"too many logins under way"}},
	{"hang after kex", &remotetest.Server{HangAfterKex: true}, nil, remote.ErrUnreachable, []string{"the authentication was not finished within 4s"}},
	{"unknown host key", &remotetest.Server{}, func(t testing.TB, _ *remotetest.Server, x *ssh.Target) { x.KnownHosts = []string{"/dev/null"} }, remote.ErrHostKey,
		[]string{"the host key is not known", "ssh-ed25519 SHA256:", "[127.0.0.1]:", "/dev/null"}},
	{"changed host key", &remotetest.Server{}, changeKey, remote.ErrHostKey, []string{"the host key has changed: the host shows ssh-ed25519 SHA256:", "known is ssh-ed25519 SHA256:", "known_hosts:1"}},
	{"changed host key is not accepted as new", &remotetest.Server{}, func(t testing.TB, s *remotetest.Server, x *ssh.Target) {
		changeKey(t, s, x)
		x.AcceptNew, x.AcceptedKeys = true, filepath.Join(t.TempDir(), "accepted")
	}, remote.ErrHostKey, []string{"the host key has changed"}},
	{"wrong key", &remotetest.Server{}, func(t testing.TB, _ *remotetest.Server, x *ssh.Target) {
		file, _ := remotetest.NewKeyFile(t, "")
		x.Identities = []string{file}
	}, remote.ErrAuth, []string{"cannot log in to mx01", "user admin", "accepts none of the keys offered: ssh-ed25519 SHA256:", "the host takes publickey"}},
	{"no key", &remotetest.Server{}, func(t testing.TB, _ *remotetest.Server, x *ssh.Target) { x.Identities = []string{"/no/such/key"} }, remote.ErrAuth,
		[]string{"there was no key to offer and no password", "no such file: /no/such/key"}},
	{"encrypted key", &remotetest.Server{}, func(t testing.TB, _ *remotetest.Server, x *ssh.Target) {
		file, _ := remotetest.NewKeyFile(t, "open sesame")
		x.Identities = []string{file}
	}, remote.ErrAuth, []string{"it is encrypted, no passphrase was given"}},
	{"wrong passphrase", &remotetest.Server{}, func(t testing.TB, _ *remotetest.Server, x *ssh.Target) {
		file, _ := remotetest.NewKeyFile(t, "open sesame")
		x.Identities, x.Passphrase = []string{file}, func(string, int) ([]byte, error) { return []byte("close"), nil }
	}, remote.ErrAuth, []string{"the passphrase does not open it"}},
	{"key others may read", &remotetest.Server{}, func(t testing.TB, _ *remotetest.Server, x *ssh.Target) { os.Chmod(x.Identities[0], 0o644) }, remote.ErrAuth, []string{"others may read it (mode 0644)"}},
	{"wrong password", &remotetest.Server{Password: "right"}, func(t testing.TB, _ *remotetest.Server, x *ssh.Target) {
		x.Identities, x.Password = nil, func() (string, error) { return "wr0ng-secret", nil }
	}, remote.ErrAuth, []string{"the host refused the password"}},
	{"wrong password asked by keyboard-interactive", &remotetest.Server{Password: "right", Keyboard: true}, func(t testing.TB, _ *remotetest.Server, x *ssh.Target) {
		x.Identities, x.Password = nil, func() (string, error) { return "wr0ng-secret", nil }
	}, remote.ErrAuth, []string{"the host refused the password"}},
	{"old algorithms", &remotetest.Server{Config: &xssh.ServerConfig{Config: xssh.Config{KeyExchanges: []string{xssh.InsecureKeyExchangeDH14SHA1}}}}, nil, remote.ErrUnreachable,
		[]string{"no common key exchange", "diffie-hellman-group14-sha1"}},
}

func changeKey(t testing.TB, s *remotetest.Server, x *ssh.Target) {
	wrong := &remotetest.Server{HostKeys: []xssh.Signer{remotetest.NewSigner(t)}}
	wrong.Start(t)
	data, err := os.ReadFile(wrong.KnownHosts(t))
	if err != nil {
		t.Fatal(err)
	}
	right, err := os.ReadFile(x.KnownHosts[0])
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Fields(string(right))[0] + " " + strings.Join(strings.Fields(string(data))[1:], " ") + "\n"
	if err := os.WriteFile(x.KnownHosts[0], []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDialFailures(t *testing.T) {
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			target := newTarget(t, f.server)
			if f.change != nil {
				f.change(t, f.server, &target)
			}
			began := time.Now()
			h, err := ssh.Dial(t.Context(), target)
			if err == nil {
				h.Close()
				t.Fatal("Dial succeeded")
			}
			wants(t, err, f.kind, f.says)
			if took := time.Since(began); took > bound {
				t.Errorf("it took %s", took)
			}
			if n := f.server.AuthTries.Load(); n > 1 {
				t.Errorf("%d credentials were tried", n)
			}
		})
	}
}

// wants checks that err is a *remote.Error of the one kind and says all of says and no secret.
func wants(t testing.TB, err, kind error, says []string) {
	t.Helper()
	var e *remote.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is a %T, not a *remote.Error", err, err)
	}
	for _, k := range []error{remote.ErrUnreachable, remote.ErrHostKey, remote.ErrAuth, remote.ErrPrivilege, remote.ErrCut} {
		if errors.Is(err, k) != (k == kind) {
			t.Errorf("errors.Is(%q, %q) = %v", err, k, errors.Is(err, k))
		}
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("the error does not say %q: %v", s, err)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error holds a secret: %v", err)
	}
}

func TestRunFailures(t *testing.T) {
	// The line that says where the command's own output begins comes first.
	begin := len(remote.Nonce() + "-begin\n")
	cases := []struct {
		name   string
		server *remotetest.Server
		kind   error
		says   []string
	}{
		{"flood", &remotetest.Server{Flood: true}, remote.ErrCut, []string{"cannot run a command on mx01", "more than 100000 bytes to standard output"}},
		{"hang", &remotetest.Server{HangExec: true}, remote.ErrCut, []string{"did not end within 5s"}},
		{"deaf", &remotetest.Server{DeafExec: true}, remote.ErrCut, []string{"did not end within 5s"}},
		{"cut", &remotetest.Server{CutAfter: 10 + begin}, remote.ErrCut, []string{"the connection was lost"}},
		{"cut before it began", &remotetest.Server{CutAfter: 10}, remote.ErrCut, []string{"the connection was lost"}},
		{"hang after auth", &remotetest.Server{HangAfterAuth: true}, remote.ErrUnreachable, []string{"opened no channel within 4s"}},
		{"no channel", &remotetest.Server{NoChannel: true}, remote.ErrUnreachable, []string{"opens no channel", "no sessions here"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := dial(t, newTarget(t, c.server))
			began := time.Now()
			big := make([]byte, 4<<20) // more than a window: the input blocks too
			r, err := h.Run(t.Context(), remote.Cmd{Argv: []string{"/bin/sh", "-c", "echo 0123456789; cat >/dev/null; echo done"}, Stdin: big}, 100000)
			wants(t, err, c.kind, c.says)
			if took := time.Since(began); took > bound {
				t.Errorf("it took %s", took)
			}
			if c.server.CutAfter > 0 && string(r.Stdout) != "0123456789"[:max(c.server.CutAfter-begin, 0)] {
				t.Errorf("what came before the cut is %q", r.Stdout)
			}
		})
	}
}

// After a flood the connection is as good as before.
func TestRunAfterFlood(t *testing.T) {
	h := dial(t, newTarget(t, &remotetest.Server{}))
	_, err := h.Run(t.Context(), remote.Cmd{Argv: []string{"/usr/bin/yes"}}, 100000)
	wants(t, err, remote.ErrCut, []string{"more than 100000 bytes"})
	r, err := h.Run(t.Context(), remote.Cmd{Argv: []string{"echo", "still here"}}, 100)
	if err != nil || string(r.Stdout) != "still here\n" {
		t.Errorf("%q, %v", r.Stdout, err)
	}
}

func TestRunCancelled(t *testing.T) {
	target := newTarget(t, &remotetest.Server{HangExec: true})
	target.Timeouts.Run = 2 * bound
	h := dial(t, target)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	began := time.Now()
	_, err := h.Run(ctx, remote.Cmd{Argv: []string{"true"}}, 100)
	wants(t, err, remote.ErrCut, []string{"canceled"})
	if time.Since(began) > bound {
		t.Errorf("it took %s", time.Since(began))
	}
	_, err = h.Run(t.Context(), remote.Cmd{Argv: []string{"true"}}, 100)
	wants(t, err, remote.ErrUnreachable, []string{"the connection is closed"})
}

func TestDialCancelled(t *testing.T) {
	target := newTarget(t, &remotetest.Server{SilentAccept: true})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	_, err := ssh.Dial(ctx, target)
	wants(t, err, remote.ErrUnreachable, []string{"canceled"})
}

func TestKeepAliveEndsASilentConnection(t *testing.T) {
	target := newTarget(t, &remotetest.Server{DeafExec: true})
	target.KeepAlive, target.Timeouts.Run = 200*time.Millisecond, time.Minute
	frozen := &freezer{}
	target.Connect = frozen.dial
	h := dial(t, target)
	time.AfterFunc(500*time.Millisecond, frozen.freeze)
	began := time.Now()
	_, err := h.Run(t.Context(), remote.Cmd{Argv: []string{"true"}}, 100)
	wants(t, err, remote.ErrCut, []string{"the host was silent for"})
	if took := time.Since(began); took > bound {
		t.Errorf("it took %s", took)
	}
	select {
	case <-frozen.stop:
	default:
		t.Error("it ended while the keepalive was answered")
	}
}
