package ssh

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/lockedfile"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// describe names a key as ssh-keygen -l does.
func describe(key ssh.PublicKey) string {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Type() + " " + ssh.FingerprintSHA256(cert.Key)
	}
	return key.Type() + " " + ssh.FingerprintSHA256(key)
}

// trust decides whether key may be the target's. It is asked after the host has proven that it holds the key.
func (t Target) trust(k *knownHosts, key ssh.PublicKey) error {
	t.tracef("host key %s", describe(key))
	err := k.check(t.names(), key)
	if err == nil {
		return nil
	}
	if knownhosts.IsHostUnknown(err) && t.AcceptNew && t.AcceptedKeys != "" {
		return t.acceptNew(key)
	}
	return k.explain(t, key, err)
}

// explain turns what check found into a message with every fact that a person needs to decide.
func (k *knownHosts) explain(t Target, key ssh.PublicKey, err error) error {
	var revoked *xknownhosts.RevokedError
	var mismatch *xknownhosts.KeyError
	switch {
	case errors.As(err, &revoked):
		return fmt.Errorf("the host key %s is revoked at %s", describe(key), k.where(revoked.Revoked))
	case !errors.As(err, &mismatch):
		return fmt.Errorf("the host key %s is not accepted: %v", describe(key), err)
	case len(mismatch.Want) == 0:
		msg := fmt.Sprintf("the host key is not known: the host shows %s and no line for %s is in %s",
			describe(key), strings.Join(t.lookedUp(), " or "), strings.Join(k.files, ", "))
		if len(k.problems) > 0 {
			msg += "; " + strings.Join(k.problems[:min(len(k.problems), 3)], "; ")
		}
		return errors.New(msg)
	}
	isCA := map[string]bool{}
	for _, n := range t.names() {
		for _, known := range k.db.HostKeys(n) {
			isCA[string(known.Marshal())] = isCA[string(known.Marshal())] || known.Cert
		}
	}
	var plainKeys, cas []string
	for _, want := range mismatch.Want {
		at := describe(want.Key) + " (" + k.where(want) + ")"
		if isCA[string(want.Key.Marshal())] {
			cas = append(cas, at)
		} else {
			plainKeys = append(plainKeys, at)
		}
	}
	if len(plainKeys) == 0 {
		return fmt.Errorf("the host key is not known: the host shows %s, which is not signed by %s", describe(key), strings.Join(cas, " or "))
	}
	return fmt.Errorf("the host key has changed: the host shows %s, known is %s", describe(key), strings.Join(plainKeys, ", "))
}

// lookedUp are the names as they would stand in a known_hosts file.
func (t Target) lookedUp() []string {
	var out []string
	for _, n := range t.names() {
		out = append(out, knownhosts.Normalize(n))
	}
	return out
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
	now, err := readKnownHosts([]string{t.AcceptedKeys})
	if err != nil {
		return fmt.Errorf("cannot remember the host key: %v", err)
	}
	err = now.check(t.names()[:1], key)
	if err == nil {
		return nil
	}
	if !knownhosts.IsHostUnknown(err) {
		return now.explain(t, key, err)
	}
	if cert, ok := key.(*ssh.Certificate); ok {
		key = cert.Key
	}
	line := knownhosts.Line(t.names()[:1], key) + "\n"
	end, err := f.Seek(0, io.SeekEnd)
	if err == nil && end > 0 {
		last := make([]byte, 1)
		if _, err = f.ReadAt(last, end-1); err == nil && last[0] != '\n' {
			line = "\n" + line // a line that was cut off stays on its own
		}
	}
	if err == nil {
		_, err = f.Write([]byte(line))
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("cannot remember the host key: %v", err)
	}
	t.tracef("host key %s taken on first sight and written to %s", describe(key), t.AcceptedKeys)
	return nil
}
