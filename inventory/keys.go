package inventory

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Roles a host may have: what its mail server is there for.
const (
	RoleMX         = "mx"         // takes mail from outside for its own domains
	RoleRelay      = "relay"      // relays for the networks of relay_networks
	RoleSubmission = "submission" // takes mail from authenticated users
	RoleLocalOnly  = "local-only" // sends what the host itself makes
	RoleNone       = "none"       // no mail server is needed
)

// setting is one key as a stanza gives it.
type setting struct {
	value  any
	origin Origin
	node   *node
}

// settings are a stanza's keys; a variable stands as "vars.NAME".
type settings map[string]setting

// hostKey is one key of a host: how its value is read, and where it goes.
type hostKey struct {
	name  string
	parse func(*reader, *node) (any, error)
	set   func(*Host, any)
}

// hostKeys lists the keys that [defaults], a group and a host may have. Order is that of `inventory list -v`.
func hostKeys() []hostKey {
	return []hostKey{
		{"address", parseAddress, func(h *Host, v any) { h.Address, _ = splitAddress(v.(string)) }},
		{"port", parsePort, func(h *Host, v any) { h.Port = v.(int) }},
		{"user", parseUser, func(h *Host, v any) { h.User = v.(string) }},
		{"identity", parsePaths, func(h *Host, v any) { h.Identity = v.([]string) }},
		{"known_hosts", parsePaths, func(h *Host, v any) { h.KnownHosts = v.([]string) }},
		{"host_key_alias", parseAlias, func(h *Host, v any) { h.HostKeyAlias = v.(string) }},
		{"become", oneOf("sudo", "doas", "su", "none"), func(h *Host, v any) { h.Become = v.(string) }},
		{"become_command", parseCommand, func(h *Host, v any) { h.BecomeCommand = v.([]string) }},
		{"password_file", parsePath, func(h *Host, v any) { h.PasswordFile = v.(string) }},
		{"become_password_file", parsePath, func(h *Host, v any) { h.BecomePasswordFile = v.(string) }},
		{"collect_command", parseCommand, func(h *Host, v any) { h.CollectCommand = v.([]string) }},
		{"accept_new", parseBool, func(h *Host, v any) { h.AcceptNew = v.(bool) }},
		{"allow_legacy_ssh", parseBool, func(h *Host, v any) { h.AllowLegacySSH = v.(bool) }},
		{"jump", parseJump, func(h *Host, v any) { h.Jump = v.([]string) }},
		{"playbooks", parsePlaybooks, func(h *Host, v any) { h.Playbooks = v.([]string) }},
		{"relay_networks", parseNetworks, func(h *Host, v any) { h.RelayNetworks = v.([]netip.Prefix) }},
		{"role", oneOf(RoleMX, RoleRelay, RoleSubmission, RoleLocalOnly, RoleNone), func(h *Host, v any) { h.Role = v.(string) }},
		{"max_unavailable", parseCount, func(h *Host, v any) { h.MaxUnavailable = v.(int) }},
		{"window", parseWindowKey, func(h *Host, v any) { w := v.(Window); h.Window = &w }},
	}
}

// Keys are the names of the keys a host may have, in the order in which they are shown; "vars" is not among them.
func Keys() []string {
	var names []string
	for _, k := range hostKeys() {
		names = append(names, k.name)
	}
	return names
}

// stanza reads the keys of one table; own names the keys that are not a host's, and are read elsewhere.
func (r *reader) stanza(n *node, from string, own ...string) settings {
	out := settings{}
	if n == nil {
		return out
	}
	if n.table == nil {
		r.errs.val(n, "%s must be a table, not %s", from, kind(n.value))
		return out
	}
	words := append(append(Keys(), "vars"), own...)
	for _, name := range n.keys {
		child := n.table[name]
		if slices.Contains(own, name) {
			continue
		}
		if name == "vars" {
			r.vars(child, from, out)
			continue
		}
		at := slices.IndexFunc(r.keys, func(k hostKey) bool { return k.name == name })
		if at < 0 {
			r.errs.key(child, "unknown key %q in %s%s", name, from, hint(name, words))
			continue
		}
		v, err := r.keys[at].parse(r, child)
		if err != nil {
			r.errs.val(child, "%s: %v", name, err)
			continue
		}
		out[name] = setting{v, origin(child, from), child}
	}
	return out
}

func origin(n *node, from string) Origin {
	line, col := n.file.place(n.at)
	return Origin{n.file.name, line, col, from}
}

func (r *reader) vars(n *node, from string, out settings) {
	if n.table == nil {
		r.errs.val(n, "vars must be a table, not %s", kind(n.value))
		return
	}
	for _, name := range n.keys {
		child := n.table[name]
		switch v := child.value.(type) {
		case string, int64, bool:
			if !variable.MatchString(name) || strings.ContainsFunc(fmt.Sprint(v), isControl) {
				r.errs.key(child, "vars.%q: a name has letters, digits, - and _ alone, and a value no control characters", name)
				continue
			}
			out["vars."+name] = setting{fmt.Sprint(v), origin(child, from), child}
		default:
			r.errs.val(child, "vars.%s must be a string, a whole number or true/false, not %s", name, kind(v))
		}
	}
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

func isControl(c rune) bool { return c < ' ' || c >= 0x7f && c < 0xa0 }
