package postfix

import (
	"net/netip"
	"strings"
)

// restriction is one restriction by what it does; arg is nil where the list ends before its argument.
type restriction func(r *run, arg *member, context string) verdict

// argument tells which restrictions are followed by a word of their own.
func takesArgument(name string) bool {
	if strings.HasPrefix(name, "check_") && strings.HasSuffix(name, "_access") {
		return true
	}
	switch name {
	case "check_policy_service", "sleep", "reject_rbl_client", "reject_rbl", "permit_dnswl_client", "permit_rhswl_client",
		"reject_rhsbl_client", "reject_rhsbl_reverse_client", "reject_rhsbl_helo", "reject_rhsbl_sender", "reject_rhsbl_recipient":
		return true
	}
	return false
}

// alias are the names of Postfix 2.2 and older that are still taken.
var aliases = map[string]string{
	"reject_unknown_client": "reject_unknown_client_hostname", "reject_invalid_hostname": "reject_invalid_helo_hostname",
	"reject_unknown_hostname": "reject_unknown_helo_hostname", "reject_non_fqdn_hostname": "reject_non_fqdn_helo_hostname",
	"reject_unknown_address": "reject_unknown_sender_domain", "check_recipient_maps": "reject_unlisted_recipient",
	"reject_rbl": "reject_rbl_client",
}

// since is the version a restriction appeared in; gone the one it was removed in. A name that a version does not know is answered
// 451 when it is reached (postconf(5)).
var since = map[string]string{
	"defer_unauth_destination": "2.10", "check_sasl_access": "2.11", "permit_dnswl_client": "2.8", "permit_rhswl_client": "2.8",
	"reject_unknown_reverse_client_hostname": "2.3", "check_reverse_client_hostname_access": "2.6",
	"reject_known_sender_login_mismatch": "2.11", "check_client_a_access": "2.8", "check_client_mx_access": "2.7", "check_client_ns_access": "2.7",
	"check_helo_a_access": "2.8", "check_sender_a_access": "2.8", "check_recipient_a_access": "2.8", "permit_inet_interfaces": "2.3",
	"reject_rhsbl_reverse_client": "2.8", "check_ccert_access": "2.3", "check_reverse_client_hostname_a_access": "2.8",
	"check_reverse_client_hostname_mx_access": "2.7", "check_reverse_client_hostname_ns_access": "2.7", "reject_plaintext_session": "2.3",
}

var gone = map[string]string{"permit_naked_ip_address": "3.9", "check_relay_domains": "3.9", "reject_maps_rbl": "3.9"}

// knows reports whether this version has the restriction.
func (m *model) knows(name string) bool {
	if v, ok := gone[name]; ok && atLeast(m.version, v) {
		return false
	}
	v, ok := since[name]
	return !ok || atLeast(m.version, v)
}

func (r *run) restriction(name string, it member, arg *member, context string) verdict {
	r.m.meet(name)
	if full, ok := aliases[name]; ok {
		name = full
	}
	if name == "check_relay_domains" && r.have < atRcpt {
		return verdict{} // looked at, or missed (3.9 and later), only where there is a recipient
	}
	f := simple(name)
	if f == nil {
		f = withArgument(name)
	}
	if f != nil && r.m.knows(name) {
		switch {
		case takesArgument(name) && arg == nil && strings.Contains(name, "bl_") || arg == nil && strings.Contains(name, "wl_"):
			return verdict{} // a list of the DNS without its name is passed over with a warning
		case takesArgument(name) && (arg == nil || !goodArgument(name, arg.text)):
			return broken("restriction " + name + ": bad argument")
		}
		return f(r, arg, context)
	}
	for _, class := range r.m.list("smtpd_restriction_classes", r.s) {
		if class == it.text {
			return r.items(r.m.members(class, r.s), context)
		}
	}
	return broken("unknown smtpd restriction: " + it.text)
}

// goodArgument reports whether a restriction's argument has the form that it must have: a table, a server, a number.
func goodArgument(name, arg string) bool {
	switch {
	case name == "sleep":
		return allDigits(arg)
	case strings.HasPrefix(name, "check_"):
		return strings.Contains(arg, ":")
	}
	return true
}

// simple are the restrictions without an argument, in a function because some of them walk lists again.
func simple(name string) restriction {
	return map[string]restriction{
		"permit": func(*run, *member, string) verdict { return verdict{kind: permit} },
		"reject": func(r *run, _ *member, _ string) verdict {
			return denied(r.code("reject_code", 554), "5.7.1 Access denied (reject)")
		},
		"defer": func(r *run, _ *member, _ string) verdict {
			return denied(r.code("defer_code", 450), "4.3.2 Try again later (defer)")
		},
		"defer_if_permit": func(r *run, _ *member, _ string) verdict {
			r.deferPermit = r.deferPermit || r.warn == 0
			return verdict{}
		},
		"defer_if_reject":            func(r *run, _ *member, _ string) verdict { r.deferReject = true; return verdict{} },
		"permit_mynetworks":          (*run).permitNetworks,
		"permit_inet_interfaces":     (*run).permitInterfaces,
		"permit_sasl_authenticated":  (*run).permitSASL,
		"permit_auth_destination":    (*run).permitAuthDestination,
		"permit_mx_backup":           (*run).permitMXBackup,
		"permit_naked_ip_address":    (*run).permitNakedAddress,
		"permit_tls_all_clientcerts": func(r *run, _ *member, _ string) verdict { return r.certificate("permit_tls_all_clientcerts") },
		"permit_tls_clientcerts":     (*run).permitCertificates,
		"reject_unauth_destination": func(r *run, _ *member, _ string) verdict {
			return r.unauthDestination(r.code("relay_domains_reject_code", 554))
		},
		"defer_unauth_destination": func(r *run, _ *member, _ string) verdict {
			code := r.code("relay_domains_reject_code", 554) - 100
			if code < 400 { // smtpd does not send such a refusal, but a temporary one of its own
				code = 450
			}
			return r.unauthDestination(code)
		},
		"check_relay_domains":           (*run).checkRelayDomains,
		"reject_plaintext_session":      (*run).rejectPlaintext,
		"reject_unauth_pipelining":      func(*run, *member, string) verdict { return verdict{} }, // the questions wait for every reply
		"reject_multi_recipient_bounce": func(*run, *member, string) verdict { return verdict{} }, // they have one recipient

		"reject_unknown_client_hostname":         (*run).unknownClient,
		"reject_unknown_reverse_client_hostname": (*run).unknownReverse,
		"reject_invalid_helo_hostname":           (*run).invalidHelo,
		"reject_non_fqdn_helo_hostname":          (*run).shortHelo,
		"reject_unknown_helo_hostname":           (*run).unknownHelo,
		"reject_non_fqdn_sender":                 func(r *run, _ *member, _ string) verdict { return r.shortAddress(atMail, r.sender) },
		"reject_non_fqdn_recipient":              func(r *run, _ *member, _ string) verdict { return r.shortAddress(atRcpt, r.rcpt) },
		"reject_unknown_sender_domain":           func(r *run, _ *member, _ string) verdict { return r.unknownDomain(atMail, r.sender) },
		"reject_unknown_recipient_domain":        func(r *run, _ *member, _ string) verdict { return r.unknownDomain(atRcpt, r.rcpt) },
		"reject_unlisted_recipient":              (*run).unlistedRecipient,
		"reject_unlisted_sender":                 (*run).unlistedSenderNow,
		"reject_unverified_sender":               func(r *run, _ *member, _ string) verdict { return r.unverified(atMail, r.sender) },
		"reject_unverified_recipient":            func(r *run, _ *member, _ string) verdict { return r.unverified(atRcpt, r.rcpt) },

		"reject_sender_login_mismatch":                 func(r *run, _ *member, _ string) verdict { return r.loginMismatch(true, true, false) },
		"reject_unauthenticated_sender_login_mismatch": func(r *run, _ *member, _ string) verdict { return r.loginMismatch(false, true, false) },
		"reject_authenticated_sender_login_mismatch":   func(r *run, _ *member, _ string) verdict { return r.loginMismatch(true, false, false) },
		"reject_known_sender_login_mismatch":           func(r *run, _ *member, _ string) verdict { return r.loginMismatch(true, true, true) },
		"reject_maps_rbl":                              func(r *run, _ *member, _ string) verdict { return r.blockList("client", "maps_rbl_domains") },
	}[name]
}

func isSimple(name string) bool { return simple(name) != nil }

func (r *run) code(param string, otherwise int) int {
	n := 0
	for _, c := range r.m.value(param, r.s) {
		if c < '0' || c > '9' {
			return otherwise
		}
		n = n*10 + int(c-'0')
	}
	if n < 400 || n > 599 {
		return otherwise
	}
	return n
}

func (r *run) permitNetworks(*member, string) verdict {
	h := r.inNetworks("mynetworks")
	if h.failed != "" {
		r.note(h.pattern.origin, "mynetworks: "+h.pattern.text)
		return lookupFailed("mynetworks: " + h.failed)
	}
	if !h.ok {
		return verdict{}
	}
	r.note(h.origin, "mynetworks holds "+h.pattern.text)
	return verdict{kind: permit}
}

func (r *run) permitInterfaces(*member, string) verdict {
	for _, own := range r.m.ownAddrs(r.s) {
		if own.Addr().String() == r.addr {
			return verdict{kind: permit}
		}
	}
	return verdict{}
}

func (r *run) permitAuthDestination(*member, string) verdict {
	if r.have < atRcpt {
		return verdict{}
	}
	t := r.resolve(r.rcpt)
	switch {
	case t.failed != "":
		return lookupFailed(t.failed)
	case t.routed && !r.m.yes("allow_untrusted_routing", r.s):
		return verdict{}
	case t.final() || t.class == classRelay:
		return verdict{kind: permit}
	}
	return verdict{}
}

// unauthDestination refuses what is neither final here nor a relay domain, and what is routed on from one.
func (r *run) unauthDestination(code int) verdict {
	if r.have < atRcpt {
		return verdict{}
	}
	if v := r.permitAuthDestination(nil, ""); v.kind != dunno {
		if v.kind == permit {
			v = verdict{}
		}
		return v
	}
	return denied(code, "5.7.1 Relay access denied")
}

// checkRelayDomains (until 3.8) permits own destinations and clients under relay_domains, and refuses the rest. Of all its lists this is
// the one that smtpd cannot do without: where the lookup of the client's name fails, it ends itself (seen on 3.5 and 3.7), and neither a
// refusal met before nor warn_if_reject keeps it from that.
func (r *run) checkRelayDomains(*member, string) verdict {
	switch h := r.networks("relay_domains", r.name, ""); {
	case h.failed != "":
		r.note(h.pattern.origin, "relay_domains: "+h.pattern.text)
		r.ends = "relay_domains: " + h.failed
		return verdict{kind: refuse, code: 421, text: r.ends, broken: true, hard: true}
	case h.ok:
		return verdict{kind: permit}
	}
	if v := r.permitAuthDestination(nil, ""); v.kind != dunno {
		return v
	}
	return denied(r.code("relay_domains_reject_code", 554), "5.7.1 Relay access denied")
}

// permitMXBackup permits destinations of which this host is a mail exchanger: DNS decides.
func (r *run) permitMXBackup(*member, string) verdict {
	if r.have < atRcpt {
		return verdict{}
	}
	if v := r.permitAuthDestination(nil, ""); v.kind != dunno {
		return v
	}
	t := r.resolve(r.rcpt)
	if _, domain, _ := cutLast(t.addr); strings.HasPrefix(domain, "[") || t.routed && !r.m.yes("allow_untrusted_routing", r.s) {
		return verdict{}
	}
	if r.maybe("mx "+r.rcpt, "permit_mx_backup: DNS says whether this host is a mail exchanger of the destination") {
		return verdict{kind: permit}
	}
	return verdict{}
}

// permitNakedAddress (until 3.8) permits a HELO that is an address without brackets.
func (r *run) permitNakedAddress(*member, string) verdict {
	if _, err := netip.ParseAddr(r.helo); err == nil && r.have >= atHelo {
		return verdict{kind: permit}
	}
	return verdict{}
}

// offersTLS reports whether STARTTLS, or TLS from the start, is to be had.
func (m *model) offersTLS(s *service) bool {
	switch m.value("smtpd_tls_security_level", s) {
	case "", "none":
	default:
		return true
	}
	return m.yes("smtpd_use_tls", s) || m.yes("smtpd_enforce_tls", s) || m.yes("smtpd_tls_wrappermode", s)
}

// certificate is permit_tls_all_clientcerts and its like where clients are asked for certificates: the questions carry none, and who
// has one that serves is not known.
func (r *run) certificate(what string) verdict {
	if r.q.TLS && r.m.offersTLS(r.s) && (r.m.yes("smtpd_tls_ask_ccert", r.s) || r.m.yes("smtpd_tls_req_ccert", r.s)) &&
		r.maybe("ccert "+what, what+": a client with a certificate may pass, and who can get one is not known") {
		return verdict{kind: permit}
	}
	return verdict{}
}

// anyFingerprint reports whether a list of certificates may hold more than those that it names.
func (r *run) anyFingerprint(list []member) bool {
	for _, w := range list {
		if isTable(w.text) {
			if t := r.m.table(w.text); t.missing == "" && t.keys == nil {
				return true
			}
		}
	}
	return false
}

func (r *run) permitCertificates(*member, string) verdict {
	if r.anyFingerprint(r.m.members("relay_clientcerts", r.s)) {
		return r.certificate("permit_tls_clientcerts")
	}
	return verdict{}
}

func (r *run) certificateAccess(arg *member, _ string) verdict {
	table := *arg
	if inner, ok := strings.CutPrefix(arg.text, "{"); ok { // { type:name { search_order = … } }, Postfix 3.5
		table.text = ""
		if words := splitList(strings.TrimSuffix(inner, "}"), true); len(words) > 0 {
			table.text = words[0].text
		}
	}
	if r.anyFingerprint([]member{table}) {
		return r.certificate("check_ccert_access " + arg.text)
	}
	return verdict{}
}

func (r *run) rejectPlaintext(*member, string) verdict {
	if r.q.TLS {
		return verdict{}
	}
	return denied(r.code("plaintext_reject_code", 450), "4.7.1 Session encryption is required")
}
