package probe

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/remote/remotetest"
)

// begun starts a program that is to listen at an address, ends it with the test, and waits until it listens.
func begun(t *testing.T, at string, argv ...string) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for range 200 {
		if c, err := net.Dial("tcp", at); err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	cmd.Process.Kill()
	cmd.Wait()
	t.Fatalf("%s does not listen at %s: %s", argv[0], at, said.String())
}

// freeAddress is an address of loopback at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// openKinds are the ways in which a port leads to a mail server, parted by blanks.
func openKinds(t *testing.T, at, sink string) (kinds string, all []ProxyAnswer) {
	t.Helper()
	all, err := AskProxy(t.Context(), netip.MustParseAddrPort(at), ProxyConfig{Dial: new(net.Dialer).DialContext, Sinks: []string{sink}, Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, a := range all {
		if a.Outcome == judge.Relayed {
			open = append(open, string(a.Kind))
		}
	}
	return strings.Join(open, " "), all
}

// TestTinyproxy asks a real HTTP proxy that leads everywhere, and one that leads to port 443 alone.
func TestTinyproxy(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("tinyproxy"); err != nil {
		t.Fatal("tinyproxy is not installed: no real HTTP proxy was asked")
	}
	sink := serve(t, says("220 sink.example.com ready\r\n")).String()
	for _, c := range []struct{ name, rule, open, text string }{
		{"everywhere", "", "connect", "a mail server greets through it"},
		{"ConnectPort 443", "ConnectPort 443\n", "", "it refuses"},
		{"Allow another", "Allow 192.0.2.1\n", "", "it refuses"},
	} {
		at := freeAddress(t)
		_, port, _ := net.SplitHostPort(at)
		file := filepath.Join(t.TempDir(), "conf")
		if err := os.WriteFile(file, fmt.Appendf(nil, "Port %s\nListen 127.0.0.1\nTimeout 20\nMaxClients 20\n%s", port, c.rule), 0o600); err != nil {
			t.Fatal(err)
		}
		begun(t, at, "tinyproxy", "-d", "-c", file)
		if open, all := openKinds(t, at, sink); open != c.open || !strings.Contains(all[0].Text, c.text) {
			t.Errorf("%s: open by %q, want %q: %+v", c.name, open, c.open, all)
		}
	}
}

// TestLabSOCKS asks the SOCKS server of OpenSSH (ssh -D), which leads to a mail server through a lab host, and one whose sshd forwards nothing.
func TestLabSOCKS(t *testing.T) {
	l := needLab(t)
	t.Parallel()
	host := l.host(t, "deb12-postfix", "deb13-postfix", "deb11-postfix")
	remotetest.Alone(t, host)
	const drop = "/etc/ssh/sshd_config.d/00-forward.conf"
	t.Cleanup(func() { l.on(t, host, "rm -f "+drop+"; systemctl restart ssh") })
	for _, c := range []struct{ allowed, open string }{{"yes", "socks5 socks4 socks4a"}, {"no", ""}} {
		l.on(t, host, "echo AllowTcpForwarding "+c.allowed+" >"+drop+"; systemctl restart ssh")
		at := freeAddress(t)
		begun(t, at, "ssh", "-N", "-F", "none", "-i", l.identity, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
			"-D", at, "root@"+l.hosts[host].Address)
		if open, all := openKinds(t, at, "127.0.0.1:25"); open != c.open {
			t.Errorf("AllowTcpForwarding %s: open by %q, want %q: %+v", c.allowed, open, c.open, all)
		}
	}
}
