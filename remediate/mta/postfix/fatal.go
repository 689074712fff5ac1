package postfix

import (
	"slices"
	"strings"

	"mtaharden/remediate/judge"
)

// Values that end smtpd as it starts: it reads all of them, whether they matter or not (smtpd.c, mail_params.c, mail_conf_bool(3),
// mail_conf_int(3), mail_conf_time(3)).
var (
	yesOrNo = []string{
		"smtpd_helo_required", "smtpd_delay_reject", "strict_rfc821_envelopes", "disable_vrfy_command", "allow_untrusted_routing", "smtpd_sasl_auth_enable",
		"smtpd_sasl_authenticated_header", "broken_sasl_auth_clients", "show_user_unknown_table_name", "smtpd_reject_unlisted_sender",
		"smtpd_reject_unlisted_recipient", "smtpd_use_tls", "smtpd_enforce_tls", "smtpd_tls_wrappermode", "smtpd_tls_auth_only", "smtpd_tls_ask_ccert",
		"smtpd_tls_req_ccert", "smtpd_tls_received_header", "smtpd_peername_lookup", "smtpd_relay_before_recipient_restrictions", "disable_dns_lookups",
		"soft_bounce", "helpful_warnings", "smtpd_client_port_logging", "smtpd_forbid_unauth_pipelining", "smtputf8_enable", "strict_8bitmime", "multi_instance_enable",
	}
	numbers = []string{
		"smtpd_recipient_limit", "unknown_client_reject_code", "invalid_hostname_reject_code", "unknown_hostname_reject_code",
		"unknown_address_reject_code", "relay_domains_reject_code", "maps_rbl_reject_code", "access_map_reject_code", "access_map_defer_code",
		"reject_code", "defer_code", "non_fqdn_reject_code", "unverified_sender_reject_code", "unverified_recipient_reject_code",
		"unknown_local_recipient_reject_code", "plaintext_reject_code", "smtpd_client_connection_rate_limit", "smtpd_client_connection_count_limit",
		"smtpd_client_message_rate_limit", "smtpd_client_recipient_rate_limit", "smtpd_soft_error_limit", "smtpd_hard_error_limit",
		"smtpd_junk_command_limit", "default_process_limit", "line_length_limit", "header_size_limit", "message_size_limit", "queue_minfree",
	}
	times = []string{
		"smtpd_timeout", "smtpd_error_sleep_time", "smtpd_proxy_timeout", "smtpd_policy_service_timeout", "smtpd_starttls_timeout", "ipc_timeout",
		"max_idle", "daemon_timeout",
	}
	onFailure = []string{
		"unknown_address_tempfail_action", "unknown_helo_hostname_tempfail_action", "unverified_recipient_tempfail_action", "unverified_sender_tempfail_action",
	}
)

// deadValue is the first value of a form that smtpd does not take.
func (m *model) deadValue(l listener) (string, []judge.Line) {
	for _, form := range []struct {
		names []string
		good  func(string) bool
		says  string
	}{
		{yesOrNo, func(v string) bool { return strings.EqualFold(v, "yes") || strings.EqualFold(v, "no") }, "bad boolean configuration"},
		{numbers, func(v string) bool { return allDigits(strings.TrimPrefix(v, "-")) }, "bad numerical configuration"},
		{times, isTime, "bad time value or unit"},
		{onFailure, func(v string) bool { return v == "defer" || v == "defer_if_permit" }, "bad configuration"},
		{[]string{"smtpd_forbid_bare_newline"}, newlineAction, "bad parameter value"},
		{[]string{"smtpd_tls_security_level"}, tlsLevel, "Invalid TLS level"},
		{[]string{"inet_protocols"}, someProtocol, "unknown protocol"},
	} {
		for _, name := range form.names {
			if at, bad := m.misfits(name, l.smtpd, form.good); bad {
				return "smtpd does not start: " + form.says + ": " + at.Text, []judge.Line{at}
			}
		}
	}
	return "", nil
}

// misfits reports a value that the configuration sets and that is not good; a default always is.
func (m *model) misfits(name string, s *service, good func(string) bool) (judge.Line, bool) {
	raw, o, _ := m.raw(name, s)
	if m.unheard(name) || o.How == "default" || strings.Contains(raw, "$") && m.value(name, s) == "" || good(m.value(name, s)) {
		return judge.Line{}, false
	}
	if name == "smtpd_tls_security_level" && m.yes("smtpd_tls_wrappermode", s) {
		return judge.Line{}, false // it is not looked at
	}
	return judge.Line{File: o.File, Line: o.Line, Text: name + " = " + raw}, true
}

// unheard reports whether this release does not read a parameter: its own list of all has it not.
func (m *model) unheard(name string) bool {
	out, ok := m.snap.Output("postfix:" + m.dir + ":d")
	if _, known := m.defaults[name]; known || !ok || out.Exit != 0 {
		return false
	}
	return m.defaults["smtpd_helo_required"] != "" && m.defaults["smtpd_error_sleep_time"] != "" // the list was heard whole
}

func newlineAction(v string) bool {
	return slices.Contains([]string{"yes", "no", "normalize", "reject", "note"}, strings.ToLower(v))
}

func tlsLevel(v string) bool {
	return v == "" || slices.Contains([]string{"none", "may", "encrypt", "fingerprint", "verify", "secure"}, strings.ToLower(v))
}

func someProtocol(v string) bool {
	words := splitList(v, false)
	for _, w := range words {
		if !slices.Contains([]string{"all", "ipv4", "ipv6"}, strings.ToLower(w.text)) {
			return false
		}
	}
	return len(words) > 0
}

// isTime is a number with a unit (s m h d w) or without.
func isTime(v string) bool {
	return v != "" && allDigits(strings.TrimSuffix(v, v[len(v)-1:])+"0") && (allDigits(v) || len(v) > 1 && strings.Contains("smhdw", v[len(v)-1:]))
}
