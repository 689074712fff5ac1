package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// slow is how long a signature may take before a person is told what it may be waiting for.
const slow = time.Second

// credential is a key that can be offered in one login, and where it is from.
type credential struct {
	ssh.AlgorithmSigner
	from  string
	held  bool // the agent has it
	asked bool // the host knows the key and asked for a signature
	err   error
	login *login
}

// device reports whether the key is held by a device, which may wait for a touch.
func (c *credential) device() bool { return strings.HasPrefix(c.PublicKey().Type(), "sk-") }

func (c *credential) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	c.asked = true
	if !c.held || c.login == nil {
		sig, err := c.AlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
		c.err = err
		return sig, err
	}
	l := c.login
	if c.device() {
		l.person = "touch the key " + c.from
		l.patience()
		leave, err := l.t.Keys.turn(l.ctx, c, l.ring)
		if err != nil {
			c.err = err
			return nil, err
		}
		defer leave()
	}
	told := time.AfterFunc(slow, func() {
		if c.device() {
			l.t.Notify(fmt.Sprintf("touch the key for %s (%s)", l.t.Name, c))
		} else {
			l.t.Notify(fmt.Sprintf("the agent has not yet signed for %s: it may be asking somebody for leave (%s)", l.t.Name, c))
			l.patience()
		}
	})
	defer told.Stop()
	sig, err := c.AlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
	switch {
	case errors.Is(context.Cause(l.ctx), context.DeadlineExceeded):
		err = errors.New("it had not when the time for the login was over")
	case err == nil && l.conn.over(): // sshd's own patience is shorter than a person's (sshd_config(5), LoginGraceTime)
		err = errors.New("it did when the host waited for it no longer")
	}
	c.err = err
	return sig, err
}

func (c *credential) String() string {
	if cert, ok := c.PublicKey().(*ssh.Certificate); ok {
		return fmt.Sprintf("%s of %s %s (%s)", fmt.Sprintf("certificate %q", clean(cert.KeyId)), cert.Key.Type(), ssh.FingerprintSHA256(cert.Key), c.from)
	}
	return fmt.Sprintf("%s %s (%s)", c.PublicKey().Type(), ssh.FingerprintSHA256(c.PublicKey()), c.from)
}

// token is the one that lets a key be touched.
func (k *Keys) token() chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.touch == nil {
		k.touch, k.touched = make(chan struct{}, 1), map[string]bool{}
	}
	return k.touch
}

// turn waits until no other login of the run waits for a touch: a person can tell one request from another only so.
func (k *Keys) turn(ctx context.Context, c *credential, r *keyring) (leave func(), err error) {
	token := k.token()
	k.mu.Lock()
	k.touched[string(c.PublicKey().Marshal())] = true
	k.mu.Unlock()
	if r.turn {
		return func() {}, nil
	}
	return take(ctx, token)
}

// queue makes the whole login wait for its turn, before it is connected, where the ring holds a key that was touched before in this run: a host's
// patience with a login (sshd_config(5), LoginGraceTime) is not spent on waiting for others.
func (k *Keys) queue(ctx context.Context, r *keyring) (leave func(), err error) {
	token := k.token()
	for _, c := range r.keys {
		k.mu.Lock()
		again := c.device() && k.touched[string(c.PublicKey().Marshal())]
		k.mu.Unlock()
		if again {
			r.turn = true
			return take(ctx, token)
		}
	}
	return func() {}, nil
}

func take(ctx context.Context, token chan struct{}) (leave func(), err error) {
	select {
	case token <- struct{}{}:
		return func() { <-token }, nil
	case <-ctx.Done():
		return nil, errors.New("the login ended before its turn at the key came")
	}
}
