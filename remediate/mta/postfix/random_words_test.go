package postfix

// The words of which random configurations are made, as data. Each is to be produced, and reached by the evaluator, in a full run.

// choice is a word with its weight in the draw: how likely it is beside the others.
type choice struct {
	weight int
	word   string
}

// restrictionWords are the restrictions without an argument. reject_unknown_forward_client_hostname is none: no release is built with it.
var restrictionWords = []choice{
	{14, "permit_mynetworks"}, {8, "permit_sasl_authenticated"}, {8, "reject_unauth_destination"}, {3, "defer_unauth_destination"}, {4, "permit_auth_destination"},
	{2, "permit"}, {1, "reject"}, {1, "defer"}, {2, "defer_if_permit"}, {2, "defer_if_reject"}, {1, "permit_inet_interfaces"},
	{3, "reject_unlisted_recipient"}, {2, "reject_unlisted_sender"}, {4, "reject_non_fqdn_sender"}, {3, "reject_non_fqdn_recipient"},
	{3, "reject_non_fqdn_helo_hostname"}, {3, "reject_invalid_helo_hostname"}, {1, "reject_unknown_client_hostname"},
	{1, "reject_unknown_reverse_client_hostname"}, {1, "reject_unknown_sender_domain"}, {1, "reject_unknown_recipient_domain"}, {1, "reject_unknown_helo_hostname"},
	{3, "reject_unauth_pipelining"}, {1, "reject_multi_recipient_bounce"}, {1, "reject_plaintext_session"}, {1, "permit_tls_all_clientcerts"},
	{1, "permit_tls_clientcerts"}, {1, "permit_mx_backup"}, {1, "reject_unverified_sender"}, {1, "reject_unverified_recipient"},
	{1, "reject_sender_login_mismatch"}, {1, "reject_unauthenticated_sender_login_mismatch"}, {1, "reject_authenticated_sender_login_mismatch"},
	{1, "reject_known_sender_login_mismatch"}, {1, "permit_naked_ip_address"}, {1, "check_relay_domains"}, {1, "reject_maps_rbl"},
	{1, "reject_unknown_client"}, {1, "reject_invalid_hostname"}, {1, "reject_non_fqdn_hostname"}, {1, "reject_unknown_hostname"}, {1, "reject_unknown_address"},
	{4, "open"}, {4, "strict"}, {2, "guarded"}, {1, "reject_unauth_destnation"},
}

// argumentWords are the restrictions with an argument, and what kind of argument: a table with keys of that kind, or itself.
var argumentWords = []struct {
	weight     int
	word, kind string
}{
	{8, "check_client_access", "client"}, {1, "check_reverse_client_hostname_access", "client"}, {5, "check_helo_access", "helo"}, {7, "check_sender_access", "sender"},
	{7, "check_recipient_access", "recipient"}, {1, "check_sasl_access", "user"}, {1, "check_ccert_access", "user"},
	{1, "check_client_a_access", "dns"}, {1, "check_client_mx_access", "dns"}, {1, "check_client_ns_access", "dns"},
	{1, "check_reverse_client_hostname_a_access", "dns"}, {1, "check_reverse_client_hostname_mx_access", "dns"}, {1, "check_reverse_client_hostname_ns_access", "dns"},
	{1, "check_helo_a_access", "dns"}, {1, "check_helo_mx_access", "dns"}, {1, "check_helo_ns_access", "dns"},
	{1, "check_sender_a_access", "dns"}, {1, "check_sender_mx_access", "dns"}, {1, "check_sender_ns_access", "dns"},
	{1, "check_recipient_a_access", "dns"}, {1, "check_recipient_mx_access", "dns"}, {1, "check_recipient_ns_access", "dns"},
	{1, "reject_rbl_client", "bl.example.net"}, {1, "reject_rhsbl_client", "rhs.example.net"}, {1, "reject_rhsbl_reverse_client", "rhs.example.net"},
	{1, "reject_rhsbl_helo", "rhs.example.net"}, {1, "reject_rhsbl_sender", "rhs.example.net"}, {1, "reject_rhsbl_recipient", "rhs.example.net"},
	{1, "reject_rbl_client", "bl.example.net=127.0.0.[2..3]"}, {1, "permit_dnswl_client", "wl.example.net"}, {1, "permit_rhswl_client", "rhs.example.net"}, {1, "sleep", "0"},
	{1, "check_policy_service", "inet:127.0.0.1:9998"}, {1, "check_policy_service", "{ inet:127.0.0.1:9998, timeout=10s, default_action=DUNNO }"},
	{4, "warn_if_reject", "restriction"},
}

// rare are the words whose answer hangs on DNS, a service or a certificate, or which break the configuration. Administrators use few of
// them at a time, and most configurations none: one configuration in three draws from them.
var rare = []string{
	"reject_unknown_", "reject_rbl", "reject_rhsbl", "reject_maps_rbl", "_mx_access", "_ns_access", "_a_access", "reject_unverified_", "permit_mx_backup", "permit_dnswl",
	"permit_rhswl", "check_policy_service", "permit_tls_", "check_ccert", "_destnation", "check_reverse_client", "_login_mismatch", "reject_unknown",
}

// tableTypes are the kinds of lookup table; those of the hash family are built by the real postmap.
var tableTypes = []choice{
	{6, "hash"}, {2, "btree"}, {3, "lmdb"}, {2, "cdb"}, {4, "texthash"}, {5, "cidr"}, {4, "regexp"}, {4, "pcre"}, {6, "inline"}, {2, "static"}, {1, "unionmap"}, {1, "pipemap"},
}

// keys are what tables of a kind hold keys of.
var keys = map[string][]string{
	"client":    {"198.51.100.7", "198.51.100", "198", "10.9.9", "10.9.9.50", "client7.example.net", ".example.net", "example.net", "net", "unknown", "127.0.0.1", "2001:db8::9", "2001:db8", "203.0.113.9", "localhost"},
	"helo":      {"client7.example.net", "example.net", ".example.net", "[198.51.100.7]", "short", "lab.example.edu", "198.51.100.7", "edu"},
	"sender":    {"antispam@example.com", "example.com", "antispam@", "user@lab.example.edu", "lab.example.edu", "<>", "[10.9.9.1]", "example.org", ".example.org", "com", "user", "user+ext@lab.example.edu"},
	"recipient": {"relaytest@example.org", "example.org", ".org", "org", "relaytest@", "user@lab.example.edu", "relay.example.com", "lab.example.edu", "user@", "postmaster@lab.example.edu", "nobody@", "host.example.org"},
	"user":      {"alice", "bob", "alice@lab.example.edu"},
	"dns":       {"192.0.2.35", "192.0.2", "mx.example.org", "ns.example.org", "example.net", ".example.net", "mail.example.net", "10.9.9", "198.51.100.7"},
	"screen":    {"198.51.100.7", "198.51.100", "10.9.9.50", "127.0.0.1", "2001:db8::9", "203.0.113.9", "192.0.2.33"},
	"domain":    {"example.org", ".example.org", "org", "relay.example.com", "virtual.example.com", "host.example.org", "lab.example.edu"},
	"address":   {"user@lab.example.edu", "user", "@virtual.example.com", "relaytest@example.org", "@example.org", "user@virtual.example.com", "x@relay.example.com", "root", "@lab.example.edu", "nobody"},
}

// actions are the right-hand sides of access tables.
var actions = []choice{
	{10, "OK"}, {6, "REJECT"}, {3, "REJECT not here"}, {4, "DUNNO"}, {2, "550 5.7.1 go away"}, {2, "450 4.7.1 later"}, {4, "permit_mynetworks"}, {4, "reject_unauth_destination"},
	{2, "permit_mynetworks, reject"}, {3, "open"}, {3, "strict"}, {1, "guarded"}, {2, "DEFER"}, {2, "DEFER_IF_PERMIT"}, {2, "DEFER_IF_REJECT"}, {1, "DISCARD"}, {1, "REDIRECT user@lab.example.edu"},
	{1, "HOLD"}, {1, "WARN look"}, {1, "INFO look"}, {1, "PREPEND X-Note: a"}, {1, "FILTER smtp:[127.0.0.1]:10"}, {1, "BCC user@lab.example.edu"}, {2, "123"}, {2, "RELAY"}, {2, "permit_auth_destination"},
	{1, "ok"}, {1, "reject"}, {1, "5xx"}, {1, "421 4.7.1 bye"}, {1, "521 5.7.1 bye"}, {1, "permit_sasl_authenticated, reject_unauth_destination"}, {1, "warn_if_reject reject_unauth_destination"},
}

// networks are entries of mynetworks, sound ones first.
var networks = []choice{
	{8, "10.9.9.0/24"}, {2, "198.51.100.0/24"}, {2, "!198.51.100.7"}, {1, "198.51.100.7"}, {1, "client7.example.net"}, {1, "example.net"}, {1, ".example.net"}, {3, "[::1]/128"}, {2, "[2001:db8::]/32"},
	{2, "192.0.2.0/24"}, {1, "128.0.0.0/1"}, {1, "0.0.0.0/0"}, {2, "$other"}, {1, "/etc/postfix/nets"}, {3, "TABLE client"}, {1, "198.51.100"}, {1, "198.51.100.0/8"}, {1, "10.9.9.300/24"}, {1, "0/0"}, {1, "static:all"},
}

// domainWords are entries of mydestination, relay_domains, virtual_alias_domains and virtual_mailbox_domains.
var domainWords = []choice{
	{4, "relay.example.com"}, {3, "virtual.example.com"}, {2, "example.org"}, {1, ".example.org"}, {1, "org"}, {1, "!example.org"}, {1, "/etc/postfix/doms"}, {1, "*"}, {1, "host.example.org"}, {4, "TABLE domain"}, {1, "lab.example.edu"},
}

// parameter is one that a configuration may set, in so many of a hundred, to one of these values. TABLE KIND becomes a random table. by
// names the restriction that looks at it, "" for what every evaluation looks at; "none" is one that no answer hangs on here: it is set
// to see that it changes nothing.
type parameter struct {
	percent int
	name    string
	values  []string
	by      string
}

var otherParameters = []parameter{
	{15, "smtpd_delay_reject", []string{"no", "yes"}, ""},
	{10, "smtpd_helo_required", []string{"yes"}, ""},
	{12, "smtpd_reject_unlisted_recipient", []string{"no", "yes"}, "permit_auth_destination"},
	{12, "smtpd_reject_unlisted_sender", []string{"yes", "no"}, ""},
	{12, "smtpd_relay_before_recipient_restrictions", []string{"yes", "no"}, ""},
	{12, "allow_untrusted_routing", []string{"yes", "no"}, "permit_auth_destination"},
	{12, "swap_bangpath", []string{"no", "yes"}, ""},
	{12, "allow_percent_hack", []string{"no", "yes"}, ""},
	{10, "resolve_dequoted_address", []string{"no", "yes"}, ""},
	{8, "resolve_null_domain", []string{"yes", "no"}, "none"},
	{8, "resolve_numeric_domain", []string{"yes", "no"}, "none"},
	{12, "append_dot_mydomain", []string{"yes", "no"}, ""},
	{6, "append_at_myorigin", []string{"no", "yes"}, ""},
	{8, "myorigin", []string{"$mydomain", "example.org", "lab.example.edu"}, ""},
	{8, "mydomain", []string{"example.edu", "example.org"}, ""},
	{12, "recipient_delimiter", []string{"+", "-", "+-"}, "check_recipient_access inline:{user@=OK}"},
	{4, "strict_rfc821_envelopes", []string{"yes"}, "none"},
	{10, "parent_domain_matches_subdomains", []string{"", "mynetworks", "relay_domains", "smtpd_access_maps", "mynetworks, relay_domains, smtpd_access_maps", "static:all"}, "check_client_access inline:{example.net=OK}"},
	{10, "virtual_alias_maps", []string{"TABLE address", "inline:{@virtual.example.com=root}", "static:root", "proxy:TABLE address"}, "reject_unlisted_recipient"},
	{8, "canonical_maps", []string{"TABLE address", "inline:{user@virtual.example.com=root@lab.example.edu}"}, "reject_unlisted_recipient"},
	{8, "recipient_canonical_maps", []string{"TABLE address", "inline:{nobody@lab.example.edu=user@lab.example.edu}"}, "reject_unlisted_recipient"},
	{8, "virtual_mailbox_maps", []string{"TABLE address", "inline:{user@virtual.example.com=x}"}, "reject_unlisted_recipient"},
	{10, "relay_recipient_maps", []string{"TABLE address", "inline:{x@relay.example.com=x}"}, "reject_unlisted_recipient"},
	{8, "proxy_interfaces", []string{"192.0.2.99", "198.51.100.7"}, ""},
	{6, "inet_interfaces", []string{"all", "127.0.0.1, 10.9.9.1", "loopback-only"}, ""},
	{6, "inet_protocols", []string{"ipv4", "all"}, ""},
	{10, "smtpd_null_access_lookup_key", []string{"<>", "user"}, "check_sender_access inline:{user=REJECT, <>=REJECT}"},
	{8, "permit_mx_backup_networks", []string{"10.9.9.0/24", "192.0.2.0/24"}, "none"},
	{8, "access_map_reject_code", []string{"550", "450"}, "check_client_access inline:{198=REJECT, 10=REJECT, 127=REJECT, 192=REJECT, 203=REJECT}"},
	{6, "relay_domains_reject_code", []string{"550", "454"}, "reject_unauth_destination"},
	{6, "reject_code", []string{"550", "450"}, "reject"},
	{6, "defer_code", []string{"421", "450"}, "defer"},
	{6, "unknown_relay_recipient_reject_code", []string{"450", "550"}, "reject_unlisted_recipient"},
	{6, "unknown_virtual_alias_reject_code", []string{"450", "550"}, "reject_unlisted_recipient"},
	{6, "unknown_virtual_mailbox_reject_code", []string{"450", "550"}, "reject_unlisted_recipient"},
	{6, "unknown_local_recipient_reject_code", []string{"450", "550"}, "reject_unlisted_recipient"},
	{6, "unknown_address_reject_code", []string{"550", "450"}, "reject_unknown_sender_domain"},
	{6, "unverified_recipient_reject_code", []string{"550"}, "reject_unverified_recipient"},
	{6, "unverified_sender_reject_code", []string{"550"}, "reject_unverified_sender"},
	{6, "unknown_client_reject_code", []string{"550"}, "reject_unknown_client_hostname"},
	{6, "unknown_hostname_reject_code", []string{"550"}, "reject_unknown_helo_hostname"},
	{6, "plaintext_reject_code", []string{"550"}, "reject_plaintext_session"},
	{6, "access_map_defer_code", []string{"421", "450"}, "check_client_access inline:{198=DEFER, 10=DEFER, 127=DEFER}"},
	{6, "non_fqdn_reject_code", []string{"550", "450"}, "reject_non_fqdn_sender"},
	{6, "invalid_hostname_reject_code", []string{"550"}, "reject_invalid_helo_hostname"},
	{4, "maps_rbl_domains", []string{"bl.example.net"}, "none"},
	{4, "transport_maps", []string{"TABLE transport"}, ""},
	{6, "sender_canonical_maps", []string{"TABLE address", "inline:{nobody@lab.example.edu=user@lab.example.edu}"}, "reject_unlisted_sender"},
	{3, "smtpd_command_filter", []string{"COMMANDS"}, ""},
	{3, "smtpd_proxy_filter", []string{"inet:127.0.0.1:9994"}, ""},
	{3, "smtpd_milter_maps", []string{"inline:{198.51.100.7=inet:127.0.0.1:9995}", "inline:{127.0.0.1=DISABLE, 10.9.9.50=inet:127.0.0.1:9995}", "cidr:/etc/postfix/milters"}, ""},
	{6, "smtpd_authorized_xclient_hosts", []string{"198.51.100.7", "10.9.9.0/24", "desk.lab.example.edu, 127.0.0.0/8", "!198.51.100.7, 0.0.0.0/0", "TABLE client"}, ""},
	{6, "smtpd_authorized_xforward_hosts", []string{"198.51.100.0/24", "static:all"}, "none"},
	{6, "smtpd_peername_lookup", []string{"no", "no", "yes"}, ""},
	{6, "smtpd_client_port_logging", []string{"yes", "no"}, "none"},
	{6, "smtpd_forbid_unauth_pipelining", []string{"yes", "no"}, "none"},
	{6, "smtpd_forbid_bare_newline", []string{"yes", "no"}, "none"},
	{3, "smtpd_upstream_proxy_protocol", []string{"haproxy"}, ""},
	{8, "smtpd_etrn_restrictions", []string{"permit", "reject", "permit_mynetworks, reject", "check_etrn_access static:OK"}, "none"},
	{40, "postscreen_access_list", []string{"permit_mynetworks", "permit_mynetworks, TABLE screen", "TABLE screen", "permit_mynetworks, reject", "static:dunno, TABLE screen"}, ""},
	{40, "postscreen_blacklist_action", []string{"ignore", "enforce", "enforce", "drop"}, ""},
	{20, "postscreen_denylist_action", []string{"ignore", "enforce", "drop"}, ""},
	{15, "postscreen_dnsbl_sites", []string{"bl.example.net", "bl.example.net*2, wl.example.net*-4"}, ""},
	{15, "postscreen_dnsbl_action", []string{"ignore", "enforce", "drop"}, ""},
	{10, "postscreen_whitelist_interfaces", []string{"!10.9.9.1, static:all", "static:all", "10.9.9.0/24"}, ""},
	{10, "postscreen_greet_action", []string{"ignore", "enforce", "drop"}, "none"},
	{6, "postscreen_bare_newline_enable", []string{"yes"}, "none"},
	{6, "postscreen_pipelining_enable", []string{"yes"}, "none"},
	{4, "disable_vrfy_command", []string{"yes"}, "none"},
}

// commandRows are lines of a table that replaces commands.
var commandRows = []string{
	`/^RCPT TO:<relaytest@example\.org>$/ RCPT TO:<user@lab.example.edu>`, `/^RCPT TO:<(.*)@example\.org>$/ RCPT TO:<$1@relay.example.com>`,
	`/^RCPT TO:<user@lab\.example\.edu>$/ RCPT TO:<relaytest@example.org>`, `/^MAIL FROM:<antispam@example\.com>$/ MAIL FROM:<user@lab.example.edu>`,
	`/^MAIL FROM:<>$/ MAIL FROM:<nobody@lab.example.edu>`, `/^EHLO short$/ EHLO short.example.org`, `/^EHLO (.*)$/ HELO $1`, `/^DATA$/ NOOP`,
	`/^RCPT TO:.*@example\.org>/ NOOP`, `/^RCPT TO:.*@host\.example\.org>/ RSET`, `!/^(EHLO|HELO|MAIL|RCPT|DATA|XCLIENT|STARTTLS|QUIT|RSET)/ NOOP`,
}
