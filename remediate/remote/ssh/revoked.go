package ssh

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"sync"

	"golang.org/x/crypto/ssh"
)

// revocations are the keys of a RevokedHostKeys file (ssh_config(5)), which no host may have: a list of public keys, or a KRL (OpenSSH's PROTOCOL.krl).
type revocations struct {
	keys         map[string]bool // in the form of the wire
	sha1, sha256 map[string]bool // of that form
	certificates []revokedCertificates
}

// revokedCertificates are those of one authority.
type revokedCertificates struct {
	authority string // its key in the form of the wire; "" is any
	serials   []serials
	ids       map[string]bool
}

// serials are the serial numbers from one to another, or those that have their bit in a map that begins with the first.
type serials struct {
	from, to uint64
	bits     *big.Int
}

func (s serials) have(n uint64) bool {
	if n < s.from || n == 0 { // ssh-keygen(1): a certificate without a serial number is not revoked by one
		return false
	}
	if s.bits == nil {
		return n <= s.to
	}
	return n-s.from < uint64(s.bits.BitLen()) && s.bits.Bit(int(n-s.from)) == 1
}

// krlMagic begins a KRL.
const krlMagic = "SSHKRL\n\x00"

// readRevocations reads a RevokedHostKeys file. Whatever of it cannot be understood is an error, and no host is trusted then, as for ssh.
func readRevocations(file string) (*revocations, error) {
	data, err := readKnownFile(file)
	if err != nil {
		return nil, err
	}
	r := &revocations{keys: map[string]bool{}, sha1: map[string]bool{}, sha256: map[string]bool{}}
	if bytes.HasPrefix(data, []byte(krlMagic)) {
		return r, r.krl(data[len(krlMagic):])
	}
	number := 0
	for text := range bytes.Lines(data) {
		number++
		if text = bytes.TrimSpace(text); len(text) == 0 || text[0] == '#' {
			continue
		}
		key, _, options, _, err := ssh.ParseAuthorizedKey(text)
		if err == nil && len(options) > 0 {
			err = errors.New("it is no public key")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %v", number, err)
		}
		r.keys[string(plainKey(key).Marshal())] = true
	}
	return r, nil
}

// The sections of a KRL, and those of a section of certificates (PROTOCOL.krl, 2 to 5).
const (
	krlCertificates = 1
	krlKeys         = 2
	krlSHA1         = 3
	krlSignature    = 4
	krlSHA256       = 5
	krlSerials      = 0x20
	krlSerialRange  = 0x21
	krlSerialBitmap = 0x22
	krlKeyIDs       = 0x23
	krlExtension    = 0xff
	krlCertificateX = 0x39 // an extension within a section of certificates
)

// section is one part of a KRL, and what follows it.
type section struct {
	Type byte
	Data []byte
	Rest []byte `ssh:"rest"`
}

func (r *revocations) krl(data []byte) error {
	var head struct {
		Format           uint32
		Version, Made    uint64
		Flags            uint64
		Reserved, Remark []byte
		Rest             []byte `ssh:"rest"`
	}
	if err := ssh.Unmarshal(data, &head); err != nil || head.Format != 1 {
		return errors.New("its key revocation list is cut off, or of another format than 1")
	}
	return sections(head.Rest, func(s section) error {
		switch s.Type {
		case krlCertificates:
			return r.certificatesOf(s.Data)
		case krlKeys:
			return each(s.Data, r.keys)
		case krlSHA1:
			return each(s.Data, r.sha1)
		case krlSHA256:
			return each(s.Data, r.sha256)
		case krlExtension:
			return extension(s.Data)
		}
		return fmt.Errorf("its key revocation list has a section of the unknown kind %d", s.Type)
	})
}

// sections goes through those of data. A signature is the end: what is signed stands before it.
func sections(data []byte, one func(section) error) error {
	for len(data) > 0 && data[0] != krlSignature {
		var s section
		if err := ssh.Unmarshal(data, &s); err != nil {
			return errors.New("its key revocation list is cut off")
		}
		if err := one(s); err != nil {
			return err
		}
		data = s.Rest
	}
	return nil
}

// each puts the strings of data into a set.
func each(data []byte, into map[string]bool) error {
	for len(data) > 0 {
		var one struct {
			Text []byte
			Rest []byte `ssh:"rest"`
		}
		if err := ssh.Unmarshal(data, &one); err != nil {
			return errors.New("its key revocation list is cut off")
		}
		into[string(one.Text)] = true
		data = one.Rest
	}
	return nil
}

// extension refuses one that must not be passed over.
func extension(data []byte) error {
	var x struct {
		Name     string
		Critical bool
		Contents []byte
	}
	if err := ssh.Unmarshal(data, &x); err != nil {
		return errors.New("its key revocation list is cut off")
	}
	if x.Critical {
		return fmt.Errorf("its key revocation list has the unknown extension %s", clean(x.Name))
	}
	return nil
}

// certificatesOf takes a section of an authority's certificates.
func (r *revocations) certificatesOf(data []byte) error {
	var head struct {
		Authority, Reserved []byte
		Rest                []byte `ssh:"rest"`
	}
	if err := ssh.Unmarshal(data, &head); err != nil {
		return errors.New("its key revocation list is cut off")
	}
	c := revokedCertificates{authority: string(head.Authority), ids: map[string]bool{}}
	err := sections(head.Rest, func(s section) error {
		switch s.Type {
		case krlKeyIDs:
			return each(s.Data, c.ids)
		case krlCertificateX:
			return extension(s.Data)
		}
		more, err := serialNumbers(s)
		c.serials = append(c.serials, more...)
		return err
	})
	r.certificates = append(r.certificates, c)
	return err
}

func serialNumbers(s section) (list []serials, err error) {
	switch s.Type {
	case krlSerials:
		for data := s.Data; len(data) > 0 && err == nil; {
			var one struct {
				N    uint64
				Rest []byte `ssh:"rest"`
			}
			err = ssh.Unmarshal(data, &one)
			list, data = append(list, serials{from: one.N, to: one.N}), one.Rest
		}
	case krlSerialRange:
		var one struct{ From, To uint64 }
		err = ssh.Unmarshal(s.Data, &one)
		list = []serials{{from: one.From, to: one.To}}
	case krlSerialBitmap:
		var one struct {
			From uint64
			Bits *big.Int
		}
		if err = ssh.Unmarshal(s.Data, &one); err == nil && one.Bits.Sign() < 0 {
			err = errors.New("a negative number")
		}
		list = []serials{{from: one.From, bits: one.Bits}}
	default:
		return nil, fmt.Errorf("its key revocation list has certificates by the unknown kind %#x", s.Type)
	}
	if err != nil {
		err = errors.New("its key revocation list is cut off")
	}
	return list, err
}

// has says whether a host's key is revoked: the key itself, for a certificate its authority too, or the certificate by its number or name.
func (r *revocations) has(key ssh.PublicKey) bool {
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		return r.hasKey(key)
	}
	if r.hasKey(cert.Key) || r.hasKey(cert.SignatureKey) {
		return true
	}
	authority := string(cert.SignatureKey.Marshal())
	for _, c := range r.certificates {
		if c.authority != "" && c.authority != authority {
			continue
		}
		if c.ids[cert.KeyId] {
			return true
		}
		for _, s := range c.serials {
			if s.have(cert.Serial) {
				return true
			}
		}
	}
	return false
}

func (r *revocations) hasKey(key ssh.PublicKey) bool {
	blob := key.Marshal()
	one, two := sha1.Sum(blob), sha256.Sum256(blob)
	return r.keys[string(blob)] || r.sha1[string(one[:])] || r.sha256[string(two[:])]
}

// unrevoked is an error where key is revoked by a file that RevokedHostKeys names, or may be.
func (t Target) unrevoked(key ssh.PublicKey) error {
	if t.RevokedKeys == "" {
		return nil
	}
	r, err := t.Known.revoked(t.RevokedKeys)
	switch {
	case err != nil:
		return fmt.Errorf("the host key %s is not accepted: RevokedHostKeys of ssh_config names %s, which cannot be read: %v", describe(key), t.RevokedKeys, err)
	case r.has(key):
		return fmt.Errorf("the host key %s is revoked by %s (RevokedHostKeys of ssh_config)", describe(key), t.RevokedKeys)
	}
	return nil
}

// revoked is what a RevokedHostKeys file says, read once.
func (k *KnownFiles) revoked(file string) (*revocations, error) {
	if k == nil {
		return readRevocations(file)
	}
	k.mu.Lock()
	read := k.revocations[file]
	if read == nil {
		read = sync.OnceValues(func() (*revocations, error) { return readRevocations(file) })
		if k.revocations == nil {
			k.revocations = map[string]func() (*revocations, error){}
		}
		k.revocations[file] = read
	}
	k.mu.Unlock()
	return read()
}
