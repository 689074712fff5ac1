package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A lab started by a test starts its daemon from the test's own program.
func TestMain(m *testing.M) {
	if os.Getenv("MTALAB_DAEMON") == "" {
		os.Exit(m.Run())
	}
	lab, err := secondLab()
	if err == nil {
		err = lab.serve(context.Background())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// secondLab is a lab beside the one of this machine, with names and networks of its own, so that taking it down harms nobody.
func secondLab() (*Lab, error) {
	l, err := openLab()
	if err != nil {
		return nil, err
	}
	l.Instance, l.cgroups.top = "mtatst", "mtatst"
	l.Network.Bridge4 = netip.MustParsePrefix("10.88.0.0/24")
	l.Network.Bridge6 = netip.MustParsePrefix("fd88:6d74:616c:6162::/64")
	l.Vantages = map[string]Vantage{
		"outside":  {netip.MustParsePrefix("198.18.5.0/24"), netip.MustParsePrefix("2001:db8:51::/64"), "example.net"},
		"outside2": {netip.MustParsePrefix("198.18.6.0/24"), netip.MustParsePrefix("2001:db8:113::/64"), "example.com"},
	}
	return l, nil
}

func newLab(t *testing.T) (*Lab, context.Context) {
	t.Helper()
	if os.Getenv("MTALAB_LIFE") != "1" {
		t.Skip("this test makes and takes down a lab, and this machine's links with it: mtalab test runs it by itself, or MTALAB_LIFE=1")
	}
	t.Setenv("MTALAB_STATE", filepath.Join(t.TempDir(), "state"))
	l, err := secondLab()
	if err != nil {
		t.Fatal(err)
	}
	l.log = t.Output()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	t.Cleanup(cancel)
	t.Cleanup(func() {
		if err := l.Down(context.Background(), nil); err != nil {
			t.Error(err)
		}
	})
	return l, ctx
}

func (l *Lab) run(t *testing.T, where, stdin string, argv ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	status, err := l.Exec(t.Context(), where, argv, strings.NewReader(stdin), &out, &out)
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), status
}

// The life of a lab: up, up again, exec, a crash that up mends, down, and then nothing is left.
func TestLife(t *testing.T) {
	l, ctx := newLab(t)
	host := []string{"deb12-none"}
	if err := l.Up(ctx, host); err != nil {
		t.Fatal(err)
	}
	first := l.leader("deb12-none")
	if err := l.Up(ctx, host); err != nil || l.leader("deb12-none") != first {
		t.Fatalf("up of a running host is not a no-op: %v", err)
	}
	out, status := l.run(t, "deb12-none", "one\ntwo\n", "sh", "-c", `cat; printf '%s|' "$#" "$@"; hostname; exit 7`, "sh", "", "a b", "*")
	if out != "one\ntwo\n3||a b|*|deb12-none.lab.test\n" || status != 7 {
		t.Errorf("exec gave %q and %d", out, status)
	}
	if _, status := l.run(t, "deb12-none", "", "sh", "-c", "kill -9 $$"); status != 137 {
		t.Errorf("a command ended by signal 9 gives %d", status)
	}
	for _, where := range l.vantageNames() {
		if out, status := l.run(t, where, "", "sh", "-c", "cat /etc/resolv.conf; ip -4 -br addr show eth0"); status != 0 || !strings.Contains(out, "10.88.0.3") ||
			!strings.Contains(out, l.vantageAddr(where).String()) {
			t.Errorf("%s: %d %s", where, status, out)
		}
	}
	crash(t, l)
	if err := l.Up(ctx, host); err != nil {
		t.Fatalf("up after a crash: %v", err)
	}
	if l.leader("deb12-none") == first {
		t.Error("the host that was killed runs on")
	}
	if err := l.Down(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if left := l.leftovers(); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	for _, name := range []string{"root", "upper", "work"} {
		if _, err := os.Stat(filepath.Join(l.hostDir("deb12-none"), name)); !os.IsNotExist(err) {
			t.Errorf("%s of the host is still there", name)
		}
	}
	if err := l.Down(ctx, nil); err != nil {
		t.Errorf("down of a lab that is down: %v", err)
	}
}

// crash leaves what a kill -9 leaves: a container without its nspawn, no daemon, half a network, a mount.
func crash(t *testing.T, l *Lab) {
	t.Helper()
	for _, pid := range append(l.cgroups.procs(daemonUnit), l.cgroups.procs("deb12-none")...) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			t.Fatal(err)
		}
	}
	if err := runTool(t.Context(), "ip", "netns", "del", l.netnsName("outside")); err != nil {
		t.Fatal(err)
	}
	if mounts, err := mountsBelow(l.State); err != nil || len(mounts) == 0 {
		t.Fatalf("the crash left no mount to heal: %v", err)
	}
}

// plant forgets everything that was done to a host, keeps its key and address, and says of a dead MTA that it is dead.
func TestPlant(t *testing.T) {
	l, ctx := newLab(t)
	const name = "deb12-postfix"
	tree := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(tree, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/postfix/access", "198.51.100.7 OK\n")
	write("plant.sh", "postconf -e 'smtpd_client_restrictions = check_client_access hash:/etc/postfix/access'; touch /var/lib/planted; id -u > /var/lib/planted\n")
	if err := l.Plant(ctx, name, tree); err != nil {
		t.Fatal(err)
	}
	key, _ := l.run(t, name, "", "cat", "/etc/ssh/ssh_host_ed25519_key")
	out, _ := l.run(t, name, "", "sh", "-c", "cat /var/lib/planted; ls /plant.sh; stat -c %U:%G:%a /etc/postfix/access; postmap -q 198.51.100.7 hash:/etc/postfix/access")
	if !strings.HasPrefix(out, "0\n") || !strings.Contains(out, "cannot access '/plant.sh'") || !strings.HasSuffix(out, "root:root:644\nOK\n") {
		t.Errorf("planted: %q", out)
	}
	l.run(t, name, "", "sh", "-c", "mkdir -p /var/lib/mtaharden/x; touch /etc/gone; setsid sleep 300 >/dev/null 2>&1 </dev/null &")

	tree = t.TempDir()
	write("etc/postfix/main.cf", "smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = permit\n")
	var log bytes.Buffer
	l.log, l.logMu = &log, new(sync.Mutex)
	if err := l.Plant(ctx, name, tree); err != nil {
		t.Fatalf("planting an MTA that does not start: %v", err)
	}
	if !strings.Contains(log.String(), "does not start") {
		t.Errorf("it is not said that the MTA does not start: %s", log.String())
	}
	out, _ = l.run(t, name, "", "sh", "-c", "ls /var/lib/planted /var/lib/mtaharden /etc/gone /etc/postfix/access 2>/dev/null; pgrep -x sleep; cat /etc/ssh/ssh_host_ed25519_key")
	if out != key {
		t.Errorf("kept from before, beside the host key: %q", out)
	}
	if w := l.callerFrom("outside", l.hostOf("deb12", "postfix"), 25, false).witness(true, false); w.Dead == "" {
		t.Errorf("the dead MTA is alive for a stranger: %+v", w)
	}
}
