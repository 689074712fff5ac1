package main

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestLabOneLoginEachMTA counts what sshd's own log says of an audit with all judges: one login and one command a host, whatever its MTA,
// and a second command on the same login where reading raised a question that only the host can answer.
func TestLabOneLoginEachMTA(t *testing.T) {
	l := needLab(t)
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
