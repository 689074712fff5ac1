package probe

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"golang.org/x/crypto/ssh"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/remote/remotetest"
)

// lab is the running lab, as its inventory tells it.
type lab struct {
	program  string
	identity string
	hosts    map[string]struct{ Address string }
}

func needLab(t *testing.T) lab {
	t.Helper()
	if os.Getenv("MTALAB") != "1" {
		t.Skip("needs the lab: go run ./cmd/mtalab test")
	}
	var inventory struct {
		Defaults struct{ Identity string }
		Hosts    map[string]struct{ Address string }
	}
	if _, err := toml.DecodeFile(os.Getenv("MTALAB_INVENTORY"), &inventory); err != nil {
		t.Fatal(err)
	}
	l := lab{program: os.Getenv("MTALAB_PROGRAM"), identity: inventory.Defaults.Identity, hosts: inventory.Hosts}
	if l.program != "" {
		return l // mtalab test names itself: a test need not build it
	}
	l.program = filepath.Join(t.TempDir(), "mtalab")
	if out, err := exec.Command("go", "build", "-o", l.program, "mtaharden/cmd/mtalab").CombinedOutput(); err != nil {
		t.Fatalf("cannot build the lab: %v\n%s", err, out)
	}
	return l
}

// host is the first of several that the lab has.
func (l lab) host(t *testing.T, names ...string) string {
	t.Helper()
	for _, n := range names {
		if _, ok := l.hosts[n]; ok {
			return n
		}
	}
	t.Fatalf("the lab has none of %s", strings.Join(names, ", "))
	return ""
}

func (l lab) on(t *testing.T, host, script string) string {
	t.Helper()
	cmd := exec.Command(l.program, "exec", host, "--", "sh", "-ec", script)
	var errors strings.Builder
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("on %s: %s: %v\n%s", host, script, err, errors.String())
	}
	return strings.TrimSpace(string(out))
}

// vantage dials through the SSH server of a vantage point.
func (l lab) vantage(t *testing.T, name string) Dial {
	t.Helper()
	key, err := os.ReadFile(l.identity)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	client, err := ssh.Dial("tcp", net.JoinHostPort(l.hosts[name].Address, "22"), &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := client.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return pipeTo(conn), nil
	}
}

// pipeTo gives a connection of x/crypto/ssh, which keeps no deadlines, a pipe that does.
func pipeTo(far net.Conn) net.Conn {
	near, mid := net.Pipe()
	go func() {
		defer mid.Close()
		defer far.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := far.Read(buf)
			if n > 0 {
				if _, err := mid.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	go func() {
		defer far.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := mid.Read(buf)
			if n > 0 {
				if _, err := far.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return near
}

// arrived looks into the sink's list.
func (l lab) arrived(_ context.Context, token string) (bool, error) {
	f, err := os.Open(filepath.Join(filepath.Dir(filepath.Dir(l.identity)), "sink.jsonl"))
	if err != nil {
		return false, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.Contains(lines.Text(), token) {
			return true, nil
		}
	}
	return false, nil
}

// labCase is a configuration and what must be seen of it from outside.
type labCase struct {
	name    string
	script  string // on the host, by root; $SAVE holds the packaged configuration
	listen  string // default "4:25": IP version, port
	tls     bool
	vantage string // default outside
	deliver bool

	open    []string // forms that must be taken; nil: none may be
	all     bool     // every form that the server can read must be taken
	shows   []string // lines of the summary that must be there, each a part of one
	forms   []string
	timeout time.Duration
	wait    time.Duration // for arrival; default 1 min
	not     string        // what must not be shown
}

// labHosts are the hosts, how to put their configuration back, and the cases.
func labHosts() []struct {
	names         []string
	product       string
	save, restore string
	cases         []labCase
} {
	return []struct {
		names         []string
		product       string
		save, restore string
		cases         []labCase
	}{
		{[]string{"deb11-postfix", "deb12-postfix"}, "Postfix", "cp -a /etc/postfix $SAVE",
			"rm -rf /etc/postfix; cp -a $SAVE /etc/postfix; postfix stop >/dev/null 2>&1 || true; postsuper -d ALL >/dev/null 2>&1 || true; postfix start >/dev/null 2>&1", postfixCases()},
		{[]string{"deb11-exim", "deb12-exim"}, "Exim", "cp -a /etc/exim4 $SAVE",
			"rm -rf /etc/exim4; cp -a $SAVE /etc/exim4; systemctl stop exim4; rm -rf /var/spool/exim4/input/* /var/spool/exim4/msglog/*; systemctl start exim4", eximCases()},
		// sendmail refuses connections and only queues mail where the load is high (op.me, RefuseLA and QueueLA), and tests make it so.
		{[]string{"deb11-sendmail", "deb12-sendmail"}, "Sendmail",
			sendmailFeature("define(`confREFUSE_LA', `1000')dnl\\ndefine(`confQUEUE_LA', `1000')dnl") + "; cp -a /etc/mail $SAVE",
			"rm -rf /etc/mail; cp -a $SAVE /etc/mail; rm -f /var/spool/mqueue/*; systemctl restart sendmail", sendmailCases()},
		{[]string{"deb12-opensmtpd"}, "OpenSMTPD", "true", "true", []labCase{
			{name: "packaged", shows: []string{"BANNER disclosed", "VRFY refused", "local <", "250 2.1.5 Destination address valid"}}}},
	}
}

func postfixCases() []labCase {
	set := func(s string) string {
		return "postconf -e " + s + "; postfix stop >/dev/null 2>&1; postfix start >/dev/null 2>&1"
	}
	return []labCase{
		{name: "packaged", shows: []string{"BANNER disclosed", "VRFY disclosed: postmaster: 252", "HELP refused", "AUTH refused", "tls TLSv1.3", "454 4.7.1"}},
		{name: "IPv6", listen: "6:25", forms: []string{"plain", "literal-sender", "percent-literal"}, shows: []string{"@[IPv6:"}},
		{name: "hardened", script: set(`disable_vrfy_command=yes 'smtpd_banner=$myhostname ESMTP'`), forms: []string{"plain"}, shows: []string{"BANNER refused", "VRFY refused: 502"}},
		{name: "open", script: set("'mynetworks=127.0.0.0/8 0.0.0.0/0'"), all: true, deliver: true, shows: []string{"and it arrived"}},
		{name: "own sender", script: set("'smtpd_relay_restrictions=check_sender_access inline:{deb11-postfix.lab.test=OK,deb12-postfix.lab.test=OK},reject_unauth_destination' " +
			"'smtpd_recipient_restrictions='"), open: []string{"own-sender", "postmaster-sender"}},
		{name: "relay domain of the sender's", script: set("'relay_domains=org' 'mynetworks=127.0.0.0/8'"), open: []string{"plain", "null-sender"}, forms: []string{"plain", "null-sender"},
			shows: []string{"not another domain"}},
		{name: "takes everything, sends nothing on", script: set("'mydestination=static:all' 'local_recipient_maps='"), open: []string{"plain"}, forms: []string{"plain", "percent-name"},
			shows: []string{"accepts-all", "unproven", "= RCPT percent-name cannot-tell"}},
		{name: "STARTTLS needed", script: set("smtpd_tls_security_level=encrypt 'mynetworks=127.0.0.0/8 0.0.0.0/0'"), all: true, forms: []string{"plain", "percent-name"},
			shows: []string{"plain <antispam@example.net> <relaytest@example.org> (TLS)"}},
		{name: "TLS from the first byte", script: `postconf -Me '465/inet=465 inet n - n - - smtpd -o smtpd_tls_wrappermode=yes -o smtpd_tls_security_level=encrypt'; ` + set("myorigin=example.com"),
			listen: "4:465", tls: true, forms: []string{"plain"}, shows: []string{"AUTH refused: AUTH is not offered without TLS: the listener begins with TLS", "(TLS) refused"}},
		{name: "XCLIENT", script: set("smtpd_authorized_xclient_hosts=0.0.0.0/0"), open: []string{"xclient"}, forms: []string{"plain", "xclient"}},
		{name: "PROXY header", script: set("smtpd_upstream_proxy_protocol=haproxy"), open: []string{"proxy-header"}, forms: []string{"plain", "proxy-header"}, timeout: 20 * time.Second,
			shows: []string{"= RCPT plain refused"}},
		{name: "greet pause", script: `postconf -Me 'smtp/inet=smtp inet n - y - 1 postscreen' 'smtpd/pass=smtpd pass - - y - - smtpd'; ` +
			set("postscreen_greet_action=enforce postscreen_greet_wait=6s"), forms: []string{"plain", "null-sender"}, shows: []string{"plain <antispam@example.net> <relaytest@example.org> refused"}},
		{name: "does not start", script: set("smtpd_relay_restrictions= smtpd_recipient_restrictions="), shows: []string{"dead no banner"}, timeout: 10 * time.Second},
		{name: "configuration error", script: set("'smtpd_relay_restrictions=check_client_access hash:/nowhere, reject_unauth_destination'"), forms: []string{"plain"}, shows: []string{"= RCPT local dead"}},
	}
}

func eximCases() []labCase {
	restart := "; systemctl restart exim4"
	return []labCase{
		{name: "packaged", shows: []string{"BANNER disclosed", "VRFY refused", "EXPN refused", "550 relay not permitted", "not-tested: the sender was not taken", "domain literals not allowed"}},
		{name: "open, and sends nothing on", script: `sed -i "s/^dc_relay_nets=.*/dc_relay_nets='0.0.0.0\/0'/" /etc/exim4/update-exim4.conf.conf` + restart,
			open: []string{"plain", "null-sender", "own-sender", "route-name"}, deliver: true, wait: 5 * time.Second, shows: []string{"accepts-all", "delivery unproven"}, not: "and it arrived"},
		{name: "open, and sends on", script: `sed -i "s/^dc_relay_nets=.*/dc_relay_nets='0.0.0.0\/0'/; s/^dc_eximconfig_configtype=.*/dc_eximconfig_configtype='smarthost'/; s/^dc_smarthost=.*/dc_smarthost='sink.lab.test'/" /etc/exim4/update-exim4.conf.conf` + restart,
			open: []string{"plain", "null-sender", "own-sender"}, forms: []string{"plain", "null-sender", "own-sender"}, deliver: true, shows: []string{"proven", "and it arrived"}},
		{name: "own sender", script: `sed -i '/^acl_check_rcpt:/a accept senders = *@+local_domains' /etc/exim4/exim4.conf.template` + restart,
			open: []string{"own-sender"}, forms: []string{"plain", "null-sender", "own-sender"}},
		{name: "VRFY", script: `printf 'acl_smtp_vrfy = accept\n' >/etc/exim4/exim4.conf.localmacros; sed -i '/^acl_smtp_rcpt/i acl_smtp_vrfy = acl_check_vrfy' /etc/exim4/exim4.conf.template;
			sed -i '/^acl_check_rcpt:/i acl_check_vrfy:\n  accept\n' /etc/exim4/exim4.conf.template; rm /etc/exim4/exim4.conf.localmacros` + restart, forms: []string{"plain"}, shows: []string{"VRFY disclosed"}},
	}
}

// sendmailFeature is a script that adds lines to sendmail's mc file, before its mailers.
func sendmailFeature(s string) string {
	return "sed -i '/^MAILER_DEFINITIONS/i " + strings.ReplaceAll(s, "'", `'"'"'`) + "' /etc/mail/sendmail.mc; make -C /etc/mail >/dev/null 2>&1; systemctl restart sendmail"
}

func sendmailCases() []labCase {
	access := func(line string) string {
		return "printf '" + line + "\\n' >>/etc/mail/access; makemap hash /etc/mail/access </etc/mail/access; systemctl restart sendmail"
	}
	return []labCase{
		{name: "packaged", shows: []string{"BANNER disclosed", "VRFY disclosed", "EXPN disclosed", "HELP disclosed", "550 5.7.1", "double-at-name", "not-tested: the server does not read this form of address: 553 5.1.3"}},
		{name: "open", script: sendmailFeature("FEATURE(`promiscuous_relay')dnl"), deliver: true, open: []string{"plain", "null-sender", "own-sender", "percent-name", "bang", "route-literal"},
			shows: []string{"and it arrived"}},
		{name: "own sender", script: sendmailFeature("FEATURE(`relay_local_from')dnl"), open: []string{"own-sender"}, forms: []string{"plain", "null-sender", "own-sender"}},
		{name: "open to another network", script: access("Connect:203\\tRELAY"), forms: []string{"plain", "null-sender"}},
		{name: "open to this network", script: access("Connect:203\\tRELAY"), vantage: "outside2", open: []string{"plain", "null-sender"}, forms: []string{"plain", "null-sender"}},
		{name: "greet pause", script: sendmailFeature("FEATURE(`greet_pause', 5000)dnl"), forms: []string{"plain", "null-sender", "own-sender"}, shows: []string{"plain <antispam@example.net> <relaytest@example.org> refused"}},
	}
}

// TestLab asks real servers, closed and open, from outside, and compares with what their configuration says.
func TestLab(t *testing.T) {
	l := needLab(t)
	t.Parallel()
	vantages := map[string]Dial{"outside": l.vantage(t, "outside"), "outside2": l.vantage(t, "outside2")}
	for _, h := range labHosts() {
		host := l.host(t, h.names...)
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			remotetest.Alone(t, host)
			const save = "/root/probe-test-save"
			// Five starts within ten seconds are systemd's limit, and a fast machine is faster.
			restore := func() { l.on(t, host, "systemctl reset-failed; "+strings.ReplaceAll(h.restore, "$SAVE", save)) }
			l.on(t, host, "rm -rf "+save+"; "+strings.ReplaceAll(h.save, "$SAVE", save))
			t.Cleanup(func() { // back to its image
				if out, err := exec.Command(l.program, "plant", host, t.TempDir()).CombinedOutput(); err != nil {
					t.Errorf("cannot put %s back: %v\n%s", host, err, out)
				}
			})
			for _, c := range h.cases {
				t.Run(c.name, func(t *testing.T) {
					restore()
					if c.script != "" {
						l.on(t, host, c.script)
					}
					c.check(t, l, host, h.product, vantages)
				})
			}
		})
	}
}

func (c labCase) check(t *testing.T, l lab, host, product string, vantages map[string]Dial) {
	version, port, _ := strings.Cut(cmpOr(c.listen, "4:25"), ":")
	addr := l.on(t, host, "ip -"+version+` -o addr show scope global | awk '{ sub("/.*", "", $4); print $4; exit }'`)
	at := netip.MustParseAddrPort(net.JoinHostPort(addr, port))
	vantage := cmpOr(c.vantage, "outside")
	config := Config{Dial: vantages[vantage], Vantage: vantage, From: netip.MustParseAddr(l.hosts[vantage].Address), Relay: true, Forms: c.forms, Timeout: c.timeout}
	if c.deliver {
		config.Deliver, config.Arrived, config.Wait = "tok@example.org", l.arrived, max(c.wait, time.Second)
		if c.wait == 0 {
			config.Wait = time.Minute
		}
	}
	l.waitFor(t, host, port)
	r := Ask(t.Context(), Listener{Addr: at, TLS: c.tls}, config)
	got := summary(r, &server{})
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	if r.Dead == "" && r.Product != product {
		t.Errorf("the product is %q", r.Product)
	}
	open, read := c.verdicts(t, r)
	for _, s := range c.shows {
		if !strings.Contains(got, s) {
			t.Errorf("it does not show %q", s)
		}
	}
	if c.not != "" && strings.Contains(got, c.not) {
		t.Errorf("it shows %q", c.not)
	}
	for _, form := range c.open {
		if !slices.ContainsFunc(r.Cases, func(k Case) bool { return k.Form == form && k.Verdict.Open() }) {
			t.Errorf("%s was not taken", form)
		}
	}
	if c.all && open == 0 {
		t.Error("nothing was taken")
	}
	for _, a := range r.Answers {
		if a.Judge != judge.Network || a.Text == "" {
			t.Errorf("answer %+v", a)
		}
	}
	if *record && (c.name == "packaged" || c.name == "open" || strings.HasPrefix(c.name, "open, and sends nothing")) {
		if err := os.WriteFile("testdata/servers/recorded-"+host+"-"+strings.FieldsFunc(c.name, func(r rune) bool { return r == ',' })[0]+".txtar", []byte(recording(r, host+", "+c.name)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d dialogues, %d about the recipient, %d taken", len(r.Cases), read, open)
	if t.Failed() {
		t.Log(got)
	}
}

// verdicts compares the verdicts with what the configuration lets through, and counts those taken and those about the recipient.
func (c labCase) verdicts(t *testing.T, r *Report) (open, read int) {
	for _, k := range r.Cases {
		if k.Form == "local" {
			continue
		}
		want := c.all || slices.Contains(c.open, k.Form)
		switch {
		case k.Verdict.Open():
			open++
			if !want && c.forms != nil || c.open == nil && !c.all {
				t.Errorf("%s <%s> <%s> is %s: %s", k.Form, k.Sender, k.Recipient, k.Verdict, k.Why)
			}
		case want && !(c.all && k.Verdict == NotTested) && !k.TLS:
			t.Errorf("%s <%s> <%s> is %s: %s", k.Form, k.Sender, k.Recipient, k.Verdict, k.Why)
		}
		if k.Verdict == Refused || k.Verdict.Open() {
			read++
		}
	}
	return open, read
}

// waitFor waits until something listens on a port.
func (l lab) waitFor(t *testing.T, host, port string) {
	t.Helper()
	l.on(t, host, fmt.Sprintf("for n in $(seq 60); do ss -ltnH 'sport = :%s' | grep -q . && exit 0; sleep 0.5; done; exit 1", port))
}

func cmpOr(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
