package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
)

// Bounds of a manifest.
const (
	maxManifest = 8 << 20
	maxItems    = 2000
)

// Encode returns the manifest as it stands in a run's folder.
func (m Manifest) Encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("cannot write the manifest of run %s: %w", m.Run, err)
	}
	data, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, fmt.Errorf("cannot write the manifest of run %s: %w", m.Run, err)
	}
	return append(data, '\n'), nil
}

// Decode reads a manifest. What comes from a host is refused unless it is one in every part: scripts are made of it.
func Decode(data []byte) (*Manifest, error) {
	var m Manifest
	if len(data) > maxManifest {
		return nil, fmt.Errorf("cannot read a manifest: it is larger than %d bytes", maxManifest)
	}
	if !utf8.Valid(data) {
		return nil, errors.New("cannot read a manifest: it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(&m)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			err = m.check()
		} else {
			err = errors.New("something follows its end")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read a manifest: %w", err)
	}
	return &m, nil
}

func (m Manifest) check() error {
	if err := journal.CheckRun(m.Run); err != nil {
		return err
	}
	if len(m.Items) > maxItems {
		return fmt.Errorf("it has %d items", len(m.Items))
	}
	files := map[string]bool{}
	for i, item := range m.Items {
		if err := item.check(); err != nil {
			return fmt.Errorf("item %d (%.200q): %w", i+1, item.Path, err)
		}
		if item.Kind == plan.ModeChange || item.Kind == plan.Unit {
			continue
		}
		if files[item.Path] {
			return fmt.Errorf("item %d: %.200q is there twice", i+1, item.Path)
		}
		files[item.Path] = true
	}
	return checkReload(m.Reload)
}

func checkReload(commands []plan.Command) error {
	for _, c := range commands {
		if len(c.Argv) == 0 || c.Argv[0] == "" || slices.ContainsFunc(c.Argv, func(w string) bool { return strings.ContainsRune(w, 0) }) {
			return errors.New("a reload is no command")
		}
	}
	return nil
}

func (i Item) check() error {
	if err := checkPath(i.Path); err != nil {
		return err
	}
	if i.Named != "" {
		if err := checkPath(i.Named); err != nil || i.Named == i.Path {
			return errors.Join(fmt.Errorf("it is named %.200q", i.Named), err)
		}
	}
	switch i.Kind {
	case plan.EditFile, plan.CreateFile, plan.DeleteFile, plan.Generated:
		return errors.Join(i.Before.check(true), i.After.check(false), i.noService())
	case plan.ModeChange:
		if i.Kept {
			return errors.New("a change of mode keeps no inode")
		}
		return errors.Join(i.Before.check(false), i.After.check(false), i.noService())
	case plan.Unit:
		return i.checkService()
	}
	return fmt.Errorf("unknown kind %.40q", i.Kind)
}

func (i Item) noService() error {
	if i.Service != nil {
		return fmt.Errorf("a change of kind %s has a service", i.Kind)
	}
	if i.Kept && i.Before.Absent {
		return errors.New("what was not there cannot be kept")
	}
	return nil
}

func (i Item) checkService() error {
	if i.Service == nil || i.Service.Name == "" || i.Service.Manager == "" || i.Kept {
		return errors.New("a change of kind service names none")
	}
	for _, l := range slices.Concat(i.Service.Before.Links, i.Service.After.Links) {
		if err := checkPath(l); err != nil {
			return fmt.Errorf("boot link %.200q: %w", l, err)
		}
	}
	return nil
}

// checkPath refuses what is not the clean absolute path of something below the root, or cannot stand in a line.
func checkPath(p string) error {
	switch {
	case len(p) < 2 || len(p) > 4096 || !path.IsAbs(p) || path.Clean(p) != p:
		return errors.New("the path is not a clean absolute one")
	case !utf8.ValidString(p) || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("the path holds a control character, or is not UTF-8")
	}
	return nil
}

// check says whether a state is one. The hash may be missing where the state is not yet known, or is not of a content.
func (s State) check(hashed bool) error {
	if s.Absent {
		if s.Hash != "" || s.Size != 0 || s.Mode != "" {
			return errors.New("what is absent has a state")
		}
		return nil
	}
	if s.Hash == "" && hashed {
		return errors.New("it has no hash")
	}
	if s.Hash != "" && !isHash(s.Hash) {
		return fmt.Errorf("%.80q is no hash", s.Hash)
	}
	if s.Mode != "" && (len(s.Mode) != 4 || strings.Trim(s.Mode, "01234567") != "") || hashed && s.Mode == "" {
		return fmt.Errorf("%.40q is no mode", s.Mode)
	}
	if s.Size < 0 || s.UID < 0 || s.GID < 0 || s.UID > 1<<32-1 || s.GID > 1<<32-1 {
		return errors.New("a negative number")
	}
	return nil
}

// isHash says whether text is "sha256:HEX" or "cksum:CRC SIZE".
func isHash(text string) bool {
	if hex, ok := strings.CutPrefix(text, "sha256:"); ok {
		return len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
	}
	crc, size, ok := strings.Cut(strings.TrimPrefix(text, "cksum:"), " ")
	return ok && strings.HasPrefix(text, "cksum:") && digits(crc) && digits(size)
}

func digits(s string) bool { return s != "" && len(s) < 20 && strings.Trim(s, "0123456789") == "" }
