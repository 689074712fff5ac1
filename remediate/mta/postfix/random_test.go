package postfix

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mtaharden/remediate/judge"
)

// words from which random configurations are made.
var (
	anyList = []string{"permit_mynetworks", "permit_sasl_authenticated", "reject_unauth_destination", "defer_unauth_destination", "permit_auth_destination",
		"permit", "reject", "defer", "warn_if_reject", "defer_if_permit", "defer_if_reject", "reject_unlisted_recipient", "reject_unlisted_sender",
		"reject_non_fqdn_sender", "reject_non_fqdn_recipient", "reject_non_fqdn_helo_hostname", "reject_invalid_helo_hostname", "reject_unknown_client_hostname",
		"reject_unknown_sender_domain", "reject_unknown_recipient_domain", "reject_unknown_helo_hostname", "reject_unauth_pipelining", "reject_plaintext_session",
		"permit_tls_all_clientcerts", "permit_mx_backup", "reject_rbl_client bl.example.net", "reject_unauth_destnation", "open", "strict",
		"reject_multi_recipient_bounce", "permit_dnswl_client wl.example.net", "sleep 0", "reject_unknown_reverse_client_hostname",
		"check_client_access", "check_helo_access", "check_sender_access", "check_recipient_access", "static:OK"}
	tables = []string{"inline:{198.51.100.7=OK}", "inline:{198.51=OK, 10.9.9=REJECT}", "inline:{example.net=OK}", "inline:{.example.net=OK}", "inline:{lab.example.edu=OK}",
		"inline:{example.org=permit, relay.example.com=REJECT}", "static:OK", "static:DUNNO", "static:REJECT", "static:permit_mynetworks", "texthash:/etc/postfix/th",
		"cidr:/etc/postfix/c.cidr", "regexp:/etc/postfix/r.re", "pcre:/etc/postfix/p.re", "inline:{antispam@=OK}", "inline:{<>=OK}", "inline:{edu=open}",
		"inline:{{198.51.100.7 = 450 later}}", "inline:{{example.org = 550}}", "inline:{{example.org = 123}}", "inline:{{relaytest@example.org = reject_unauth_destination, permit}}",
		"static:DEFER_IF_PERMIT", "static:{OK}", "inline:{user=OK, root=OK, @lab.example.edu=OK}", "fail:x", "hash:/etc/postfix/missing", "nosuchtype:/x"}
	networks = []string{"127.0.0.0/8", "10.9.9.0/24", "0.0.0.0/0", "198.51.100.0/24", "!198.51.100.7", "198.51.100.7", "198.51.100.0/8", "198.51.100", "client7.example.net",
		"example.net", ".example.net", "[::1]/128", "[2001:db8::]/32", "cidr:/etc/postfix/c.cidr", "inline:{198.51.100.7=x}", "/etc/postfix/nets", "128.0.0.0/1", "regexp:/etc/postfix/r.re",
		"static:all", "$other", "10.9.9.300/24", "0/0"}
	domains = []string{"$myhostname", "relay.example.com", "org", "example.org", ".example.org", "inline:{org=x}", "inline:{example.org=x}", "static:all", "regexp:/etc/postfix/r.re",
		"lab.example.edu", "!example.org", "/etc/postfix/doms", "*"}
	files = map[string]string{
		"/etc/postfix/th":     "# text\nexample.net OK\n10.9.9.50\tOK\nantispam@example.com OK\nclient7.example.net  REJECT no\n",
		"/etc/postfix/c.cidr": "10.9.9.0/24 REJECT\nif 198.0.0.0/8\n!198.51.100.0/24 REJECT\n198.51.100.7 OK\nendif\n0.0.0.0/1 DUNNO\n2001:db8::/32 OK\n",
		"/etc/postfix/r.re":   "/^client[0-9]\\.example\\.net$/ OK\nif /example/\n/\\.org$/i OK\n!/edu/ DUNNO\nendif\n/^(10\\.9\\.9)\\.50$/ OK\n",
		"/etc/postfix/p.re":   "/^client\\d+\\./ OK\n/@example\\.org$/ REJECT no ${1}\nif !/example/\n/./ OK\nendif\n",
		"/etc/postfix/nets":   "# file\n127.0.0.1\n!10.9.9.50, 10.9.9.0/24\n",
		"/etc/postfix/doms":   "example.net\nrelay.example.com\n",
	}
)

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

func some(r *rand.Rand, from []string, most int) []string {
	var out []string
	for range r.IntN(most + 1) {
		out = append(out, pick(r, from))
	}
	return out
}

func randomList(r *rand.Rand, most int) string {
	words := some(r, anyList, most)
	for i, w := range words {
		if strings.HasPrefix(w, "check_") {
			words[i] += " " + pick(r, tables)
		}
	}
	return strings.Join(words, ", ")
}

// randomCase makes a configuration of which a good part neither relays for all nor is dead.
func randomCase(seed uint64) testCase {
	r := rand.New(rand.NewPCG(seed, 7))
	var b strings.Builder
	set := func(name, value string) { fmt.Fprintf(&b, "%s = %s\n", name, value) }
	set("compatibility_level", pick(r, []string{"0", "1", "2", "2", "2"}))
	set("myhostname", "lab.example.edu")
	set("other", "192.0.2.0/24")
	set("alias_maps", "")
	set("smtpd_restriction_classes", "open, strict")
	set("open", "permit")
	set("strict", pick(r, []string{"reject_unauth_destination", "permit_mynetworks, reject", "reject_unknown_sender_domain"}))
	set("mydestination", strings.Join(append([]string{"$myhostname, localhost"}, some(r, domains, 1)...), ", "))
	set("local_recipient_maps", pick(r, []string{"", "inline:{user=x}", "static:x"}))
	set("mynetworks", strings.Join(append([]string{"127.0.0.0/8"}, some(r, networks, 3)...), ", "))
	if r.IntN(2) == 0 {
		set("relay_domains", strings.Join(some(r, domains, 3), ", "))
	}
	if r.IntN(3) > 0 {
		guard := pick(r, []string{"", ", reject_unauth_destination", ", defer_unauth_destination", ", strict"})
		set("smtpd_relay_restrictions", strings.TrimPrefix(randomList(r, 4)+guard, ", "))
	}
	if r.IntN(3) > 0 {
		set("smtpd_recipient_restrictions", strings.TrimPrefix(randomList(r, 4)+pick(r, []string{"", ", reject_unauth_destination", ", reject"}), ", "))
	}
	for _, list := range []string{"client", "helo", "sender"} {
		if r.IntN(3) == 0 {
			set("smtpd_"+list+"_restrictions", randomList(r, 3))
		}
	}
	for _, p := range []string{"smtpd_delay_reject", "allow_untrusted_routing", "swap_bangpath", "allow_percent_hack", "resolve_dequoted_address", "append_dot_mydomain", "append_at_myorigin",
		"smtpd_reject_unlisted_recipient", "smtpd_reject_unlisted_sender", "strict_rfc821_envelopes", "smtpd_relay_before_recipient_restrictions"} {
		if r.IntN(6) == 0 {
			set(p, pick(r, []string{"yes", "no"}))
		}
	}
	if r.IntN(4) == 0 {
		set("parent_domain_matches_subdomains", pick(r, []string{"", "mynetworks", "relay_domains", "smtpd_access_maps"}))
	}
	if r.IntN(4) == 0 {
		set("virtual_alias_domains", strings.Join(some(r, domains, 2), ", "))
	}
	if r.IntN(5) == 0 {
		set("virtual_alias_maps", pick(r, []string{"static:root", "inline:{@example.org=root}", "inline:{user@lab.example.edu=root@example.org}"}))
	}
	c := testCase{name: fmt.Sprintf("random-%d", seed), versions: []string{"3.5", "3.7", "3.10"}, addrs: labAddrs, files: map[string]string{"main.cf": b.String()}}
	for name, text := range files {
		c.files[name] = text
	}
	return c
}

// randomQuestions are clients, HELO names, senders and recipients in chance pairs.
func randomQuestions(seed uint64) []judge.Question {
	r := rand.New(rand.NewPCG(seed, 11))
	all := forms("lab.example.edu", "10.9.9.1")
	var out []judge.Question
	for range 12 {
		q := all[r.IntN(len(all))]
		switch r.IntN(6) {
		case 0:
			q.ClientAddr, q.ClientName = "127.0.0.1", "localhost"
		case 1:
			q.ClientAddr, q.ClientName = "10.9.9.50", ""
		case 2:
			q.ClientAddr, q.ClientName = "2001:db8::9", "six.example.net"
		case 3:
			q.ClientAddr, q.ClientName = "203.0.113.9", ""
		default:
			q.ClientAddr, q.ClientName = "198.51.100.7", "client7.example.net"
		}
		q.Helo = pick(r, []string{"client7.example.net", "lab.example.edu", "[198.51.100.7]", "short", "198.51.100.7", "bad_name!"})
		if r.IntN(4) == 0 {
			q.Recipient = pick(r, []string{"user@lab.example.edu", "nobody@lab.example.edu", "x@relay.example.com", "x%example.org@relay.example.com", "root", "user@[10.9.9.1]", "x@host.example.org",
				"postmaster", "example.org!x@relay.example.com", "x@example.org.", "user", "x@org", `"a b"@example.org`, "x@localhost"})
			q.Form = ""
		}
		if r.IntN(4) == 0 {
			q.Sender = pick(r, []string{"user@lab.example.edu", "short@host", "noname", "", "antispam@example.com", "x%example.org@lab.example.edu"})
		}
		out = append(out, q)
	}
	return out
}

// TestShadowRandom compares the evaluator with a real Postfix over random configurations. MTAHARDEN_RANDOM is "FIRST COUNT".
func TestShadowRandom(t *testing.T) {
	first, count := uint64(1), uint64(60)
	if f := strings.Fields(os.Getenv("MTAHARDEN_RANDOM")); len(f) == 2 {
		first, _ = strconv.ParseUint(f[0], 10, 64)
		count, _ = strconv.ParseUint(f[1], 10, 64)
	}
	for _, root := range shadowRoots(t) {
		t.Run(filepath.Base(root), func(t *testing.T) {
			s := startShadow(t, root)
			asked, open := 0, 0
			for seed := first; seed < first+count; seed++ {
				a, o := shadowRandom(t, s, seed)
				asked, open = asked+a, open+o
			}
			t.Logf("%d answers compared, %d of them cannot-tell", asked, open)
		})
	}
}

// possible reports whether one of several ways ends as Postfix answered: where mail is taken for delivery here or refused, the answer is
// that it is not relayed.
func possible(ends []way, reply string) bool {
	for _, w := range ends {
		if len(ends) > 1 && w.outcome != judge.Relayed && (w.outcome == judge.Delivered) == strings.HasPrefix(reply, "2") {
			return true
		}
	}
	return false
}

func shadowRandom(t *testing.T, s *shadow, seed uint64) (asked, open int) {
	c := randomCase(seed)
	_, cfg := c.config(t, s.version)
	m := cfg.Model.(*model)
	qs := randomQuestions(seed)
	if why, _ := m.dead(m.listeners[0]); why != "" {
		qs = qs[:1]
	}
	o := c.orderOf(qs)
	o.Files["/etc/postfix/master.cf"] = c.shadowMaster()
	r, err := s.ask(o)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	for i, q := range qs[:len(r.Replies)] {
		a := m.reply(unquoted(q), m.listeners[0])
		if asked++; a.Outcome == judge.CannotTell {
			open++
		}
		ends, _ := m.ways(unquoted(q), m.listeners[0].smtpd)
		if text := agree(a, r.Replies[i]); text != "" && !possible(ends, r.Replies[i]) {
			t.Errorf("seed %d: %s\n%s", seed, text, c.files["main.cf"])
		}
	}
	return asked, open
}
