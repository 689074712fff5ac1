package ssh_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// unwilling is an agent whose one key signs when and as it is told.
type unwilling struct {
	touched
	asked *atomic.Int32
	sign  func() error
}

func (a unwilling) Sign(key xssh.PublicKey, data []byte) (*xssh.Signature, error) {
	a.asked.Add(1)
	if err := a.sign(); err != nil {
		return nil, err
	}
	return a.touched.Sign(key, data)
}

var errDevice = errors.New("no device")

// serveAgent is a's socket.
func serveAgent(t *testing.T, a agent.Agent) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				agent.ServeAgent(a, conn)
			}()
		}
	}()
	return socket
}

// TestUnable: a login that fails at this machine is told from one that the host refuses, and one that was refused all the same is one that was refused.
func TestUnable(t *testing.T) {
	failing := func() error { return errDevice }
	unread := func() (string, error) { return "", errors.New("cannot read the password: /x: permission denied") }
	other, _ := remotetest.NewKeyFile(t, "")
	for _, c := range []struct {
		name   string
		sign   func() error // nil: there is no agent
		accept string       // a password that the host takes
		change func(*ssh.Target)
		unable bool
		says   string
	}{
		{name: "an agent that refuses", sign: failing, unable: true, says: "could not sign: agent"},
		{name: "an agent that refuses, and a key that the host does not know", sign: failing, change: func(x *ssh.Target) { x.Identities = []string{other} }, unable: true, says: "could not sign: agent"},
		{name: "an agent that refuses, and a wrong password", sign: failing, accept: "right", change: func(x *ssh.Target) { x.Password = given("wrong") }, says: "the host refused the password"},
		{name: "an agent that refuses, and a password that cannot be read", sign: failing, accept: "right", change: func(x *ssh.Target) { x.Password = unread }, unable: true, says: "no password: cannot read"},
		{name: "a password that cannot be read", accept: "right", change: func(x *ssh.Target) { x.Password = unread }, unable: true, says: "no password: cannot read"},
		{name: "a key that the host does not know", change: func(x *ssh.Target) { x.Identities = []string{other} }, says: "accepts none of the keys offered"},
		{name: "a wrong password", accept: "right", change: func(x *ssh.Target) { x.Password = given("wrong") }, says: "the host refused the password"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int32
			s := &remotetest.Server{Password: c.accept}
			target, keys := newTarget(t, s), newTouched(t)
			s.Keys = []xssh.PublicKey{keys.pub}
			target.Identities = nil
			if c.sign != nil {
				target.Agent = serveAgent(t, unwilling{keys, &asked, c.sign})
			}
			if c.change != nil {
				c.change(&target)
			}
			_, err := ssh.Dial(t.Context(), target)
			t.Log(err)
			wants(t, err, remote.ErrAuth, []string{c.says})
			if errors.Is(err, remote.ErrUnable) != c.unable || (c.sign != nil) != (asked.Load() == 1) {
				t.Errorf("it is this machine's own failure: %v, and should be: %v; the agent was asked %d times", errors.Is(err, remote.ErrUnable), c.unable, asked.Load())
			}
		})
	}
	t.Run("no answer to a code", func(t *testing.T) {
		x := newTarget(t, &remotetest.Server{Code: func() string { return "1" }})
		x.Answer = func(string, bool) (string, error) { return "", errors.New("there is no terminal") }
		if _, err := ssh.Dial(t.Context(), x); !errors.Is(err, remote.ErrUnable) {
			t.Error(err)
		}
		x.Answer = func(string, bool) (string, error) { return "2", nil }
		if _, err := ssh.Dial(t.Context(), x); !errors.Is(err, remote.ErrAuth) || errors.Is(err, remote.ErrUnable) {
			t.Error(err)
		}
	})
}

// TestHostDoesNotWait: a host that hangs up while the agent is waited for (LoginGraceTime) has refused nothing.
func TestHostDoesNotWait(t *testing.T) {
	var conn atomic.Pointer[net.TCPConn]
	var asked atomic.Int32
	keys := newTouched(t)
	target := newTarget(t, &remotetest.Server{Keys: []xssh.PublicKey{keys.pub}})
	target.Connect = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			conn.Store(c.(*net.TCPConn))
		}
		return c, err
	}
	target.Identities, target.Agent = nil, serveAgent(t, unwilling{keys, &asked, func() error {
		err := conn.Load().CloseRead() // nothing more comes from the host
		time.Sleep(time.Second / 2)    // a person's time
		return err
	}})
	_, err := ssh.Dial(t.Context(), target)
	t.Log(err)
	wants(t, err, remote.ErrAuth, []string{"could not sign: it did when the host waited for it no longer"})
	if !errors.Is(err, remote.ErrUnable) {
		t.Errorf("%v is told as a refusal", err)
	}
}

// TestUnableJump: a jump host whose login fails here is named, and is not asked anew by each of a fleet's hosts.
func TestUnableJump(t *testing.T) {
	keys := newTouched(t)
	var asked atomic.Int32
	bastion, end := onward(), &remotetest.Server{}
	bastion.Keys = []xssh.PublicKey{keys.pub}
	hop, x := named(newTarget(t, bastion), "hop1"), newTarget(t, end)
	hop.Identities, hop.Agent = nil, serveAgent(t, unwilling{keys, &asked, func() error { return errDevice }})
	var jumps ssh.Jumps
	t.Cleanup(func() { jumps.Close() })
	x.Jump = jumps.Through(hop)
	for i := range 2 {
		_, err := ssh.Dial(t.Context(), x)
		wants(t, err, remote.ErrUnreachable, []string{"the login to its jump host hop1 failed here: user admin: ", "could not sign"})
		if asked.Load() != 1 {
			t.Errorf("at try %d the agent was asked %d times", i, asked.Load())
		}
	}
}

// TestHungAgent: an agent that takes a connection and says nothing is waited for once in a run, and the keys of files log in all the same.
func TestHungAgent(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var asked atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			defer c.Close()
		}
	}()
	x := newTarget(t, &remotetest.Server{})
	x.Agent, x.Keys = socket, &ssh.Keys{}
	said := traced(t, &x)
	for range 3 {
		dial(t, x).Close()
	}
	if asked.Load() != 1 || strings.Count(said(), "the agent does not say what it holds") != 1 || strings.Count(said(), "the agent did not say what it holds within 5s, and was not asked again") != 2 {
		t.Errorf("it was asked %d times", asked.Load())
	}
}
