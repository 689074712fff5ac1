package probe

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mtaharden/remediate/remote/remotetest"
)

// TestLabProxy tells real listeners in front of which a proxy is expected who the client is, by each version of the PROXY header and over each
// protocol: that they believe it shows in their logs, and in that a client who calls itself the host may relay.
func TestLabProxy(t *testing.T) {
	l := needLab(t)
	t.Parallel()
	for _, h := range []struct {
		names             []string
		name, script, log string // what to run on the host, and where it names its clients
	}{
		{[]string{"deb11-postfix", "deb12-postfix"}, "smtpd", "postconf -e smtpd_upstream_proxy_protocol=haproxy", "/var/log/mail.log"},
		{[]string{"deb11-postfix", "deb12-postfix"}, "postscreen",
			"postconf -Me 'smtp/inet=smtp inet n - y - 1 postscreen' 'smtpd/pass=smtpd pass - - y - - smtpd'; postconf -e postscreen_upstream_proxy_protocol=haproxy", "/var/log/mail.log"},
		{[]string{"deb11-exim", "deb12-exim"}, "Exim", "echo 'hosts_proxy = *' >/etc/exim4/exim4.conf.localmacros", "/var/log/exim4/mainlog"},
	} {
		host := l.host(t, h.names...)
		t.Run(h.name, func(t *testing.T) {
			remotetest.Alone(t, host)
			l.planted(t, host, h.script)
			t.Cleanup(func() { l.planted(t, host, "") })
			for _, family := range []string{"4", "6"} {
				addr := netip.MustParseAddr(l.on(t, host, "ip -"+family+` -o addr show scope global | awk '{ sub("/.*", "", $4); print $4; exit }'`))
				from := map[string]string{"4": "203.0.113.77", "6": "2001:db8:77::"}[family] // whom the header names: none of the lab's
				for version := 1; version <= 2; version++ {
					named := from + strconv.Itoa(version)
					if family == "4" {
						named = strings.Replace(from, "77", "7"+strconv.Itoa(version), 1)
					}
					l.told(t, host, h.log, netip.AddrPortFrom(addr, 25), netip.MustParseAddr(named), version)
				}
			}
		})
	}
}

// told asks a listener that is told of a client by one version of the header.
func (l lab) told(t *testing.T, host, log string, at netip.AddrPort, named netip.Addr, version int) {
	t.Helper()
	tables, err := givenTables()
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Dial: l.vantage(t, "outside"), Vantage: "outside", From: named, Relay: true, Forms: []string{"plain", "proxy-header"}}.withDefaults()
	a := &asker{l: Listener{Addr: at}, c: c, tables: tables, report: &Report{From: named}, proxied: version}
	if !a.meet(t.Context()) {
		t.Fatalf("%s with version %d: it does not serve: %s %v", at, version, a.report.Dead, a.report.Err)
	}
	a.decide(t.Context())
	a.matrixForms(t.Context())
	said := map[string]Verdict{}
	for _, k := range a.cases {
		if !k.TLS {
			said[k.Form] = k.Verdict
		}
	}
	if said["local"] != Taken || said["plain"] != Refused || !said["proxy-header"].Open() {
		t.Errorf("%s with version %d: %v", at, version, said)
	}
	if l.on(t, host, "grep -cF '"+named.String()+"' "+log+" || true") == "0" {
		t.Errorf("%s with version %d: the server's log does not name %s", at, version, named)
	}
}

// planted puts a host back to its image and runs a script on it before it serves.
func (l lab) planted(t *testing.T, host, script string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "plant")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.WriteFile(filepath.Join(dir, "plant.sh"), []byte(script+"\n"), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(l.program, "plant", host, dir).CombinedOutput(); err != nil {
		t.Fatalf("cannot plant %s: %v\n%s", host, err, out)
	}
}
