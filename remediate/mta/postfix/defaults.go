package postfix

// fallback is a default that holds from Postfix version since on. The host's own "postconf -d" comes first; this table serves where
// there is none. Sources: postconf(5) of each release and its RELEASE_NOTES.
type fallback struct{ since, name, value string }

var fallbacks = []fallback{
	{"2.3", "access_map_reject_code", "554"},
	{"2.3", "alias_maps", "hash:/etc/aliases"},
	{"2.3", "allow_percent_hack", "yes"},
	{"2.3", "allow_untrusted_routing", "no"},
	{"2.3", "append_at_myorigin", "yes"},
	{"2.3", "append_dot_mydomain", "yes"},
	{"3.0", "append_dot_mydomain", "${{$compatibility_level} < {1} ? {yes} : {no}}"},
	{"2.3", "authorized_flush_users", "static:anyone"},
	{"2.3", "authorized_mailq_users", "static:anyone"},
	{"2.3", "authorized_submit_users", "static:anyone"},
	{"2.3", "canonical_maps", ""},
	{"2.3", "command_directory", "/usr/sbin"},
	{"3.0", "compatibility_level", "0"},
	{"2.3", "config_directory", "/etc/postfix"},
	{"2.3", "content_filter", ""},
	{"2.3", "daemon_directory", "/usr/libexec/postfix"},
	{"2.3", "default_database_type", "hash"},
	{"2.3", "default_process_limit", "100"},
	{"2.3", "default_transport", "smtp"},
	{"2.3", "disable_vrfy_command", "no"},
	{"2.3", "double_bounce_sender", "double-bounce"},
	{"2.3", "header_size_limit", "102400"},
	{"2.3", "inet_interfaces", "all"},
	{"2.3", "inet_protocols", "ipv4"},
	{"2.9", "inet_protocols", "all"},
	{"2.3", "local_recipient_maps", "proxy:unix:passwd.byname $alias_maps"},
	{"2.3", "local_transport", "local:$myhostname"},
	{"2.3", "mail_name", "Postfix"},
	{"2.3", "message_size_limit", "10240000"},
	{"2.3", "mydestination", "$myhostname, localhost.$mydomain, localhost"},
	{"2.3", "mynetworks_style", "subnet"},
	{"3.0", "mynetworks_style", "${{$compatibility_level} < {2} ? {subnet} : {host}}"},
	{"2.3", "myorigin", "$myhostname"},
	{"2.3", "parent_domain_matches_subdomains", "debug_peer_list,fast_flush_domains,mynetworks,permit_mx_backup_networks,qmqpd_authorized_clients,relay_domains,smtpd_access_maps"},
	{"2.3", "permit_mx_backup_networks", ""},
	{"2.8", "postscreen_access_list", "permit_mynetworks"},
	{"2.8", "postscreen_blacklist_action", "ignore"},
	{"3.6", "postscreen_denylist_action", "${postscreen_blacklist_action?{$postscreen_blacklist_action}:{ignore}}"},
	{"2.8", "postscreen_cache_map", "btree:$data_directory/postscreen_cache"},
	{"2.8", "postscreen_disable_vrfy_command", "$disable_vrfy_command"},
	{"2.8", "postscreen_dnsbl_action", "ignore"},
	{"2.8", "postscreen_dnsbl_sites", ""},
	{"2.8", "postscreen_greet_action", "ignore"},
	{"2.8", "postscreen_greet_banner", "$smtpd_banner"},
	{"2.10", "postscreen_upstream_proxy_protocol", ""},
	{"2.9", "postscreen_whitelist_interfaces", "static:all"},
	{"3.6", "postscreen_allowlist_interfaces", "${postscreen_whitelist_interfaces?{$postscreen_whitelist_interfaces}:{static:all}}"},
	{"2.3", "proxy_interfaces", ""},
	{"2.3", "queue_directory", "/var/spool/postfix"},
	{"2.3", "recipient_canonical_maps", ""},
	{"2.3", "recipient_delimiter", ""},
	{"2.3", "relay_clientcerts", ""},
	{"2.3", "relay_domains", "$mydestination"},
	{"3.0", "relay_domains", "${{$compatibility_level} < {2} ? {$mydestination} : {}}"},
	{"2.3", "relay_recipient_maps", ""},
	{"2.3", "relay_transport", "relay"},
	{"2.3", "relocated_maps", ""},
	{"2.3", "resolve_dequoted_address", "yes"},
	{"2.3", "resolve_null_domain", "no"},
	{"2.3", "sender_canonical_maps", ""},
	{"2.3", "smtpd_authorized_xclient_hosts", ""},
	{"2.3", "smtpd_authorized_xforward_hosts", ""},
	{"2.3", "smtpd_banner", "$myhostname ESMTP $mail_name"},
	{"2.3", "smtpd_client_restrictions", ""},
	{"2.7", "smtpd_command_filter", ""},
	{"2.3", "smtpd_data_restrictions", ""},
	{"2.3", "smtpd_delay_reject", "yes"},
	{"2.3", "smtpd_end_of_data_restrictions", ""},
	{"2.3", "smtpd_enforce_tls", "no"},
	{"2.3", "smtpd_etrn_restrictions", ""},
	{"3.9", "smtpd_forbid_bare_newline", "normalize"},
	{"3.9", "smtpd_forbid_unauth_pipelining", "yes"},
	{"2.3", "smtpd_helo_required", "no"},
	{"2.3", "smtpd_helo_restrictions", ""},
	{"2.3", "smtpd_milters", ""},
	{"2.3", "smtpd_null_access_lookup_key", "<>"},
	{"2.3", "smtpd_peername_lookup", "yes"},
	{"2.3", "smtpd_proxy_filter", ""},
	{"2.3", "smtpd_recipient_limit", "1000"},
	{"2.3", "smtpd_recipient_restrictions", "permit_mynetworks, reject_unauth_destination"},
	{"2.10", "smtpd_recipient_restrictions", ""},
	{"2.3", "smtpd_reject_unlisted_recipient", "yes"},
	{"2.3", "smtpd_reject_unlisted_sender", "no"},
	{"3.6", "smtpd_relay_before_recipient_restrictions", "${{$compatibility_level} <level {3.6} ? {no} : {yes}}"},
	{"2.10", "smtpd_relay_restrictions", "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination"},
	{"3.0", "smtpd_relay_restrictions", "${{$compatibility_level} < {1} ? {} : {permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination}}"},
	{"2.3", "smtpd_restriction_classes", ""},
	{"2.3", "smtpd_sasl_auth_enable", "no"},
	{"2.3", "smtpd_sasl_exceptions_networks", ""},
	{"2.3", "smtpd_sasl_security_options", "noanonymous"},
	{"2.3", "smtpd_sasl_tls_security_options", "$smtpd_sasl_security_options"},
	{"2.3", "smtpd_sender_restrictions", ""},
	{"2.3", "smtpd_tls_auth_only", "no"},
	{"2.3", "smtpd_tls_security_level", ""},
	{"2.3", "smtpd_tls_wrappermode", "no"},
	{"2.10", "smtpd_upstream_proxy_protocol", ""},
	{"2.3", "smtpd_use_tls", "no"},
	{"2.3", "swap_bangpath", "yes"},
	{"2.3", "transport_maps", ""},
	{"2.3", "virtual_alias_domains", "$virtual_alias_maps"},
	{"2.3", "virtual_alias_maps", "$virtual_maps"},
	{"2.3", "virtual_mailbox_domains", "$virtual_mailbox_maps"},
	{"2.3", "virtual_mailbox_maps", ""},
	{"2.3", "virtual_transport", "virtual"},
}

// builtin returns the defaults of a version, from the table above; of the oldest there where the version is not known (0.0.0).
func builtin(version [3]int) map[string]string {
	if version[0] == 0 {
		version = [3]int{2, 3, 0}
	}
	defaults := map[string]string{}
	for _, f := range fallbacks {
		if atLeast(version, f.since) {
			defaults[f.name] = f.value
		}
	}
	return defaults
}

// atLeast reports whether version is since or newer.
func atLeast(version [3]int, since string) bool {
	want := parseVersion(since)
	for i := range want {
		if version[i] != want[i] {
			return version[i] > want[i]
		}
	}
	return true
}

// probed are the parameters whose presence tells that a program has a fix or a feature, whatever its version says. Each becomes
// "postfix:NAME" in Install.Features when "postconf -d" knows it.
var probed = []string{
	"compatibility_level", "smtpd_relay_restrictions", "smtpd_relay_before_recipient_restrictions",
	"smtpd_forbid_bare_newline", "smtpd_forbid_bare_newline_exclusions", "smtpd_forbid_bare_newline_reject_code",
	"smtpd_forbid_unauth_pipelining", "cleanup_replace_stray_cr_lf", "smtpd_discard_ehlo_keywords",
	"smtpd_upstream_proxy_protocol", "postscreen_upstream_proxy_protocol", "postscreen_greet_banner",
	"smtpd_tls_security_level", "smtpd_tls_chain_files", "smtpd_client_auth_rate_limit", "default_cache_db_type",
	"maillog_file", "smtpd_peername_lookup", "smtpd_reject_unlisted_recipient", "smtpd_hide_client_session",
}
