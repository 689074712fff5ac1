package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mtaharden/inventory"
	"mtaharden/remediate/remote/ssh"
	"mtaharden/remediate/remote/sshconfig"
)

// TestLaid: for each setting, what is said in the inventory, in ssh_config, in both and nowhere.
func TestLaid(t *testing.T) {
	full := &inventory.Host{Name: "mx1", Address: "192.0.2.1", Port: 22, User: "inv", Identity: []string{"/inv"}, KnownHosts: []string{"/invkh"}, HostKeyAlias: "inv"}
	bare := &inventory.Host{Name: "mx1"}
	said := &sshconfig.Settings{HostName: "conf", Port: 2222, User: "conf", Identities: []string{"/conf", "none"}, KnownHosts: []string{"/confkh"}, SystemKnown: []string{"none"}, HostKeyAlias: "conf", IdentitiesOnly: true, Certificates: []string{"/c"}, KeepAlive: time.Second, KeepAliveMax: 7, RevokedKeys: "/rev", MinRSABits: 3072}
	none := &sshconfig.Settings{}
	for _, c := range []struct {
		name string
		h    *inventory.Host
		s    *sshconfig.Settings
		want string
	}{
		{"both", full, said, "192.0.2.1 22 inv inv [/inv] [/invkh] unnamed=false only=true"},
		{"inventory", full, none, "192.0.2.1 22 inv inv [/inv] [/invkh] unnamed=false only=false"},
		{"ssh_config", bare, said, "conf 2222 conf conf [/conf] [/confkh] unnamed=false only=true"},
		{"nothing", bare, none, "mx1 0   [/h/.ssh/id_ed25519 /h/.ssh/id_ecdsa /h/.ssh/id_rsa] [/h/.ssh/known_hosts /h/.ssh/known_hosts2 /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2] unnamed=true only=false"},
		{"no identity, no known hosts", bare, &sshconfig.Settings{Identities: []string{"none"}, KnownHosts: []string{"none"}, SystemKnown: []string{"none"}}, "mx1 0   [] [] unnamed=false only=false"},
	} {
		var x ssh.Target
		lay(&x, c.h, c.s, "/h")
		got := fmt.Sprintf("%s %d %s %s %v %v unnamed=%v only=%v", x.Address, x.Port, x.User, x.HostKeyAlias, x.Identities, x.KnownHosts, x.Unnamed, x.IdentitiesOnly)
		if x.RevokedKeys != c.s.RevokedKeys || x.MinRSABits != c.s.MinRSABits {
			t.Errorf("%s: %q %d of what no host may have", c.name, x.RevokedKeys, x.MinRSABits)
		}
		if got != c.want || x.KnownHosts == nil {
			t.Errorf("%s:\n%s, want\n%s", c.name, got, c.want)
		}
	}
}

// TestConnectTime: the flag goes before ssh_config, which goes before the program's own.
func TestConnectTime(t *testing.T) {
	conf := &sshconfig.Settings{ConnectTimeout: 3 * time.Second}
	for _, c := range []struct {
		said bool
		s    *sshconfig.Settings
		want time.Duration
	}{{false, &sshconfig.Settings{}, 10 * time.Second}, {false, conf, 3 * time.Second}, {true, conf, 10 * time.Second}} {
		if got := (&reach{connect: 10 * time.Second, connectSaid: c.said}).connectTime(c.s); got != c.want {
			t.Errorf("flag given %v, ssh_config %s: %s, want %s", c.said, c.s.ConnectTimeout, got, c.want)
		}
	}
}

func TestAlgorithmsOfSSHConfig(t *testing.T) {
	a := algorithms(&sshconfig.Settings{Ciphers: sshconfig.List{Spec: "-aes*"}, HostKeys: sshconfig.List{Spec: "+ssh-rsa", Kept: true}, MACs: sshconfig.List{Spec: "hmac-sha2-256"}})
	if slices.ContainsFunc(a.Ciphers, func(c string) bool { return strings.HasPrefix(c, "aes") }) || len(a.Ciphers) == 0 || a.KeyExchanges != nil || a.HostKeysInOrder || !slices.Equal(a.MACs, []string{"hmac-sha2-256"}) || !slices.Contains(a.HostKeys, "ssh-rsa") {
		t.Errorf("%+v", a)
	}
	if got := algorithms(&sshconfig.Settings{PublicKeys: sshconfig.List{Spec: "+ssh-rsa"}}).PublicKeys; !slices.Contains(got, "ssh-ed25519-cert-v01@openssh.com") || !slices.Contains(got, "sk-ssh-ed25519-cert-v01@openssh.com") || !slices.Contains(got, "ssh-rsa") {
		t.Errorf("ssh's own list with one more has no certificates: %v", got)
	}
	if got := algorithms(&sshconfig.Settings{PublicKeys: sshconfig.List{Spec: "-*-cert-*"}}).PublicKeys; slices.ContainsFunc(got, func(a string) bool { return strings.Contains(a, "cert") }) || len(got) == 0 {
		t.Errorf("certificates that are left out: %v", got)
	}
	if !algorithms(&sshconfig.Settings{HostKeys: sshconfig.List{Spec: "^ssh-ed25519"}}).HostKeysInOrder {
		t.Error("an order that was written down is not kept")
	}
}
