package exim

import (
	"fmt"
	"math/rand"
	"strings"
)

// generator makes random valid configurations: lists, tables, ACLs of every verb, and routers.
type generator struct {
	r     *rand.Rand
	files map[string]string
	seen  map[string]int // what was generated, by word
	subs  []string       // the ACLs that may be called
	n     int
}

func newGenerator(seed int64) *generator {
	return &generator{r: rand.New(rand.NewSource(seed)), files: map[string]string{}, seen: map[string]int{}}
}

func (g *generator) one(words ...string) string { return words[g.r.Intn(len(words))] }

func (g *generator) chance(percent int) bool { return g.r.Intn(100) < percent }

// tell counts the use of a form under its first word.
func (g *generator) tell(word, text string) string {
	g.seen[word]++
	return text
}

// file makes a file of the lines and returns its name.
func (g *generator) file(lines ...string) string {
	g.n++
	name := fmt.Sprintf("/etc/exim4/made/%d", g.n)
	g.files[name] = strings.Join(lines, "\n") + "\n"
	return name
}

var madeNets = []string{"10.0.0.0/8", "10.1.2.0/24", "203.0.113.0/24", "198.51.100.7", "0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "192.0.2.0/25", "127.0.0.1",
	"<6>2001:db8::/32", "<6>::1", "<6>::/0", "192.168.0.0/16", "10.1.2.3"}

func (g *generator) net() string {
	n := g.one(madeNets...)
	if rest, ok := strings.CutPrefix(n, "<6>"); ok {
		return g.tell("ipv6", strings.ReplaceAll(rest, ":", "::"))
	}
	return n
}

func bare(n string) string { return strings.TrimPrefix(n, "<6>") }

func (g *generator) host() string {
	switch g.r.Intn(16) {
	case 0:
		return g.tell("named list", "+nets")
	case 1:
		return g.tell("negated named list", "!+nets")
	case 2:
		return g.tell("negated", "!"+g.net())
	case 3:
		return g.tell("list file", g.file("# these", bare(g.one(madeNets...))+" # why", "", "!"+bare(g.one(madeNets...)), bare(g.one(madeNets...))))
	case 4:
		return g.tell("net-iplsearch", "net-iplsearch;"+g.file("10.0.0.0/8: x", `"2001:db8::/32": y`, "203.0.113.9: z"))
	case 5:
		return g.tell("net-lsearch", "net-lsearch;"+g.file("10.1.2.3: x", "198.51.100.7 : y"))
	case 6:
		return g.tell("netN-lsearch", "net24-lsearch;"+g.file("10.1.2.0/24: x", "198.51.100.0/24: y"))
	case 7:
		return g.tell("empty item", "")
	case 8:
		return g.tell("own addresses", "@[]")
	case 9:
		if g.chance(40) {
			return g.tell("any host", "*")
		}
		return g.net()
	case 10:
		if g.chance(30) {
			return g.tell("host name", g.one("mail.example.net", "*.example.net", "good.example.net", "none.example.edu"))
		}
		return g.net()
	case 11:
		return g.tell("list expansion", "${if eq{$sender_host_address}{198.51.100.7}{10.0.0.0/8}{"+g.one("192.168.0.0/16", "203.0.113.0/24")+"}}")
	}
	return g.net()
}

func (g *generator) domain() string {
	switch g.r.Intn(14) {
	case 0:
		return g.tell("named domains", g.one("+local_domains", "+relay_to_domains", "!+local_domains"))
	case 1:
		return g.tell("primary", "@")
	case 2:
		return g.tell("wild domain", g.one("*.example.org", "*.org", "*example.net", "*.edu"))
	case 3:
		return g.tell("domain expression", g.one(`\N^.*\.example\.(org|net)$\N`, `^example\\.org\$`, `\N^mx\d*\.\N`))
	case 4:
		return g.tell("lsearch", "lsearch;"+g.file("example.org: x", "mx.example.edu"))
	case 5:
		return g.tell("partial-lsearch", "partial-lsearch;"+g.file("*.example.org: x", "*.example.edu: y", "example.net"))
	case 6:
		return g.tell("wildlsearch", "wildlsearch;"+g.file("*.example.org x", `\N^exa.*net$\N: y`, "mx.example.edu"))
	case 7:
		return g.tell("nwildlsearch", "nwildlsearch;"+g.file("*.example.org x", `"^exa.*net$": y`))
	case 8:
		return g.tell("lsearch*", "lsearch*;"+g.file(g.one("*: all", "other.example: x")))
	case 9:
		return g.tell("domain file", g.file("example.org", "!sub.example.org", "*.example.org"))
	case 10:
		return g.tell("mx item", "@mx_any")
	case 11:
		return g.tell("negated domain", "!"+g.one("example.org", "mx.example.edu", "sub.example.org"))
	}
	return g.one("example.org", "mx.example.edu", "relay.example.net", "sub.example.org", "*")
}

func (g *generator) address() string {
	switch g.r.Intn(9) {
	case 0:
		return g.tell("address lookup", "lsearch*@;"+g.file("probe@mx.example.edu: x", "*@example.com: y"))
	case 1:
		return g.tell("split lookup", "@@lsearch;"+g.file("example.com: probe : !other", "mx.example.edu: *"))
	case 2:
		return g.tell("address expression", g.one(`\N^probe@\N`, `\N^.*@example\.com$\N`, `\N^$\N`))
	case 3:
		return g.tell("address domain", g.one("example.com", "*.example.edu", "mx.example.edu"))
	case 4:
		return g.tell("null sender", "")
	case 5:
		return g.tell("address file", g.file("probe@example.com # one", "*@mx.example.edu"))
	case 6:
		return g.tell("address of list", "*@+local_domains")
	}
	return g.one("*", "*@*", "probe@example.com", "*@mx.example.edu", "!probe@example.com", "pro*@example.com")
}

// list joins one to four items.
func (g *generator) list(item func() string) string {
	var out []string
	for n := 1 + g.r.Intn(3); n > 0; n-- {
		out = append(out, item())
	}
	if g.chance(10) {
		return g.tell("other separator", "<; "+strings.ReplaceAll(strings.Join(plainOnly(out), " ; "), "::", ":"))
	}
	return strings.Join(out, " : ")
}

// plainOnly keeps the items that hold no ";" themselves.
func plainOnly(items []string) []string {
	var out []string
	for _, i := range items {
		if !strings.ContainsAny(i, ";${") {
			out = append(out, i)
		}
	}
	return out
}

var madeConditions = []string{
	"${if eq{$sender_address}{}{yes}{no}}", "${if eqi{$sender_helo_name}{PROBE.example.com}}", "${if match{$domain}{\\N^exa\\N}{1}{0}}",
	"${if match_domain{$domain}{+local_domains}}", "${if match_domain{$sender_address_domain}{mx.example.edu : example.net}{yes}}",
	"${if match_ip{$sender_host_address}{10.0.0.0/8 : 203.0.113.0/24}{yes}{no}}", "${if def:sender_address{yes}{no}}", "${if !def:acl_m_a}",
	"${if and{{eq{$local_part}{probe}}{!eq{$domain}{example.org}}}}", "${if or{{eq{$local_part}{other}}{isip6{$sender_host_address}}}}",
	"${lookup{$domain}lsearch{FILE1}{yes}{no}}", "${lookup{$sender_host_address}iplsearch{FILE2}{$value}{no}}", "${if forany{a:b:probe}{eq{$item}{$local_part}}}",
	"${if forall{10.1.2.3}{eq{$item}{$sender_host_address}}}", "${if inlist{$domain}{example.org : example.net}}", "${if ={${strlen:$local_part}}{5}{true}{false}}",
	"${if >{${eval:2+3}}{4}}", "${if eq{${lc:$local_part}}{probe}{yes}fail}", "${if match_address{$sender_address}{*@example.com}}", "${if bool{true}}",
	"${if eq{${domain:$sender_address}}{example.com}}", "${if eq{${sg{$local_part}{o}{0}}}{pr0be}}", "${if eq{${substr_0_3:$local_part}}{pro}}",
	"${if eq{${extract{2}{.}{$sender_host_address}}}{51}}", "${if match{$sender_host_address}{\\N^(\\d+)\\.\\N}{${if eq{$1}{198}{yes}{no}}}{no}}", "$acl_m_a", "$acl_c_b",
	"${if exists{/etc/exim4/made/none}}", "${if eq{$authenticated_id}{}{no}{yes}}", "${if eq{$tls_in_cipher}{}{no}{yes}}", "${if eq{$acl_arg1}{x}}", "false", "0", "1", "yes",
	"${if match_local_part{$local_part}{pro*}}", "${if lt{$local_part}{q}}", "${if eq{${tr{$local_part}{p}{P}}}{Probe}}", "${if eq{${listextract{1}{a:b}}}{a}}",
}

func (g *generator) condition() string {
	c := g.one(madeConditions...)
	c = strings.ReplaceAll(c, "FILE1", g.file("example.org: x", "mx.example.edu"))
	return strings.ReplaceAll(c, "FILE2", g.file("10.0.0.0/8: yes", "198.51.100.7: no"))
}

// cond makes one condition or modifier.
func (g *generator) cond(sub bool) string {
	not := ""
	if g.chance(15) {
		not = "!"
		g.seen["negated condition"]++
	}
	switch g.r.Intn(17) {
	case 0, 1, 2:
		return not + g.tell("hosts", "hosts = "+g.list(g.host))
	case 3, 4, 5:
		return not + g.tell("domains", "domains = "+g.list(g.domain))
	case 6:
		return not + g.tell("senders", "senders = "+g.list(g.address))
	case 7:
		return not + g.tell("sender_domains", "sender_domains = "+g.list(g.domain))
	case 8:
		return not + g.tell("local_parts", "local_parts = "+g.one("probe : other", "postmaster", "^pro", "*be", "!probe", "lsearch;"+g.file("probe: x")))
	case 9:
		return not + g.tell("authenticated", "authenticated = "+g.one("*", "*", "plain", "other : plain", "!plain"))
	case 10:
		return not + g.tell("encrypted", "encrypted = *")
	case 11, 12:
		return not + g.tell("condition", "condition = "+g.condition())
	case 13:
		if sub && len(g.subs) > 0 {
			return not + g.tell("acl", "acl = "+g.one(g.subs...)+g.one("", " x", " $local_part"))
		}
		return not + g.tell("recipients", "recipients = "+g.list(g.address))
	case 14:
		return not + g.tell("verify", "verify = "+g.one("recipient", "recipient", "sender", "certificate", "helo", "reverse_host_lookup"))
	case 15:
		return g.tell("set", g.one("set acl_m_a = ", "set acl_c_b = ")+g.one("yes", "", "$local_part", "${if eq{$domain}{example.org}{1}{0}}"))
	}
	return g.tell("modifier", g.one("message = no", "log_message = x", "control = no_delay_flush", "add_header = X: y", "logwrite = x", "delay = 0s", "continue = x"))
}

func (g *generator) block(sub bool) string {
	verb := g.one("accept", "accept", "accept", "deny", "deny", "require", "require", "defer", "discard", "drop", "warn", "warn")
	g.seen[verb]++
	lines := []string{"  " + verb}
	for n := 1 + g.r.Intn(3); n > 0; n-- {
		lines = append(lines, "    "+g.cond(sub))
		if verb == "accept" && n > 1 && g.chance(12) {
			lines = append(lines, "    endpass")
			g.seen["endpass"]++
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

func (g *generator) acl(name string, sub bool, most int) string {
	text := name + ":\n"
	for n := 1 + g.r.Intn(most); n > 0; n-- {
		text += g.block(sub)
	}
	if g.chance(20) {
		text += "  accept\n"
	}
	return text + "\n"
}

// routersOf makes the routers and what carries mail for them.
func (g *generator) routersOf() string {
	text := "begin routers\n"
	if g.chance(15) {
		text += g.tell("router manualroute", "hub:\n  driver = manualroute\n  domains = "+g.one("*.example.org", "relay.example.net", "*")+"\n  route_list = "+g.one("* 10.1.1.1", "example.org 10.1.1.1", "*.example.org 10.1.1.1 byname")+"\n  transport = out\n\n")
	}
	if g.chance(15) {
		text += g.tell("router fail", "no:\n  driver = redirect\n  allow_fail\n  domains = "+g.one("!+local_domains", "example.org", "*")+"\n  data = :fail: no\n\n")
	}
	if g.chance(85) {
		text += g.tell("router dnslookup", "dns:\n  driver = dnslookup\n  domains = "+g.one("! +local_domains", "! +local_domains : ! example.net", "*")+"\n  transport = out\n"+g.one("", "  no_more\n")+"\n")
	}
	if g.chance(30) {
		text += g.tell("router redirect", "alias:\n  driver = redirect\n  domains = +local_domains\n  data = ${lookup{$local_part}lsearch{"+g.file("other: root", "away: x@example.org")+"}}\n"+g.one("", "  no_verify\n")+"\n")
	}
	text += g.tell("router accept", "here:\n  driver = accept\n"+g.one("", "  local_parts = probe : postmaster : root\n", "  domains = +local_domains\n", "  condition = ${if eq{$local_part}{probe}}\n")+"  transport = in\n\n")
	return text + "begin transports\nout:\n  driver = smtp\nin:\n  driver = appendfile\n  file = /dev/null\n\n"
}

// configuration makes a whole one.
func (g *generator) configuration() string {
	local := g.one("@ : localhost", "mx.example.edu", "*", "@ : *.example.edu", "@ : lsearch;"+g.file("own.example.edu: x"))
	head := "primary_hostname = mx.example.edu\nqualify_domain = mx.example.edu\ndomainlist local_domains = " + local +
		"\ndomainlist relay_to_domains = " + g.one("", "relay.example.net", "*.example.net", "relay.example.net : *.example.org") +
		"\nhostlist nets = " + g.list(func() string { return g.net() }) +
		"\nacl_smtp_rcpt = check_rcpt\nlog_selector = -host_lookup_failed\nlog_file_path = syslog\nsyslog_processname = shadow\n"
	for _, o := range []string{"acl_smtp_mail = check_mail", "acl_smtp_helo = check_helo", "acl_smtp_connect = check_connect"} {
		if g.chance(20) {
			head += o + "\n"
			g.seen[strings.Fields(o)[0]]++
		}
	}
	for _, o := range []string{"host_lookup = *", "recipient_unqualified_hosts = " + g.net(), "tls_try_verify_hosts = *", "host_reject_connection = " + g.net(), "auth_advertise_hosts = " + g.net(), "acl_smtp_vrfy = check_shows", "acl_smtp_expn = check_shows", "percent_hack_domains = " + g.one("mx.example.edu", "*", "*.example.edu", "example.org")} {
		if g.chance(10) {
			head += o + "\n"
			g.seen[strings.Fields(o)[0]]++
		}
	}
	g.subs = nil
	acls := "begin acl\n"
	for _, name := range []string{"sub_a", "sub_b"} {
		if g.chance(50) {
			acls += g.acl(name, false, 3)
			g.subs = append(g.subs, name)
		}
	}
	early := func(name string) string {
		return name + ":\n  " + g.one("accept", "warn set acl_c_b = yes\n  accept", "deny hosts = "+g.net()+"\n  accept", "warn set acl_c_b = ${if eq{$sender_host_address}{198.51.100.7}{1}{0}}\n  accept") + "\n\n"
	}
	acls += "check_shows:\n  " + g.one("accept", "deny", "accept hosts = "+g.list(g.host), "deny !hosts = +nets\n  accept", "accept authenticated = *", "accept encrypted = *\n  deny") + "\n\n"
	acls += g.acl("check_rcpt", true, 5) + early("check_mail") + early("check_helo") + early("check_connect")
	auth := "begin authenticators\nplain:\n  driver = plaintext\n  public_name = PLAIN\n  server_prompts = :\n  server_condition = ${if eq{$auth2}{x}}\n" +
		g.one("", "  server_advertise_condition = ${if def:tls_in_cipher}\n", "  server_advertise_condition = ${if eq{$tls_in_cipher}{}{no}{yes}}\n")
	return head + acls + g.routersOf() + auth
}

// required is what a run must have generated.
var required = strings.Fields(`hosts domains senders sender_domains local_parts authenticated encrypted condition acl recipients verify set modifier
	accept deny require defer discard drop warn endpass ipv6 net-iplsearch net-lsearch netN-lsearch lsearch partial-lsearch wildlsearch nwildlsearch lsearch*
	negated primary acl_smtp_mail acl_smtp_helo acl_smtp_connect acl_smtp_vrfy acl_smtp_expn host_lookup percent_hack_domains`)
