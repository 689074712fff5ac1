package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Inventory is the running hosts as mtaharden's inventory: TOML, a stanza a host, every path absolute.
func (l *Lab) Inventory() (string, error) {
	var up []Host
	for _, h := range l.Hosts() {
		if l.leader(h.Name) != 0 {
			up = append(up, h)
		}
	}
	if len(up) == 0 {
		return "", fmt.Errorf("no host of the lab is up: mtalab up starts them")
	}
	return l.inventoryOf(up, l.outsides(), nil), nil
}

// inventoryOf is the inventory of some hosts and vantage points; extra, where there is one, gives further lines of a host's stanza.
func (l *Lab) inventoryOf(hosts []Host, vantages []string, extra func(Host) string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "vantages = [%s]\n\n[defaults]\nuser = \"root\"\n", quotedList(vantages))
	fmt.Fprintf(&b, "identity = %q\nknown_hosts = %q\n", filepath.Join(l.keysDir(), "id_ed25519"), l.knownHostsPath())
	// A group, so that the stanza of a vantage point is not one of the hosts to audit.
	fmt.Fprintf(&b, "\n[groups.lab]\nhosts = [%s]\n", quotedList(hostNames(hosts)))
	for _, h := range hosts {
		k := l.Kinds[h.Kind]
		fmt.Fprintf(&b, "\n[hosts.%q]\naddress = %q\n", h.Name, h.Addr)
		if k.User != "" {
			fmt.Fprintf(&b, "user = %q\n", k.User)
		}
		if k.Become != "" {
			fmt.Fprintf(&b, "become = %q\n", k.Become)
		}
		if k.BecomePassword != "" {
			fmt.Fprintf(&b, "become_password_file = %q\n", l.passwordPath(h.Name))
		}
		if extra != nil {
			b.WriteString(extra(h))
		}
	}
	for _, v := range vantages {
		if _, ok := l.Vantages[v]; ok {
			fmt.Fprintf(&b, "\n[hosts.%q]\naddress = %q\n", v, l.vantageAddr(v))
		}
	}
	return b.String()
}

// quotedList is the inside of a TOML array of strings.
func quotedList(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = fmt.Sprintf("%q", w)
	}
	return strings.Join(quoted, ", ")
}

// writeInventory keeps an inventory where tests find it.
func (l *Lab) writeInventory(hosts []Host) (string, error) {
	path := filepath.Join(l.State, "inventory.toml")
	if err := os.MkdirAll(l.State, 0o700); err != nil {
		return "", err
	}
	return path, replaceFile(path, l.inventoryOf(hosts, l.outsides(), nil), 0o600)
}
