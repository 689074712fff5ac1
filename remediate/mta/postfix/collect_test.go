package postfix

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSum runs the collector's sum of a mail log in the shells that hosts have.
func TestSum(t *testing.T) {
	const log = `Nov 20 17:02:10 mx postfix/smtpd[1]: connect from scan[10.3.2.1]
Nov 20 17:02:11 mx postfix/smtpd[1]: ABC123: client=scan[10.3.2.1]
Nov 20 17:02:12 mx postfix/smtp[2]: ABC123: to=<a@b.example>, relay=mx.b.example[192.0.2.4]:25, delay=1, status=sent (250)
Nov 20 17:02:13 mx postfix/local[3]: ABC123: to=<root@mx.example>, relay=local, delay=1, status=sent (delivered)
Nov 20 17:02:13 mx postfix/qmgr[4]: ABC123: removed
2026-11-20T17:02:14.100000+09:00 mx postfix/submission/smtpd[5]: 4XyZ: client=u[2001:db8::9], sasl_method=PLAIN, sasl_username=u
2026-11-20T17:02:15.200000+09:00 mx postfix/smtp[6]: 4XyZ: to=<x@y.example>, relay=none, status=deferred (timed out)
Nov 20 18:00:00 mx postfix/smtpd[7]: DEF: client=localhost[127.0.0.1], orig_queue_id=ABD, orig_client=far[198.51.100.9]
Nov 20 18:00:01 mx postfix/relay/smtp[8]: DEF: to=<x@backup.example>, relay=b[192.0.2.9]:25, status=sent (250)
Nov 20 18:00:02 mx postfix/smtpd[7]: ABD: client=far[198.51.100.9]
Nov 20 18:00:03 mx postfix/smtp[8]: ABD: to=<x@backup.example>, relay=127.0.0.1[127.0.0.1]:10024, status=sent (250)
Nov 20 18:00:04 mx sendmail[9]: ABE: to=<x@y>, relay=z
`
	want := []string{
		"10.3.2.1\t-\tforeign\t1\tNov 20 17:02:12", "10.3.2.1\t-\tlocal\t1\tNov 20 17:02:13",
		"198.51.100.9\t-\tlocal\t1\tNov 20 18:00:01", "2001:db8::9\tauth\tforeign\t1\t2026-11-20T17:02:15.200000+09:00",
	}
	script := strings.TrimSuffix(strings.TrimSpace(collector), "postfix_collect") + "\npf_sum | sort\n"
	tried := 0
	for _, shell := range [][]string{{"dash"}, {"bash", "--posix"}, {"mksh"}, {"ksh93"}, {"busybox", "sh"}, {"yash"}, {"posh"}, {"sh"}} {
		if _, err := exec.LookPath(shell[0]); err != nil {
			continue
		}
		tried++
		cmd := exec.Command(shell[0], append(shell[1:], "-c", script)...)
		cmd.Stdin = strings.NewReader(log)
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v", shell[0], err)
			continue
		}
		if d := cmp.Diff(want, strings.Split(strings.TrimSpace(string(out)), "\n")); d != "" {
			t.Errorf("%s: %s", shell[0], d)
		}
	}
	if tried == 0 {
		t.Fatal("no shell to run the collector")
	}
}
