package sendmail

import (
	"net/netip"
	"strings"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// covers reports whether a trusted entry holds the question's client, sender or recipient.
func covers(t mta.Trust, q judge.Question) bool {
	value := strings.Trim(splitKey(t.Value).what, "[]")
	switch t.Kind {
	case "client-net":
		addr, err := netip.ParseAddr(q.ClientAddr)
		return err == nil && t.Net.IsValid() && t.Net.Contains(addr)
	case "client-name":
		return q.ClientName != "" && within(q.ClientName, value)
	case "recipient":
		return within(destination(q.Recipient), value) || mailbox(q.Recipient, value)
	case "sender":
		return q.Sender != "" && (within(afterAt(q.Sender), value) || mailbox(q.Sender, value))
	}
	return false
}

// within reports whether name is domain or lies below it.
func within(name, domain string) bool {
	name, domain = strings.ToLower(name), strings.TrimPrefix(strings.ToLower(domain), ".")
	return domain != "" && (name == domain || strings.HasSuffix(name, "."+domain))
}

func afterAt(address string) string {
	return address[strings.LastIndexByte(address, '@')+1:]
}

// destination is the domain to which sendmail would send a recipient on: of a source route what follows it, of a quoted local
// part, a percent or a bang in front of one of the host's own names what stands there (RFC 1123 5.3.3, 5.2.16).
func destination(recipient string) string {
	if strings.HasPrefix(recipient, "@") {
		recipient = recipient[strings.LastIndexByte(recipient, ':')+1:]
	}
	local, domain := recipient, ""
	if i := strings.LastIndexByte(recipient, '@'); i >= 0 && !strings.HasSuffix(recipient, `"`) {
		local, domain = recipient[:i], recipient[i+1:]
	}
	local = strings.Trim(local, `"`)
	if host, _, ok := strings.Cut(local, "!"); ok {
		return host
	}
	if i := strings.LastIndexAny(local, "@%"); i >= 0 {
		return local[i+1:]
	}
	return domain
}

// mailbox reports whether a key "user@domain" or "user@" holds address.
func mailbox(address, key string) bool {
	if !strings.Contains(key, "@") {
		return false
	}
	address, key = strings.ToLower(address), strings.ToLower(key)
	return address == key || strings.HasSuffix(key, "@") && strings.HasPrefix(address, key)
}
