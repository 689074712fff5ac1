package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"mtaharden/remediate/journal"
)

// Store is what the controller keeps of every run: the manifest of each host, and the contents that it replaced, by hash. It is kept
// in the state directory: runs/RUN/HOST.backup and blobs/.
type Store struct {
	*StateDir
	recipients []age.Recipient
}

// OpenStore opens the store of a controller's directory. Contents are encrypted to the recipients ("age1…"), where there are any.
func OpenStore(s *StateDir, recipients []string) (*Store, error) {
	out := &Store{StateDir: s}
	for _, r := range recipients {
		parsed, err := age.ParseRecipients(strings.NewReader(r + "\n"))
		if err != nil {
			return nil, fmt.Errorf("cannot encrypt backups to %.80q: %w", r, err)
		}
		out.recipients = append(out.recipients, parsed...)
	}
	return out, nil
}

// Copy is what the controller keeps of one host of a run.
type Copy struct {
	Schema   string         `json:"schema"` // mtaharden-backup/1
	Host     string         `json:"host"`
	Made     time.Time      `json:"made"`
	Manifest Manifest       `json:"manifest"`
	Contents map[int]string `json:"contents"` // the hash of each item's content, by its place in the manifest
}

const (
	copySchema = "mtaharden-backup/1"
	copySuffix = ".backup"
)

// Keep keeps what a run replaces on a host: every content, and then the manifest. It is durable when Keep returns.
func (s *Store) Keep(ctx context.Context, host string, m Manifest, contents map[int][]byte, now time.Time) error {
	unlock, err := s.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	c := Copy{Schema: copySchema, Host: host, Made: now.UTC().Truncate(time.Second), Manifest: m, Contents: map[int]string{}}
	for i, data := range contents {
		if c.Contents[i], err = s.put(data); err != nil {
			return fmt.Errorf("cannot keep the backup of %s: %w", host, err)
		}
	}
	if err := c.check(); err != nil {
		return fmt.Errorf("cannot keep the backup of %s: %w", host, err)
	}
	data, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return fmt.Errorf("cannot keep the backup of %s: %w", host, err)
	}
	return s.Write(copyName(m.Run, host), append(data, '\n'))
}

func copyName(run, host string) string { return "runs/" + run + "/" + FileName(host) + copySuffix }

// Load returns what is kept of a host of a run.
func (s *Store) Load(run, host string) (*Copy, error) {
	if err := journal.CheckRun(run); err != nil {
		return nil, fmt.Errorf("cannot load a backup: %w", err)
	}
	return s.load(copyName(run, host), run, host)
}

func (s *Store) load(name, run, host string) (*Copy, error) {
	data, err := s.Read(name, maxManifest)
	if err != nil {
		return nil, err
	}
	var c Copy
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err = d.Decode(&c); err == nil {
		if _, end := d.Token(); end != io.EOF {
			err = errors.New("something follows its end")
		}
	}
	if err == nil {
		err = c.check()
	}
	if err == nil && (c.Manifest.Run != run || host != "" && c.Host != host || FileName(c.Host)+copySuffix != name[strings.LastIndexByte(name, '/')+1:]) {
		err = errors.New("it is of another run or host")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", s.path(name), ErrDamage, err)
	}
	return &c, nil
}

func (c *Copy) check() error {
	if c.Schema != copySchema || c.Host == "" {
		return fmt.Errorf("its schema is %.40q, its host %.80q", c.Schema, c.Host)
	}
	for i, hash := range c.Contents {
		if i < 0 || i >= len(c.Manifest.Items) || !strings.HasPrefix(hash, "sha256:") || !isHash(hash) {
			return fmt.Errorf("content %d is %.80q", i, hash)
		}
		if before := c.Manifest.Items[i].Before.Hash; strings.HasPrefix(before, "sha256:") && before != hash {
			return fmt.Errorf("content %d is not that of its item", i)
		}
	}
	return c.Manifest.check()
}

// Bytes is the size of the contents as they were.
func (c *Copy) Bytes() int64 {
	var n int64
	for i := range c.Contents {
		n += c.Manifest.Items[i].Before.Size
	}
	return n
}

// Runs lists the runs of which something is kept, the oldest first.
func (s *Store) Runs() ([]string, error) {
	names, err := s.Names("runs")
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(names, func(n string) bool { return journal.CheckRun(n) != nil }), nil
}

// Copies returns what is kept of a run, a host each; damaged holds why one could not be read.
func (s *Store) Copies(run string) (copies []*Copy, damaged []error) {
	names, err := s.Names("runs/" + run)
	if err != nil {
		return nil, []error{err}
	}
	for _, n := range names {
		if !strings.HasSuffix(n, copySuffix) {
			continue
		}
		c, err := s.load("runs/"+run+"/"+n, run, "")
		if err != nil {
			damaged = append(damaged, err)
			continue
		}
		copies = append(copies, c)
	}
	return copies, damaged
}

// Damage is something that is not what was kept.
type Damage struct {
	Run  string
	Host string // "" where it is not of one host
	Err  error
}

// Verify reads every content of the store, and every manifest. Of an encrypted content it is found whether it is what was written, not whether
// it opens. checked is how many contents there are.
func (s *Store) Verify(ctx context.Context) (damage []Damage, checked int, err error) {
	runs, err := s.Runs()
	if err != nil {
		return nil, 0, err
	}
	seen := map[string]error{}
	for _, run := range runs {
		copies, bad := s.Copies(run)
		for _, err := range bad {
			damage = append(damage, Damage{Run: run, Err: err})
		}
		for _, c := range copies {
			for i := range c.Manifest.Items {
				hash, ok := c.Contents[i]
				if !ok {
					continue
				}
				if ctx.Err() != nil {
					return damage, checked, context.Cause(ctx)
				}
				if _, done := seen[hash]; !done {
					seen[hash] = s.whole(hash)
					checked++
				}
				if seen[hash] != nil {
					damage = append(damage, Damage{run, c.Host, fmt.Errorf("%s: %w", c.Manifest.Items[i].Path, seen[hash])})
				}
			}
		}
	}
	return damage, checked, nil
}

// whole says whether a content is there and is what was put there.
func (s *Store) whole(hash string) error {
	_, err := s.Get(hash)
	if errors.Is(err, ErrEncrypted) {
		return nil
	}
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: its content is gone", ErrDamage)
	}
	return err
}
