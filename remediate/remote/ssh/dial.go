package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"mtaharden/remediate/remote"
)

// typing is how long a person has to answer a question or to touch a key. sshd's own patience (LoginGraceTime) is two minutes for a whole login.
const typing = 2 * time.Minute

const (
	opConnect = "connect to"
	opLogin   = "log in to"
)

// Dial connects to t and logs in. The host's key is verified always. Every error is a *remote.Error, or that of the gate (remote.AtLogin); once ctx or a
// phase's time has ended, the connection is closed and nothing is left waiting for the host.
func Dial(ctx context.Context, t Target) (remote.Host, error) {
	t = t.withDefaults()
	if t.Address == "" || t.User == "" {
		return nil, remote.Wrap(opConnect, t.Name, remote.ErrUnreachable, errors.New("no address or no user is given"))
	}
	if err := t.checkBecome(); err != nil {
		return nil, remote.Wrap("become root on", t.Name, remote.ErrPrivilege, err)
	}
	if h := t.ride(ctx); h != nil {
		return h, nil
	}
	known := t.hosts()
	for _, p := range known.problems {
		t.tracef("%s", p)
	}
	ring := t.gather(ctx)
	defer ring.close()
	ring.restrict(t.Algorithms.PublicKeys)
	for _, n := range ring.notes {
		t.tracef("%s", n)
	}
	before, err := t.reachJump(ctx)
	if err != nil {
		return nil, err
	}
	return t.persist(ctx, func(ctx context.Context) (remote.Host, error) {
		leave, err := t.Keys.queue(ctx, ring) // the last that is waited for: who has the key waits for nobody else
		if err != nil {
			return nil, remote.Wrap(opConnect, t.Name, remote.ErrUnreachable, err)
		}
		defer leave()
		conn, err := t.connect(ctx, before)
		if err != nil {
			return nil, err
		}
		return t.login(ctx, conn, known, ring)
	})
}

// reachJump is the connection to the jump host, nil where there is none. It is made in its own time, which a person may need, and before the target waits
// for a turn: the jump host's login may need the same one.
func (t Target) reachJump(ctx context.Context) (*host, error) {
	if t.Jump == nil {
		return nil, nil
	}
	t.tracef("through the jump host %s", t.Jump.t.Name)
	h, err := t.Jump.reach(ctx)
	return h, remote.Wrap(opConnect, t.Name, remote.ErrUnreachable, err)
}

func (t Target) connect(ctx context.Context, before *host) (*watched, error) {
	connect := t.Connect
	if before != nil {
		connect = func(ctx context.Context, _, address string) (net.Conn, error) {
			return t.Jump.dial(ctx, before, address)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, t.Timeouts.Dial)
	defer cancel()
	t.tracef("connecting to %s", t.endpoint())
	conn, err := connect(ctx, "tcp", t.endpoint())
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("%s did not answer within %s", t.endpoint(), t.Timeouts.Dial)
		}
		return nil, remote.Wrap(opConnect, t.Name, remote.ErrUnreachable, t.unfollowed(err, "BindAddress", "BindInterface"))
	}
	return &watched{Conn: promptly(conn), heard: time.Now(), before: before}, nil
}

// The phases of a login, each with its own time.
const (
	inBanner = iota
	inKeyExchange
	inAuth
)

// enter begins a phase of the login.
func (l *login) enter(phase int) {
	l.clockMu.Lock()
	defer l.clockMu.Unlock()
	l.phase, l.limit = phase, [...]time.Duration{l.t.Timeouts.Banner, l.t.Timeouts.KeyExchange, l.t.Timeouts.Auth}[phase]
	l.until = time.Now().Add(l.limit)
	l.clock.Reset(l.limit)
}

// patience gives the login the time that a person takes.
func (l *login) patience() {
	l.clockMu.Lock()
	defer l.clockMu.Unlock()
	l.limit = max(l.limit, typing)
	l.until = time.Now().Add(l.limit)
	l.clock.Reset(l.limit)
}

// login does key exchange and authentication on conn, each within its own time.
func (t Target) login(ctx context.Context, conn *watched, known *knownHosts, ring *keyring) (remote.Host, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := &login{t: t, ctx: ctx, ring: ring, conn: conn, clock: time.AfterFunc(time.Hour, func() { cancel(context.DeadlineExceeded) })}
	defer l.clock.Stop()
	conn.named = func() { l.enter(inKeyExchange) }
	l.enter(inBanner)
	stop := context.AfterFunc(ctx, func() {
		conn.Close()
		ring.close() // an agent that waits for a touch holds the login too
	})
	config, err := t.config(known)
	if err != nil {
		conn.Close()
		return nil, remote.Wrap(opConnect, t.Name, remote.ErrUnreachable, err)
	}
	config.BannerCallback = func(message string) error {
		l.banner = clean(message)
		t.tracef("the host's banner: %s", message)
		return nil
	}
	config.AuthCallback = l.next
	config.HostKeyCallback = hostKeyFunc(func(key ssh.PublicKey) error { return l.shows(known, key) })
	c, chans, reqs, err := ssh.NewClientConn(conn, t.endpoint(), config)
	if !stop() && err == nil {
		c.Close()
		err = context.Cause(ctx)
	}
	hostKey, untrusted := l.shown()
	if err != nil {
		conn.Close()
		return nil, l.failure(ctx, err, untrusted, hostKey != "")
	}
	t.tracef("logged in as %s; the server is %s", t.User, c.ServerVersion())
	h := &host{t: t, conn: conn, client: ssh.NewClient(c, chans, reqs), done: make(chan struct{})}
	h.transport = remote.Transport{Name: "ssh", User: t.User, HostKey: hostKey, Server: clean(string(c.ServerVersion())), Legacy: weak(c), Person: l.person}
	if t.becomes() {
		h.transport.Become = t.way()
	}
	go h.keepAlive()
	return h, nil
}

// shows judges the key that the host has proven to hold. It is asked at each key exchange; a host may want a new one whenever it likes, also while
// the login ends, and that gives it no more time.
func (l *login) shows(known *knownHosts, key ssh.PublicKey) error {
	err := l.t.trust(known, key)
	l.clockMu.Lock()
	first := l.hostKey == ""
	l.hostKey, l.untrusted = describe(key), err
	l.clockMu.Unlock()
	if first {
		l.enter(inAuth)
	}
	return err
}

// shown is the key that the host last showed, and why it is not trusted.
func (l *login) shown() (key string, untrusted error) {
	l.clockMu.Lock()
	defer l.clockMu.Unlock()
	return l.hostKey, l.untrusted
}

func hostKeyFunc(f func(ssh.PublicKey) error) ssh.HostKeyCallback {
	return func(_ string, _ net.Addr, key ssh.PublicKey) error { return f(key) }
}

// failure names the phase in which a login ended, and why.
func (l *login) failure(ctx context.Context, err, untrusted error, keySeen bool) error {
	name, late := l.t.Name, errors.Is(context.Cause(ctx), context.DeadlineExceeded)
	err = errors.Unwrap(err) // without the library's "ssh: handshake failed"
	var algo *ssh.AlgorithmNegotiationError
	var ended *proxyEnded
	unreachable := func(cause error) error { return remote.Wrap(opConnect, name, remote.ErrUnreachable, cause) }
	switch {
	case untrusted != nil:
		return remote.Wrap(opConnect, name, remote.ErrHostKey, l.t.unfollowed(untrusted, "KnownHostsCommand", "VerifyHostKeyDNS", "StrictHostKeyChecking"))
	case l.denied != nil:
		return l.denied
	case errors.As(err, &ended) && !l.begun:
		return unreachable(ended)
	case ctx.Err() != nil && !late:
		return unreachable(context.Cause(ctx))
	case l.conn.jumpGone():
		return unreachable(errors.New(l.conn.before.gone()))
	case !late && l.conn.broken():
		return unreachable(fmt.Errorf("the link was lost: %s", reason(l.conn.why())))
	case late && !l.unable():
		return unreachable(l.late())
	case errors.As(err, &algo):
		return unreachable(fmt.Errorf("no common %s: the host has only %s", algo.What, clean(strings.Join(real(algo.RequestedAlgorithms), ", "))))
	case l.unable():
		return remote.Wrap(opLogin, name, remote.ErrAuth, remote.Unable(l.refusal()))
	case l.notYet(err):
		return unreachable(fmt.Errorf("the host lets nobody but root in just now: it says %q", l.banner))
	case errors.Is(err, errRefused), l.err != nil, l.asked != "":
		return remote.Wrap(opLogin, name, remote.ErrAuth, l.t.unfollowed(l.refusal(), l.others()...))
	case l.begun && (l.keysSent || l.pwSent):
		return remote.Wrap(opLogin, name, remote.ErrAuth, fmt.Errorf("%v; the host then ended the login: %s%s", l.refusal(), reason(err), tooMany(err)))
	case !keySeen && strings.Contains(l.conn.greeting(), "Not allowed at this time"):
		return unreachable(errors.New("the host turns this address away for a while, after failed logins from here (sshd_config(5), PerSourcePenalties)"))
	case !keySeen && strings.Contains(l.conn.greeting(), "Exceeded MaxStartups"):
		return unreachable(startups{"the host has too many logins under way (sshd_config(5), MaxStartups)"})
	case !keySeen && l.conn.greeting() == "" && hungUp(err):
		return unreachable(startups{"the host took the connection and closed it without a word: it has too many logins under way (sshd_config(5), MaxStartups), or lets nobody in from here (hosts.deny, a firewall)"})
	case !keySeen && !strings.HasPrefix(l.conn.greeting(), "SSH-"):
		return unreachable(fmt.Errorf("it speaks no SSH there: %s; it sent %q", reason(err), clean(l.conn.greeting())))
	}
	return unreachable(fmt.Errorf("the host ended the login: %s", reason(err)))
}

// late says what was waited for in vain.
func (l *login) late() error {
	l.clockMu.Lock()
	defer l.clockMu.Unlock()
	what := "the authentication was not finished"
	switch {
	case l.phase == inKeyExchange:
		what = "the key exchange was not finished"
	case l.phase == inBanner && l.conn.greeting() == "":
		what = "the connection was made, but no SSH greeting came"
	case l.phase == inBanner:
		what = fmt.Sprintf("no SSH greeting came (but %q)", clean(l.conn.greeting()))
	}
	return fmt.Errorf("%s within %s", what, l.limit)
}

// unfollowed adds to a cause those of these keywords that ssh_config has and this program cannot do.
func (t Target) unfollowed(cause error, keywords ...string) error {
	for _, asked := range t.NotFollowed {
		if name, _, _ := strings.Cut(asked, " "); contains(keywords, name) {
			cause = fmt.Errorf("%v; ssh_config asks for %s, which this program does not do", cause, asked)
		}
	}
	return cause
}

// others are the ways of logging in that ssh has beside ours, as far as the host takes them.
func (l *login) others() []string {
	names := []string{"PKCS11Provider", "PreferredAuthentications", "PubkeyAuthentication", "PasswordAuthentication", "KbdInteractiveAuthentication"}
	if contains(l.allowed, "gssapi-with-mic") {
		names = append(names, "GSSAPIAuthentication")
	}
	if contains(l.allowed, "hostbased") {
		names = append(names, "HostbasedAuthentication")
	}
	return names
}

// real leaves out what stands among a server's key exchanges and is none: what it can do besides (RFC 8308, 2.1; OpenSSH's PROTOCOL, 1.10).
func real(algorithms []string) []string {
	return slices.DeleteFunc(slices.Clone(algorithms), func(a string) bool {
		return strings.HasPrefix(a, "ext-info-") || strings.HasPrefix(a, "kex-strict-")
	})
}

// hungUp says whether the other side ended the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

func reason(err error) string {
	switch {
	case err == nil:
		return "no reason given"
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "it closed the connection"
	}
	return clean(err.Error())
}
