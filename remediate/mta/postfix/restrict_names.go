package postfix

import (
	"net/netip"
	"strings"
)

// Restrictions on the client's, the HELO and the envelope's names. What needs DNS is a fork.

func (r *run) unknownClient(*member, string) verdict {
	if r.name == "unknown" {
		return denied(r.code("unknown_client_reject_code", 450), "4.7.1 Client host rejected: cannot find your hostname")
	}
	return verdict{}
}

func (r *run) unknownReverse(*member, string) verdict {
	if r.unnamed || r.q.ClientName == "" && r.hinders("ptr "+r.addr, "DNS: has the client's address a name?") {
		return denied(r.code("unknown_client_reject_code", 450), "4.7.1 Client host rejected: cannot find your reverse hostname")
	}
	return verdict{}
}

func (r *run) heloText() (string, bool) { return r.helo, r.have >= atHelo && r.helo != "" }

func (r *run) invalidHelo(*member, string) verdict {
	helo, ok := r.heloText()
	if ok && strings.HasPrefix(helo, "[") {
		return r.badLiteral(helo)
	}
	helo = withoutDot(helo)
	_, notAddr := netip.ParseAddr(helo) // an address without brackets passes
	if ok && !validName(helo) && notAddr != nil {
		return denied(r.code("invalid_hostname_reject_code", 501), "5.5.2 Helo command rejected: Invalid name")
	}
	return verdict{}
}

func (r *run) shortHelo(*member, string) verdict {
	helo, ok := r.heloText()
	if ok && strings.HasPrefix(helo, "[") {
		return r.badLiteral(helo)
	}
	if helo = withoutDot(helo); ok && (!strings.Contains(helo, ".") || !validName(helo)) {
		return denied(r.code("non_fqdn_reject_code", 504), "5.5.2 Helo command rejected: need fully-qualified hostname")
	}
	return verdict{}
}

// badLiteral refuses a HELO in brackets that is no address literal.
func (r *run) badLiteral(helo string) verdict {
	if validLiteral(helo) {
		return verdict{}
	}
	return denied(r.code("invalid_hostname_reject_code", 501), "5.5.2 Helo command rejected: invalid ip address")
}

// withoutDot is a name without the dot at its end (dup_if_truncate).
func withoutDot(name string) string {
	if len(name) > 1 && strings.HasSuffix(name, ".") && !strings.HasSuffix(name, "..") {
		return name[:len(name)-1]
	}
	return name
}

func (r *run) unknownHelo(*member, string) verdict {
	helo, ok := r.heloText()
	switch {
	case !ok:
		return verdict{}
	case strings.HasPrefix(helo, "["):
		return r.badLiteral(helo)
	}
	if r.hinders("helo "+helo, "reject_unknown_helo_hostname: DNS") {
		return denied(r.code("unknown_hostname_reject_code", 450), "4.7.1 Helo command rejected: Host not found")
	}
	return verdict{}
}

// shortAddress refuses addresses whose domain has no dot, or that have none; the null address passes. Whom smtpd knows without a domain
// (postmaster) it takes at RCPT TO before it looks at any of this, and not at DATA.
func (r *run) shortAddress(at stage, addr string) verdict {
	if r.have < at || addr == "" {
		return verdict{}
	}
	_, domain, ok := cutLast(addr)
	literal := strings.HasPrefix(domain, "[") && strings.HasSuffix(domain, "]")
	if ok && (literal || strings.Contains(domain, ".") && validName(domain)) {
		return verdict{}
	}
	return denied(r.code("non_fqdn_reject_code", 504), "5.5.2 need fully-qualified address")
}

// unknownDomain refuses addresses whose domain DNS does not know; those that end here are not asked about.
func (r *run) unknownDomain(at stage, addr string) verdict {
	if r.have < at || addr == "" {
		return verdict{}
	}
	t := r.resolve(addr)
	switch {
	case t.failed != "":
		return lookupFailed(t.failed)
	case t.final():
		return verdict{}
	}
	_, domain, _ := cutLast(t.addr)
	if strings.HasPrefix(domain, "[") {
		return verdict{}
	}
	if r.hinders("domain "+domain, "DNS: does the domain "+domain+" exist?") {
		return denied(r.code("unknown_address_reject_code", 450), "4.1.8 Domain not found")
	}
	return verdict{}
}

func (r *run) unverified(at stage, addr string) verdict {
	if r.have < at || addr == "" {
		return verdict{}
	}
	if r.hinders("verify "+addr, "address verification of "+addr) {
		return denied(450, "4.1.1 unverified address")
	}
	return verdict{}
}

func (r *run) unlistedRecipient(*member, string) verdict {
	if r.have < atRcpt || r.listed {
		return verdict{}
	}
	r.listed = r.warn == 0 // behind warn_if_reject it is looked at again
	return r.unlisted(r.rcpt, "reject_unlisted_recipient")
}

func (r *run) unlistedSenderNow(*member, string) verdict {
	if r.have < atMail || r.sender == "" {
		return verdict{}
	}
	return r.unlistedFrom("reject_unlisted_sender")
}

// unlistedFrom refuses an unlisted sender.
func (r *run) unlistedFrom(by string) verdict { return r.unlisted(r.sender, by) }

// unlistedCode names the parameter with the reply code for an address of a class that is not in its list.
var unlistedCode = map[class]string{
	classLocal: "unknown_local_recipient_reject_code", classAlias: "unknown_virtual_alias_reject_code",
	classVirtual: "unknown_virtual_mailbox_reject_code", classRelay: "unknown_relay_recipient_reject_code",
}

// unlisted refuses an address of a class with a list of its users in which it is not found.
func (r *run) unlisted(addr, by string) verdict {
	t := r.resolve(addr)
	if t.failed != "" {
		return lookupFailed(t.failed)
	}
	maps := map[class]string{classLocal: "local_recipient_maps", classVirtual: "virtual_mailbox_maps", classRelay: "relay_recipient_maps"}[t.class]
	if t.class == classDefault && t.channel != "error" && t.channel != "retry" && t.unsure == "" {
		return verdict{}
	}
	params := []string{"recipient_canonical_maps", "canonical_maps", "virtual_alias_maps"}
	if strings.HasSuffix(by, "_sender") {
		params = append(params, "sender_canonical_maps")
	}
	for _, param := range params {
		if ok, v := r.mapped(param, t); ok || v.kind != dunno {
			return v
		}
	}
	if v := r.undeliverable(t, by); v.kind != dunno || t.class == classDefault {
		return v
	}
	if maps != "" {
		if r.m.value(maps, r.s) == "" || t.class == classLocal && r.alwaysLocal(t.addr) {
			return verdict{}
		}
		if ok, v := r.mapped(maps, t); ok || v.kind != dunno {
			return v
		}
	}
	return denied(r.code(unlistedCode[t.class], 550), "5.1.1 User unknown ("+by+")")
}

// alwaysLocal reports the names that every list of local users is taken to hold.
func (r *run) alwaysLocal(addr string) bool {
	local, _, _ := cutLast(addr)
	bounce := r.m.value("double_bounce_sender", r.s)
	return strings.EqualFold(local, "postmaster") || strings.EqualFold(local, "mailer-daemon") || bounce != "" && strings.EqualFold(local, bounce)
}

// mapped reports whether a list of tables holds an address.
func (r *run) mapped(param string, t target) (bool, verdict) {
	f, v := r.find(param, t)
	return f.ok, v
}

// find looks an address up in a list of tables as mail_addr_find(3) does: whole, without its extension, the local part, @domain.
func (r *run) find(param string, t target) (found, verdict) {
	local, domain, _ := cutLast(t.addr)
	keys := []string{t.addr}
	base := local
	if i := strings.IndexAny(local, r.m.value("recipient_delimiter", r.s)); i > 0 { // any of its characters (postconf(5), since 2.11)
		base = local[:i]
		keys = append(keys, base+"@"+domain)
	}
	if t.class == classLocal {
		keys = append(keys, local, base)
	}
	keys = append(keys, "@"+domain)
	for _, w := range r.m.members(param, r.s) {
		if !isTable(w.text) {
			continue
		}
		for _, key := range keys {
			tbl := r.m.table(w.text)
			if !tbl.fixed() && key != keys[0] {
				continue
			}
			f := r.look(tbl, key)
			if f.failed != "" {
				return found{}, lookupFailed(f.failed)
			}
			if f.ok {
				return f, verdict{}
			}
		}
	}
	return found{}, verdict{}
}

// loginMismatch is reject_sender_login_mismatch and its like: who is logged in may use only the senders that smtpd_sender_login_maps
// gives him (authenticated; with known only where the map has the sender at all), and a sender that the map has wants its owner logged in
// (stranger).
func (r *run) loginMismatch(authenticated, stranger, known bool) verdict {
	if r.have < atMail || r.sender == "" || !r.m.yes("smtpd_sasl_auth_enable", r.s) {
		return verdict{}
	}
	if r.q.User == "" && !stranger || r.q.User != "" && !authenticated {
		return verdict{}
	}
	t := r.resolve(r.sender)
	if t.failed != "" {
		return lookupFailed(t.failed)
	}
	owners, v := r.find("smtpd_sender_login_maps", t)
	switch {
	case v.kind != dunno:
		return v
	case r.q.User == "" && !owners.ok, r.q.User != "" && known && !owners.ok:
		return verdict{}
	case r.q.User == "":
		return denied(553, "5.7.1 Sender address rejected: not logged in")
	case owners.unread != "" && r.hinders("login "+r.sender, "smtpd_sender_login_maps: whose is "+r.sender+"?"):
		return denied(553, "5.7.1 Sender address rejected: not owned by user "+r.q.User)
	case owners.unread != "":
		return verdict{}
	}
	for _, w := range splitList(owners.value, false) {
		if strings.EqualFold(w.text, r.q.User) {
			return verdict{}
		}
	}
	return denied(553, "5.7.1 Sender address rejected: not owned by user "+r.q.User)
}

// validName reports whether text is a host name as valid_hostname(3) has it.
func validName(text string) bool {
	if text == "" || len(text) > 255 || text[0] == '.' || text[0] == '-' || allDigits(strings.ReplaceAll(text, ".", "")) {
		return false
	}
	for _, label := range strings.Split(strings.TrimSuffix(text, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			c := label[i]
			if c < 0x80 && c != '-' && c != '_' && nameLen(string(c)) == 0 {
				return false
			}
		}
	}
	return true
}

// validLiteral reports whether text is an address literal: [192.0.2.1] or [IPv6:2001:db8::1].
func validLiteral(text string) bool {
	if !strings.HasPrefix(text, "[") || !strings.HasSuffix(text, "]") {
		return false
	}
	inner := text[1 : len(text)-1]
	v6, ok := strings.CutPrefix(strings.ToLower(inner), "ipv6:")
	a, err := netip.ParseAddr(v6)
	return err == nil && a.Is4() != ok
}

// cutLast parts an address at its last @.
func cutLast(addr string) (local, domain string, ok bool) {
	i := strings.LastIndexByte(addr, '@')
	if i < 0 {
		return addr, "", false
	}
	return addr[:i], addr[i+1:], true
}
