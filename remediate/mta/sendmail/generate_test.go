package sendmail

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// generator makes configurations at random: FEATUREs, access databases, classes.
type generator struct{ *rand.Rand }

func (g generator) one(list ...string) string { return list[g.IntN(len(list))] }

// some is each of list with the chance of one in n.
func (g generator) some(n int, list ...string) []string {
	var out []string
	for _, v := range list {
		if g.IntN(n) == 0 {
			out = append(out, v)
		}
	}
	return out
}

// generatedFeatures are the FEATUREs of cf/README that bear on who may relay or on how an address is read. blacklist_recipients is the
// name that all releases know.
var generatedFeatures = []string{
	"blacklist_recipients", "relay_entire_domain", "relay_local_from", "relay_mail_from", "relay_mail_from', `domain", "promiscuous_relay", "relay_hosts_only",
	"loose_relay_check", "accept_unqualified_senders", "accept_unresolvable_domains", "nouucp', `reject", "nouucp', `nospecial", "nopercenthack", "nopercenthack', `reject", "nopercenthack', `nospecial", "nocanonify",
	"delay_checks", "delay_checks', `friend", "delay_checks', `hater", "always_add_domain", "lookupdotdomain", "redirect", "stickyhost", "redirect",
	"preserve_local_plus_detail", "require_rdns", "block_bad_helo", "masquerade_envelope", "allmasquerade", "use_cw_file", "use_ct_file", "compat_check",
	"virtuser_entire_domain", "uucpdomain", "notsticky", "smrsh",
}

var generatedNames = []string{
	"example.org", "example.net", "example.com", "org", "net", "sub.example.org", "probe.example.net", "lab.test", "mx.lab.test", "localhost", "example.edu", "a.b.example.edu",
	"xexample.org", "iana.org", "UPPER.Example.ORG", "dash-name.example.org", "x",
}

var generatedAddresses = []string{
	"198.51.100.7", "198.51.100", "198.51", "198", "203.0.113", "10", "10.9.9.1", "127.0.0.1", "127", "0", "192.0.2.0/24", "0.0.0.0/0", "[198.51.100.7]", "203.0.113.255",
	"IPv6:2001:db8", "IPv6:2001:db8:ffff:0:0:0:0:7", "IPv6:::1", "IPv6:0:0:0:0:0:0:0:1",
}

var generatedValues = []string{
	"RELAY", "RELAY", "RELAY", "RELAY", "relay", "OK", "REJECT", "DISCARD", "SKIP", "FRIEND", "HATER", "SUBJECT", "QUARANTINE:held", "550 go away", "ERROR:550 go away",
	"ERROR:5.7.1:550 Relaying denied", "ERROR:5.7.1:550 we do not like you", "ERROR:4.7.1:451 later", `ERROR:"550 quoted"`, "VERIFY:128", "550 5.7.1 <$1> no", "RELAY trailing",
}

func (g generator) key() string {
	name, addr := g.one(generatedNames...), g.one(generatedAddresses...)
	user := g.one("relaytest", "antispam", "root", "x") + "@" + g.one(name, "")
	switch g.IntN(14) {
	case 0, 1:
		return "Connect:" + g.one(name, addr, "", "["+addr+"]")
	case 2:
		return "To:" + g.one(name, user, addr)
	case 3:
		return "From:" + g.one(name, user, addr, "")
	case 4:
		return "Spam:" + g.one(name, user)
	case 5:
		return "Srv_Features:" + g.one(name, addr, "")
	case 6:
		return g.one("CertIssuer:", "CertSubject:", "CERTISSUER:", "CERTSUBJECT:") + g.one("/C=US/O=Example/CN=CA", "/CN=client+20one", "/CN=x")
	case 7:
		return g.one("TLS_Clt:", "TLS_Srv:", "TLS_Rcpt:", "Try_TLS:", "GreetPause:", "ClientRate:", "ClientConn:") + g.one(name, addr, "")
	case 8, 9:
		return user
	case 10, 11:
		return addr
	}
	return name
}

// access is the text of an access database; makemap takes each key once.
func (g generator) access() []byte {
	var b strings.Builder
	seen := map[string]bool{}
	for range g.IntN(14) {
		key := g.key()
		value := g.one(generatedValues...)
		if strings.HasPrefix(key, "Srv_Features:") {
			value = g.one("x", "X", "A b", "l L x", "V x", "S")
		}
		if low := strings.ToLower(key); !seen[low] {
			seen[low] = true
			fmt.Fprintf(&b, "%s\t%s\n", key, value)
		}
	}
	return []byte(b.String())
}

func (g generator) words(n int) []byte {
	var b strings.Builder
	for range g.IntN(n + 1) {
		fmt.Fprintf(&b, "%s%s\n", g.one("", "", "", "# "), g.one(append(generatedNames, generatedAddresses...)...))
	}
	return []byte(b.String())
}

// generatedExpressions are expressions as regcomp(3) reads them; a dollar is doubled in a .cf.
var generatedExpressions = []string{
	`[.]org>?$$`, `^<?[[:alpha:]]+@`, `(relay|anti)[[:alnum:]_-]*@`, `"`, `%|!`, `^[0-9]{1,3}(\.[0-9]+){3}$$`, `[^]a-z0-9.@<>[]`, `EXAMPLE\.(net|com)`, `[\]`, `@.*@`,
	`^(probe|client[.].*)$$`, `^$$`, `a{2}|b{1,}|(c*d)+`,
}

// site is one configuration.
func (g generator) site() site {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"dnl\n", args...) }
	line("OSTYPE(`linux')")
	line("define(`confPRIVACY_FLAGS', `%s')", strings.Join(append(g.some(3, "noexpn", "novrfy", "goaway", "noetrn", "restrictqrun", "needmailhelo"), "authwarnings"), ","))
	if g.IntN(4) > 0 {
		line("FEATURE(`access_db', `hash -T<TMPF> %s/etc/mail/access')", g.one("", "-o "))
	}
	for _, f := range g.some(8, generatedFeatures...) {
		line("FEATURE(`%s')", f)
	}
	for _, f := range g.some(40, "relay_based_on_MX", "bestmx_is_local") { // what an MX says only the DNS knows
		line("FEATURE(`%s')", f)
	}
	for _, f := range g.some(6, "mailertable", "virtusertable", "domaintable") {
		line("FEATURE(`%s', `hash -o /etc/mail/%s')", f, f)
	}
	for range g.IntN(3) {
		line("RELAY_DOMAIN(`%s')", g.one(append(generatedNames, generatedAddresses...)...))
	}
	for range g.IntN(2) {
		line("LOCAL_DOMAIN(`%s')", g.one(generatedNames...))
	}
	if g.IntN(3) == 0 {
		line("TRUST_AUTH_MECH(`LOGIN PLAIN DIGEST-MD5')")
	}
	for _, d := range g.some(8, "SMART_HOST', `hub.example.edu", "MAIL_HUB', `hub.example.edu", "LOCAL_RELAY', `hub.example.edu", "confRELAY_MSG', `\"550 no relaying here\"", "confBLANK_SUB', `_",
		"_PROMISCUOUS_RELAY_', `1", "_RELAY_LOCAL_FROM_', `1", "confREJECT_MSG', `\"550 5.7.1 out\"", "LUSER_RELAY', `local:root", "confDOMAIN_NAME', `mx.lab.test") {
		line("define(`%s')", d)
	}
	for _, d := range g.some(4, "Name=MSA, Port=587, M=Ea", "Name=IN, Port=2525, Addr=10.9.9.1", "Name=C, Port=2526, M=CCf", "Name=SSL, Port=465, M=s", "Name=U, Port=2527, M=u", "Name=F, Port=2528, M=f") {
		line("DAEMON_OPTIONS(`%s')", d)
	}
	line("MAILER(`local')")
	line("MAILER(`smtp')")
	if g.IntN(5) == 0 {
		fmt.Fprintf(&b, "LOCAL_RULESETS\nSLocal_check_rcpt\nR$* < @ $+ . %s > $*\t$#%s\nR$* | $*\t\t$#error $@ 5.7.1 $: \"550 own rule\"\n", g.one("org", "net"), g.one("OK", "error $@ 5.7.1 $: \"550 not here\""))
	}
	if g.IntN(3) == 0 {
		fmt.Fprintf(&b, "LOCAL_CONFIG\nKrx regex %s-a@X %s\nLOCAL_RULESETS\nSLocal_check_rcpt\nR$*\t$: $1 $| $(rx %s $: NO $)\nR$* $| @X\t$#%s\nR$* $| $*\t$: $1\n",
			g.one("", "", "-n ", "-f ", "-m ", "-q "), g.one(generatedExpressions...), g.one("$1", "$&f", "$&{client_name}", "$&{client_addr}"),
			g.one("OK", "error $@ 5.7.1 $: \"550 by its form\""))
	}
	return site{
		"/etc/mail/sendmail.mc": []byte(b.String()), "/etc/mail/access": g.access(), "/etc/mail/relay-domains": g.words(3), "/etc/mail/local-host-names": g.words(2),
		"/etc/mail/mailertable":   []byte(g.one("", "example.org\tesmtp:[10.9.9.2]\n", ".example.net\tlocal:root\n", "example.org\terror:5.1.1:550 no such\n")),
		"/etc/mail/virtusertable": []byte(g.one("", "@example.org\troot\n", "relaytest@example.org\tx@example.net\n", "@example.org\t%1@example.net\n", "@example.org\terror:nouser 550 no\n")),
		"/etc/mail/domaintable":   []byte(g.one("", "example.org\tlab.test\n", "example.com\texample.edu\n")),
	}
}

// TestDifferenceGenerated: configurations made at random; a fault is found again by its seed.
func TestDifferenceGenerated(t *testing.T) {
	list := roots(t)
	count, seed := number(t, "MTAHARDEN_SENDMAIL_GENERATED", 12), number(t, "MTAHARDEN_DIFFERENCE_SEED", 1)
	for i, root := range list {
		t.Run(fmt.Sprint("system ", i+1), func(t *testing.T) {
			sites := map[string]site{}
			for n := range count {
				g := generator{rand.New(rand.NewPCG(uint64(seed), uint64(n*len(list)+i)))}
				sites[fmt.Sprintf("seed-%d-%d", seed, n*len(list)+i)] = g.site()
			}
			n := newTally()
			snapshots := collected(t, root, sites)
			for _, name := range slices.Sorted(maps.Keys(snapshots)) {
				failed := t.Failed()
				n.compare(t, name, snapshots[name])
				if t.Failed() && !failed {
					for _, path := range slices.Sorted(maps.Keys(sites[name])) {
						t.Logf("%s %s:\n%s", name, path, sites[name][path])
					}
				}
			}
			n.log(t)
			if n.configurations*2 < count {
				t.Errorf("sendmail took %d of %d configurations", n.configurations, count)
			}
		})
	}
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
