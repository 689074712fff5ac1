package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// device is an agent with a key that lives in a device (PROTOCOL.u2f of OpenSSH). Its person touches it when a line has come up that asks for it, once for each
// such line.
type device struct {
	agent.Agent
	pub xssh.PublicKey
	key ed25519.PrivateKey

	mu      sync.Mutex
	told    chan struct{} // a token for each line that asks for a touch
	screen  bytes.Buffer  // what the program printed
	waiting int           // signatures that wait for a touch
	most    int           // of them at a time
	touches int
}

const deviceApplication = "ssh:"

func newDevice(t *testing.T) *device {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	blob := xssh.Marshal(struct {
		Name        string
		Key         []byte
		Application string
	}{xssh.KeyAlgoSKED25519, public, deviceApplication})
	pub, err := xssh.ParsePublicKey(blob)
	if err != nil {
		t.Fatal(err)
	}
	return &device{Agent: agent.NewKeyring(), pub: pub, key: private, told: make(chan struct{}, 100)}
}

// serve is its socket.
func (d *device) serve(t *testing.T, socket string) {
	t.Helper()
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
				agent.ServeAgent(d, conn)
			}()
		}
	}()
}

// Write is the screen.
func (d *device) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for range bytes.Count(p, []byte("touch the key for ")) {
		d.told <- struct{}{}
	}
	return d.screen.Write(p)
}

func (d *device) List() ([]*agent.Key, error) {
	return []*agent.Key{{Format: d.pub.Type(), Blob: d.pub.Marshal(), Comment: "device"}}, nil
}

// Sign waits for the touch: where nobody is told of it, there is none.
func (d *device) Sign(_ xssh.PublicKey, data []byte) (*xssh.Signature, error) {
	d.mu.Lock()
	d.waiting++
	d.most = max(d.most, d.waiting)
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.waiting--
		d.mu.Unlock()
	}()
	select {
	case <-d.told:
	case <-time.After(30 * time.Second):
		return nil, errors.New("nobody touched it")
	}
	d.mu.Lock()
	d.touches++
	count := uint32(d.touches)
	d.mu.Unlock()
	app, message := sha256.Sum256([]byte(deviceApplication)), sha256.Sum256(data)
	tail := binary.BigEndian.AppendUint32([]byte{1}, count) // a person was there; the device's counter
	signed := slices.Concat(app[:], tail, message[:])
	return &xssh.Signature{Format: d.pub.Type(), Blob: ed25519.Sign(d.key, signed), Rest: tail}, nil
}

// TestReachTouch: hosts with real sshds, of each release, that take a key on a device alone. For each of them a person is told to touch it, by its name, and of one at a time;
// whoever touches when told is let in everywhere.
func TestReachTouch(t *testing.T) {
	for release, image := range images(t) {
		t.Run(release, func(t *testing.T) {
			d := newDevice(t)
			s := startSSHDs(t, image, d.pub)
			dir := t.TempDir()
			d.serve(t, filepath.Join(dir, "agent"))
			var inv strings.Builder
			fmt.Fprintf(&inv, "[defaults]\naddress = \"127.0.0.1\"\nuser = \"joe\"\nidentity = []\nknown_hosts = %q\n", filepath.Join(dir, "known"))
			for i := range 4 {
				fmt.Fprintf(&inv, "[hosts.mx%d]\nport = %d\n", i, s.port+i)
			}
			fill := s.words(t, dir)
			for name, text := range map[string]string{"inv.toml": inv.String(), "known": fill.Replace(usualKnown), "config": "IdentityAgent " + filepath.Join(dir, "agent") + "\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := reachAll(t, d, "-i", filepath.Join(dir, "inv.toml"), "-F", filepath.Join(dir, "config"), "--state", filepath.Join(dir, "state"), "--batch"); err != nil {
				t.Error(err)
			}
			for i := range 4 {
				line := fmt.Sprintf("mtaharden: touch the key for mx%d (sk-ssh-ed25519@openssh.com %s (agent))\n", i, xssh.FingerprintSHA256(d.pub))
				if n := strings.Count(d.screen.String(), line); n != 1 {
					t.Errorf("%q stands there %d times:\n%s", line, n, d.screen.String())
				}
			}
			if d.touches != 4 || d.most != 1 {
				t.Errorf("it was touched %d times, for %d hosts at a time", d.touches, d.most)
			}
		})
	}
}

// reachAll logs in to every host of the inventory at once; what is said goes to the device's person.
func reachAll(t *testing.T, d *device, args ...string) error {
	t.Helper()
	r := &reach{}
	c := &cobra.Command{Use: "reach", SilenceUsage: true, SilenceErrors: true, RunE: func(c *cobra.Command, _ []string) error {
		if err := r.check(c); err != nil {
			return err
		}
		_, hosts, err := r.load()
		if err != nil {
			return err
		}
		dialer, err := newDialer(c, r)
		if err != nil {
			return err
		}
		dialer.unlock(c.Context(), hosts)
		errs := make([]error, len(hosts))
		var all sync.WaitGroup
		for i, h := range hosts {
			all.Go(func() {
				host, err := dialer.dial(context.WithoutCancel(c.Context()), h)
				if errs[i] = err; err == nil {
					host.Close()
				}
			})
		}
		all.Wait()
		return errors.Join(errs...)
	}}
	r.register(c.Flags(), "")
	c.SetErr(d)
	c.SetArgs(args)
	ctx, end := withEnd(t.Context())
	defer end()
	return c.ExecuteContext(ctx)
}
