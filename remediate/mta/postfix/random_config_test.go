package postfix

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
)

// gen makes one configuration of the words in random_words_test.go.
type gen struct {
	r      *rand.Rand
	main   strings.Builder
	files  map[string]string
	words  map[string]bool // what was produced
	forced string          // the word that this configuration is to have in a place where it is met
	open   bool            // this configuration draws from the rare words too
	depth  int
}

func (g *gen) chance(percent int) bool { return g.r.IntN(100) < percent }

func (g *gen) pick(from ...string) string { return from[g.r.IntN(len(from))] }

func (g *gen) draw(from []choice) string {
	sum := 0
	for _, c := range from {
		sum += c.weight
	}
	at := g.r.IntN(sum)
	for _, c := range from {
		if at -= c.weight; at < 0 {
			return c.word
		}
	}
	return ""
}

func (g *gen) set(name, value string) {
	g.words[name] = true
	fmt.Fprintf(&g.main, "%s = %s\n", name, value)
}

func isRare(word string) bool {
	return slices.ContainsFunc(rare, func(part string) bool { return strings.Contains(word, part) })
}

// list is a restriction list of at most n restrictions.
func (g *gen) list(n int) []string {
	var out []string
	for range g.r.IntN(n + 1) {
		out = append(out, g.restriction())
	}
	return out
}

func (g *gen) restriction() string {
	for {
		if g.chance(60) {
			if w := g.draw(restrictionWords); g.open || !isRare(w) {
				g.words[w] = true
				return w
			}
			continue
		}
		a := argumentWords[g.weighted()]
		if !g.open && isRare(a.word) || a.word == "warn_if_reject" && g.depth > 0 {
			continue
		}
		return g.argument(a.word, a.kind)
	}
}

// argument is a restriction with an argument of a kind.
func (g *gen) argument(word, kind string) string {
	g.words[word] = true
	switch {
	case kind == "restriction":
		g.depth++
		defer func() { g.depth-- }()
		return word + " " + g.restriction()
	case keys[kind] != nil:
		return word + " " + g.table(kind)
	case strings.HasPrefix(kind, "{"):
		g.words["{ }"] = true
	}
	return word + " " + kind
}

func (g *gen) weighted() int {
	sum := 0
	for _, a := range argumentWords {
		sum += a.weight
	}
	at := g.r.IntN(sum)
	for i, a := range argumentWords {
		if at -= a.weight; at < 0 {
			return i
		}
	}
	return 0
}

// table is a random table with keys of a kind, as a list names it.
func (g *gen) table(kind string) string {
	if g.chance(1) {
		return g.pick("hash:/etc/postfix/missing", "nosuchtype:/x", "fail:x", "cidr:/etc/postfix/missing")
	}
	t := g.draw(tableTypes)
	if slices.ContainsFunc(tableTypes, func(c choice) bool { return c.word == g.forced }) && !g.words[g.forced] {
		t = g.forced
	}
	g.words[t] = true
	switch t {
	case "static":
		return "static:" + g.braced(g.value(kind))
	case "inline":
		return g.inline(kind)
	case "unionmap":
		return "unionmap:{" + g.inline(kind) + ", static:" + g.pick("OK", "DUNNO", "x") + "}"
	case "pipemap":
		return "pipemap:{inline:{" + g.pick(keys[kind]...) + "=k}, inline:{k=" + g.pick("OK", "DUNNO", "REJECT") + "}}"
	}
	name := fmt.Sprintf("/etc/postfix/t%d", len(g.files))
	g.files[name] = g.text(t, kind)
	return t + ":" + name
}

func (g *gen) braced(value string) string {
	if strings.ContainsAny(value, " ,") {
		return "{" + value + "}"
	}
	return value
}

func (g *gen) inline(kind string) string {
	var items []string
	for range 1 + g.r.IntN(3) {
		k, v := g.pick(keys[kind]...), g.value(kind)
		if strings.ContainsAny(v, " ,") {
			items = append(items, "{"+k+" = "+v+"}")
		} else {
			items = append(items, k+"="+v)
		}
	}
	return "inline:{" + strings.Join(items, ", ") + "}"
}

// value is a right-hand side of a table with keys of a kind.
func (g *gen) value(kind string) string {
	switch kind {
	case "domain":
		return "x"
	case "address":
		return g.pick("root", "user@lab.example.edu", "user@example.org", "x")
	case "transport":
		return g.pick("smtp:[192.0.2.1]", "local:", ":", "relay:[192.0.2.2]")
	case "screen":
		return g.pick("reject", "reject", "permit", "dunno", "permit_mynetworks, reject", "perhaps")
	case "logins":
		return g.pick("alice", "bob", "alice, bob")
	case "dns":
		return g.pick("REJECT", "DUNNO", "OK", "550 5.7.1 no")
	}
	a := g.draw(actions)
	if a == "5xx" {
		a = "559"
	}
	g.words[strings.Fields(a)[0]] = true
	return a
}

// text is the text of a table file.
func (g *gen) text(t, kind string) string {
	var b strings.Builder
	line := func(key string) { fmt.Fprintf(&b, "%s\t%s\n", key, g.value(kind)) }
	for i := range 1 + g.r.IntN(4) {
		switch t {
		case "cidr":
			if i == 1 && g.chance(50) {
				g.words["if/endif"] = true
				line("if " + g.pick("198.0.0.0/8", "!10.9.9.0/24", "0.0.0.0/0") + "\n" + g.network())
				b.WriteString("endif\n")
				continue
			}
			line(g.network())
		case "regexp", "pcre":
			if i == 1 && g.chance(50) {
				g.words["if/endif"] = true
				line("if " + g.pattern(kind) + "\n" + g.pattern(kind))
				b.WriteString("endif\n")
				continue
			}
			line(g.pattern(kind))
		default:
			line(g.pick(keys[kind]...))
		}
	}
	return b.String()
}

func (g *gen) network() string {
	return g.pick("198.51.100.0/24", "198.51.100.7", "10.9.9.0/24", "0.0.0.0/1", "128.0.0.0/1", "2001:db8::/32", "!198.51.100.0/24", "203.0.113.0/24", "127.0.0.0/8", "::/0", "192.0.2.32/28")
}

func (g *gen) pattern(kind string) string {
	key := regexp.QuoteMeta(g.pick(keys[kind]...))
	not := g.pick("", "", "", "!")
	if kind == "address" {
		not = "" // what maps all but one address never comes to an end
	}
	return not + g.pick("/^"+key+"$/", "/"+key+"/", "/"+key+"$/i", "/^("+key+")/", "/./", "/@/")
}

// domains is a list of domains.
func (g *gen) domains(n int, first ...string) string {
	out := first
	for range g.r.IntN(n + 1) {
		out = append(out, g.entry(g.draw(domainWords)))
	}
	return strings.Join(out, ", ")
}

// entry resolves TABLE KIND.
func (g *gen) entry(word string) string {
	if word == "COMMANDS" {
		name := fmt.Sprintf("/etc/postfix/t%d", len(g.files))
		g.files[name] = g.pick(commandRows...) + "\n" + g.pick(commandRows...) + "\n"
		return g.pick("pcre:", "regexp:") + name
	}
	before, kind, ok := strings.Cut(word, "TABLE ")
	if !ok {
		return word
	}
	if kind == "transport" {
		return "inline:{" + g.pick("example.org", "relay.example.com", ".example.org", "lab.example.edu") + "=" + g.value(kind) + "}"
	}
	return before + g.table(kind)
}

// randomCase makes a configuration: the host's names and networks, then its lists, most of them with a guard at the end.
func randomCase(seed uint64) (testCase, map[string]bool) {
	g := &gen{r: rand.New(rand.NewPCG(seed, 7)), files: map[string]string{}, words: map[string]bool{}}
	g.open = g.chance(35)
	g.forced = wanted("99")[seed%uint64(len(wanted("99")))]
	g.set("compatibility_level", g.pick("0", "1", "2", "2", "2", "2", "2", "2", "3.6"))
	g.set("myhostname", "lab.example.edu")
	g.set("other", "192.0.2.0/24")
	g.set("alias_maps", "")
	g.set("smtpd_restriction_classes", "open, strict, guarded")
	g.set("open", "permit")
	g.set("strict", g.pick("reject_unauth_destination", "permit_mynetworks, reject", "reject_non_fqdn_sender, reject_unauth_destination"))
	g.set("guarded", g.pick("permit_mynetworks, open", "permit_auth_destination, reject", "warn_if_reject strict, permit_sasl_authenticated"))
	g.namesAndNetworks()
	g.lists(g.first())
	g.services()
	for _, p := range otherParameters {
		if g.chance(p.percent) || p.name == g.forced {
			g.set(p.name, g.entry(g.pick(p.values...)))
		}
	}
	switch g.forced { // a class with a list that misses the address which the first questions are about
	case "unknown_relay_recipient_reject_code":
		g.set("relay_domains", "relay.example.com")
		g.set("relay_recipient_maps", "inline:{nobody@relay.example.com=x}")
	case "unknown_virtual_mailbox_reject_code":
		g.set("virtual_mailbox_domains", "virtual.example.com")
		g.set("virtual_mailbox_maps", "inline:{nobody@virtual.example.com=x}")
	}
	c := testCase{name: fmt.Sprintf("random-%d", seed), versions: []string{"3.5", "3.7", "3.10"}, addrs: labAddrs, files: g.files}
	c.files["/etc/postfix/nets"] = "192.0.2.0/24\n198.51.100.64/26 # office\n"
	c.files["/etc/postfix/milters"] = "198.51.100.0/25 inet:127.0.0.1:9995\n10.0.0.0/8 DISABLE\n"
	c.files["/etc/postfix/doms"] = "# ours\nrelay.example.com\nvirtual.example.com\n"
	c.files["master.cf"] = g.master()
	c.files["main.cf"] = g.main.String()
	return c, g.words
}

func (g *gen) namesAndNetworks() {
	g.set("mydestination", g.domains(1, "$myhostname, localhost"))
	g.set("local_recipient_maps", g.entry(g.pick("", "", "inline:{user=x, root=x}", "static:x", "TABLE address", "TABLE address", "proxy:unix:passwd.byname $alias_maps")))
	if g.chance(85) {
		nets := []string{"127.0.0.0/8"}
		for range g.r.IntN(4) {
			nets = append(nets, g.entry(g.draw(networks)))
		}
		g.set("mynetworks", strings.Join(nets, ", "))
	} else if g.chance(70) {
		g.set("mynetworks_style", g.pick("host", "subnet", "class"))
	}
	for name, percent := range map[string]int{"relay_domains": 50} {
		if g.chance(percent) {
			g.set(name, g.domains(3))
		}
	}
	if g.chance(20) {
		g.set("virtual_alias_domains", g.domains(2, "virtual.example.com"))
	} else if g.chance(20) {
		g.set("virtual_mailbox_domains", g.domains(2, "virtual.example.com"))
	}
}

// first is the restriction that the forced word asks for, "" where it is none and none looks at it.
func (g *gen) first() string {
	for _, c := range restrictionWords {
		if c.word == g.forced {
			g.words[c.word] = true
			return c.word
		}
	}
	for _, a := range argumentWords {
		if a.word == g.forced {
			return g.argument(a.word, a.kind)
		}
	}
	for _, c := range tableTypes {
		if c.word == g.forced {
			return g.argument("check_client_access", "client")
		}
	}
	if g.forced == "{ }" {
		return g.argument("check_policy_service", "{ inet:127.0.0.1:9998, timeout=10s, default_action=DUNNO }")
	}
	for _, p := range otherParameters {
		if p.name == g.forced && p.by != "none" {
			return p.by
		}
	}
	return ""
}

func (g *gen) lists(first string) {
	if g.chance(75) || first != "" {
		guard := g.pick("reject_unauth_destination", "reject_unauth_destination", "defer_unauth_destination", "strict", "reject", "")
		g.set("smtpd_relay_restrictions", strings.Trim(strings.Join(append(append([]string{first}, g.list(4)...), guard), ", "), ", "))
	}
	if g.chance(70) {
		guard := g.pick("", "", "reject_unauth_destination", "reject_unauth_destination", "permit", "reject")
		g.set("smtpd_recipient_restrictions", strings.Trim(strings.Join(append(g.list(4), guard), ", "), ", "))
	}
	for _, list := range []string{"client", "helo", "sender"} {
		if g.chance(35) {
			g.set("smtpd_"+list+"_restrictions", strings.Join(g.list(3), ", "))
		}
	}
	for _, list := range []string{"data", "end_of_data"} {
		if g.chance(12) {
			g.set("smtpd_"+list+"_restrictions", strings.Join(g.list(2), ", "))
		}
	}
}

// services sets what asks other programs: logins, certificates, filters.
func (g *gen) services() {
	if g.chance(40) {
		g.set("smtpd_sasl_auth_enable", "yes")
		if g.chance(40) {
			g.set("smtpd_sender_login_maps", g.pick("inline:{antispam@example.com=alice, user@lab.example.edu=bob}", "static:alice", "inline:{{lab.example.edu = bob}, {@example.org = alice, bob}}"))
		}
	}
	if g.chance(30) {
		g.set("smtpd_tls_security_level", g.pick("may", "may", "may", "none", "encrypt"))
		if g.chance(30) {
			g.set("smtpd_tls_ask_ccert", "yes")
		}
		if g.chance(30) {
			g.set("relay_clientcerts", g.pick("static:x", "inline:{AA:BB=x}"))
		}
	}
	if g.chance(4) {
		g.set("smtpd_milters", g.pick("inet:127.0.0.1:9997", "inet:127.0.0.1:9995", "inet:127.0.0.1:9995")) // no filter, and one
		g.set("milter_default_action", g.pick("accept", "tempfail", "reject"))
	}
}

// master is a master.cf: smtpd at port 25, or postscreen before it; sometimes a submission service with options of its own.
func (g *gen) master() string {
	text := stockMaster
	if g.chance(6) || strings.HasPrefix(g.forced, "postscreen") {
		g.words["postscreen"] = true
		text = "smtp inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd\n"
	}
	if g.chance(30) {
		g.words["override"] = true
		text += "submission inet n - n - - smtpd\n"
		for range 1 + g.r.IntN(3) {
			text += "  -o " + g.pick("smtpd_sasl_auth_enable=yes", "smtpd_relay_restrictions=permit_sasl_authenticated,reject", "smtpd_client_restrictions=permit_sasl_authenticated,reject",
				"smtpd_recipient_restrictions=permit_mynetworks,permit_sasl_authenticated,reject", "mynetworks=127.0.0.0/8", "smtpd_recipient_restrictions=permit", "smtpd_delay_reject=no",
				"smtpd_sender_restrictions=reject_non_fqdn_sender", "{ smtpd_helo_restrictions = permit_mynetworks, reject_invalid_helo_hostname }", "smtpd_reject_unlisted_recipient=no") + "\n"
		}
	}
	if g.chance(4) {
		g.words["rewrite override"] = true
		text += "rewrite unix - - n - - trivial-rewrite -o " + g.pick("relay_domains=example.org", "swap_bangpath=no", "mydestination=example.org") + "\n"
	}
	return text
}
