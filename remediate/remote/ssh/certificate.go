package ssh

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// certificates adds the certificates of the files that name one (CertificateFile), of those beside the keys (KEY-cert.pub), and of the agent's,
// each with the key that it certifies. One that holds at no time that this machine's clock allows is not offered.
func (r *keyring) certificates(t Target, keys []owned) {
	type named struct {
		file string
		said bool // a setting names it: that it is missing is worth a word
	}
	var files []named
	for _, f := range t.Certificates {
		files = append(files, named{f, true})
	}
	for _, f := range t.Identities {
		if name := strings.TrimSuffix(f, ".pub") + "-cert.pub"; !slices.Contains(t.Certificates, name) {
			files = append(files, named{name, false})
		}
	}
	for _, f := range files {
		cert, err := readCertificate(f.file)
		if err != nil || cert == nil {
			if f.said {
				r.note("%s: %v", f.file, cmpErr(err, errNoCertificate))
			}
			continue
		}
		if why := outdated(cert, time.Now()); why != "" {
			r.note("%s was not offered: %s", describeCertificate(cert, f.file), why)
			continue
		}
		key, ok := certified(keys, cert)
		if !ok {
			r.note("%s was not offered: neither the files nor the agent have its key", describeCertificate(cert, f.file))
			continue
		}
		r.addCertificate(cert, key, f.file)
	}
	r.heldCertificates(t, keys)
}

// heldCertificates adds those that the agent holds.
func (r *keyring) heldCertificates(t Target, keys []owned) {
	for _, k := range keys {
		cert, ok := k.PublicKey().(*ssh.Certificate)
		switch {
		case !ok || t.IdentitiesOnly:
		case outdated(cert, time.Now()) != "":
			r.note("%s was not offered: %s", describeCertificate(cert, k.from), outdated(cert, time.Now()))
		default:
			r.add(k)
		}
	}
}

var errNoCertificate = errors.New("it is no certificate")

func cmpErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

func (r *keyring) addCertificate(cert *ssh.Certificate, key owned, file string) {
	if key.PublicKey().Type() == cert.Type() { // the agent holds the very certificate
		r.add(owned{key.Signer, file + " in agent", true})
		return
	}
	signer, err := ssh.NewCertSigner(cert, key.Signer)
	if err != nil {
		r.note("%s: %v", describeCertificate(cert, file), err)
		return
	}
	r.add(owned{signer, file, key.held})
}

// certified is the key that a certificate is for: the plain one, else the agent's own copy of the certificate.
func certified(keys []owned, cert *ssh.Certificate) (owned, bool) {
	for _, want := range []ssh.PublicKey{cert.Key, cert} {
		for _, k := range keys {
			if sameKey(k.PublicKey(), want) {
				return k, true
			}
		}
	}
	return owned{}, false
}

// readCertificate reads a certificate's file; nil where it holds something else.
func readCertificate(file string) (*ssh.Certificate, error) {
	data, err := readKey(file)
	if err != nil {
		return nil, err
	}
	cert, _ := parsePublic(data).(*ssh.Certificate)
	return cert, nil
}

// outdated says why a certificate does not hold at a moment; "" where it does (PROTOCOL.certkeys, "valid after" and "valid before").
func outdated(cert *ssh.Certificate, now time.Time) string {
	at := uint64(max(now.Unix(), 0))
	switch {
	case cert.CertType != ssh.UserCert:
		return "it is a host's certificate"
	case at < cert.ValidAfter:
		return "it holds only from " + certTime(cert.ValidAfter) + " on"
	case cert.ValidBefore != ssh.CertTimeInfinity && at >= cert.ValidBefore:
		return "it expired at " + certTime(cert.ValidBefore)
	}
	return ""
}

func certTime(seconds uint64) string {
	if seconds > 1<<37 { // beyond what a date is written for
		return "a time beyond all calendars"
	}
	return time.Unix(int64(seconds), 0).UTC().Format("2006-01-02 15:04:05 MST")
}

func describeCertificate(cert *ssh.Certificate, from string) string {
	return fmt.Sprintf("the certificate %q (%s)", clean(cert.KeyId), from)
}

// principals says of a certificate that a host refused whether it names the account; "" where it does. A host may want other names than the
// account's (sshd_config(5), AuthorizedPrincipalsFile), so such a certificate is offered all the same.
func principals(cert *ssh.Certificate, user string) string {
	if slices.Contains(cert.ValidPrincipals, user) {
		return ""
	}
	if len(cert.ValidPrincipals) == 0 {
		return "it names no account at all"
	}
	return fmt.Sprintf("it is for %s and not for %s", clean(strings.Join(cert.ValidPrincipals, ", ")), user)
}
