package exim

import (
	"os/exec"
	"strings"
	"testing"
)

// What the collector finds to act in an effective configuration, as `exim -bP config` prints it: "" is what may be asked.
func TestActs(t *testing.T) {
	const head = "acl_smtp_rcpt = r\nacl_smtp_data = d\nbegin acl\n  r:\n    accept hosts = :\n"
	for _, test := range []struct{ name, conf, want string }{
		{"nothing", head + "    deny\n", ""},
		{"dns", head + "    deny dnslists = sbl.example.org\n    accept condition = ${lookup dnsdb{txt=x}{yes}{no}}\n", ""},
		{"table", head + "    accept domains = lsearch;/etc/domains\n    condition = ${lookup{$domain}lsearch{/etc/x}{yes}{no}}\n", ""},
		{"delay", head + "    warn\n    delay = 30s\n    log_message = x\n    control = submission\n", ""},
		{"ratelimit", head + "    warn ratelimit = 10 / 1h\n", "ratelimit in acl r"},
		{"ratelimit negated", head + "    warn\n    !ratelimit = 10 / 1h\n", "ratelimit in acl r"},
		{"run", head + "    warn set acl_m0 = ${run{/bin/true}}\n", "${run} in acl r"},
		{"run with options", head + "    warn set acl_m0 = ${run,preexpand{/bin/true}}\n", "${run} in acl r"},
		{"run in the banner", "smtp_banner = ${run{/bin/date}}\n" + head, "${run} in the main options"},
		{"socket", head + "    defer condition = ${readsocket{/run/greylistd}{x}}\n", "${readsocket} in acl r"},
		{"perl", head + "    warn condition = ${perl{f}{x}}\n", "${perl} in acl r"},
		{"dlfunc", head + "    warn condition = ${dlfunc{/lib/x.so}{f}}\n", "${dlfunc} in acl r"},
		{"select", head + "    accept condition = ${lookup mysql{SELECT 1 FROM t WHERE a='x'}{1}{0}}\n", ""},
		{"insert", head + "    defer condition = ${lookup mysql{INSERT INTO grey VALUES (1)}{1}{0}}\n", "a writing query in acl r"},
		{"sqlite", head + "    defer condition = ${lookup sqlite{/var/db select 1}{1}{0}}\n", "a look-up that may write (sqlite, redis) in acl r"},
		{"seen", head + "    defer !seen = -5m\n", "seen in acl r"},
		{"callout", head + "    deny\n    !verify = sender/callout\n", "callout in acl r"},
		{"callout behind a file that is not there", head + "    deny\n    senders = ${if exists{/etc/none}{/etc/none}{}}\n    !verify = sender/callout\n", ""},
		{"callout behind a file that is there", head + "    deny\n    senders = ${if exists{/etc/passwd}{/etc/passwd}{}}\n    !verify = sender/callout\n", "callout in acl r"},
		{"data", head + "  d:\n    deny malware = *\n    deny spam = nobody\n    warn ratelimit = 1 / 1h\n", ""},
		{"data, called from RCPT too", head + "    deny acl = d\n  d:\n    deny malware = *\n", "malware in acl d"},
		{"data, and a name that is made up", head + "    deny acl = ${lc:X}\n  d:\n    deny malware = *\n", "an ACL named by a file or an expansion in acl r;malware in acl d"},
		{"ACL in a file", head + "    deny acl = /etc/acl\n", "an ACL named by a file or an expansion in acl r"},
		{"udp", head + "    warn udpsend = <; 127.0.0.1 ; 514 ; x\n", "udpsend in acl r"},
		{"router", head + "begin routers\n  q:\n    driver = queryprogram\n", "router q runs a program or asks a server"},
		{"filter", head + "begin routers\n  f:\n    driver = redirect\n    allow_filter\n    file = $home/.forward\n", "filter files of router f"},
		{"filter, not for verification", head + "begin routers\n  f:\n    driver = redirect\n    allow_filter\n    no_verify\n", ""},
		{"transport", head + "begin transports\n  t:\n    driver = pipe\n    command = ${run{x}}\n", ""},
		{"authenticator", head + "begin authenticators\n  p:\n    driver = plaintext\n    server_condition = ${run{x}}\n", ""},
		{"advertised", head + "begin authenticators\n  p:\n    driver = plaintext\n    server_advertise_condition = ${run{x}}\n", "${run} in authenticators"},
		{"rewrite", head + "begin rewrite\n  *@* ${run{x}} S\n", "${run} in rewrite"},
	} {
		t.Run(test.name, func(t *testing.T) {
			script := strings.TrimSuffix(strings.TrimSpace(collectScript), "exim_collect")
			cmd := exec.Command("sh", "-c", "ex_awk=awk\n"+script+"\nexim_unreached | exim_acts :/etc/none: | tr '\\n' ';'\n")
			cmd.Stdin = strings.NewReader(test.conf)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if got := strings.TrimSuffix(string(out), ";"); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
