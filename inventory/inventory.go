// Package inventory says which hosts there are, how each is reached, and what is intended for it, as TOML files give it.
package inventory

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Inventory is what one or more files say, checked and resolved: precedence is applied, ranges are expanded, paths are absolute.
type Inventory struct {
	Files            []string // in the order in which they were read
	Digest           string   // sha256 of the files' names and bytes, in hexadecimal
	Hosts            []*Host  // the hosts that are audited, in the order of the files
	Groups           []*Group // in the order of the files
	Vantages         []string // hosts through which the network judge may dial from outside: [user@]host[:port]
	BackupRecipients []string // age recipients ("age1…") for whom backups on the controller are encrypted
	Waivers          []Waiver

	others []*Host // hosts with a stanza that are only passed through: vantages and jump hosts in no group
	named  map[string]*Host
}

// Host is one host with everything the inventory says of it. A zero value means that the inventory does not say: for the keys of a
// connection ssh_config is asked then.
type Host struct {
	Name               string            `json:"name"`
	Address            string            `json:"address,omitempty"` // IP address or DNS name; "" is Name, through ssh_config
	Port               int               `json:"port,omitempty"`
	User               string            `json:"user,omitempty"`
	Identity           []string          `json:"identity,omitempty"`    // private key files
	KnownHosts         []string          `json:"known_hosts,omitempty"` // files
	HostKeyAlias       string            `json:"host_key_alias,omitempty"`
	Become             string            `json:"become,omitempty"`         // sudo, doas, su or none
	BecomeCommand      []string          `json:"become_command,omitempty"` // the words of a command in its place: what is to run as root is put behind them
	PasswordFile       string            `json:"password_file,omitempty"`
	BecomePasswordFile string            `json:"become_password_file,omitempty"`
	CollectCommand     []string          `json:"collect_command,omitempty"` // the words of an installed collector's command
	AcceptNew          bool              `json:"accept_new,omitempty"`
	AllowLegacySSH     bool              `json:"allow_legacy_ssh,omitempty"`
	Jump               []string          `json:"jump,omitempty"`           // [user@]host[:port], the one nearest to the controller first
	Playbooks          []string          `json:"playbooks,omitempty"`      // names, or absolute paths of files
	RelayNetworks      []netip.Prefix    `json:"relay_networks,omitzero"`  // nil: unsaid; empty: said to be none
	Role               string            `json:"role,omitempty"`           // one of the Role constants
	MaxUnavailable     int               `json:"max_unavailable,omitzero"` // the nearest group's; Group has each group's own
	Window             *Window           `json:"window,omitempty"`
	Groups             []string          `json:"groups,omitempty"` // every group it is in, through others too, in the order of the files
	Vars               map[string]string `json:"vars,omitempty"`
	Origin             map[string]Origin `json:"-"` // by key, a variable as "vars.NAME"; "" is where the host itself is named
}

// Origin is where a value was written.
type Origin struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Col  int    `json:"col"`
	From string `json:"from"` // "defaults", "group NAME" or "host NAME"
}

// Group is a named set of hosts, with the limits that hold for the set as a whole.
type Group struct {
	Name           string
	Children       []string
	Hosts          []string // every host in it, through its children too, in the order of Inventory.Hosts
	MaxUnavailable int      // how many of Hosts may be in change at a time; 0: this group does not say
	Window         *Window  // nil: this group does not say
}

// Host finds a host by its name; vantages and jump hosts that have a stanza are found too.
func (inv *Inventory) Host(name string) (*Host, bool) {
	h, ok := inv.named[name]
	return h, ok
}

// Passed are the hosts that have a stanza and are not audited, because they are in no group and named in vantages or jump.
func (inv *Inventory) Passed() []*Host { return slices.Clone(inv.others) }

// WaiversFor are the waivers that name the host, expired ones among them.
func (inv *Inventory) WaiversFor(host string) []Waiver {
	var out []Waiver
	for _, w := range inv.Waivers {
		if w.Covers(host) {
			out = append(out, w)
		}
	}
	return out
}

// CheckRules says of every waiver whether its rule is one of known; the error is *Errors.
func (inv *Inventory) CheckRules(known []string) error {
	errs := &Errors{}
	for _, w := range inv.Waivers {
		if !slices.Contains(known, w.Rule) {
			errs.put(&Error{w.File, w.Line, w.col, "waiver for unknown rule \"" + w.Rule + "\"" + hint(w.Rule, known)})
		}
	}
	return errs.orNil()
}

func (e *Errors) orNil() error {
	if len(e.List) == 0 {
		return nil
	}
	return e
}

// fold makes names comparable whatever their case and form: DNS names have none, and an address is the same however it is written.
func fold(name string) string {
	if ascii, ok := dnsForm(name); ok {
		name = ascii
	}
	if a, err := netip.ParseAddr(name); err == nil {
		return a.String()
	}
	return strings.ToLower(name)
}

// Value is one key of a host as it is shown to people.
type Value struct {
	Key    string `json:"key"` // a variable as "vars.NAME"
	Text   string `json:"value"`
	Origin Origin `json:"origin"`
}

// Values are the keys that the inventory gives for the host, in the order of Keys, variables last by name.
func (h *Host) Values() []Value {
	texts := map[string]any{
		"address": h.Address, "port": h.Port, "user": h.User, "identity": h.Identity, "known_hosts": h.KnownHosts,
		"host_key_alias": h.HostKeyAlias, "become": h.Become, "become_command": h.BecomeCommand, "password_file": h.PasswordFile, "become_password_file": h.BecomePasswordFile,
		"collect_command": h.CollectCommand, "accept_new": h.AcceptNew, "allow_legacy_ssh": h.AllowLegacySSH, "jump": h.Jump,
		"playbooks": h.Playbooks, "relay_networks": h.RelayNetworks, "role": h.Role, "max_unavailable": h.MaxUnavailable, "window": h.Window,
	}
	var out []Value
	for _, key := range Keys() {
		if o, ok := h.Origin[key]; ok {
			out = append(out, Value{key, text(texts[key]), o})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.Vars)) {
		out = append(out, Value{"vars." + name, h.Vars[name], h.Origin["vars."+name]})
	}
	return out
}

func text(v any) string {
	switch v := v.(type) {
	case []string:
		return strings.Join(v, " ")
	case []netip.Prefix:
		words := make([]string, len(v))
		for i, p := range v {
			words[i] = p.String()
		}
		return strings.Join(words, " ")
	}
	return fmt.Sprint(v)
}
