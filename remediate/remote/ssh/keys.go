package ssh

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// Keys are the private keys of a run: each file is read once, and a person is asked for its passphrase once, however many hosts it is for.
// The zero value is ready. It also holds whose turn it is at a key that waits for a touch.
type Keys struct {
	mu      sync.Mutex
	files   map[string]*keyFile
	silent  map[string]bool // agents' sockets that take a connection and say nothing
	touched map[string]bool // keys, by their bytes, that a device signed with in this run
	touch   chan struct{}   // a token, of which there is one: who has it may have a key touched
}

// maxPhrases is how often a person is asked for the passphrase of one key; ssh asks as often (ssh_config(5), NumberOfPasswordPrompts).
const maxPhrases = 3

// keyFile is what a private key file holds. Once it is read and, where it must be, opened, it does not change.
type keyFile struct {
	name string
	once sync.Once

	data   []byte
	public ssh.PublicKey // of the file, or of NAME.pub beside it; nil where neither says it
	signer ssh.Signer    // nil: closed, or of no use
	closed bool          // a passphrase opens it
	absent bool          // there is no such file
	why    error         // why it is of no use

	opening sync.Mutex
	asked   bool
}

// file is a file's key, read at the first call.
func (k *Keys) file(name string) *keyFile {
	k.mu.Lock()
	f := k.files[name]
	if f == nil {
		if k.files == nil {
			k.files = map[string]*keyFile{}
		}
		f = &keyFile{name: name}
		k.files[name] = f
	}
	k.mu.Unlock()
	f.once.Do(f.read)
	return f
}

func (f *keyFile) read() {
	data, err := readKey(f.name)
	if err != nil {
		f.public = publicKey(f.name + ".pub")
		f.absent, f.why = errors.Is(err, fs.ErrNotExist), err
		return
	}
	if f.public = parsePublic(data); f.public != nil {
		f.why = errors.New("it is a public key, and the agent does not hold its private half")
		return
	}
	if mode, open := othersMayRead(f.name); open {
		f.why = fmt.Errorf("others may read it (mode %04o): chmod 600 it", mode)
		return
	}
	f.data = data
	f.signer, err = ssh.ParsePrivateKey(data)
	var missing *ssh.PassphraseMissingError
	switch {
	case err == nil:
		f.public = f.signer.PublicKey()
		return
	case errors.As(err, &missing):
		f.closed, f.public = true, missing.PublicKey
	case encryptedPKCS8(data):
		f.closed = true
	}
	if f.public == nil {
		f.public = headerKey(data)
	}
	if f.public == nil {
		f.public = publicKey(f.name + ".pub")
	}
	if why := foreign(f.name, data); why != nil { // it could not be opened with its passphrase either
		f.closed, f.why = false, why
	} else if !f.closed {
		f.why = fmt.Errorf("it is no private key that can be read here (%v)", err)
	}
}

// open asks for the passphrase, the first time; what came of it holds for the run.
func (f *keyFile) open(ask func(file string, try int) ([]byte, error)) {
	f.opening.Lock()
	defer f.opening.Unlock()
	if !f.closed || f.asked {
		return
	}
	if ask == nil {
		f.why = errors.New("it is encrypted, no passphrase was given and the agent does not hold it")
		return
	}
	f.asked = true
	for try := 1; try <= maxPhrases; try++ {
		phrase, err := ask(f.name, try)
		if err != nil {
			f.why = fmt.Errorf("it is encrypted: %v", err)
			return
		}
		f.signer, err = decrypt(f.data, phrase)
		clear(phrase)
		switch {
		case err == nil:
			f.public, f.why = f.signer.PublicKey(), nil
			return
		case !errors.Is(err, x509.IncorrectPasswordError):
			f.why = fmt.Errorf("it is encrypted and cannot be opened here: %v; ssh-keygen -p -f %s writes it anew, ssh-add gives it to the agent", err, f.name)
			return
		}
	}
	f.why = errors.New("it is encrypted and the passphrase does not open it")
}

// usable is the key where it is open, and else why it is not.
func (f *keyFile) usable() (ssh.Signer, error) {
	f.opening.Lock()
	defer f.opening.Unlock()
	if f.signer != nil {
		return f.signer, nil
	}
	if f.why == nil && f.closed {
		return nil, errors.New("it is encrypted, and its passphrase was not asked for")
	}
	return nil, f.why
}

func decrypt(data, phrase []byte) (ssh.Signer, error) {
	if len(phrase) == 0 {
		return nil, x509.IncorrectPasswordError
	}
	if encryptedPKCS8(data) {
		key, err := openPKCS8(data, phrase)
		if err != nil {
			return nil, err
		}
		return ssh.NewSignerFromKey(key)
	}
	return ssh.ParsePrivateKeyWithPassphrase(data, phrase)
}

// silence notes that an agent says nothing: none of a run's further logins waits for it again.
func (k *Keys) silence(socket string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.silent == nil {
		k.silent = map[string]bool{}
	}
	k.silent[socket] = true
}

// mute is why an agent is not asked any more; nil where it is.
func (k *Keys) mute(socket string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.silent[socket] {
		return fmt.Errorf("the agent did not say what it holds within %s, and was not asked again", agentWait)
	}
	return nil
}

// Unlock asks for the passphrases that the targets' logins may need, each once, before any of them is connected to.
func (k *Keys) Unlock(ctx context.Context, targets []Target) {
	done := map[string]bool{}
	for _, t := range targets {
		if key := fmt.Sprintf("%q %q %v", t.Agent, t.Identities, t.Unnamed); !done[key] && ctx.Err() == nil {
			done[key] = true
			t.Keys = k
			t.withDefaults().gather(ctx).close()
		}
	}
}

// othersMayRead reports whether somebody else may read a key of this user's, as ssh does: it uses no such key.
func othersMayRead(file string) (fs.FileMode, bool) {
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return 0, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return info.Mode().Perm(), ok && int(stat.Uid) == os.Getuid()
}

// maxKeyFile bounds a key file, in bytes: the largest keys take a few thousand.
const maxKeyFile = 1 << 20

func readKey(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe that nobody writes to is not waited for
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil, errors.New("it is a pipe or a device, and no file")
	}
	return io.ReadAll(io.LimitReader(f, maxKeyFile))
}

// publicKey reads a public key file; nil where there is none.
func publicKey(file string) ssh.PublicKey {
	data, err := readKey(file)
	if err != nil {
		return nil
	}
	return parsePublic(data)
}

func parsePublic(data []byte) ssh.PublicKey {
	key, _, _, _, err := ssh.ParseAuthorizedKey(data)
	if err != nil {
		return nil
	}
	return key
}

func sameKey(a, b ssh.PublicKey) bool {
	return a != nil && b != nil && bytes.Equal(a.Marshal(), b.Marshal())
}
