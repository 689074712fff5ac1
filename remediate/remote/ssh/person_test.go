package ssh_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// TestOneTimeCode: a host that wants a code beside the key has a person asked for it, each time anew, and the connection says so. Who takes
// longer than a login may otherwise last is waited for.
func TestOneTimeCode(t *testing.T) {
	t.Parallel()
	codes := []string{"111111", "222222"}
	s := &remotetest.Server{Code: func() string { return codes[0] }}
	target := newTarget(t, s)
	var asked []string
	target.Timeouts.Login = 10 * time.Second
	target.Answer = func(question string, echo bool) (string, error) {
		asked = append(asked, question)
		if echo {
			t.Errorf("the answer to %q would be shown", question)
		}
		if len(asked) == 1 {
			time.Sleep(target.Timeouts.Login + time.Second)
		}
		return codes[0], nil
	}
	for range 2 {
		h := dial(t, target)
		if got := h.Transport().Person; got != `answer "Verification code:"` {
			t.Errorf("a person did: %q", got)
		}
		codes = append(codes[1:], "333333")
	}
	if got := strings.Join(asked, ","); got != "Verification code:,Verification code:" {
		t.Errorf("asked were %q", got)
	}
	if got := dial(t, newTarget(t, &remotetest.Server{})).Transport().Person; got != "" {
		t.Errorf("with a key alone a person did: %q", got)
	}
}

// TestNobodyAnswers: where nobody is there, or nobody knows the code, the login is refused, and says what was asked.
func TestNobodyAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(string, bool) (string, error)
		says   string
	}{
		"nobody":     {nil, "wants more"},
		"wrong":      {func(string, bool) (string, error) { return "000000", nil }, "wants more"},
		"no answer":  {func(string, bool) (string, error) { return "", errors.New("there is no terminal") }, "there is no terminal"},
		"a password": {nil, "wants more"},
	} {
		t.Run(name, func(t *testing.T) {
			target := newTarget(t, &remotetest.Server{Code: func() string { return "111111" }})
			target.Answer = c.answer
			if name == "a password" {
				target.Password = func() (string, error) { return "s3cret", nil }
			}
			_, err := ssh.Dial(t.Context(), target)
			if !errors.Is(err, remote.ErrAuth) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q in it", err, c.says)
			}
			if err != nil && (strings.Contains(err.Error(), "000000") || strings.Contains(err.Error(), "s3cret")) {
				t.Errorf("an answer stands in %v", err)
			}
		})
	}
}

// TestFleetAsksNobody: a host that takes none of the keys, and would take a typed password, does not have a person asked for it.
func TestFleetAsksNobody(t *testing.T) {
	s := &remotetest.Server{Password: "right", Keyboard: true}
	target := newTarget(t, s)
	file, _ := remotetest.NewKeyFile(t, "")
	target.Identities = []string{file}
	target.Answer = func(question string, _ bool) (string, error) {
		t.Errorf("a person was asked %q", question)
		return "right", nil
	}
	if _, err := ssh.Dial(t.Context(), target); !errors.Is(err, remote.ErrAuth) {
		t.Error(err)
	}
}

// touched is an agent with one key of the kind that lives in a device and signs when it is touched (PROTOCOL.u2f of OpenSSH).
type touched struct {
	agent.Agent
	pub xssh.PublicKey
	key ed25519.PrivateKey
}

const skApplication = "ssh:"

func newTouched(t *testing.T) touched {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	blob := xssh.Marshal(struct {
		Name        string
		Key         []byte
		Application string
	}{xssh.KeyAlgoSKED25519, public, skApplication})
	pub, err := xssh.ParsePublicKey(blob)
	if err != nil {
		t.Fatal(err)
	}
	return touched{agent.NewKeyring(), pub, private}
}

func (a touched) List() ([]*agent.Key, error) {
	return []*agent.Key{{Format: a.pub.Type(), Blob: a.pub.Marshal(), Comment: "device"}}, nil
}

func (a touched) Sign(_ xssh.PublicKey, data []byte) (*xssh.Signature, error) {
	app, message := sha256.Sum256([]byte(skApplication)), sha256.Sum256(data)
	tail := binary.BigEndian.AppendUint32([]byte{1}, 7) // a person was there; the device's counter
	signed := append(append(app[:], tail...), message[:]...)
	return &xssh.Signature{Format: a.pub.Type(), Blob: ed25519.Sign(a.key, signed), Rest: tail}, nil
}

// TestTouch: a key that waits for a touch takes a person at each login, and the connection says so.
func TestTouch(t *testing.T) {
	keys := newTouched(t)
	socket := serveAgent(t, keys)
	s := &remotetest.Server{Keys: []xssh.PublicKey{keys.pub}}
	target := newTarget(t, s)
	target.Identities, target.Agent = nil, socket
	if got := dial(t, target).Transport().Person; got != "touch the key agent" {
		t.Errorf("a person did: %q", got)
	}
}

// TestTouchOfJumpHosts: one key that waits for a touch, for targets and for the jump hosts before them: nobody waits for a turn that waits for him.
func TestTouchOfJumpHosts(t *testing.T) {
	agent := newTouched(t)
	socket, keys := serveAgent(t, agent), &ssh.Keys{}
	var jumps ssh.Jumps
	t.Cleanup(func() { jumps.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, name := range []string{"one", "two"} {
		bastion, end := onward(), &remotetest.Server{}
		var way []ssh.Target
		for _, s := range []*remotetest.Server{bastion, end} {
			s.Keys = []xssh.PublicKey{agent.pub}
			x := named(newTarget(t, s), name)
			x.Identities, x.Agent, x.Keys = nil, socket, keys
			way = append(way, x)
		}
		way[1].Jump = jumps.Through(way[0])
		h, err := ssh.Dial(ctx, way[1])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		h.Close()
	}
}
