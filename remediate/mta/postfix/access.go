package postfix

import (
	"net/netip"
	"slices"
	"strings"

	"mtaharden/remediate/mta"
)

// withArgument returns the restriction of that name that takes an argument, nil for none.
func withArgument(name string) restriction {
	switch name {
	case "check_client_access":
		return func(r *run, arg *member, c string) verdict { return r.access(arg, c, (*run).clientKeys) }
	case "check_reverse_client_hostname_access":
		return func(r *run, arg *member, c string) verdict {
			return r.unallowed(r.access(arg, c, (*run).reverseKeys))
		}
	case "check_helo_access":
		return func(r *run, arg *member, c string) verdict { return r.access(arg, c, (*run).heloKeys) }
	case "check_sender_access":
		return func(r *run, arg *member, c string) verdict { return r.access(arg, c, (*run).senderKeys) }
	case "check_recipient_access":
		return (*run).recipientAccess
	case "check_sasl_access":
		return func(r *run, arg *member, c string) verdict { return r.access(arg, c, (*run).userKeys) }
	case "check_ccert_access":
		return (*run).certificateAccess
	case "check_etrn_access", "sleep":
		return func(*run, *member, string) verdict { return verdict{} } // no ETRN in the questions
	case "check_policy_service":
		return (*run).policyService
	case "permit_dnswl_client", "permit_rhswl_client":
		return (*run).allowList
	case "reject_rbl_client", "reject_rhsbl_client", "reject_rhsbl_reverse_client", "reject_rhsbl_helo", "reject_rhsbl_sender", "reject_rhsbl_recipient":
		return func(r *run, arg *member, _ string) verdict { return r.blockList(name, arg.text) }
	}
	if strings.HasPrefix(name, "check_") && (strings.HasSuffix(name, "_mx_access") || strings.HasSuffix(name, "_ns_access") || strings.HasSuffix(name, "_a_access")) {
		return func(r *run, arg *member, c string) verdict { return r.dnsAccess(name, arg, c) }
	}
	return nil
}

// lookupKey is a key for an access table; whole keys are looked up in tables of patterns too.
type lookupKey struct {
	text  string
	whole bool
}

// access looks keys up in the table that arg names and does what the first found value says (access(5)).
func (r *run) access(arg *member, context string, keys func(*run, *table) ([]lookupKey, verdict)) verdict {
	t := r.m.table(arg.text)
	list, v := keys(r, t)
	if v.kind != dunno {
		return v
	}
	return r.lookAll(t, list, context)
}

// lookAll does what the first found value says.
func (r *run) lookAll(t *table, list []lookupKey, context string) verdict {
	for _, k := range list {
		if !k.whole && !t.fixed() {
			continue
		}
		f := r.look(t, k.text)
		switch {
		case f.failed != "":
			return tableFailed(f.failed)
		case !f.ok:
			continue
		case f.unread != "":
			return r.anything(t.spec+" says of "+k.text, f.unread)
		case f.value == "":
			return tableFailed(t.spec + " has an empty value for " + k.text)
		}
		v := r.action(f.value, context)
		switch {
		case v.kind != dunno && f.asked:
			r.note(mta.Origin{File: t.source()}, k.text+" "+f.value+" (postmap -q, "+t.spec+")")
		case v.kind != dunno && f.line > 0:
			r.note(mta.Origin{File: t.source(), Line: f.line}, k.text+" "+f.value)
		}
		return v
	}
	return verdict{}
}

// anything is a service or table that may say anything.
func (r *run) anything(key, why string) verdict {
	switch r.fork(key, why, 3) {
	case 1:
		return verdict{kind: permit}
	case 2:
		return denied(554, "5.7.1 Access denied: "+why)
	}
	return verdict{}
}

func (r *run) clientKeys(t *table) ([]lookupKey, verdict) {
	return append(r.domainAccess(t, r.name), addressKeys(r.addr)...), verdict{}
}

// reverseKeys uses the unverified name of the client: the question has the verified one only.
func (r *run) reverseKeys(t *table) ([]lookupKey, verdict) {
	if !r.unnamed && r.q.ClientName == "" && r.hinders("ptr "+r.addr, "DNS: has the client's address a name?") {
		return nil, r.anything(t.spec+" reverse", t.spec+": the client's unverified name is not known")
	}
	return r.clientKeys(t) // the name and, as for the verified one, the address
}

func (r *run) heloKeys(t *table) ([]lookupKey, verdict) {
	helo, ok := r.heloText()
	if !ok {
		return nil, verdict{}
	}
	return r.domainAccess(t, helo), verdict{}
}

func (r *run) userKeys(*table) ([]lookupKey, verdict) {
	if r.q.User == "" || !r.m.yes("smtpd_sasl_auth_enable", r.s) {
		return nil, verdict{}
	}
	return []lookupKey{{r.q.User, true}}, verdict{}
}

func (r *run) senderKeys(t *table) ([]lookupKey, verdict) {
	if r.have < atMail {
		return nil, verdict{}
	}
	if r.sender == "" {
		return []lookupKey{{r.m.value("smtpd_null_access_lookup_key", r.s), true}}, verdict{}
	}
	return r.mailKeys(t, r.sender)
}

func (r *run) recipientKeys(t *table) ([]lookupKey, verdict) {
	if r.have < atRcpt || r.rcpt == "" {
		return nil, verdict{}
	}
	return r.mailKeys(t, r.rcpt)
}

// recipientAccess is check_recipient_access: it does not say yes to a recipient that is routed on from another host (check_mail_access).
func (r *run) recipientAccess(arg *member, context string) verdict {
	v := r.access(arg, context, (*run).recipientKeys)
	if v.kind == permit && r.have >= atRcpt && r.resolve(r.rcpt).routed && !r.m.yes("allow_untrusted_routing", r.s) {
		return verdict{}
	}
	return v
}

// mailKeys are the keys of an address: whole, without its extension, the domain with its parents, local part with @.
func (r *run) mailKeys(t *table, addr string) ([]lookupKey, verdict) {
	to := r.resolve(addr)
	if to.failed != "" {
		return nil, lookupFailed(to.failed)
	}
	local, domain, _ := cutLast(to.addr)
	keys := []lookupKey{{to.addr, true}}
	base := local
	if d := r.m.value("recipient_delimiter", r.s); d != "" {
		if i := strings.IndexAny(local, d); i > 0 {
			base = local[:i]
			keys = append(keys, lookupKey{base + "@" + domain, false})
		}
	}
	for _, k := range r.domainAccess(t, domain) {
		keys = append(keys, lookupKey{k.text, false})
	}
	keys = append(keys, lookupKey{local + "@", false})
	if base != local {
		keys = append(keys, lookupKey{base + "@", false})
	}
	return keys, verdict{}
}

// domainAccess are a domain and its parents, in the form that parent_domain_matches_subdomains gives access tables.
func (r *run) domainAccess(t *table, domain string) []lookupKey {
	var keys []lookupKey
	for i, k := range domainKeys(t, strings.ToLower(domain), r.parent["smtpd_access_maps"]) {
		keys = append(keys, lookupKey{k, i == 0})
	}
	return keys
}

// addressKeys are an address and the shorter forms that stand for its networks: 1.2.3, 1.2, 1.
func addressKeys(addr string) []lookupKey {
	keys := []lookupKey{{addr, true}}
	sep := "."
	if a, err := netip.ParseAddr(addr); err == nil && a.Is6() {
		sep = ":"
	}
	for rest := addr; ; {
		i := strings.LastIndex(rest, sep)
		if i <= 0 {
			return keys
		}
		rest = rest[:i]
		keys = append(keys, lookupKey{rest, false})
	}
}

func (r *run) policyService(arg *member, _ string) verdict {
	return r.anything("policy "+arg.text, "the policy service "+arg.text+" decides")
}

// allowList is permit_dnswl_client: never for a destination that is not this host's own.
func (r *run) allowList(arg *member, _ string) verdict {
	if r.have >= atRcpt && r.permitAuthDestination(nil, "").kind != permit {
		return verdict{}
	}
	if r.maybe("allow "+arg.text, "DNS list "+arg.text) {
		return verdict{kind: permit}
	}
	return verdict{}
}

// blockList is a DNS list that refuses whom, or what, it names; a name ending in digits, a literal or none is not looked up.
func (r *run) blockList(name, list string) verdict {
	what, said := map[string]string{"reject_rhsbl_client": r.name, "reject_rhsbl_reverse_client": r.name, "reject_rhsbl_helo": r.helo,
		"reject_rhsbl_sender": r.sender, "reject_rhsbl_recipient": r.rcpt}[name]
	if said && !r.listable(name, what) {
		return verdict{}
	}
	if r.hinders("block "+list+" "+what, "DNS list "+list+" may name the client") {
		return denied(r.code("maps_rbl_reject_code", 554), "5.7.1 Service unavailable; blocked using "+list)
	}
	return verdict{}
}

// listable reports whether a name is looked up in a list of domains (find_dnsxl_domain).
func (r *run) listable(name, what string) bool {
	need := map[string]stage{"reject_rhsbl_helo": atHelo, "reject_rhsbl_sender": atMail, "reject_rhsbl_recipient": atRcpt}[name]
	if _, domain, ok := cutLast(what); ok {
		what = domain
	}
	last := what[strings.LastIndexByte(what, '.')+1:]
	return r.have >= need && what != "unknown" && !allDigits(last) && validName(what)
}

// unallowed makes a yes an error where Postfix allows none, because who asks chooses the name that is looked up (forbid_allowlist).
func (r *run) unallowed(v verdict) verdict {
	if v.kind == permit && !r.discard {
		return broken("a yes is not allowed for names that the client chooses")
	}
	return v
}

// maxFollowed bounds the values of one table that are followed.
const maxFollowed = 8

// dnsAccess is check_*_{mx,ns,a}_access: DNS decides what is looked up, so that the table may say any of its values, or nothing.
func (r *run) dnsAccess(name string, arg *member, context string) verdict {
	what, ok := r.nameFor(name)
	if !ok {
		return verdict{}
	}
	t := r.m.table(arg.text)
	if strings.HasPrefix(what, "[") { // a literal is its own host, and has no name server
		if !validLiteral(what) || strings.HasSuffix(name, "_ns_access") {
			return verdict{}
		}
		return r.unallowed(r.lookAll(t, addressKeys(bareAddress(what)), context))
	}
	if t.missing != "" {
		if r.hinders("dns "+arg.text, name+": DNS") {
			return tableFailed(t.missing)
		}
		return verdict{}
	}
	values := t.values()
	if t.unread != "" || len(values) > maxFollowed {
		return r.unallowed(r.anything(name+" "+arg.text, "DNS, looked up in "+arg.text))
	}
	way := r.fork(name+" "+arg.text, name+": DNS, looked up in "+arg.text, len(values)+1)
	if way == 0 {
		return verdict{}
	}
	v := r.unallowed(r.action(values[way-1], context))
	if v.kind == refuse && !t.catchesAll() { // such a check only ever refuses
		r.hindered = true
	}
	return v
}

// catchesAll reports whether a table has an entry that every name or address meets.
func (t *table) catchesAll() bool {
	if t.kind == "static" {
		return true
	}
	return slices.ContainsFunc(t.rules, func(r rule) bool { return r.negate || r.re != nil || r.net.IsValid() && r.net.Bits() == 0 })
}

// nameFor is the name that check_*_{mx,ns,a}_access looks up; ok is false where there is none yet.
func (r *run) nameFor(restriction string) (name string, ok bool) {
	switch {
	case strings.HasPrefix(restriction, "check_helo_"):
		return r.helo, r.have >= atHelo && r.helo != ""
	case strings.HasPrefix(restriction, "check_sender_"):
		_, domain, _ := cutLast(r.sender)
		return domain, r.have >= atMail && r.sender != ""
	case strings.HasPrefix(restriction, "check_recipient_"):
		_, domain, _ := cutLast(r.rcpt)
		return domain, r.have >= atRcpt && r.rcpt != ""
	}
	return r.name, r.name != "unknown" || strings.HasPrefix(restriction, "check_reverse_")
}

// bareAddress is the address in a domain literal.
func bareAddress(literal string) string {
	inner := strings.Trim(literal, "[]")
	if len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:") {
		inner = inner[5:]
	}
	return inner
}
