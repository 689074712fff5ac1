package main

import (
	"cmp"
	"context"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/net/idna"

	"mtaharden/inventory"
	"mtaharden/remediate/remote/ssh"
	"mtaharden/remediate/remote/sshconfig"
)

// query is what ssh_config is asked for a host: what the inventory says goes before it, as ssh's own flags would.
func query(h *inventory.Host) sshconfig.Query {
	return sshconfig.Query{Host: h.Name, HostName: h.Address, User: h.User, Port: h.Port, Jump: jumpWord(h), Alias: h.HostKeyAlias}
}

// jumpWord is the way that the inventory says, as ProxyJump has it; "" where it says none, or one that ssh would take for a loop: it does not compare ports.
func jumpWord(h *inventory.Host) string {
	if _, said := h.Origin["jump"]; !said && len(h.Jump) == 0 {
		return ""
	}
	var words []string
	for _, word := range h.Jump {
		user, host, port, _ := inventory.SplitJump(word)
		host = ascii(host)
		if strings.EqualFold(host, ascii(h.Name)) || strings.EqualFold(host, ascii(h.Address)) {
			return ""
		}
		words = append(words, sshconfig.Hop{User: user, Host: host, Port: port}.String())
	}
	return cmp.Or(strings.Join(words, ","), "none")
}

// address is what a host is connected to, as DNS has it.
func address(h *inventory.Host, s *sshconfig.Settings) string {
	return ascii(cmp.Or(h.Address, s.HostName, h.Name))
}

// ascii is a name as DNS has it.
func ascii(name string) string {
	if form, err := idna.Lookup.ToASCII(name); err == nil && strings.ContainsFunc(name, func(c rune) bool { return c > '~' }) {
		return form
	}
	return name
}

// endpoint is its address with the port.
func endpoint(h *inventory.Host, s *sshconfig.Settings) string {
	return net.JoinHostPort(address(h, s), strconv.Itoa(cmp.Or(h.Port, s.Port, 22)))
}

// lay puts what ssh_config says under what the inventory says, and ssh's defaults under both.
func lay(t *ssh.Target, h *inventory.Host, s *sshconfig.Settings, home string) {
	t.Address = cmp.Or(h.Address, s.HostName, h.Name)
	t.Port = cmp.Or(h.Port, s.Port)
	t.User = cmp.Or(h.User, s.User)
	t.HostKeyAlias = cmp.Or(h.HostKeyAlias, s.HostKeyAlias)
	t.Identities, t.Unnamed = keyFiles(h, s, home)
	t.KnownHosts = sshFiles(s, home)
	if h.KnownHosts != nil { // what they trust is all that is trusted; a key that was revoked anywhere stays so
		t.KnownHosts, t.RevokedIn = h.KnownHosts, t.KnownHosts
	}
	t.RevokedKeys, t.MinRSABits = s.RevokedKeys, s.MinRSABits
	t.Certificates = notNone(s.Certificates)
	t.IdentitiesOnly = s.IdentitiesOnly
	t.ControlPath = s.ControlPath
	t.KeepAlive, t.KeepAliveMax = s.KeepAlive, s.KeepAliveMax
	t.Algorithms = algorithms(s)
	t.NotFollowed = s.NotFollowed
	if s.StrictHostKey == "no" || s.StrictHostKey == "accept-new" {
		t.NotFollowed = append(slices.Clone(t.NotFollowed), "StrictHostKeyChecking "+s.StrictHostKey+" ("+s.From["stricthostkeychecking"]+")")
	}
	if family := map[string]string{"inet": "tcp4", "inet6": "tcp6"}[s.AddressFamily]; family != "" {
		t.Connect = func(ctx context.Context, _, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, family, address)
		}
	}
}

// keyFiles are the private keys; unnamed says that they are those that ssh tries of itself.
func keyFiles(h *inventory.Host, s *sshconfig.Settings, home string) (files []string, unnamed bool) {
	switch {
	case h.Identity != nil:
		return h.Identity, false
	case s.Identities != nil:
		return notNone(s.Identities), false
	case home == "":
		return nil, true
	}
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		files = append(files, filepath.Join(home, ".ssh", name))
	}
	return files, true
}

// sshFiles are the known_hosts files that ssh reads.
func sshFiles(s *sshconfig.Settings, home string) []string {
	users, systems := s.KnownHosts, s.SystemKnown
	if users == nil && home != "" {
		users = []string{filepath.Join(home, ".ssh", "known_hosts"), filepath.Join(home, ".ssh", "known_hosts2")}
	}
	if systems == nil {
		systems = []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
	}
	return notNone(slices.Concat(users, systems))
}

// notNone is a list of files without ssh_config's word for no file. It is never nil: that would mean unsaid.
func notNone(files []string) []string {
	return slices.DeleteFunc(append([]string{}, files...), func(f string) bool { return f == "none" })
}

// algorithms are ssh_config's lists, applied to the program's own.
func algorithms(s *sshconfig.Settings) ssh.Algorithms {
	safe, broken := xssh.SupportedAlgorithms(), xssh.InsecureAlgorithms()
	apply := func(l sshconfig.List, own, more []string) []string {
		if l.Spec == "" {
			return nil
		}
		return l.Apply(own, slices.Concat(own, more))
	}
	return ssh.Algorithms{
		KeyExchanges:    apply(s.KexAlgorithms, safe.KeyExchanges, broken.KeyExchanges),
		Ciphers:         apply(s.Ciphers, safe.Ciphers, broken.Ciphers),
		MACs:            apply(s.MACs, safe.MACs, broken.MACs),
		HostKeys:        apply(s.HostKeys, safe.HostKeys, broken.HostKeys),
		PublicKeys:      apply(s.PublicKeys, withCertificates(safe.PublicKeyAuths), withCertificates(broken.PublicKeyAuths)),
		CASignatures:    apply(s.CASignatures, safe.PublicKeyAuths, broken.PublicKeyAuths),
		HostKeysInOrder: s.HostKeys.Spec != "" && !s.HostKeys.Kept,
	}
}

// withCertificates adds to signatures the names that they have with a certificate: ssh's own list has both, and the library's has not.
func withCertificates(plain []string) []string {
	all := slices.Clone(plain)
	for _, name := range plain {
		all = append(all, strings.TrimSuffix(name, "@openssh.com")+"-cert-v01@openssh.com")
	}
	return all
}

// connectTime is how long a connection may take: the flag goes before ssh_config, the program's own time is last.
func (r *reach) connectTime(s *sshconfig.Settings) time.Duration {
	if r.connectSaid || s.ConnectTimeout == 0 {
		return r.connect
	}
	return s.ConnectTimeout
}

// shownSettings are ssh_config's keywords as they are shown, with the inventory's key where it has one.
var shownSettings = []struct{ keyword, shown string }{
	{"hostname", "address"}, {"port", "port"}, {"user", "user"}, {"identityfile", "identity"}, {"userknownhostsfile", "known_hosts"}, {"globalknownhostsfile", "GlobalKnownHostsFile"},
	{"hostkeyalias", "host_key_alias"}, {"proxyjump", "jump"}, {"proxycommand", "ProxyCommand"}, {"certificatefile", "CertificateFile"}, {"identitiesonly", "IdentitiesOnly"},
	{"identityagent", "IdentityAgent"}, {"addressfamily", "AddressFamily"}, {"revokedhostkeys", "RevokedHostKeys"}, {"requiredrsasize", "RequiredRSASize"}, {"casignaturealgorithms", "CASignatureAlgorithms"}, {"stricthostkeychecking", "StrictHostKeyChecking"}, {"controlpath", "ControlPath"},
	{"connecttimeout", "ConnectTimeout"}, {"serveraliveinterval", "ServerAliveInterval"}, {"serveralivecountmax", "ServerAliveCountMax"},
	{"kexalgorithms", "KexAlgorithms"}, {"ciphers", "Ciphers"}, {"macs", "MACs"}, {"hostkeyalgorithms", "HostKeyAlgorithms"}, {"pubkeyacceptedalgorithms", "PubkeyAcceptedAlgorithms"},
}

// effectiveValues are a host's values with the place of each: the inventory's, then what ssh_config adds, then the defaults of what is still unsaid.
func effectiveValues(h *inventory.Host, s *sshconfig.Settings, t ssh.Target) []inventory.Value {
	values := h.Values()
	said := func(key string) bool {
		return slices.ContainsFunc(values, func(v inventory.Value) bool { return v.Key == key })
	}
	for _, one := range shownSettings {
		from, ok := s.From[one.keyword]
		hidden := said(one.shown) || one.keyword == "globalknownhostsfile" && said("known_hosts") && h.KnownHosts != nil || one.keyword == "proxycommand" && said("jump")
		if ok && !hidden {
			values = append(values, inventory.Value{Key: one.shown, Text: s.Text(one.keyword), Origin: sshOrigin(from)})
		}
	}
	for _, one := range []struct{ key, text string }{
		{"port", strconv.Itoa(cmp.Or(t.Port, 22))}, {"user", t.User}, {"identity", strings.Join(t.Identities, " ")}, {"known_hosts", strings.Join(t.KnownHosts, " ")},
	} {
		if !said(one.key) {
			values = append(values, inventory.Value{Key: one.key, Text: one.text, Origin: inventory.Origin{From: "default"}})
		}
	}
	for _, asked := range s.NotFollowed {
		name, from, _ := strings.Cut(strings.TrimSuffix(asked, ")"), " (")
		values = append(values, inventory.Value{Key: name, Text: "(not followed)", Origin: sshOrigin(from)})
	}
	return values
}

// sshOrigin is "FILE:LINE" or "ssh -G" as an origin.
func sshOrigin(from string) inventory.Origin {
	if at := strings.LastIndexByte(from, ':'); at > 0 {
		if n, err := strconv.Atoi(from[at+1:]); err == nil {
			return inventory.Origin{File: from[:at], Line: n, Col: 1, From: "ssh_config"}
		}
	}
	return inventory.Origin{From: from}
}
