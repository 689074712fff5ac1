package ssh

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh/knownhosts"

	"mtaharden/remediate/remote/remotetest"
)

// TestManyHashed: a file of ten thousand hashed names, with lines among them that are none, knows each of its hosts, and no other, however often it is asked.
func TestManyHashed(t *testing.T) {
	key, other := remotetest.NewSigner(t).PublicKey(), remotetest.NewSigner(t).PublicKey()
	var b strings.Builder
	for i := range 10000 {
		switch i {
		case 10:
			b.WriteString("a\x00b ssh-ed25519 \x00\n")
		case 11:
			b.WriteString(strings.Repeat("x", 1<<20) + "\n")
		case 12:
			b.Write(make([]byte, 1<<20))
			b.WriteString("\n")
		}
		fmt.Fprintln(&b, knownhosts.Line([]string{knownhosts.HashHostname(fmt.Sprintf("mx%d.example.com", i))}, key))
	}
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var files KnownFiles
	for _, c := range []struct {
		host    string
		port    int
		trusted bool
		line    int
	}{{"mx0.example.com", 22, true, 1}, {"mx9999.example.com", 22, true, 10003}, {"MX11.example.com", 22, true, 14}, {"mx9.example.com", 2222, true, 10}, {"mx10000.example.com", 22, false, 0}} {
		x := Target{KnownHosts: []string{file}, Known: &files, Address: c.host, Port: c.port}.withDefaults()
		for range 2 {
			k := x.hosts()
			if len(k.problems) != 3 {
				t.Errorf("problems: %.300q", k.problems)
			}
			if got := k.check(x, key).trusted; got != c.trusted {
				t.Errorf("%s is trusted: %v", c.host, got)
			}
			err := x.trust(k, other)
			says := fmt.Sprintf("the host key has changed: the host shows %s, known is %s (%s:%d)", describe(other), describe(key), file, c.line)
			if !c.trusted || c.port != 22 {
				says = "the host key is not known"
			}
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s with another key: %v", c.host, err)
			}
		}
	}
}
