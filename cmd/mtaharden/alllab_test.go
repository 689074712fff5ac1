package main

import (
	"encoding/json"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/mta/all"
	"mtaharden/remediate/mta/mtatest"
	"mtaharden/remediate/remote/remotetest"
)

// TestLabWhole has the whole lab to itself, for all that is done with many hosts at once: as its file's name has it, it is the first test of this
// package, and the lab its own while most packages are still being compiled.
func TestLabWhole(t *testing.T) {
	l := needLab(t)
	dir := t.TempDir()
	t.Run("alone", func(t *testing.T) {
		remotetest.Alone(t)
		t.Run("audit", l.auditsAll)
		t.Run("logins", l.logsInOnce)
		t.Run("sweep", l.sweeps)
		t.Run("collect", func(t *testing.T) {
			if code, _, stderr := mtaharden("collect", "-i", l.inventory, "-o", dir, "--state", t.TempDir(), "--batch"); code != 0 {
				t.Fatalf("collect ended with %d: %s", code, stderr)
			}
		})
	})
	t.Run("drivers", func(t *testing.T) { holdDrivers(t, dir) })
}

// auditsAll audits every host of the lab in one run: each is read to the end, and its own MTA is found.
func (l lab) auditsAll(t *testing.T) {
	code, out, stderr := mtaharden("audit", "-i", l.inventory, "--state", t.TempDir(), "--format", "json", "--batch")
	if code != 0 && code != exitFound {
		t.Fatalf("the audit ended with %d: %s", code, stderr)
	}
	var r struct {
		Hosts []struct {
			Name, State, Error string
			Installs           []struct {
				MTA, Version, Package string
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Hosts) == 0 {
		t.Fatal("the lab has no host")
	}
	for _, h := range r.Hosts {
		mta, packaged := h.Name[strings.LastIndex(h.Name, "-")+1:], true
		if mta == "login" { // its accounts are what it is for
			mta = "none"
		}
		if mta == "opensmtpd" { // no driver: its listener is found, and nobody knows what it is
			mta, packaged = "unknown", false
		}
		switch {
		case h.State != "ok":
			t.Errorf("%s: %s: %s", h.Name, h.State, h.Error)
		case mta == "none" && len(h.Installs) != 0:
			t.Errorf("%s has no MTA, and %v is found", h.Name, h.Installs)
		case mta != "none" && (len(h.Installs) != 1 || h.Installs[0].MTA != mta || packaged != (h.Installs[0].Package != "")):
			t.Errorf("%s: %+v", h.Name, h.Installs)
		}
	}
}

// holdDrivers holds every driver to the suite of all drivers on what real hosts collected.
func holdDrivers(t *testing.T, dir string) {
	t.Helper()
	snaps, err := filepath.Glob(filepath.Join(dir, "*.snap"))
	if err != nil || len(snaps) == 0 {
		t.Fatalf("nothing was collected: %v", err)
	}
	for _, file := range snaps {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			s, err := readSnapshot(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range all.Drivers() {
				mtatest.Run(t, d, s)
			}
		})
	}
}

// logsInOnce counts what sshd's own log says of an audit with all judges: one login and one command a host, whatever its MTA,
// and a second command on the same login where reading raised a question that only the host can answer.
func (l lab) logsInOnce(t *testing.T) {
	const conf = "/etc/ssh/sshd_config.d/00-verbose.conf"
	commands := map[string]int{"deb12-postfix": 2, "deb12-sendmail": 1, "deb12-exim": 1, "deb12-opensmtpd": 1}
	// Its text is gone: what the table says of a client, postmap alone can tell.
	l.on(t, "deb12-postfix", `cp -p /etc/postfix/main.cf /root/main.cf.kept
echo '192.0.2.1 OK' > /etc/postfix/textless && postmap hash:/etc/postfix/textless && rm /etc/postfix/textless
postconf -e 'smtpd_client_restrictions = check_client_access hash:/etc/postfix/textless'`)
	t.Cleanup(func() {
		l.on(t, "deb12-postfix", "mv /root/main.cf.kept /etc/postfix/main.cf; rm -f /etc/postfix/textless.db")
	})
	var names []string
	marks := map[string]string{}
	for host := range commands {
		names = append(names, host)
		l.on(t, host, "echo LogLevel VERBOSE >"+conf+" && systemctl reload ssh")
		t.Cleanup(func() { l.on(t, host, "rm -f "+conf+" && systemctl reload ssh") })
		marks[host] = strings.TrimSpace(l.on(t, host, "sleep 1; date +%s; sleep 1"))
	}
	code, _, stderr := mtaharden("audit", "--probe", "-i", l.inventory, "--limit", strings.Join(names, ":"), "--state", t.TempDir(), "--format", "json", "--batch")
	if code != 0 && code != exitFound {
		t.Fatalf("the audit ended with %d: %s", code, stderr)
	}
	for host, execs := range commands {
		var log string
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
			log = l.on(t, host, "journalctl -q -o cat --since=@"+marks[host]+" -t sshd -t sshd-session")
			if strings.Contains(log, "Disconnected from ") || strings.Contains(log, "Connection closed by ") {
				break
			}
		}
		for what, want := range map[string]int{"Connection from ": 1, "Accepted publickey ": 1, "Starting session: command": execs, "Starting session": execs} {
			if n := len(regexp.MustCompile(regexp.QuoteMeta(what)).FindAllString(log, -1)); n != want {
				t.Errorf("%s: sshd's log says %q %d times, not %d:\n%s", host, what, n, want, log)
			}
		}
	}
}

// sweeps sweeps the lab's own network from outside: each host that listens is found, and the open one alone relays.
func (l lab) sweeps(t *testing.T) {
	prepared(t, l, "deb12-postfix", openings()["postfix"])
	one := netip.MustParseAddr(probeLab(t, l, exitFound, "deb12-postfix", "--from", "outside").Targets[0].Address)
	network, err := one.Prefix(27)
	if err != nil {
		t.Fatal(err)
	}
	r := probeLab(t, l, exitFound, network.String(), "--from", "outside")
	if r.Summary["hosts"] != 30 || r.Summary["relays"] != 1 || r.Summary["cannot_tell"] != 0 {
		t.Errorf("%+v", r.Summary)
	}
	for _, target := range r.Targets {
		if relays := target.Verdict == "relays" || target.Verdict == "accepts-all"; relays != (target.Address == one.String()) {
			t.Errorf("%s is %s", target.Address, target.Verdict)
		}
	}
}
