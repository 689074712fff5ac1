package ssh

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"mtaharden/remediate/remote"
)

// knownLine is one line of a known_hosts file (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
type knownLine struct {
	marker string // "", "cert-authority" or "revoked"
	hosts  string // in lower case; a hashed one as it stands
	salt   []byte // of a hashed one, and its hash
	sum    []byte
	key    ssh.PublicKey // never a certificate: of one, ssh takes the key
	file   string
	line   int
}

func (l knownLine) where() string { return fmt.Sprintf("%s:%d", l.file, l.line) }

// knownHosts is what some known_hosts files say.
type knownHosts struct {
	files    []string // as they were named
	lines    []knownLine
	plain    map[string][]int // lines by each of their names; those with a pattern, a negation or a hash are in others
	others   []int
	problems []string // "FILE:LINE: cannot …" for each line or file that was passed over

	revoking *knownHosts // files of which the revoked lines alone count; nil: none

	found *sync.Map // name → []knownLine: a hashed line is not to be asked for the same name again
}

// hosts are what the target's files say.
func (t Target) hosts() *knownHosts {
	files := t.KnownHosts
	if t.AcceptedKeys != "" {
		files = append(append([]string{}, files...), t.AcceptedKeys)
	}
	known := *t.Known.read(files)
	known.problems = slices.Clone(known.problems)
	if len(t.RevokedIn) > 0 {
		known.revoking = t.Known.read(t.RevokedIn)
		known.problems = append(known.problems, known.revoking.problems...)
	}
	return &known
}

// KnownFiles keeps what known_hosts files say, so that the targets of a run read each list of files once: a fleet's file has a line for each of its hosts.
// What is written to a file meanwhile is not seen. The zero value is ready, for several goroutines too; nil keeps nothing.
type KnownFiles struct {
	mu          sync.Mutex
	lists       map[string]func() *knownHosts // by the files' names
	revocations map[string]func() (*revocations, error)
}

func (k *KnownFiles) read(files []string) *knownHosts {
	if k == nil {
		return readKnownHosts(files)
	}
	k.mu.Lock()
	key := strings.Join(files, "\x00")
	read := k.lists[key]
	if read == nil {
		read = sync.OnceValue(func() *knownHosts { return readKnownHosts(files) })
		if k.lists == nil {
			k.lists = map[string]func() *knownHosts{}
		}
		k.lists[key] = read
	}
	k.mu.Unlock()
	return read()
}

// Problems returns what is wrong with known_hosts files, one "FILE:LINE: …" for each line that is passed over because it cannot be read.
func Problems(files ...string) []string { return readKnownHosts(files).problems }

const (
	maxKnownFile = 64 << 20 // bytes of one file: some hundred thousand keys
	maxKnownLine = 32 << 10
)

// readKnownHosts reads files. A missing one is empty, as for ssh; a line that cannot be read costs that line alone.
func readKnownHosts(files []string) *knownHosts {
	k := &knownHosts{files: files, plain: map[string][]int{}, found: &sync.Map{}}
	for _, f := range files {
		data, err := readKnownFile(f)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			k.problems = append(k.problems, fmt.Sprintf("cannot read %s: %v", f, err))
		default:
			k.parse(f, data)
		}
	}
	for i, l := range k.lines {
		k.index(i, l.hosts)
	}
	return k
}

func readKnownFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case name == os.DevNull:
		return nil, nil
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKnownFile+1))
	if err == nil && len(data) > maxKnownFile {
		err = fmt.Errorf("it is larger than %d MiB", maxKnownFile>>20)
	}
	return data, err
}

func (k *knownHosts) parse(file string, data []byte) {
	number := 0
	for text := range bytes.Lines(data) {
		number++
		l, err := parseKnownLine(bytes.TrimSpace(text))
		switch {
		case err != nil:
			k.problems = append(k.problems, fmt.Sprintf("%s:%d: cannot read this line: %v", file, number, err))
		case l != nil:
			l.file, l.line = file, number
			k.lines = append(k.lines, *l)
		}
	}
}

// parseKnownLine reads one line; nil is one that says nothing.
func parseKnownLine(text []byte) (*knownLine, error) {
	if len(text) == 0 || text[0] == '#' {
		return nil, nil
	}
	if len(text) > maxKnownLine {
		return nil, fmt.Errorf("it is longer than %d KiB", maxKnownLine>>10)
	}
	marker, hosts, key, _, _, err := ssh.ParseKnownHosts(text)
	if err != nil {
		return nil, err
	}
	if marker != "" && marker != "cert-authority" && marker != "revoked" {
		return nil, fmt.Errorf("@%s is no marker", marker)
	}
	l := &knownLine{marker: marker, hosts: strings.Join(hosts, ","), key: plainKey(key)}
	if strings.HasPrefix(l.hosts, "|") {
		l.salt, l.sum, err = hashed(l.hosts)
	} else {
		l.hosts = strings.ToLower(l.hosts)
	}
	return l, err
}

func (k *knownHosts) index(i int, hosts string) {
	if strings.HasPrefix(hosts, "|") || strings.ContainsAny(hosts, "*?!") {
		k.others = append(k.others, i)
		return
	}
	for name := range strings.SplitSeq(hosts, ",") {
		k.plain[usual(name)] = append(k.plain[usual(name)], i)
	}
}

// usual is a name as ssh looks it up: without brackets where no port or ssh's own follows. Other programs write those.
func usual(name string) string {
	inner, ok := strings.CutPrefix(name, "[")
	if !ok {
		return name
	}
	inner = strings.TrimSuffix(inner, ":22")
	if host, ok := strings.CutSuffix(inner, "]"); ok {
		return host
	}
	return name
}

// of are the lines for a name, in the order of the files.
func (k *knownHosts) of(name string) []knownLine {
	if lines, ok := k.found.Load(name); ok {
		return lines.([]knownLine)
	}
	lines := k.search(name)
	k.found.Store(name, lines)
	return lines
}

func (k *knownHosts) search(name string) []knownLine {
	at := slices.Clone(k.plain[name])
	for _, i := range k.others {
		if k.lines[i].matches(name) {
			at = append(at, i)
		}
	}
	slices.Sort(at)
	var out []knownLine
	for _, i := range slices.Compact(at) {
		out = append(out, k.lines[i])
	}
	return slices.Clip(out) // shared: who appends to it has his own
}

// matches compares as match_hostname of OpenSSH does: patterns over the name with its port, a negated one excludes.
func (l knownLine) matches(name string) bool {
	if strings.HasPrefix(l.hosts, "|") {
		mac := hmac.New(sha1.New, l.salt)
		mac.Write([]byte(name))
		return hmac.Equal(mac.Sum(nil), l.sum)
	}
	found := false
	for pattern := range strings.SplitSeq(l.hosts, ",") {
		bare, negated := strings.CutPrefix(pattern, "!")
		if remote.Like(usual(bare), name) {
			if negated {
				return false
			}
			found = true
		}
	}
	return found
}

// hashed takes "|1|SALT|HASH" apart.
func hashed(field string) (salt, sum []byte, err error) {
	parts := strings.Split(field, "|")
	if len(parts) != 4 || parts[0] != "" || parts[1] != "1" {
		return nil, nil, errors.New("its hashed name is not |1|SALT|HASH")
	}
	salt, err = base64.StdEncoding.DecodeString(parts[2])
	if err == nil {
		sum, err = base64.StdEncoding.DecodeString(parts[3])
	}
	if err == nil && len(sum) != sha1.Size {
		err = errors.New("its hash has not the length of one")
	}
	return salt, sum, err
}
