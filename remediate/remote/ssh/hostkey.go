package ssh

import (
	"bytes"
	"cmp"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/lockedfile"
	"golang.org/x/crypto/ssh"

	"mtaharden/remediate/remote"
)

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// describe names a key as ssh-keygen -l does.
func describe(key ssh.PublicKey) string {
	key, kind := plainKey(key), key.Type()
	return kind + " " + ssh.FingerprintSHA256(key)
}

// plainKey is the key that a certificate is for.
func plainKey(key ssh.PublicKey) ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Key
	}
	return key
}

func same(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// names are what the target's key is looked up under, in order, as known_hosts has it. ssh looks a host on another port than 22 up without the port too, when
// no line names it with the port. An alias stands for both host and port. A name beyond ASCII is looked up in its
// DNS form first, then as it is written; an IPv6 address as it is written, then as it is usually.
func (t Target) names() []string {
	if t.HostKeyAlias != "" {
		return []string{usual(strings.ToLower(t.HostKeyAlias))}
	}
	var names, done []string
	for _, host := range []string{asciiName(t.Address), t.Address, canonical(t.Address)} {
		host = strings.ToLower(host)
		if contains(done, host) {
			continue
		}
		done = append(done, host)
		if t.Port != 22 {
			names = append(names, "["+host+"]:"+strconv.Itoa(t.Port))
		}
		names = append(names, host)
	}
	return names
}

// principal is the name that a host's certificate must be for.
func (t Target) principal() string {
	if t.HostKeyAlias != "" {
		return strings.ToLower(t.HostKeyAlias)
	}
	return strings.ToLower(asciiName(t.Address))
}

// judgement is what known_hosts files say of a key that a host has proven to hold.
type judgement struct {
	trusted bool
	revoked *knownLine  // the line that revokes it
	keys    []knownLine // other keys that are known for the host
	cas     []knownLine // authorities that are known for the host, and did not sign
	err     error       // what is wrong with a certificate of a known authority
}

func (j judgement) unknown() bool {
	return !j.trusted && j.revoked == nil && len(j.keys) == 0 && j.err == nil
}

// check judges key under the first name that any line has. A name without its port is asked only whether the key is trusted or revoked.
func (k *knownHosts) check(t Target, key ssh.PublicKey) judgement {
	names := t.names()
	if k.revoking != nil {
		for _, name := range names {
			if l := revokedBy(k.revoking.of(name), key); l != nil {
				return judgement{revoked: l}
			}
		}
	}
	first := k.checkName(names[0], t, key)
	for _, name := range names[1:] {
		if !first.unknown() {
			break
		}
		if next := k.checkName(name, t, key); next.trusted || next.revoked != nil || next.err != nil {
			return next
		} else if (t.Port == 22 || strings.HasPrefix(name, "[")) && len(next.keys)+len(next.cas) > 0 {
			first = next
		}
	}
	return first
}

func (k *knownHosts) checkName(name string, t Target, key ssh.PublicKey) judgement {
	var j judgement
	lines := k.of(name)
	cert, _ := key.(*ssh.Certificate)
	if l := revokedBy(lines, key); l != nil {
		return judgement{revoked: l}
	}
	for _, l := range lines {
		if l.marker == "cert-authority" && cert != nil && same(l.key, cert.SignatureKey) {
			if j.err = t.checkCertificate(cert); j.err == nil {
				return judgement{trusted: true}
			}
			break
		}
	}
	for _, l := range lines {
		switch { // of a certificate that nobody known has signed, or that does not hold, the key in it may be known, as for ssh
		case l.marker == "" && same(l.key, plainKey(key)):
			return judgement{trusted: true}
		case l.marker == "":
			j.keys = append(j.keys, l)
		case l.marker == "cert-authority":
			j.cas = append(j.cas, l)
		}
	}
	return j
}

// revokedBy is the line that revokes a key, or the authority that signed its certificate; nil where none does.
func revokedBy(lines []knownLine, key ssh.PublicKey) *knownLine {
	cert, _ := key.(*ssh.Certificate)
	for _, l := range lines {
		if l.marker == "revoked" && (same(l.key, plainKey(key)) || cert != nil && same(l.key, cert.SignatureKey)) {
			return &l
		}
	}
	return nil
}

// checkCertificate judges a host's certificate whose authority is known. Its principals may be patterns (ssh-keygen(1), CERTIFICATES).
func (t Target) checkCertificate(cert *ssh.Certificate) error {
	name := t.principal()
	switch {
	case cert.CertType != ssh.HostCert:
		return errors.New("its certificate is for a user and not for a host")
	case !t.maySign(cert.Signature.Format):
		return fmt.Errorf("its certificate is signed by %s, which is not taken of an authority (ssh_config(5), CASignatureAlgorithms)", clean(cert.Signature.Format))
	}
	for _, p := range cert.ValidPrincipals {
		if remote.Like(strings.ToLower(p), name) {
			name = p
			break
		}
	}
	return new(ssh.CertChecker).CheckCert(name, cert)
}

// trust decides whether key may be the target's. It is asked after the host has proven that it holds the key.
func (t Target) trust(k *knownHosts, key ssh.PublicKey) error {
	t.tracef("host key %s", describe(key))
	if err := cmp.Or(t.tooShort(key), t.unrevoked(key)); err != nil {
		return err
	}
	j := k.check(t, key)
	switch {
	case j.trusted:
		return nil
	case j.unknown() && t.AcceptNew && t.AcceptedKeys != "":
		return t.acceptNew(key)
	}
	return k.explain(t, key, j)
}

// tooShort refuses an RSA key of fewer bits than RequiredRSASize, and a certificate of such a key.
func (t Target) tooShort(key ssh.PublicKey) error {
	if public, ok := plainKey(key).(ssh.CryptoPublicKey); ok {
		if k, ok := public.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() < t.MinRSABits {
			return fmt.Errorf("the host key %s is not accepted: it has %d bits, and RequiredRSASize of ssh_config wants %d", describe(key), k.N.BitLen(), t.MinRSABits)
		}
	}
	return nil
}

// explain turns what check found into a message with every fact that a person needs to decide.
func (k *knownHosts) explain(t Target, key ssh.PublicKey, j judgement) error {
	listed := func(lines []knownLine) (out []string) {
		for _, l := range lines {
			out = append(out, describe(l.key)+" ("+l.where()+")")
		}
		return out
	}
	switch {
	case j.revoked != nil:
		return fmt.Errorf("the host key %s is revoked at %s", describe(key), j.revoked.where())
	case j.err != nil:
		return fmt.Errorf("the host key %s is not accepted: %v", describe(key), j.err)
	case len(j.keys) > 0:
		return fmt.Errorf("the host key has changed: the host shows %s, known is %s", describe(key), strings.Join(listed(j.keys), ", "))
	case len(j.cas) > 0:
		return fmt.Errorf("the host key is not known: the host shows %s, which is not signed by %s", describe(key), strings.Join(listed(j.cas), " or "))
	}
	msg := fmt.Sprintf("the host key is not known: the host shows %s and no line for %s is in %s",
		describe(key), strings.Join(t.names(), " or "), strings.Join(k.files, ", "))
	if len(k.problems) > 0 {
		msg += "; " + strings.Join(k.problems[:min(len(k.problems), 3)], "; ")
	}
	return errors.New(msg)
}

// acceptNew writes key as the target's to the program's own file. The file is locked and looked at again: another run may have met the host just now,
// and if it saw another key, one of the two is not the host's.
func (t Target) acceptNew(key ssh.PublicKey) error {
	if err := os.MkdirAll(filepath.Dir(t.AcceptedKeys), 0o700); err != nil {
		return fmt.Errorf("cannot remember the host key: %v", err)
	}
	f, err := lockedfile.OpenFile(t.AcceptedKeys, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot remember the host key: %v", err)
	}
	defer f.Close()
	now := readKnownHosts([]string{t.AcceptedKeys})
	name := t.names()[0]
	switch j := now.checkName(name, t, key); {
	case j.trusted:
		return nil
	case !j.unknown():
		return now.explain(t, key, j)
	}
	if err := appendLine(f, name+" "+string(ssh.MarshalAuthorizedKey(plainKey(key)))); err != nil {
		return fmt.Errorf("cannot remember the host key: %v", err)
	}
	t.tracef("host key %s taken on first sight and written to %s", describe(key), t.AcceptedKeys)
	return nil
}

// appendLine writes line durably; a line before it that was cut off stays on its own.
func appendLine(f *lockedfile.File, line string) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err == nil && end > 0 {
		last := make([]byte, 1)
		if _, err = f.ReadAt(last, end-1); err == nil && last[0] != '\n' {
			line = "\n" + line
		}
	}
	if err == nil {
		_, err = f.Write([]byte(line))
	}
	if err == nil {
		err = f.Sync()
	}
	return err
}

func (t Target) endpoint() string {
	return net.JoinHostPort(asciiName(t.Address), strconv.Itoa(t.Port))
}
