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
	return l.inventoryOf(up, nil), nil
}

// inventoryOf is the inventory of some hosts; extra, where there is one, gives further lines of a host's stanza.
func (l *Lab) inventoryOf(hosts []Host, extra func(Host) string) string {
	var b strings.Builder
	b.WriteString("vantages = [\"outside\"]\n\n[defaults]\nuser = \"root\"\n")
	fmt.Fprintf(&b, "identity = %q\nknown_hosts = %q\n", filepath.Join(l.keysDir(), "id_ed25519"), l.knownHostsPath())
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = fmt.Sprintf("%q", h.Name)
	}
	// A group, so that the stanza of a vantage point is not one of the hosts to audit.
	fmt.Fprintf(&b, "\n[groups.lab]\nhosts = [%s]\n", strings.Join(names, ", "))
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
	fmt.Fprintf(&b, "\n[hosts.\"outside\"]\naddress = %q\n", l.vantageAddr("outside"))
	return b.String()
}

// writeInventory keeps an inventory where tests find it.
func (l *Lab) writeInventory(hosts []Host) (string, error) {
	path := filepath.Join(l.State, "inventory.toml")
	if err := os.MkdirAll(l.State, 0o700); err != nil {
		return "", err
	}
	return path, replaceFile(path, l.inventoryOf(hosts, nil), 0o600)
}
