package sshconfig

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"mtaharden/remediate/remote/remotetest"
)

// queries are what each configuration is asked.
var queries = []Query{
	{Host: "foo"}, {Host: "FOO"}, {Host: "bar.example.com"}, {Host: "192.0.2.1"}, {Host: "foo", User: "jim", Port: 99}, {Host: "foo", HostName: "real.example.com"},
	{Host: "foo", Jump: "joe@b:33,[::1]:7", Alias: "front"}, {Host: "foo", Jump: "none"},
}

// both is the same configuration, once with an ssh to ask and once without.
type both struct{ with, without *Config }

func openBoth(t testing.TB, file string) (both, error) {
	t.Helper()
	ssh := remotetest.Need(t, "ssh", "openssh-client")
	with, err := open(file, ssh)
	if err != nil {
		return both{}, err
	}
	without, err := open(file, "")
	return both{with, without}, err
}

// agree compares what ssh -G says with what our own reader says: every keyword that is followed, and the errors.
func (b both) agree(t *testing.T, q Query) (compared int) {
	t.Helper()
	own, ownErr := b.without.read(q)
	base, err := b.with.baseline()
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.with.ask(t.Context(), append(append([]string{}, b.with.flag...), q.flags()...)...)
	if err != nil || ownErr != nil {
		if err == nil || ownErr == nil {
			t.Errorf("%v: ssh says %v, our reader %v", q, err, ownErr)
		}
		return 1
	}
	theirs, err := b.with.said(p, base, q, own)
	if err != nil {
		t.Errorf("%v: %v", q, err)
		return 1
	}
	for key := range keywords {
		if got, want := own.Text(key), theirs.Text(key); got != want || own.From[key] != theirs.From[key] {
			t.Errorf("%v: %s is %q from %q, for ssh %q from %q", q, key, got, own.From[key], want, theirs.From[key])
		}
		if own.From[key] != "" {
			compared++
		}
	}
	return compared
}

func TestAgreesWithOpenSSH(t *testing.T) {
	t.Setenv("SSHCONFIG_TEST", "/run/agent dir")
	work := t.TempDir()
	a, err := txtar.ParseFile("testdata/configs.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var cases []string
	for _, f := range a.Files {
		name := filepath.Join(work, f.Name)
		text := strings.ReplaceAll(string(f.Data), "WORK", work)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(f.Name, " ") {
			cases = append(cases, f.Name)
		}
	}
	if len(cases) < 60 {
		t.Fatalf("%d configurations only", len(cases))
	}
	for _, name := range append(cases, "include") {
		t.Run(name, func(t *testing.T) {
			b, err := openBoth(t, filepath.Join(work, name))
			if err != nil {
				t.Fatal(err)
			}
			said := 0
			for _, q := range queries {
				said += b.agree(t, q)
			}
			if said == 0 {
				t.Error("nothing was compared")
			}
		})
	}
}

// directives are what generated configurations are made of.
var directives = []string{
	"Port 22", "Port 2200", "User root", "User joe", "HostName %h.example.com", "HostName REAL", "IdentityFile ~/.ssh/a", "IdentityFile %d/%u", "IdentitiesOnly yes",
	"ProxyJump a,b:33", "ProxyJump none", "ProxyCommand nc %h %p", "ProxyCommand none", "UserKnownHostsFile ~/k1 ~/k2", "HostKeyAlias Al", "StrictHostKeyChecking no",
	"ConnectTimeout 9", "ServerAliveInterval 1h", "Ciphers -*cbc*", "HostKeyAlgorithms +ssh-rsa", "KexAlgorithms ^ecdh-sha2-nistp521", "CertificateFile ~/c", "IdentityAgent none",
	"Host foo", "Host *", "Host !foo *", "Host *.example.com", "Host real", "Match host foo", "Match host *.example.com", "Match user joe", "Match !user root", "Match final", "Match originalhost foo user root", "Match all", "Match localuser root host foo,real",
}

// TestAgreesOnGenerated: configurations put together at random are understood as OpenSSH understands them. The seed is in the name, to run one again.
func TestAgreesOnGenerated(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			var b strings.Builder
			for range 3 + r.IntN(15) {
				fmt.Fprintln(&b, directives[r.IntN(len(directives))])
			}
			file := filepath.Join(t.TempDir(), "config")
			if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			two, err := openBoth(t, file)
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range queries[:3] {
				two.agree(t, q)
			}
			if t.Failed() {
				t.Log(b.String())
			}
		})
	}
}
