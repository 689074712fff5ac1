package postfix

import (
	"fmt"
	"strconv"
	"strings"

	"mtaharden/remediate/judge"
)

// shadowOptions are given to every smtpd: no delays and no limits of sessions, and the certificate and the login service that the shadow
// has.
const shadowOptions = " -o smtpd_error_sleep_time=0 -o smtpd_client_connection_count_limit=0" +
	" -o smtpd_client_connection_rate_limit=0 -o smtpd_hard_error_limit=1000 -o smtpd_soft_error_limit=1000 -o address_verify_poll_count=1" +
	" -o smtpd_sasl_type=dovecot -o smtpd_sasl_path=inet:127.0.0.1:9996 -o smtpd_policy_service_retry_delay=1s" +
	" -o smtpd_tls_chain_files= -o smtpd_tls_cert_file=/etc/shadow-cert.pem -o smtpd_tls_key_file=/etc/shadow-cert.pem -o smtpd_tls_CAfile=/etc/shadow-cert.pem"

// byXclientHere lets the test's own connections name their client.
const byXclientHere = " -o smtpd_authorized_xclient_hosts=127.0.0.1"

// shadowMaster is the case's master.cf with the shadow's options and no chroot, and the daemons that smtpd needs. Each listener has a
// twin that takes the client's address from a proxy's header, as it stands: with the case's own list of who may use XCLIENT.
func (c testCase) shadowMaster() string {
	var b strings.Builder
	have := map[string]bool{}
	for _, s := range parseMaster("master.cf", []byte(c.master())).services {
		text := strings.TrimRight(s.text, " \n")
		_, port := splitService(s.name)
		switch {
		case s.listens():
			options := shadowOptions + " -o syslog_name=postfix/at"
			if s.command == "postscreen" {
				options = " -o postscreen_greet_wait=1s -o postscreen_cache_map=btree:$data_directory/screen"
			}
			twin := twinPort(port)
			fmt.Fprintln(&b, "127.0.0.1:"+twin+strings.TrimPrefix(text, s.name)+options+twin+" -o "+s.command+"_upstream_proxy_protocol=haproxy")
			text += options + port
			if _, own := s.override("smtpd_upstream_proxy_protocol"); s.command == "smtpd" && !own && !strings.Contains(c.files["main.cf"], "smtpd_upstream_proxy_protocol") {
				text += byXclientHere
			}
		case s.kind == "pass" && s.command == "smtpd":
			text += shadowOptions + " -o syslog_name=postfix/at" + port
		case s.kind == "inet":
			continue
		}
		have[s.name+" "+s.kind] = true
		fmt.Fprintln(&b, text)
	}
	for _, line := range []string{"cleanup unix n - n - 0 cleanup", "qmgr unix n - n 300 1 qmgr -o defer_transports=smtp,local,virtual,relay,error", "rewrite unix - - n - - trivial-rewrite",
		"anvil unix - - n - 1 anvil", "proxymap unix - - n - - proxymap", "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce",
		"smtp unix - - n - - smtp", "local unix - n n - - local", "error unix - - n - - error", "verify unix - - n - 1 verify", "virtual unix - n n - - virtual",
		"relay unix - - n - - smtp", "tlsmgr unix - - n 1000? 1 tlsmgr", "dnsblog unix - - n - 0 dnsblog", "tlsproxy unix - - n - 0 tlsproxy", "flush unix n - n 1000? 0 flush"} {
		if f := strings.Fields(line); !have[f[0]+" "+f[1]] {
			fmt.Fprintln(&b, line)
		}
	}
	return b.String()
}

// twinPort is the port of a listener's twin.
func twinPort(port string) string {
	n, err := strconv.Atoi(port)
	if err != nil {
		return port
	}
	if n > 40000 {
		return strconv.Itoa(n - 20000)
	}
	return strconv.Itoa(n + 20000)
}

// reverse are the verified names that the shadow's DNS server gives to clients, and to no others.
var reverse = map[string]string{"127.0.0.1": "localhost", "127.0.0.2": "", "198.51.100.7": "client7.example.net", "10.9.9.50": "desk.lab.example.edu", "2001:db8::9": "six.example.net",
	"203.0.113.9": "", "192.0.2.33": ""}

// proxied says whether a question can be put by a proxy's header, and puts it so: the client's name is then what DNS says, and nobody logs
// in. Where the client may use XCLIENT it calls itself what the evaluator says serves best.
func (m *model) proxied(a ask) (ask, bool) {
	l, ok := listenerOf(m, a.Q)
	name, known := reverse[a.Q.ClientAddr]
	if !ok || !known || l.smtpd == nil {
		return a, false
	}
	if strings.Contains(a.Q.ClientAddr, ":") {
		if _, v6 := m.protocols(l.front); !v6 {
			return a, false
		}
	}
	_, port := splitService(l.addr)
	own, _ := m.upstream(l)
	if own == "" {
		port = twinPort(port)
	}
	a.Proxy, a.Again = port, l.front.command == "postscreen"
	a.Q.Listener, a.Q.ClientName, a.Q.User, a.Reverse = l.addr, name, "", ""
	a.Names = m.value("smtpd_authorized_xclient_hosts", l.smtpd) != "" && m.value("smtpd_command_filter", l.smtpd) == ""
	if h, unknown := m.mayNameClients(a.Q, l.smtpd); !h.ok || unknown != "" || !foreign(a.Q) {
		return a, true
	}
	if b, ok := m.inAnothersPlace(a.Q, l, true); ok {
		a.Claim = &claim{b.Question.ClientAddr, b.Question.ClientName, b.Question.User}
	}
	return a, true
}

// wantsProxy reports whether XCLIENT would not show what is asked: a proxy or postscreen stands in front, or what is looked at is the
// connection's own address or name.
func (m *model) wantsProxy(q judge.Question) bool {
	l, ok := listenerOf(m, q)
	if !ok {
		return false
	}
	if l.front.command == "postscreen" {
		return true
	}
	name, _ := m.upstream(l)
	return name != "" || m.value("smtpd_authorized_xclient_hosts", l.smtpd) != "" || m.value("smtpd_peername_lookup", l.smtpd) == "no" || m.value("smtpd_milter_maps", l.smtpd) != ""
}

// routed puts questions by a proxy's header where XCLIENT would not do, or where it is wanted; what cannot be put so is left out.
func (m *model) routed(asks []ask) []ask {
	var out []ask
	for _, a := range asks {
		b, can := m.proxied(a)
		switch {
		case can && (a.Proxy != "" || m.wantsProxy(a.Q)):
			out = append(out, b)
		case !m.wantsProxy(a.Q):
			a.Proxy = ""
			out = append(out, a)
		}
	}
	return out
}
