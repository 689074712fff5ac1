package exim

import (
	"net/netip"
	"strconv"
	"strings"
)

// variable returns the value of $name in the dialogue (specification §11.9).
func (e *evaluator) variable(name string) (string, bool) {
	if v, ok := e.vars[name]; ok && (!e.free || settledVariables[name]) {
		return v.text, v.known
	}
	if e.free && !settledVariables[name] || e.loggedIn && strings.Contains(name, "authenticated") {
		return "", false
	}
	if strings.HasPrefix(name, "acl_c") || strings.HasPrefix(name, "acl_m") || strings.HasPrefix(name, "acl_arg") {
		return "", true // never set
	}
	switch name {
	case "primary_hostname":
		return e.cfg.primary, e.cfg.primary != ""
	case "smtp_active_hostname":
		_, set := e.cfg.options["smtp_active_hostname"]
		return e.cfg.primary, e.cfg.primary != "" && !set
	case "qualify_domain":
		return e.cfg.qualify, e.cfg.qualify != ""
	case "qualify_recipient":
		return e.cfg.option("qualify_recipient", e.cfg.qualify), e.cfg.qualify != ""
	case "authenticated_id":
		return e.q.User, true
	case "sender_host_authenticated":
		return "", e.q.User == ""
	case "authenticated_sender", "authenticated_fail_id":
		return "", e.q.User == ""
	case "tls_in_cipher", "tls_cipher", "tls_in_cipher_std", "tls_in_ver", "tls_in_peerdn", "tls_peerdn", "tls_in_sni", "tls_sni", "tls_in_peercert":
		return "", !e.q.TLS
	case "tls_in_certificate_verified", "tls_certificate_verified":
		return "0", !e.q.TLS
	case "acl_verify_message", "message_exim_id", "message_id", "sender_ident", "host_data", "dnslist_domain", "dnslist_value", "dnslist_text":
		return "", true
	case "bounce_return_size_limit":
		return "100K", true
	}
	if text, ok := e.envelope(name); ok {
		return text, true
	}
	return e.listener(name)
}

// envelope are the variables of the client and of what it has said so far.
func (e *evaluator) envelope(name string) (string, bool) {
	local, domain := splitAddress(e.q.Recipient)
	sl, sd := splitAddress(e.q.Sender)
	mailed := e.stage == "mail" || e.stage == "rcpt"
	switch name {
	case "sender_host_address":
		return e.client.String(), e.client.Is4() // of IPv6 the daemon and -bh of 4.96 write different forms
	case "sender_helo_name":
		return e.q.Helo, e.q.Helo != ""
	case "local_part", "original_local_part":
		return local, e.stage == "rcpt"
	case "domain", "original_domain":
		return domain, e.stage == "rcpt"
	case "sender_address":
		return e.q.Sender, mailed
	case "sender_address_local_part":
		return sl, mailed
	case "sender_address_domain":
		return sd, mailed
	case "rcpt_count":
		return "1", e.stage == "rcpt"
	case "recipients_count", "rcpt_fail_count", "rcpt_defer_count":
		return "0", e.stage == "rcpt"
	}
	return "", false
}

// listener are the variables of the socket that the client came to, where the question names it.
func (e *evaluator) listener(name string) (string, bool) {
	at, err := netip.ParseAddrPort(e.q.Listener)
	if err != nil {
		return "", false
	}
	switch name {
	case "received_port", "interface_port":
		return strconv.Itoa(int(at.Port())), true
	case "received_ip_address", "interface_address":
		return at.Addr().String(), !at.Addr().IsUnspecified()
	}
	return "", false
}

// settledVariables do not depend on what a client says.
var settledVariables = map[string]bool{
	"sender_host_address": true, "domain": true, "primary_hostname": true, "smtp_active_hostname": true, "qualify_domain": true,
	"sender_host_authenticated": true, "authenticated_id": true, "received_port": true, "interface_port": true,
}
