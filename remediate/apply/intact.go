package apply

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/remote"
)

// maxTexts bounds what is read of a run's own files.
const maxTexts = 16 << 20

// texts are a run's restore.sh and its sums, nil where there is none.
func (s shell) texts(ctx context.Context, h remote.Host, run string) (restore, sums []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, scriptTime)
	defer cancel()
	parts, _, err := s.l.Ask(ctx, h, run, `mh_blob restore "$mh_dir/restore.sh" 4096
mh_blob sums "$mh_dir/`+journal.FileSums+`" 16
`, maxTexts)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the restore.sh of run %s: %w", run, err)
	}
	for _, p := range parts {
		switch {
		case p.File && p.Key == "restore":
			restore = p.Data
		case p.File && p.Key == "sums":
			sums = append([]byte{}, p.Data...)
		}
	}
	return restore, sums, nil
}

// ownFile is a file that a run itself acts by.
type ownFile struct {
	name string
	data []byte
}

// ownFiles are those of a run, in the order in which they are written: restore.sh is whole before the manifest, the manifest before what acts by
// it. manifest is its text.
func (s shell) ownFiles(m backup.Manifest, manifest []byte) ([]ownFile, error) {
	sh, err := write(m, s.l, s.pace)
	if err != nil {
		return nil, err
	}
	files := []ownFile{
		{journal.FileRestore, []byte(sh.Restore)}, {"confirm.sh", []byte(sh.Confirm)}, {"guard.sh", []byte(sh.Guard)}, {journal.FileManifest, manifest},
		{"swap.sh", []byte(sh.Swap)},
	}
	all := map[string][]byte{}
	for _, f := range files {
		all[f.name] = f.data
	}
	return append(files, ownFile{journal.FileSums, backup.Sums(all)}), nil
}

// put writes a run's own files, durably, where a condition of sh holds.
func (s shell) put(ctx context.Context, h remote.Host, run, condition string, files []ownFile) error {
	var text strings.Builder
	text.WriteString(condition + " || exit 4\n")
	for _, f := range files {
		text.WriteString(journal.Put(`"$mh_dir/`+f.name+`"`, f.data))
		text.WriteString("[ -s \"$mh_dir/" + f.name + "\" ] && [ ! -e \"$mh_dir/" + f.name + ".tmp\" ] || exit 5\n")
	}
	text.WriteString(`mh_durable "$mh_dir"` + "\nexit 0\n")
	res, err := s.script(ctx, h, run, text.String())
	switch {
	case err != nil:
		return err
	case res.Exit == scriptFenced:
		return ErrFenced
	case res.Exit != 0:
		return fmt.Errorf("cannot write the run's scripts%s", said(res))
	}
	return nil
}

// scripts writes the manifest and the scripts of a run that is at work.
func (s shell) scripts(ctx context.Context, h remote.Host, run string, m backup.Manifest) error {
	data, err := m.Encode()
	if err != nil {
		return err
	}
	files, err := s.ownFiles(m, data)
	if err != nil {
		return err
	}
	return s.put(ctx, h, run, "! mh_taken && mh_locked", files)
}

// mend writes the own files of a run that is over anew.
func (s shell) mend(ctx context.Context, h remote.Host, run string, files []ownFile) error {
	err := s.put(ctx, h, run, `[ ! -e "$mh_base/lock" ]`, files)
	if errors.Is(err, ErrFenced) {
		return fmt.Errorf("%w: the scripts of run %s are damaged, and another run is at work", ErrRefused, run)
	}
	return err
}

// script holds the host's restore.sh and manifest against their sums: it is run as root, and a damaged one may do anything. Where the manifest is
// whole the scripts are made anew of it; where it is not, it says what the host lacks. Of a run of before there were sums nothing is known.
func (u *undoing) script(ctx context.Context, manifest []byte, m *backup.Manifest) (string, error) {
	restore, sums, err := u.rooms.texts(ctx, u.host, u.in.Of)
	if err != nil || sums == nil && restore != nil {
		return "", err
	}
	files, err := u.rooms.ownFiles(*m, manifest)
	if err != nil {
		return "", err
	}
	whole, known := backup.Summed(sums, journal.FileRestore, restore), backup.Summed(sums, journal.FileManifest, manifest)
	switch {
	case whole && known:
		return "", nil
	case known, !backup.Sealed(sums) && bytes.Equal(restore, files[0].data): // the latter: the sums are what is damaged
		u.out.Warnings = append(u.out.Warnings, "the host's scripts of the run, or their sums, were damaged: they are made anew of its manifest")
		return "", u.rooms.mend(ctx, u.host, u.in.Of, files)
	case u.in.Copy != nil:
		return "has a damaged manifest or restore.sh", nil
	}
	return "", fmt.Errorf("%w: the host has a damaged manifest or restore.sh of run %s, and this controller no copy", ErrRefused, u.in.Of)
}
