package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"mtaharden/inventory"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
)

// secret writes a password file.
func secret(t *testing.T, dir, name string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(name+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// passwords are servers that take a password each and write down those that they were sent.
type passwords struct {
	dir   string
	host  *remotetest.Server
	hop   *remotetest.Server
	ports map[string]int
}

func newPasswords(t *testing.T) *passwords {
	p := &passwords{dir: t.TempDir(), ports: map[string]int{}}
	p.host = &remotetest.Server{User: "ops", Password: "of the flag"}
	p.hop = &remotetest.Server{User: "ops", Password: "hop.pw", Forward: net.Dial}
	known := ""
	for name, s := range map[string]*remotetest.Server{"HOST": p.host, "HOP": p.hop} {
		p.ports[name] = s.Start(t)
		text, err := os.ReadFile(s.KnownHosts(t))
		if err != nil {
			t.Fatal(err)
		}
		known += string(text)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "known"), []byte(known), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// dialer reads the inventory and the flags of a row.
func (p *passwords) dialer(t *testing.T, text string, flag bool) (*dialer, []*inventory.Host) {
	t.Helper()
	text = "[defaults]\naddress = \"127.0.0.1\"\nuser = \"ops\"\nidentity = []\nknown_hosts = \"DIR/known\"\n" + text
	text = strings.NewReplacer("DIR", p.dir, "PORT-HOST", fmt.Sprint(p.ports["HOST"]), "PORT-HOP", fmt.Sprint(p.ports["HOP"])).Replace(text)
	inv, err := inventory.Parse("inv.toml", text, "/home/me")
	if err != nil {
		t.Fatal(err)
	}
	c := &cobra.Command{}
	ctx, end := withEnd(t.Context())
	t.Cleanup(end)
	c.SetContext(ctx)
	r := &reach{batch: true, sshConfig: "none", inventory: []string{"inv.toml"}, state: t.TempDir(), inv: inv}
	r.prompt = &prompter{batch: true}
	if flag {
		r.password = func() (string, error) { return "of the flag", nil }
	}
	d, err := newDialer(c, r)
	if err != nil {
		t.Fatal(err)
	}
	return d, inv.Hosts
}

// TestPasswordOfTheFlag: it goes to the hosts that the command is about, whatever file the inventory has for them, and to no host on the way to them.
func TestPasswordOfTheFlag(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	const host = "[hosts.mx1]\nport = PORT-HOST\n"
	const hop = "[hosts.front]\nport = PORT-HOP\njump = []\n"
	for _, c := range []struct {
		name, inv string
		flag      bool
		host, hop []string
		kind      error
		says      string
	}{
		{"the host", host, true, []string{"of the flag"}, nil, nil, ""},
		{"before the host's own file", host + "password_file = \"DIR/wrong.pw\"\n", true, []string{"of the flag"}, nil, nil, ""},
		{"the host's own file", host + "password_file = \"DIR/of the flag\"\n", false, []string{"of the flag"}, nil, nil, ""},
		{"a jump host has its own", host + "jump = \"front\"\n" + hop + "password_file = \"DIR/hop.pw\"\n", true, []string{"of the flag"}, []string{"hop.pw"}, nil, ""},
		{"a jump host has none", host + "jump = \"front\"\n" + hop, true, nil, nil, remote.ErrUnreachable, "the password given on the command line is not for hosts on the way"},
		{"a jump host without a stanza", host + "jump = \"ops@127.0.0.1:PORT-HOP\"\naccept_new = true\n", true, nil, nil, remote.ErrUnreachable, "is not for hosts on the way"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPasswords(t)
			for _, name := range []string{"of the flag", "hop.pw", "wrong.pw"} {
				secret(t, p.dir, name)
			}
			d, hosts := p.dialer(t, c.inv, c.flag)
			d.reach.acceptNew = strings.Contains(c.inv, "accept_new")
			h, err := d.dial(t.Context(), hosts[slices.IndexFunc(hosts, func(h *inventory.Host) bool { return h.Name == "mx1" })])
			if err == nil {
				h.Close()
			}
			if !errors.Is(err, c.kind) || c.kind != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %v and %q", err, c.kind, c.says)
			}
			if got := p.host.Passwords(); !slices.Equal(got, c.host) {
				t.Errorf("the host was sent %q", got)
			}
			if got := p.hop.Passwords(); !slices.Equal(got, c.hop) {
				t.Errorf("the jump host was sent %q", got)
			}
		})
	}
	t.Run("a vantage", func(t *testing.T) {
		p := newPasswords(t)
		secret(t, p.dir, "hop.pw")
		for file, want := range map[string][]string{"": nil, "password_file = \"DIR/hop.pw\"\n": {"hop.pw"}} {
			d, _ := p.dialer(t, hop+file, true)
			h, err := d.pass(t.Context(), vantageHost(d.reach.inv, "front"))
			if (err == nil) != (want != nil) {
				t.Error(err)
			}
			if err == nil {
				h.Close()
			}
			if got := p.hop.Passwords(); !slices.Equal(got, want) {
				t.Errorf("the vantage was sent %q, want %q", got, want)
			}
		}
	})
}

// TestRefusedOnce: a host that refused us is not logged in to again in the run, however often apply would dial it; another account of it is.
func TestRefusedOnce(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	p := newPasswords(t)
	secret(t, p.dir, "wrong.pw")
	d, hosts := p.dialer(t, "password_file = \"DIR/wrong.pw\"\n[hosts.mx1]\nport = PORT-HOST\n", false)
	var first error
	for range 4 {
		_, err := d.dial(remote.Afresh(t.Context()), hosts[0])
		if first = cmp.Or(first, err); !errors.Is(err, remote.ErrAuth) || err.Error() != first.Error() {
			t.Errorf("%v after %v", err, first)
		}
	}
	other := *hosts[0]
	other.User = "joe"
	if _, err := d.dial(t.Context(), &other); !errors.Is(err, remote.ErrAuth) {
		t.Error(err)
	}
	if got := p.host.Passwords(); !slices.Equal(got, []string{"wrong.pw", "wrong.pw"}) {
		t.Errorf("it was sent %q, want one password for each of two accounts", got)
	}
}

// TestUnableAFewTimes: a host that a login failed for at this machine is tried again, for a touch that was missed may come; but not for ever.
func TestUnableAFewTimes(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	p := newPasswords(t)
	const own = "password_file = \"DIR/own.pw\"\n[hosts.mx1]\nport = PORT-HOST\n"
	d, hosts := p.dialer(t, own, false)
	for try := range 5 {
		_, err := d.dial(t.Context(), hosts[0])
		if !errors.Is(err, remote.ErrUnable) || !strings.Contains(err.Error(), "no password: cannot read the password: ") {
			t.Error(err)
		}
		if n := int(p.host.Conns.Load()); n != min(try+1, maxUnable) {
			t.Errorf("after %d dials the host has seen %d connections", try+1, n)
		}
	}
	d, hosts = p.dialer(t, own, false)
	if _, err := d.dial(t.Context(), hosts[0]); !errors.Is(err, remote.ErrUnable) {
		t.Error(err)
	}
	if err := os.WriteFile(secret(t, p.dir, "own.pw"), []byte("of the flag\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := d.dial(t.Context(), hosts[0])
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
}

// TestCredentialsTold: the breaker counts hosts together that are sent the same password, and apart those that are not.
func TestCredentialsTold(t *testing.T) {
	p := newPasswords(t)
	const two = "[hosts.a]\npassword_file = \"DIR/a\"\nbecome = \"sudo\"\nbecome_password_file = \"DIR/a\"\n[hosts.b]\npassword_file = \"DIR/b\"\nbecome = \"sudo\"\nbecome_password_file = \"DIR/b\"\n"
	for _, flag := range []bool{false, true} {
		d, hosts := p.dialer(t, two, flag)
		if flag {
			d.reach.become = d.reach.password
		}
		login1, root1 := d.credentials(context.Background(), hosts[0])
		login2, root2 := d.credentials(context.Background(), hosts[1])
		if (login1 == login2) != flag || (root1 == root2) != flag || login1.Key == "" || root1.Key == "" {
			t.Errorf("flag given %v: %q and %q, %q and %q", flag, login1, login2, root1, root2)
		}
	}
}
