// Package sshconfig says what ssh_config(5) asks for a host: what ssh -G prints, or a reader of its own where no ssh is installed.
package sshconfig

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config is ssh's configuration as this machine has it, read once. It serves several goroutines.
type Config struct {
	Notes []string // what is not followed of the files because there is no ssh that prints them, each with its place

	roots  []root
	flag   []string // ssh's -F and its file, as the user gave it
	ssh    string   // the ssh program; "" is none
	me     local
	silent bool // no file says anything that ssh is needed for: every host is as ssh has it by default, but for what is not followed

	calls    chan struct{} // bounds the ssh programs that run at a time
	hung     atomic.Int32  // ssh programs that did not end, one after another
	baseline func() (printed, error)
	mu       sync.Mutex
	asked    map[Query]func() (*Settings, error)
}

// root is a file that is read first, and what is in it.
type root struct {
	name  string
	dir   string // that relative includes are in
	lines []line
}

// local is what tokens stand for on this machine.
type local struct{ user, home, uid, host string }

// Query is a host, with what is said elsewhere and goes before any file: as ssh's -l, -p, -J and -o HostName and HostKeyAlias would.
type Query struct {
	Host     string
	HostName string
	User     string
	Port     int
	Jump     string // as ProxyJump is written; "none" is none
	Alias    string // HostKeyAlias
}

// given are the keywords that q says, with the words that a file would have.
func (q Query) given() map[string]string {
	said := map[string]string{}
	for key, word := range map[string]string{"hostname": strings.ReplaceAll(q.HostName, "%", "%%"), "user": q.User, "proxyjump": q.Jump, "hostkeyalias": q.Alias} {
		if word != "" {
			said[key] = word
		}
	}
	if q.Port != 0 {
		said["port"] = portWord(q.Port)
	}
	return said
}

// flags are ssh's own for what q says.
func (q Query) flags() []string {
	var args []string
	if q.User != "" {
		args = append(args, "-l", q.User)
	}
	if q.Port != 0 {
		args = append(args, "-p", portWord(q.Port))
	}
	for _, one := range []struct{ keyword, word string }{{"HostName", strings.ReplaceAll(q.HostName, "%", "%%")}, {"ProxyJump", q.Jump}, {"HostKeyAlias", q.Alias}} {
		if one.word != "" {
			args = append(args, "-o", one.keyword+"="+one.word)
		}
	}
	return append(args, "--", q.Host)
}

// Settings are what is in effect for one host. A zero value means that no file says anything, and ssh's default holds.
type Settings struct {
	HostName, User string
	Port           int
	AddressFamily  string   // inet or inet6
	Identities     []string // IdentityFile, ~ and tokens expanded, "none" alone for none
	Certificates   []string // CertificateFile
	IdentitiesOnly bool
	IdentityAgent  string // a socket, "none" or "SSH_AUTH_SOCK"
	Jump           []Hop  // ProxyJump, the nearest first
	ProxyCommand   string // with its tokens expanded, for the shell
	KnownHosts     []string
	SystemKnown    []string // GlobalKnownHostsFile
	HostKeyAlias   string
	StrictHostKey  string // StrictHostKeyChecking: yes, no, ask or accept-new
	RevokedKeys    string // RevokedHostKeys: a file
	MinRSABits     int    // RequiredRSASize
	ControlPath    string // "" or "none" is none
	ConnectTimeout time.Duration
	KeepAlive      time.Duration // ServerAliveInterval
	KeepAliveMax   int           // ServerAliveCountMax
	KexAlgorithms  List
	Ciphers        List
	MACs           List
	HostKeys       List     // HostKeyAlgorithms
	PublicKeys     List     // PubkeyAcceptedAlgorithms
	CASignatures   List     // CASignatureAlgorithms
	NotFollowed    []string // "Keyword (FILE:LINE)" of what could matter to a login, and this program cannot do

	From map[string]string // where each value is written, by keyword in lower case: "FILE:LINE", or "ssh -G" where that cannot be known
}

// Hop is one host of ProxyJump.
type Hop struct {
	User, Host string
	Port       int // 0 is unsaid
}

func (h Hop) String() string {
	s := h.Host
	if strings.Contains(s, ":") {
		s = "[" + s + "]"
	}
	if h.User != "" {
		s = h.User + "@" + s
	}
	if h.Port != 0 {
		s += fmt.Sprintf(":%d", h.Port)
	}
	return s
}

const (
	systemFile = "/etc/ssh/ssh_config"
	maxCalls   = 8                // ssh programs at a time
	maxHung    = 3                // that do not end, one after another: no further host waits for one
	callTime   = 10 * time.Second // of one: Match exec and canonical names may ask the network
)

// Open reads ssh's configuration files: file alone where it is named, none for "none", the user's and the system's for "".
func Open(file string) (*Config, error) {
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		ssh = ""
	}
	return open(file, ssh)
}

func open(file, ssh string) (*Config, error) {
	c := &Config{me: thisMachine(), ssh: ssh, calls: make(chan struct{}, maxCalls), asked: map[Query]func() (*Settings, error){}}
	c.baseline = sync.OnceValues(func() (printed, error) { return c.ask(context.Background(), "-F", "none", "--", "localhost") })
	users := filepath.Join(c.me.home, ".ssh")
	switch file {
	case "none":
	case "":
		c.roots = []root{{name: filepath.Join(users, "config"), dir: users}, {name: systemFile, dir: filepath.Dir(systemFile)}}
	default:
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("cannot read ssh_config: %v", err)
		}
		c.flag = []string{"-F", file}
		c.roots = []root{{name: file, dir: users}}
	}
	in := &includer{home: c.me.home}
	c.silent = true
	for i := range c.roots {
		r := &c.roots[i]
		in.dir = r.dir
		lines, err := in.read(r.name, 0)
		if file == "" && (errors.Is(err, errDirectory) || errors.Is(err, fs.ErrPermission)) { // ssh passes it over, where nobody named it
			c.Notes = append(c.Notes, fmt.Sprintf("ssh_config is read without %s: %v", r.name, err))
			err = nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read ssh_config: %v", err)
		}
		r.lines = lines
		c.silent = c.silent && !speaks(lines)
	}
	if c.ssh != "" && !c.silent {
		if _, err := c.baseline(); err != nil { // older than OpenSSH 6.8, or another program
			c.Notes = append(c.Notes, fmt.Sprintf("%s prints no configuration, and ssh_config is read without it: %v", c.ssh, err))
			c.ssh = ""
		}
	}
	if c.ssh == "" {
		c.Notes = append(c.Notes, unread(c.roots)...)
	}
	return c, nil
}

func thisMachine() local {
	me := local{uid: fmt.Sprint(os.Getuid())}
	if u, err := user.Current(); err == nil {
		me.user, me.home, me.uid = u.Username, u.HomeDir, u.Uid
	}
	me.host, _ = os.Hostname()
	return me
}

// Resolve says what is in effect for a host. The same question is answered once; ctx bounds the wait for it.
func (c *Config) Resolve(ctx context.Context, q Query) (*Settings, error) {
	c.mu.Lock()
	answer := c.asked[q]
	if answer == nil {
		answer = sync.OnceValues(func() (*Settings, error) { return c.resolve(context.WithoutCancel(ctx), q) })
		c.asked[q] = answer
	}
	c.mu.Unlock()
	type result struct {
		s   *Settings
		err error
	}
	got := make(chan result, 1)
	go func() {
		s, err := answer()
		got <- result{s, err}
	}()
	select {
	case r := <-got:
		return r.s, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *Config) resolve(ctx context.Context, q Query) (*Settings, error) {
	own, ownErr := c.read(q)
	if c.ssh == "" || c.silent {
		return own, ownErr
	}
	base, err := c.baseline()
	if err != nil {
		return nil, err
	}
	p, err := c.ask(ctx, slices.Concat(c.flag, q.flags())...)
	if err != nil {
		return nil, err
	}
	if ownErr != nil {
		own = nil
	}
	return c.said(p, base, q, own)
}
