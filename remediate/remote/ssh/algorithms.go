package ssh

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Algorithms are lists of names, the most wanted first, as ssh_config(5) gives them. nil is the program's own choice. What is not safe is
// asked for where AllowLegacy is set alone, whatever a list says.
type Algorithms struct {
	KeyExchanges []string // KexAlgorithms
	Ciphers      []string
	MACs         []string
	HostKeys     []string // HostKeyAlgorithms
	PublicKeys   []string // PubkeyAcceptedAlgorithms: the signatures that a login's keys may make
	CASignatures []string // CASignatureAlgorithms: the signatures that an authority's certificates of hosts may have

	// HostKeysInOrder says that HostKeys stand in an order that somebody wrote down: it is kept, and known_hosts is not asked which comes first.
	HostKeysInOrder bool
}

// chosen is what is asked for: the wanted ones that are safe, or all safe ones where nothing is said. Broken ones come last, and only where they are allowed.
func chosen(keyword string, wanted, safe, broken []string, legacy bool) ([]string, error) {
	var list []string
	for _, name := range wanted {
		if contains(safe, name) && !contains(list, name) {
			list = append(list, name)
		}
	}
	if wanted == nil {
		list = append(list, safe...)
	}
	if legacy {
		list = append(list, broken...)
	}
	if len(list) > 0 {
		return list, nil
	}
	for _, name := range wanted {
		if contains(broken, name) {
			return nil, fmt.Errorf("%s of ssh_config leaves only what is not safe: %s (allow_legacy_ssh of the inventory allows it for a host)", keyword, clean(strings.Join(wanted, ",")))
		}
	}
	return nil, fmt.Errorf("%s of ssh_config leaves nothing that this program has: %s", keyword, clean(strings.Join(wanted, ",")))
}

// config asks for safe algorithms alone; broken ones come last, and only where the target allows them.
func (t Target) config(known *knownHosts) (*ssh.ClientConfig, error) {
	safe, broken := ssh.SupportedAlgorithms(), ssh.InsecureAlgorithms()
	c := &ssh.ClientConfig{User: t.User, ClientVersion: "SSH-2.0-mtaharden"}
	safe.HostKeys = append([]string{ssh.KeyAlgoED25519}, safe.HostKeys...)
	for _, one := range []struct {
		keyword              string
		wanted, safe, broken []string
		into                 *[]string
	}{
		{"KexAlgorithms", t.Algorithms.KeyExchanges, safe.KeyExchanges, broken.KeyExchanges, &c.KeyExchanges},
		{"Ciphers", t.Algorithms.Ciphers, safe.Ciphers, broken.Ciphers, &c.Ciphers},
		{"MACs", t.Algorithms.MACs, safe.MACs, broken.MACs, &c.MACs},
		{"HostKeyAlgorithms", t.Algorithms.HostKeys, safe.HostKeys, broken.HostKeys, &c.HostKeyAlgorithms},
	} {
		list, err := chosen(one.keyword, one.wanted, one.safe, one.broken, t.AllowLegacy)
		if err != nil {
			return nil, err
		}
		*one.into = list
	}
	if !t.Algorithms.HostKeysInOrder {
		c.HostKeyAlgorithms = known.order(t.names(), c.HostKeyAlgorithms)
	}
	return c, nil
}

// order puts those of known keys first: a host that shows the key we know is not mistaken for a changed one because it has others. The
// rest follow, so that a changed key is seen and named, and not an empty intersection. Certificates are asked for where an authority is known alone.
func (k *knownHosts) order(names, all []string) []string {
	var known []knownLine
	for _, n := range names { // a line for all hosts, of a revoked key or an authority, says nothing of the one that is known without its port
		known = append(known, k.of(n)...)
	}
	var list []string
	take := func(algos []string, want func(string) bool) {
		for _, a := range algos {
			if want(a) && contains(all, a) && !contains(list, a) {
				list = append(list, a)
			}
		}
	}
	isCert := func(a string) bool { return strings.Contains(a, "-cert-") }
	for _, l := range known {
		if l.marker == "cert-authority" {
			take(all, isCert)
		}
	}
	for _, l := range known {
		if l.marker == "" {
			take(formats(l.key.Type()), func(string) bool { return true })
		}
	}
	take(all, func(a string) bool { return !isCert(a) })
	if len(list) == 0 { // certificates alone are wanted
		return all
	}
	return list
}

// formats are the signature algorithms of a key of type typ, the best first (RFC 8332).
func formats(typ string) []string {
	if typ == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	return []string{typ}
}

// maySign says whether an authority's signature by that algorithm is taken: one of SHA-1 is where it is allowed for the host alone.
func (t Target) maySign(algorithm string) bool {
	if contains(ssh.InsecureAlgorithms().PublicKeyAuths, algorithm) {
		return t.AllowLegacy
	}
	return t.Algorithms.CASignatures == nil || contains(t.Algorithms.CASignatures, algorithm)
}

// weak names the algorithms in use that are no longer thought safe.
func weak(c ssh.ConnMetadata) []string {
	meta, ok := c.(ssh.AlgorithmsConnMetadata)
	if !ok {
		return nil
	}
	broken, used := ssh.InsecureAlgorithms(), meta.Algorithms()
	var list []string
	note := func(kind, algo string, bad []string) {
		if contains(bad, algo) && !contains(list, kind+" "+algo) {
			list = append(list, kind+" "+algo)
		}
	}
	note("key exchange", used.KeyExchange, broken.KeyExchanges)
	note("host key", used.HostKey, broken.HostKeys)
	for _, d := range []ssh.DirectionAlgorithms{used.Read, used.Write} {
		note("cipher", d.Cipher, broken.Ciphers)
		note("mac", d.MAC, append(broken.MACs, ssh.HMACSHA1))
	}
	return list
}

// signatures are the algorithms of those allowed that a key may sign with, by the names that a plain key has for them. allowed is nil where all are.
func signatures(key ssh.PublicKey, allowed []string) []string {
	typ, cert := key.Type(), ""
	if c, ok := key.(*ssh.Certificate); ok {
		typ, cert = c.Key.Type(), "-cert-v01@openssh.com"
	}
	return slices.DeleteFunc(formats(typ), func(a string) bool {
		name := a
		if cert != "" {
			name = strings.TrimSuffix(a, "@openssh.com") + cert
		}
		return allowed != nil && !contains(allowed, name)
	})
}

// restrict leaves out keys that PubkeyAcceptedAlgorithms leaves no signature to.
func (r *keyring) restrict(allowed []string) {
	var keep []*credential
	for _, k := range r.keys {
		if len(signatures(k.PublicKey(), allowed)) > 0 {
			keep = append(keep, k)
		} else {
			r.note("%s was not offered: PubkeyAcceptedAlgorithms of ssh_config leaves it out", k)
		}
	}
	r.keys = keep
}

// limited is a key that signs with those algorithms alone.
func limited(k *credential, allowed []string) ssh.Signer {
	if allowed == nil {
		return k
	}
	s, err := ssh.NewSignerWithAlgorithms(k, signatures(k.PublicKey(), allowed))
	if err != nil {
		return k // a kind of key that has one algorithm, and that is allowed
	}
	return s
}
