package exim

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The log's forms: specification, chapter 53; message ids of before and after 4.97; with pid, milliseconds, ports, time zone, syslog.
const mainlog = `2026-11-20 17:02:11 1abcDE-000001-AB <= a@example.com H=scanner (helo) [10.3.2.1] P=esmtp S=300 id=x@y
2026-11-20 17:02:12 1abcDE-000001-AB => b@example.org R=dnslookup T=remote_smtp H=mx.example.org [192.0.2.25] C="250 ok"
2026-11-20 17:02:12 1abcDE-000001-AB -> c@example.org R=dnslookup T=remote_smtp H=mx.example.org [192.0.2.25] C="250 ok"
2026-11-20 17:02:12 1abcDE-000001-AB Completed
2026-11-21 08:00:00.123 +0000 [4711] 1xUtfs-0000DJ0T1Ab-0001 <= u@example.com H=(pc) [2001:db8::5]:40000 I=[2001:db8::1]:587 P=esmtpsa X=TLS1.3 A=plain:u S=1
2026-11-21 08:00:01.000 +0000 [4712] 1xUtfs-0000DJ0T1Ab-0001 => far@example.net R=dnslookup T=remote_smtp H=mx.example.net [192.0.2.26]:25
Nov 21 09:00:00 host exim[99]: 2026-11-21 09:00:00 1abcDE-000002-AB <= <> H=[198.51.100.9] P=smtp S=2
Nov 21 09:00:00 host exim[99]: 2026-11-21 09:00:00 1abcDE-000002-AB => root <root@example.com> R=local_user T=mail_spool
2026-11-01 09:00:00 1abcDE-000003-AB <= a@example.com H=(old) [10.9.9.9] P=smtp S=2
2026-11-01 09:00:01 1abcDE-000003-AB => b@example.org R=dnslookup T=remote_smtp H=mx.example.org [192.0.2.25]
2026-11-21 10:00:00 1abcDE-000004-AB <= root@example.com U=root P=local S=2
2026-11-21 10:00:01 1abcDE-000004-AB => b@example.org R=dnslookup T=remote_smtp H=mx.example.org [192.0.2.25]
2026-11-21 10:00:02 1abcDE-000005-AB <= a@example.com H=(f) [10.3.2.2] P=smtp S=2
2026-11-21 10:00:03 1abcDE-000005-AB => b@example.com R=filter T=amavis H=127.0.0.1 [127.0.0.1]:10024
2026-11-20 17:02:12 1abcDE-000001-AB => b@example.org R=dnslookup T=remote_smtp H=mx.example.org [192.0.2.25] C="250 ok"
`

func TestSeen(t *testing.T) {
	cmd := exec.Command("sh", "-c", "ex_awk=awk\n"+seenScript+"\nexim_sum 2026-11-21\n")
	cmd.Stdin = strings.NewReader(mainlog)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := "10.3.2.1\t-\tforeign\t2\t2026-11-20 17:02:12\n" +
		"10.3.2.2\t-\tlocal\t1\t2026-11-21 10:00:03\n" +
		"198.51.100.9\t-\tlocal\t1\t2026-11-21 09:00:00\n" +
		"2001:db8::5\tauth\tforeign\t1\t2026-11-21 08:00:01\n"
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Error(diff)
	}
}
