package ssh_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/ssh"
)

// odd are accounts of a real sshd on which something is not as usual, and what shows that it is so. lent ones are there only where this machine's
// programs are. Each has the whole collector and a script run as root.
var odd = []struct {
	user, what string
	become     bool
	lent       bool
	shows      []string // a command, and after it what it prints first
}{
	{"ucsh", "csh as login shell", true, true, nil},
	{"utcsh", "tcsh with start-up files that print, forbid overwriting and take a name", true, true, nil},
	{"ufish", "fish with start-up files that print and take names", true, true, nil},
	{"umksh", "mksh as login shell", true, true, nil},
	{"uyash", "yash as login shell", true, true, nil},
	{"uash", "busybox' shell as login shell", true, true, nil},
	{"superroot", "nothing but busybox", false, true, []string{"/bin/sh", "-c", "ls -l /bin/sed | grep -o busybox", "busybox"}},
	{"noisy", "a .bashrc that prints", true, false, nil},
	{"bashy", "a banner before the login", true, false, nil},
	{"supernopath", "a PATH that leads nowhere", false, false, []string{"/bin/sh", "-c", "echo $PATH", "/nonexistent"}},
	{"nopath", "a PATH that leads nowhere, and sudo", true, false, []string{"/bin/sh", "-c", "echo $PATH", "/nonexistent"}},
	{"euckr", "LANG=ko_KR.EUC-KR", true, true, []string{"/bin/sh", "-c", "unset x; locale charmap", "EUC-KR"}},
	{"root", "a /tmp that runs nothing", false, false, []string{"/bin/sh", "-c", "cp /bin/true /tmp/true; /tmp/true || echo noexec", "noexec"}},
	{"root", "no sftp", false, false, nil},
}

// TestOddHosts: what the collector and a script see of each.
func TestOddHosts(t *testing.T) {
	for release, image := range releases(t) {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			o := startOpenSSH(t, image)
			for _, c := range odd {
				if c.lent && !slices.Contains(o.extra, c.user) {
					if o.lent {
						t.Errorf("%s is not there: its program is not installed here", c.what)
					}
					continue
				}
				t.Run(c.what, func(t *testing.T) {
					target := o.target(t, c.user)
					if c.become {
						target.Become, target.BecomePassword = "sudo", given(secret)
					}
					h := dial(t, target)
					o.shows(t, c.user, c.shows)
					s, raw, err := facts.Collect(t.Context(), h)
					if err != nil || !s.Complete || s.Fact("root") != "1" {
						t.Fatalf("collected: %v\n%.2000s", err, raw)
					}
					r, err := h.Run(t.Context(), remote.Script(`printf '%s|' "$@"; id -u; sed -n 1p /etc/passwd; exit 3`, "a b", "it's", `\!`), 1000)
					if err != nil || r.Exit != 3 || !strings.HasPrefix(string(r.Stdout), `a b|it's|\!|0`+"\nroot:") {
						t.Errorf("%d %q %q, %v", r.Exit, r.Stdout, r.Stderr, err)
					}
				})
			}
		})
	}
}

// shows checks, as the login account, that the odd thing is there.
func (o *openSSH) shows(t *testing.T, user string, command []string) {
	t.Helper()
	if len(command) == 0 {
		return
	}
	argv, want := command[:len(command)-1], command[len(command)-1]
	r, err := dial(t, o.target(t, user)).Run(t.Context(), remote.Cmd{Argv: argv}, 1000)
	if err != nil || !strings.HasPrefix(string(r.Stdout), want) {
		t.Errorf("%q shows %q %q, %v; want %q", argv, r.Stdout, r.Stderr, err, want)
	}
}

// old are daemons that offer broken algorithms alone: what is said where the inventory does not allow them, and what is reported where it does.
var old = []struct{ options, refused, used string }{ // an end that is marked "|" is the message's
	{"-o KexAlgorithms=diffie-hellman-group1-sha1", "no common key exchange: the host has only diffie-hellman-group1-sha1|", "key exchange diffie-hellman-group1-sha1"},
	{"-o KexAlgorithms=diffie-hellman-group14-sha1", "no common key exchange: the host has only diffie-hellman-group14-sha1|", "key exchange diffie-hellman-group14-sha1"},
	{"-o KexAlgorithms=diffie-hellman-group-exchange-sha1", "no common key exchange: the host has only diffie-hellman-group-exchange-sha1|", "key exchange diffie-hellman-group-exchange-sha1"},
	{"-o HostKeyAlgorithms=ssh-rsa", "no common host key: the host has only ssh-rsa", "host key ssh-rsa"},
	{"-o Ciphers=aes128-cbc", "no common client to server cipher: the host has only aes128-cbc", "cipher aes128-cbc"},
	{"-o Ciphers=3des-cbc", "no common client to server cipher: the host has only 3des-cbc", "cipher 3des-cbc"},
	{"-o MACs=hmac-sha1-96 -o Ciphers=aes128-ctr", "no common client to server MAC: the host has only hmac-sha1-96", "mac hmac-sha1-96"},
}

// TestOldAlgorithms: a host that has nothing better is refused, with what it has; where the inventory allows it, it is reached, and what was used is
// told.
func TestOldAlgorithms(t *testing.T) {
	var options []string
	for _, c := range old {
		options = append(options, c.options)
	}
	for release, image := range releases(t) {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			o := startOpenSSH(t, image, options...)
			for i, c := range old {
				t.Run(c.used, func(t *testing.T) {
					target := o.other(t, i, o.hostKeys[xssh.KeyAlgoED25519], o.hostKeys[xssh.KeyAlgoRSA])
					if strings.Contains(c.used, "host key") {
						target = o.other(t, i, o.hostKeys[xssh.KeyAlgoRSA])
					}
					h, err := ssh.Dial(t.Context(), target)
					if err == nil {
						h.Close()
						t.Fatal("it was reached without being allowed")
					}
					t.Log(err)
					refused, end := strings.CutSuffix(c.refused, "|")
					wants(t, err, remote.ErrUnreachable, []string{refused})
					if end && !strings.HasSuffix(err.Error(), refused) {
						t.Errorf("it says more: %v", err)
					}
					target.AllowLegacy = true
					if used := dial(t, target).Transport().Legacy; !slices.Contains(used, c.used) {
						t.Errorf("the report says %q", used)
					}
				})
			}
		})
	}
}

// knownAs writes a known_hosts file in which a port has these keys.
func (o *openSSH) knownAs(t *testing.T, port int, keys ...xssh.PublicKey) string {
	t.Helper()
	var known strings.Builder
	for _, k := range keys {
		known.WriteString(knownhosts.Line([]string{fmt.Sprintf("127.0.0.1:%d", port)}, k) + "\n")
	}
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte(known.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// other is the i-th of the other daemons, with these keys known.
func (o *openSSH) other(t *testing.T, i int, keys ...xssh.PublicKey) ssh.Target {
	t.Helper()
	at := fmt.Sprintf("127.0.0.1:%d", o.more[i])
	target := o.target(t, "root")
	target.Port, target.KnownHosts = o.more[i], []string{o.knownAs(t, o.more[i], keys...)}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("tcp", at)
		if err == nil {
			conn.Close()
			return target
		}
		if time.Now().After(deadline) {
			t.Fatalf("daemon %d does not run: %v\n%s", i, err, o.log)
		}
	}
}

// TestDropbear: the other SSH server that Debian has.
func TestDropbear(t *testing.T) {
	releases(t)
	if _, err := os.Stat("/usr/sbin/dropbear"); err != nil {
		if os.Getenv("MTALAB") == "1" {
			t.Fatal("MTALAB=1, but dropbear is not installed (Debian: dropbear-bin)")
		}
		t.Skip("dropbear is not installed (Debian: dropbear-bin)")
	}
	o := startOpenSSH(t, anyRelease(t), "dropbear")
	if o.dropbear == nil {
		t.Skip("this machine's programs do not run on the image, dropbear among them")
	}
	good := o.other(t, 0, o.dropbear)
	for _, c := range []struct {
		what, user string
		change     func(*ssh.Target)
		kind       error
		says       string
	}{
		{"the superuser's key", "root", nil, nil, "SSH-2.0-dropbear"},
		{"a key, and sudo that asks", "dashy", func(x *ssh.Target) { x.Become, x.BecomePassword = "sudo", given(secret) }, nil, ""},
		{"a password, and sudo that does not ask", "free", func(x *ssh.Target) { x.Identities, x.Password, x.Become = nil, given(secret), "sudo" }, nil, ""},
		{"a start-up file that prints", "noisy", func(x *ssh.Target) { x.Become, x.BecomePassword = "sudo", given(secret) }, nil, ""},
		{"a wrong password", "free", func(x *ssh.Target) { x.Identities, x.Password = nil, given("wrong secret") }, remote.ErrAuth, "the host refused the password"},
		{"an unknown key", "root", func(x *ssh.Target) { x.Identities = nil }, remote.ErrAuth, "there was no key to offer"},
		{"a wrong password for sudo", "dashy", func(x *ssh.Target) { x.Become, x.BecomePassword = "sudo", given("wrong secret") }, remote.ErrPrivilege, "sudo refused the password"},
		{"a changed host key", "root", func(x *ssh.Target) { x.KnownHosts = []string{o.knownAs(t, x.Port, o.hostKeys[xssh.KeyAlgoED25519])} }, remote.ErrHostKey, "the host key has changed"},
	} {
		t.Run(c.what, func(t *testing.T) {
			target := good
			target.Name, target.User = c.user+"@real", c.user
			if c.change != nil {
				c.change(&target)
			}
			h, err := ssh.Dial(t.Context(), target)
			var s *facts.Snapshot
			if err == nil {
				defer h.Close()
				s, _, err = facts.Collect(t.Context(), h)
			}
			switch {
			case c.kind != nil:
				wants(t, err, c.kind, []string{c.says})
			case err != nil || !s.Complete || s.Fact("root") != "1" || !strings.HasPrefix(h.Transport().Server, c.says):
				t.Errorf("%v", err)
			}
		})
	}
}
