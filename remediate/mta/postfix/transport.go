package postfix

import (
	"strings"
)

// transportOf names the parameter that says how mail of a class leaves; mail of virtual alias domains that no alias takes is refused.
var transportOf = map[class]string{
	classLocal: "local_transport", classVirtual: "virtual_transport", classRelay: "relay_transport", classDefault: "default_transport",
}

// route finds the transport of an address, as the rewrite service does: by its class, by the sender for mail to elsewhere, then by
// transport_maps and relocated_maps (trivial-rewrite(8), transport(5)).
func (r *run) route(t *target) {
	if t.class == classAlias {
		t.channel = "error"
		return
	}
	value := r.m.value(transportOf[t.class], r.rw)
	if t.class == classDefault {
		f, failed := r.firstOf("sender_dependent_default_transport_maps", []lookupKey{{r.sender, true}})
		if failed != "" {
			t.failed = failed
			return
		}
		if f.ok && f.value != "" && !strings.EqualFold(f.value, "DUNNO") {
			value, t.unsure = f.value, f.unread
		}
	}
	t.channel, _, _ = strings.Cut(value, ":")
	if t.channel == "" && t.unsure == "" {
		t.failed = transportOf[t.class] + " is empty"
		return
	}
	r.mapRoute(t)
}

// mapRoute is transport_maps, whose "*" stands for all others, and relocated_maps, whose addresses are refused.
func (r *run) mapRoute(t *target) {
	keys := r.addressKeys(t.addr, "transport_maps")
	f, failed := r.firstOf("transport_maps", append(keys, lookupKey{"*", true}))
	if failed != "" {
		t.failed = failed
		return
	}
	if f.unread != "" {
		t.unsure = f.unread
	}
	if name, _, _ := strings.Cut(f.value, ":"); f.ok && name != "" {
		t.channel = name
	}
	local, domain, _ := cutLast(t.addr)
	moved, failed := r.firstOf("relocated_maps", append(keys[:1:1], lookupKey{local, false}, lookupKey{"@" + domain, false}))
	switch {
	case failed != "":
		t.failed = failed
	case moved.ok:
		t.channel = "error"
	}
}

// addressKeys are an address, the same without its extension, and its domain with the parents, in the form that
// parent_domain_matches_subdomains gives tables of that parameter.
func (r *run) addressKeys(addr, param string) []lookupKey {
	local, domain, _ := cutLast(addr)
	keys := []lookupKey{{addr, true}}
	if d := r.m.value("recipient_delimiter", r.rw); d != "" {
		if i := strings.IndexAny(local, d); i > 0 {
			keys = append(keys, lookupKey{local[:i] + "@" + domain, false})
		}
	}
	for _, k := range domainKeys(&table{}, strings.ToLower(domain), r.parents(param)) {
		keys = append(keys, lookupKey{k, false})
	}
	return keys
}

// parents is matchesParents, asked once.
func (r *run) parents(list string) bool {
	yes, ok := r.parent[list]
	if !ok {
		yes = r.inList("parent_domain_matches_subdomains", list, r.rw).ok
		r.parent[list] = yes
	}
	return yes
}

// firstOf looks keys up in the tables of a parameter, one key after the other in all of them.
func (r *run) firstOf(param string, keys []lookupKey) (f found, failed string) {
	for _, k := range keys {
		for _, w := range r.m.members(param, r.rw) {
			t := r.m.table(w.text)
			if k.text == "" || !k.whole && !t.fixed() {
				continue
			}
			if f = r.look(t, k.text); f.failed != "" || f.ok {
				return f, f.failed
			}
		}
	}
	return found{}, ""
}

// undeliverable refuses an address whose transport is one that only refuses (error, retry).
func (r *run) undeliverable(t target, by string) verdict {
	switch {
	case t.unsure != "" && r.maybe("transport "+t.addr, "the transport of "+t.addr+": "+t.unsure):
		return denied(550, "5.1.1 refused by the transport ("+by+")")
	case t.unsure != "":
		return verdict{}
	case t.channel == "error":
		code := 550
		if t.class == classAlias {
			code = r.code(unlistedCode[classAlias], 550)
		}
		return denied(code, "5.1.1 refused by the transport error ("+by+")")
	case t.channel == "retry":
		return verdict{kind: refuse, code: 450, text: "450 4.1.1 put off by the transport retry (" + by + ")", policy: true}
	}
	return verdict{}
}

// stays reports whether a transport keeps mail on this host, or throws it away; how says which.
func (m *model) stays(channel string) (how string) {
	command := channel
	if s := m.service(channel, "unix"); s != nil {
		command = s.command
	}
	switch command {
	case "local", "virtual":
		return "delivered here"
	case "discard":
		return "thrown away"
	case "error":
		return "sent back"
	}
	return ""
}
