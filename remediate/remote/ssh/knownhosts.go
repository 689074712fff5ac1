package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// knownHosts is what some known_hosts files say.
type knownHosts struct {
	db       *knownhosts.HostKeyDB
	real     map[string]string // copy without its bad lines → the file it is of
	files    []string          // as they were named
	problems []string          // "FILE:LINE: cannot …" for each line or file that was passed over
}

// KnownFiles keeps what known_hosts files say, so that the targets of a run read each list of files once: a fleet's file has a line for each of its hosts.
// What is written to a file meanwhile is not seen. The zero value is ready, for several goroutines too; nil keeps nothing.
type KnownFiles struct {
	mu    sync.Mutex
	lists map[string]func() (*knownHosts, error) // by the files' names
}

func (k *KnownFiles) read(files []string) (*knownHosts, error) {
	if k == nil {
		return readKnownHosts(files)
	}
	k.mu.Lock()
	key := strings.Join(files, "\x00")
	read := k.lists[key]
	if read == nil {
		read = sync.OnceValues(func() (*knownHosts, error) { return readKnownHosts(files) })
		if k.lists == nil {
			k.lists = map[string]func() (*knownHosts, error){}
		}
		k.lists[key] = read
	}
	k.mu.Unlock()
	return read()
}

// Problems returns what is wrong with known_hosts files, one "FILE:LINE: …" for each line that is passed over because it cannot be read.
func Problems(files ...string) []string {
	k, err := readKnownHosts(files)
	if err != nil {
		return []string{err.Error()}
	}
	return k.problems
}

// readKnownHosts reads files. A missing one is empty, as for ssh. The library gives a file up at its first bad line; so where there is one, a copy without bad
// lines is read in the file's place, and the lines are named in problems.
func readKnownHosts(files []string) (*knownHosts, error) {
	k := &knownHosts{files: files, real: map[string]string{}}
	var present []string
	for _, f := range files {
		switch info, err := os.Stat(f); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			k.problems = append(k.problems, fmt.Sprintf("cannot read %s: %v", f, err))
		case !info.Mode().IsRegular():
			if f != os.DevNull {
				k.problems = append(k.problems, fmt.Sprintf("cannot read %s: it is no regular file", f))
			}
		default:
			present = append(present, f)
		}
	}
	db, err := knownhosts.NewDB(present...)
	if err != nil {
		db, err = k.readTolerantly(present)
	}
	k.db = db
	return k, err
}

func (k *knownHosts) readTolerantly(files []string) (*knownhosts.HostKeyDB, error) {
	dir, err := os.MkdirTemp("", "mtaharden-known-hosts-")
	if err != nil {
		return nil, fmt.Errorf("cannot read known hosts: %v", err)
	}
	defer os.RemoveAll(dir)
	var copies []string
	for i, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			k.problems = append(k.problems, fmt.Sprintf("cannot read %s: %v", f, err))
			continue
		}
		c := filepath.Join(dir, strconv.Itoa(i))
		if err := k.copyGoodLines(f, c, data); err != nil {
			return nil, err
		}
		k.real[c] = f
		copies = append(copies, c)
	}
	return knownhosts.NewDB(copies...)
}

var lineError = regexp.MustCompile(`^knownhosts: .*?:(\d+): (.*)$`)

// copyGoodLines writes data to the file copy with its bad lines made empty, so that line numbers stay.
func (k *knownHosts) copyGoodLines(file, copy string, data []byte) error {
	lines := bytes.Split(data, []byte("\n"))
	pass := func(i int, why any) {
		k.problems = append(k.problems, fmt.Sprintf("%s:%d: cannot read this line: %v", file, i+1, why))
		lines[i] = nil
	}
	for i, line := range lines {
		switch trimmed := bytes.TrimSpace(line); {
		case len(line) > 32<<10:
			pass(i, "it is longer than 32 KiB")
		case len(trimmed) == 0 || trimmed[0] == '#':
		default:
			if _, _, _, _, _, err := ssh.ParseKnownHosts(trimmed); err != nil {
				pass(i, err)
			}
		}
	}
	for range len(lines) {
		if err := os.WriteFile(copy, bytes.Join(lines, []byte("\n")), 0o600); err != nil {
			return fmt.Errorf("cannot read known hosts: %v", err)
		}
		_, err := knownhosts.NewDB(copy)
		if err == nil {
			return nil
		}
		m := lineError.FindStringSubmatch(err.Error())
		if m == nil {
			return fmt.Errorf("cannot read %s: %v", file, err)
		}
		n, _ := strconv.Atoi(m[1])
		if n < 1 || n > len(lines) || lines[n-1] == nil {
			return fmt.Errorf("cannot read %s: %v", file, err)
		}
		pass(n-1, m[2])
	}
	return nil
}

// where returns FILE:LINE of a known key.
func (k *knownHosts) where(key xknownhosts.KnownKey) string {
	file := key.Filename
	if r, ok := k.real[file]; ok {
		file = r
	}
	return file + ":" + strconv.Itoa(key.Line)
}

// names are the "host:port" under which the target's key is looked up, in order. ssh looks a host on another port than 22 up without the port too, when
// no line names it with the port. An alias stands for both host and port.
func (t Target) names() []string {
	switch {
	case strings.HasPrefix(t.HostKeyAlias, "["):
		return []string{t.HostKeyAlias}
	case t.HostKeyAlias != "":
		return []string{net.JoinHostPort(t.HostKeyAlias, "22")}
	}
	host := strings.ToLower(t.Address)
	names := []string{net.JoinHostPort(host, strconv.Itoa(t.Port))}
	if t.Port != 22 {
		names = append(names, net.JoinHostPort(host, "22"))
	}
	return names
}

// nowhere stands for the address that the library wants beside the name; the name alone decides.
var nowhere = &net.TCPAddr{IP: net.IPv4zero}

// check judges a key that the host has proven to hold. The error is nil, a *xknownhosts.KeyError (no line in Want: unknown), a *RevokedError, or a certificate's.
func (k *knownHosts) check(names []string, key ssh.PublicKey) error {
	err := k.checkName(names[0], key)
	if len(names) > 1 && knownhosts.IsHostUnknown(err) {
		var revoked *xknownhosts.RevokedError
		if second := k.checkName(names[1], key); second == nil || errors.As(second, &revoked) {
			return second
		}
	}
	return err
}

func (k *knownHosts) checkName(name string, key ssh.PublicKey) error {
	callback := k.db.HostKeyCallback()
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		return callback(name, nowhere, key)
	}
	for _, known := range k.db.HostKeys(name) {
		if known.Cert && bytes.Equal(known.Marshal(), cert.SignatureKey.Marshal()) {
			return callback(name, nowhere, key)
		}
	}
	return callback(name, nowhere, cert.Key) // signed by nobody known: the key in it may be known, as for ssh
}

// algorithms are the host-key algorithms to ask for, those of known keys first: a host that shows the key we know is not mistaken for a changed one
// because it has others. The rest follow, so that a changed key is seen and named, and not an empty intersection.
func (k *knownHosts) algorithms(names []string, legacy bool) []string {
	var known []knownhosts.PublicKey
	for _, n := range names {
		if known = k.db.HostKeys(n); len(known) > 0 {
			break
		}
	}
	all := append([]string{ssh.KeyAlgoED25519}, ssh.SupportedAlgorithms().HostKeys...)
	if legacy {
		all = append(all, ssh.InsecureAlgorithms().HostKeys...)
	}
	certs := false
	for _, key := range known {
		certs = certs || key.Cert
	}
	var first, rest []string
	for _, key := range known {
		if !key.Cert {
			first = append(first, formats(key.Type())...)
		}
	}
	list := make([]string, 0, len(all))
	take := func(algos []string, want func(string) bool) {
		for _, a := range algos {
			if want(a) && contains(all, a) && !contains(list, a) {
				list = append(list, a)
			}
		}
	}
	isCert := func(a string) bool { return strings.Contains(a, "-cert-") }
	if certs {
		take(all, isCert)
	}
	rest = all
	take(first, func(string) bool { return true })
	take(rest, func(a string) bool { return !isCert(a) })
	return list
}

// formats are the signature algorithms of a key of type typ, the best first (RFC 8332).
func formats(typ string) []string {
	if typ == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	return []string{typ}
}
