package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/remote/remotetest"
)

// lab is the running lab; a test that needs one is passed over where there is none. It takes the hosts that it touches by remotetest.Alone.
type lab struct {
	inventory, program string
}

func needLab(t *testing.T) lab {
	t.Helper()
	if os.Getenv("MTALAB") != "1" {
		t.Skip("needs the lab: go run ./cmd/mtalab test")
	}
	l := lab{inventory: os.Getenv("MTALAB_INVENTORY"), program: os.Getenv("MTALAB_PROGRAM")}
	if l.program != "" {
		return l // mtalab test names itself: a test need not build it
	}
	l.program = filepath.Join(t.TempDir(), "mtalab")
	if out, err := exec.Command("go", "build", "-o", l.program, "mtaharden/cmd/mtalab").CombinedOutput(); err != nil {
		t.Fatalf("cannot build the lab: %v\n%s", err, out)
	}
	return l
}

// host is the first of several that the lab has: it goes without a release that the mirror has no longer.
func (l lab) host(t *testing.T, names ...string) string {
	t.Helper()
	text, err := os.ReadFile(l.inventory)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.Contains(string(text), "[hosts.\""+n+"\"]\n") {
			return n
		}
	}
	t.Fatalf("the lab has none of %v", names)
	return ""
}

// on runs a shell command on a host.
func (l lab) on(t *testing.T, host, script string) string {
	t.Helper()
	cmd := exec.Command(l.program, "exec", host, "--", "sh", "-c", script)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("on %s: %s: %v", host, script, err)
	}
	return string(out)
}

// TestLabOneLoginOneExec counts what sshd's own log says of an audit, without and with the network judge, which logs in to vantages alone.
// A second exec on the same login is there only where reading raised a question; a stock host raises none.
func TestLabOneLoginOneExec(t *testing.T) {
	l := needLab(t)
	t.Parallel()
	const host = "deb13-postfix"
	remotetest.Alone(t, host)
	for _, flags := range [][]string{nil, {"--probe"}} {
		out := sessions(t, l, host, 1, flags...)
		if flags != nil {
			networked(t, out)
		}
	}
}

// sessions audits a host, holds what sshd's own log says of it to one login and so many execs, and returns the audit's JSON.
func sessions(t *testing.T, l lab, host string, execs int, flags ...string) string {
	t.Helper()
	const conf = "/etc/ssh/sshd_config.d/00-verbose.conf"
	l.on(t, host, "echo LogLevel VERBOSE >"+conf+" && systemctl reload ssh")
	defer l.on(t, host, "rm -f "+conf+" && systemctl reload ssh")
	mark := strings.TrimSpace(l.on(t, host, "sleep 1; date +%s; sleep 1"))
	args := append([]string{"audit", "-i", l.inventory, "--limit", host, "--state", t.TempDir(), "--format", "json", "--batch"}, flags...)
	code, out, stderr := mtaharden(args...)
	if code != 0 && code != exitFound {
		t.Fatalf("the audit ended with %d: %s", code, stderr)
	}
	var log string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		log = l.on(t, host, "journalctl -q -o cat --since=@"+mark+" -t sshd -t sshd-session")
		if strings.Count(log, "Close session") >= execs {
			break
		}
	}
	for what, want := range map[string]int{"Connection from ": 1, "Accepted publickey ": 1, "Starting session: command": execs, "Starting session": execs} {
		if n := strings.Count(log, what); n != want {
			t.Errorf("%v: sshd's log says %q %d times, not %d:\n%s", flags, what, n, want, log)
		}
	}
	return out
}

// networked holds an audit's JSON to a network judge that asked as a stranger and was refused.
func networked(t *testing.T, out string) {
	t.Helper()
	var r struct {
		Hosts []struct {
			Network []struct {
				Listener, From, Banner string
				Outside                bool
			}
			Findings []struct {
				Rule, Status string
				Evidence     []struct{ Judge, Says, Text string }
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || len(r.Hosts) != 1 {
		t.Fatalf("%v: %.300s", err, out)
	}
	outside, told := false, false
	for _, c := range r.Hosts[0].Network {
		outside = outside || c.Outside && c.From == "198.51.100.7" && strings.HasPrefix(c.Banner, "220 ")
	}
	for _, f := range r.Hosts[0].Findings {
		for _, e := range f.Evidence {
			told = told || f.Rule == "open-relay" && f.Status == "pass" && e.Judge == "network" && e.Says == "refused"
		}
	}
	if !outside || !told {
		t.Errorf("asked as a stranger: %v, refused as one: %v: %+v", outside, told, r.Hosts[0].Network)
	}
}

// dialogue sends three messages to a foreign recipient through the address $1, waiting for each reply.
const dialogue = `for n in 1 2 3; do
  exec 3<>/dev/tcp/$1/25 || exit 1
  read -r line <&3
  for say in "EHLO client7.example.net" "MAIL FROM:<a@example.com>" "RCPT TO:<b@example.org>" DATA "Subject: $n
.
QUIT"; do
    printf '%s\r\n' "$say" | sed 's/\r*$/\r/' >&3
    while read -r -t 30 line <&3; do case $line in [0-9][0-9][0-9]-*) ;; *) break ;; esac; done
    case $line in [23]*) ;; *) echo "$say: $line" >&2; exit 1 ;; esac
  done
  exec 3<&-
done`

// TestLabImpact relays mail from outside through hosts that let it, and looks for that client in the plans that would end it.
func TestLabImpact(t *testing.T) {
	l := needLab(t)
	t.Parallel()
	for host, files := range map[string]map[string]string{
		"deb13-postfix":  {"plant.sh": "postconf -e 'mynetworks = 127.0.0.0/8 0.0.0.0/0'\n"},
		"deb13-sendmail": {"plant.sh": busy + "sed -i '/^MAILER_DEFINITIONS/i FEATURE(`promiscuous_relay'\"'\"')dnl' /etc/mail/sendmail.mc\n"},
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			remotetest.Alone(t, host)
			plant(t, l, host, files)
			address := strings.TrimSpace(l.on(t, host, `ip -4 -o addr show scope global | awk '{ sub("/.*", "", $4); print $4; exit }'`))
			if out, err := exec.Command(l.program, "exec", "outside", "--", "bash", "-c", dialogue, "bash", address).CombinedOutput(); err != nil {
				t.Fatalf("cannot relay through %s: %v\n%s", host, err, out)
			}
			var out string
			for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Second) {
				_, out, _ = mtaharden("plan", "-i", l.inventory, "--limit", host, "--state", t.TempDir(), "--batch")
				if strings.Contains(out, "would refuse: 198.51.100.7, 3 messages, last ") {
					return
				}
			}
			t.Errorf("the plan does not say whose mail it would refuse:\n%s", out)
		})
	}
}
