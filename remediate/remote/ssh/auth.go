package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// maxKeys is how many keys are offered: sshd ends a login after six failures (sshd_config(5), MaxAuthTries), and each key it does not know is one.
const maxKeys = 5

// agentWait bounds asking the agent what it holds.
const agentWait = 5 * time.Second

// credential is a key that can be offered, and where it is from.
type credential struct {
	ssh.AlgorithmSigner
	from  string
	asked bool // the host knows the key and asked for a signature
	err   error
	login *login
}

func (c *credential) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	c.asked = true
	if strings.HasPrefix(c.PublicKey().Type(), "sk-") && c.login != nil { // held by a device that waits for a touch
		c.login.person = "touch the key " + c.from
		c.login.patience()
	}
	sig, err := c.AlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
	c.err = err
	return sig, err
}

func (c *credential) String() string {
	return fmt.Sprintf("%s %s (%s)", c.PublicKey().Type(), ssh.FingerprintSHA256(c.PublicKey()), c.from)
}

// keyring is what a login may offer: keys of files and of the agent, each once, and why others are not among them.
type keyring struct {
	keys  []*credential
	notes []string
	none  []string // files that do not exist; ssh does not mind them, and they are worth a word only when there is no key at all
	agent net.Conn
}

func (r *keyring) close() {
	if r.agent != nil {
		r.agent.Close()
	}
}

func (r *keyring) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

func (r *keyring) add(s ssh.Signer, from string) {
	as, ok := s.(ssh.AlgorithmSigner)
	if !ok {
		r.note("%s: the key cannot say which signature it makes", from)
		return
	}
	for _, have := range r.keys {
		if bytes.Equal(have.PublicKey().Marshal(), s.PublicKey().Marshal()) {
			return
		}
	}
	r.keys = append(r.keys, &credential{AlgorithmSigner: as, from: from})
}

// gather reads the target's keys before anything is connected, so that a person is asked for a passphrase while no server waits.
func (t Target) gather(ctx context.Context) *keyring {
	r := &keyring{}
	held := r.fromAgent(ctx, t.Agent)
	for _, file := range t.Identities {
		r.fromFile(t, file, held)
	}
	for _, s := range held {
		r.add(s, "agent")
	}
	if more := len(r.keys) - maxKeys; more > 0 {
		r.keys = r.keys[:maxKeys]
		r.note("%d more keys were not offered: a host ends a login after a few wrong ones", more)
	}
	return r
}

// fromAgent connects to the agent and returns the keys it holds.
func (r *keyring) fromAgent(ctx context.Context, socket string) []ssh.Signer {
	if socket == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, agentWait)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		r.note("no agent: %v", err)
		return nil
	}
	conn.SetDeadline(time.Now().Add(agentWait))
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		conn.Close()
		r.note("the agent does not say what it holds: %v", err)
		return nil
	}
	conn.SetDeadline(time.Time{}) // a signature may wait for a person's touch; the login's own deadline bounds it
	r.agent = conn
	return signers
}

// fromFile adds the key of one file, from the agent where it holds the same one.
func (r *keyring) fromFile(t Target, file string, held []ssh.Signer) {
	data, err := readKey(file)
	if err != nil {
		if s := heldKey(held, publicKey(file+".pub")); s != nil {
			r.add(s, file+" in agent")
		} else if errors.Is(err, fs.ErrNotExist) {
			r.none = append(r.none, file)
		} else {
			r.note("%v", err)
		}
		return
	}
	if s := heldKey(held, publicKey(file)); s != nil { // a public key names one the agent holds
		r.add(s, file+" in agent")
		return
	}
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o077 != 0 {
		r.note("%s: others may read it (mode %04o)", file, info.Mode().Perm())
		return
	}
	signer, err := ssh.ParsePrivateKey(data)
	var missing *ssh.PassphraseMissingError
	if errors.As(err, &missing) {
		pub := missing.PublicKey
		if pub == nil {
			pub = publicKey(file + ".pub")
		}
		if s := heldKey(held, pub); s != nil {
			r.add(s, file+" in agent")
			return
		}
		signer, err = t.decrypt(file, data)
	}
	if err != nil {
		r.note("%s: %v", file, err)
		return
	}
	r.add(signer, file)
}

func (t Target) decrypt(file string, data []byte) (ssh.Signer, error) {
	if t.Passphrase == nil {
		return nil, errors.New("it is encrypted, no passphrase was given and the agent does not hold it")
	}
	phrase, err := t.Passphrase(file)
	if err != nil {
		return nil, fmt.Errorf("it is encrypted: %v", err)
	}
	defer clear(phrase)
	signer, err := ssh.ParsePrivateKeyWithPassphrase(data, phrase)
	if err != nil {
		return nil, errors.New("it is encrypted and the passphrase does not open it")
	}
	return signer, nil
}

// maxKeyFile bounds a key file, in bytes: the largest keys take a few thousand.
const maxKeyFile = 1 << 20

func readKey(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxKeyFile))
}

// publicKey reads a public key file; nil where there is none.
func publicKey(file string) ssh.PublicKey {
	data, err := readKey(file)
	if err != nil {
		return nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(data)
	if err != nil {
		return nil
	}
	return key
}

func heldKey(held []ssh.Signer, key ssh.PublicKey) ssh.Signer {
	for _, s := range held {
		if key != nil && bytes.Equal(s.PublicKey().Marshal(), key.Marshal()) {
			return s
		}
	}
	return nil
}

// login is the course of one authentication.
type login struct {
	t         Target
	ring      *keyring
	conn      *watched
	begun     bool     // the host key was accepted and the server has named its methods
	allowed   []string // what the server last said it takes
	partial   []string // what it took so far and found not enough
	questions int
	banner    string // what it last said to people
	keysSent  bool
	pwSent    bool
	asked     string // a question that could not be answered
	err       error  // why no password could be given
	person    string // what a person had to do

	clockMu sync.Mutex
	clock   *time.Timer   // ends the login
	phase   int           // inBanner, …
	limit   time.Duration // of the phase
}

// errRefused ends an authentication when nothing is left to offer; refusal says the rest.
var errRefused = errors.New("nothing left to offer")

// next chooses what is offered next: keys, then the password, each once. A password refused is not sent a second time by another method: an account
// may be locked after a few wrong ones.
func (l *login) next(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	l.begun, l.allowed, l.partial = true, c.AllowedMethods, c.PartialSuccessMethods
	if l.conn.over() {
		return nil, io.ErrUnexpectedEOF
	}
	l.t.tracef("the host takes %s", strings.Join(c.AllowedMethods, ", "))
	may := func(method string) bool {
		return contains(c.AllowedMethods, method) && !contains(c.TriedMethods, method) && !contains(c.PartialSuccessMethods, method)
	}
	switch {
	case may("publickey") && len(l.ring.keys) > 0:
		l.keysSent = true
		return ssh.PublicKeysCallback(l.signers), nil
	case may("password") && l.t.Password != nil && !l.pwSent:
		return ssh.PasswordCallback(l.password), nil
	case may("keyboard-interactive") && (l.t.Password != nil && !l.pwSent || l.attended()):
		return ssh.KeyboardInteractive(l.answer), nil
	}
	return nil, errRefused
}

// attended says whether a person is asked what the host wants to know: where one is there, and the host wants it beside what it took, or
// takes nothing else. A fleet that merely lacks a key asks nobody a hundred times.
func (l *login) attended() bool {
	only := len(l.allowed) == 1 && l.allowed[0] == "keyboard-interactive"
	return l.t.Answer != nil && (len(l.partial) > 0 || l.pwSent || only)
}

func (l *login) signers() ([]ssh.Signer, error) {
	list := make([]ssh.Signer, len(l.ring.keys))
	for i, k := range l.ring.keys {
		l.t.tracef("offering %s", k)
		list[i] = k
		k.login = l
	}
	return list, nil
}

func (l *login) password() (string, error) {
	l.pwSent = true
	l.t.tracef("offering the password")
	pw, err := l.t.Password()
	l.err = err
	return pw, err
}

// maxQuestions bounds what a person is asked in one login.
const maxQuestions = 8

// answer gives the password to the one question that can be one: not echoed, and asked once. Whatever else the host asks is a person's.
func (l *login) answer(_, _ string, questions []string, echo []bool) ([]string, error) {
	var answers []string
	for i, q := range questions {
		given, err := l.answerTo(q, echo[i], len(questions))
		if err != nil {
			return nil, err
		}
		answers = append(answers, given)
	}
	return answers, nil
}

func (l *login) answerTo(question string, echo bool, of int) (string, error) {
	person := l.attended() || l.t.Answer != nil && of > 1
	secret := strings.Contains(strings.ToLower(question), "password") || !person && of == 1
	switch {
	case secret && !echo && !l.pwSent && l.t.Password != nil:
		return l.password()
	case !person || l.questions >= maxQuestions:
		l.asked = clean(question)
		return "", errors.New("a question that has no answer here")
	}
	l.questions++
	l.person = "answer " + strconv.Quote(clean(strings.TrimSpace(question)))
	l.patience()
	given, err := l.t.Answer(clean(question), echo)
	l.err = err
	return given, err
}

// refusal says why nothing that was offered let us in.
func (l *login) refusal() error {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	for _, k := range l.ring.keys {
		if k.err != nil {
			add("%s could not sign: %v", k, k.err)
		} else if k.asked && contains(l.partial, "publickey") {
			add("the host took %s and wants more", k)
		} else if k.asked {
			add("the host knows %s but did not let it in", k)
			if l.banner != "" {
				add("it said %q", l.banner)
			}
		}
	}
	if l.keysSent && len(parts) == 0 {
		names := make([]string, len(l.ring.keys))
		for i, k := range l.ring.keys {
			names[i] = k.String()
		}
		add("the host accepts none of the keys offered: %s", strings.Join(names, ", "))
	}
	if len(l.ring.keys) == 0 && l.t.Password == nil {
		add("there was no key to offer and no password")
	} else if len(l.ring.keys) == 0 && contains(l.allowed, "publickey") && !l.pwSent {
		add("there was no key to offer")
	}
	switch {
	case l.err != nil:
		add("no password: %v", l.err)
	case l.asked != "":
		add("the host asks %q", l.asked)
	case l.pwSent:
		add("the host refused the password")
	}
	if len(l.ring.keys) == 0 && len(l.ring.none) > 0 {
		add("no such file: %s", strings.Join(l.ring.none, ", "))
	}
	parts = append(parts, l.ring.notes...)
	if len(l.allowed) > 0 {
		add("the host takes %s", strings.Join(l.allowed, ", "))
	}
	return fmt.Errorf("user %s: %s", l.t.User, strings.Join(parts, "; "))
}
