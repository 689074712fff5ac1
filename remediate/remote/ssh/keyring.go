package ssh

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// maxTries is how many failures sshd bears in a login (sshd_config(5), MaxAuthTries): it hangs up at the sixth, and each key that it does not
// know is one.
const maxTries = 6

// agentWait bounds asking the agent what it holds.
const agentWait = 5 * time.Second

// keyring is what a login may offer: keys and certificates of files and of the agent, each once, and why others are not among them.
type keyring struct {
	keys  []*credential
	notes []string
	none  []string // files that do not exist; ssh does not mind them, and they are worth a word only when there is no key at all
	agent net.Conn
	turn  bool // this login has its turn at a key that waits for a touch
}

// owned is a key that can sign, and where it is from.
type owned struct {
	ssh.Signer
	from string
	held bool // by the agent
}

func (r *keyring) close() {
	if r.agent != nil {
		r.agent.Close()
	}
}

func (r *keyring) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

func (r *keyring) add(list ...owned) {
	for _, o := range list {
		as, ok := o.Signer.(ssh.AlgorithmSigner)
		if !ok {
			r.note("%s: the key cannot say which signature it makes", o.from)
		} else if !r.has(o.PublicKey()) {
			r.keys = append(r.keys, &credential{AlgorithmSigner: as, from: o.from, held: o.held})
		}
	}
}

func (r *keyring) has(key ssh.PublicKey) bool {
	for _, have := range r.keys {
		if sameKey(have.PublicKey(), key) {
			return true
		}
	}
	return false
}

// gather collects the target's keys before anything is connected, so that a person is asked for a passphrase while no server waits. Certificates
// come first, as ssh has it; then the keys that were named; then the agent's others. Keys that nobody named come after all that the agent holds,
// as ssh has it too.
func (t Target) gather(ctx context.Context) *keyring {
	r := &keyring{}
	held := r.fromAgent(ctx, t)
	var named, files []owned
	for _, file := range t.Identities {
		if o, ok := r.fromFile(t, file, held); ok {
			named = append(named, o)
			if !o.held {
				files = append(files, o)
			}
		}
	}
	r.certificates(t, append(append([]owned{}, named...), held...))
	if t.Unnamed {
		for _, o := range named {
			if o.held {
				r.add(o)
			}
		}
	} else {
		r.add(named...)
	}
	if !t.IdentitiesOnly {
		r.add(held...)
	}
	r.add(files...)
	r.bound(t)
	return r
}

// bound keeps to what a host bears. A password that may follow takes a try too.
func (r *keyring) bound(t Target) {
	most := maxTries
	if t.Password != nil {
		most--
	}
	if more := len(r.keys) - most; more > 0 {
		names := make([]string, 0, more)
		for _, k := range r.keys[most:] {
			names = append(names, k.from)
		}
		r.keys = r.keys[:most]
		r.note("%d more keys were not offered, for a host ends a login after %d wrong ones (%s): name the right one first", more, maxTries, strings.Join(names, ", "))
	}
}

// fromAgent connects to the agent and returns the keys it holds.
func (r *keyring) fromAgent(ctx context.Context, t Target) []owned {
	socket := t.Agent
	if socket == "" {
		return nil
	}
	if why := t.Keys.mute(socket); why != nil {
		r.note("%v", why)
		return nil
	}
	run := ctx
	ctx, cancel := context.WithTimeout(ctx, agentWait)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		r.note("no agent: %v", err)
		return nil
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	signers, err := agent.NewClient(conn).Signers()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		r.note("the agent does not say what it holds: %v", err)
		if ctx.Err() != nil && run.Err() == nil {
			t.Keys.silence(socket)
		}
		return nil
	}
	r.agent = conn // a signature may wait for a person's touch; the login's own deadline bounds it
	var list []owned
	for _, s := range signers {
		pub, err := ssh.ParsePublicKey(s.PublicKey().Marshal()) // the agent's own type says nothing of a certificate
		if err != nil {
			r.note("the agent holds a key that cannot be read here: %v", err)
			continue
		}
		list = append(list, owned{agentSigner{s, pub}, "agent", true})
	}
	return list
}

// agentSigner is a key of the agent's whose public half is what it is: a key or a certificate.
type agentSigner struct {
	ssh.Signer
	pub ssh.PublicKey
}

func (a agentSigner) PublicKey() ssh.PublicKey { return a.pub }

func (a agentSigner) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	if s, ok := a.Signer.(ssh.AlgorithmSigner); ok {
		return s.SignWithAlgorithm(rand, data, algorithm)
	}
	return a.Sign(rand, data)
}

// fromFile is the key that a file names: the agent's where it holds it, else the file's own.
func (r *keyring) fromFile(t Target, name string, held []owned) (owned, bool) {
	f := t.Keys.file(name)
	if s := heldKey(held, f.public); s != nil {
		return owned{s, name + " in agent", true}, true
	}
	if f.closed && !(t.Unnamed && len(held) > 0) {
		f.open(t.Passphrase)
	}
	signer, err := f.usable()
	switch {
	case err == nil:
		return owned{signer, name, false}, true
	case f.absent:
		r.none = append(r.none, name)
	default:
		r.note("%s: %v", name, err)
	}
	return owned{}, false
}

func heldKey(held []owned, key ssh.PublicKey) ssh.Signer {
	for _, s := range held {
		if sameKey(s.PublicKey(), key) {
			return s.Signer
		}
	}
	return nil
}

// AgentSocket is the socket that ssh_config's IdentityAgent names: "none" is no agent, "" and "SSH_AUTH_SOCK" are the one of the environment,
// "$NAME" and "${NAME}" are a variable of it, and anything else is a path, in which "~" is home.
func AgentSocket(word, home string, getenv func(string) string) string {
	switch name, variable := strings.CutPrefix(word, "$"); {
	case word == "" || word == "SSH_AUTH_SOCK":
		return getenv("SSH_AUTH_SOCK")
	case word == "none":
		return ""
	case variable:
		return getenv(strings.TrimSuffix(strings.TrimPrefix(name, "{"), "}"))
	}
	if rest, ok := strings.CutPrefix(word, "~/"); ok && home != "" {
		return filepath.Join(home, rest)
	}
	return word
}
