package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"filippo.io/age"
)

// Failures of the controller's store.
var (
	// ErrDamage: a content is not what was put there.
	ErrDamage = errors.New("it is damaged")
	// ErrEncrypted: a content was encrypted, and none of the identities given opens it.
	ErrEncrypted = errors.New("it is encrypted")
)

// maxBlob bounds a content.
const maxBlob = maxSaved << 10

// ageHead begins a content that is encrypted: the hash of what follows it, by which damage is found without a key.
const ageHead = "mtaharden-blob/1 age "

// blobName is where a content is, by its hash.
func blobName(hash string) (string, error) {
	hex, ok := strings.CutPrefix(hash, "sha256:")
	if !ok || !isHash(hash) {
		return "", fmt.Errorf("%.80q is no sha256", hash)
	}
	return "blobs/" + hex[:2] + "/" + hex[2:], nil
}

// put keeps a content under its hash, encrypted where there are recipients. What is there already stays, unless it is damaged.
func (s *Store) put(data []byte) (string, error) {
	hash := Hash(data)
	name, err := blobName(hash)
	if err != nil {
		return "", err
	}
	if len(data) > maxBlob {
		return "", fmt.Errorf("a content of %d bytes is too large", len(data))
	}
	if len(s.recipients) > 0 {
		name += ".age"
	}
	if old, err := s.Read(name, maxBlob*2); err == nil && checkBlob(name, old) == nil {
		return hash, nil
	}
	if len(s.recipients) > 0 {
		if data, err = s.encrypt(data); err != nil {
			return "", fmt.Errorf("cannot encrypt a content: %w", err)
		}
	}
	return hash, s.Write(name, data)
}

func (s *Store) encrypt(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := age.Encrypt(&b, s.recipients...)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(data)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return append([]byte(ageHead+Hash(b.Bytes())+"\n"), b.Bytes()...), nil
}

// Get returns a content by its hash: ErrDamage where it is not what it was, ErrEncrypted where no identity opens it.
func (s *Store) Get(hash string, identities ...age.Identity) ([]byte, error) {
	name, err := blobName(hash)
	if err != nil {
		return nil, err
	}
	data, err := s.Read(name, maxBlob)
	if err == nil {
		err = checkBlob(name, data)
	}
	if err == nil {
		return data, nil
	}
	sealed, serr := s.Read(name+".age", maxBlob*2)
	if errors.Is(serr, fs.ErrNotExist) {
		return nil, err
	}
	if serr == nil {
		serr = checkBlob(name+".age", sealed)
	}
	if serr != nil {
		return nil, serr
	}
	return decrypt(sealed, hash, identities)
}

func decrypt(sealed []byte, hash string, identities []age.Identity) ([]byte, error) {
	if len(identities) == 0 {
		return nil, fmt.Errorf("the content %.20s: %w", hash, ErrEncrypted)
	}
	_, body, _ := bytes.Cut(sealed, []byte("\n"))
	r, err := age.Decrypt(bytes.NewReader(body), identities...)
	if err != nil {
		return nil, fmt.Errorf("the content %.20s: %w: %w", hash, ErrEncrypted, err)
	}
	data, err := io.ReadAll(io.LimitReader(r, maxBlob+1))
	if err != nil || Hash(data) != hash {
		return nil, fmt.Errorf("the content %.20s: %w", hash, errors.Join(ErrDamage, err))
	}
	return data, nil
}

// checkBlob says whether a content is what its name says; of an encrypted one, what was put there.
func checkBlob(name string, data []byte) error {
	sealed, isAge := strings.CutSuffix(name, ".age")
	want := "sha256:" + strings.ReplaceAll(strings.TrimPrefix(sealed, "blobs/"), "/", "")
	if isAge {
		head, body, _ := bytes.Cut(data, []byte("\n"))
		hash, ok := strings.CutPrefix(string(head), ageHead)
		if !ok {
			return fmt.Errorf("%s: %w", name, ErrDamage)
		}
		want, data = hash, body
	}
	if Hash(data) != want {
		return fmt.Errorf("%s: %w", name, ErrDamage)
	}
	return nil
}

// removeBlob removes a content.
func (s *Store) removeBlob(name string) error {
	if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove %s: %w", s.path(name), cause(err))
	}
	return nil
}
