package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// StateDir is the controller's own directory: its user's alone (0700, files 0600), or shared by a group where it was made so (2770, files 0640).
// Every file appears whole or not at all.
type StateDir struct {
	dir    string
	shared bool
}

// OpenStateDir opens the controller's directory and makes it where it is missing. One that others could read is refused.
func OpenStateDir(dir string) (*StateDir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot open the state directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the state directory: %w", err)
	}
	mode := info.Mode()
	s := &StateDir{dir: dir, shared: mode&fs.ModeSetgid != 0 && mode.Perm()&0o070 == 0o070}
	if !mode.IsDir() || mode.Perm()&0o007 != 0 || mode.Perm()&0o070 != 0 && !s.shared {
		return nil, fmt.Errorf("cannot open the state directory %s: its mode is %v: make it 0700, or 2770 to share it with its group", dir, mode)
	}
	return s, nil
}

// Dir is the directory.
func (s *StateDir) Dir() string { return s.dir }

func (s *StateDir) modes() (dir, file fs.FileMode) {
	if s.shared {
		return fs.ModeSetgid | 0o770, 0o640
	}
	return 0o700, 0o600
}

// path is a name below the directory. Names are made by this program alone.
func (s *StateDir) path(name ...string) string {
	return filepath.Join(append([]string{s.dir}, name...)...)
}

// Make makes a directory and those above it, durably.
func (s *StateDir) Make(name string) error {
	mode, _ := s.modes()
	at := s.dir
	for _, part := range strings.Split(filepath.Clean(name), string(filepath.Separator)) {
		above := at
		at = filepath.Join(at, part)
		err := os.Mkdir(at, mode.Perm())
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = os.Chmod(at, mode) // the umask may have taken from it
		}
		if err == nil {
			err = syncDir(above)
		}
		if err != nil {
			return fmt.Errorf("cannot make %s: %w", at, err)
		}
	}
	return nil
}

// Write writes a file, its directory too where that is missing.
func (s *StateDir) Write(name string, data []byte) error {
	if err := s.Make(filepath.Dir(name)); err != nil {
		return err
	}
	if err := s.write(s.path(name), data); err != nil {
		return fmt.Errorf("cannot write %s: %w", s.path(name), cause(err))
	}
	return nil
}

func (s *StateDir) write(name string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(name), ".new-*") // 0600, and never a name that is there
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, mode := s.modes()
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// Read reads a file of at most limit bytes. A link is not followed: in a shared directory it may be another's.
func (s *StateDir) Read(name string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(s.path(name), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", s.path(name), cause(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no plain file")
	}
	var data []byte
	if err == nil {
		data, err = io.ReadAll(io.LimitReader(f, limit+1))
	}
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("it is larger than %d bytes", limit)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", s.path(name), cause(err))
	}
	return data, nil
}

// Names lists what a directory holds, sorted; names with a dot in front are left out. A directory that is not there holds nothing.
func (s *StateDir) Names(name string) ([]string, error) {
	entries, err := os.ReadDir(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", s.path(name), cause(err))
	}
	var out []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// Has says whether there is a file of that name.
func (s *StateDir) Has(name string) bool {
	info, err := os.Lstat(s.path(name))
	return err == nil && info.Mode().IsRegular()
}

// Lock takes the directory for one writer and returns what gives it back. It waits as long as ctx lives.
func (s *StateDir) Lock(ctx context.Context) (func(), error) {
	_, mode := s.modes()
	f, err := os.OpenFile(s.path(".lock"), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, mode|mode&0o040>>1)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the state directory: %w", err)
	}
	if s.shared {
		_ = f.Chmod(0o660) // another's file may not be changed, and need not
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("cannot lock the state directory %s: %w", s.dir, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("cannot lock the state directory %s: another program has it: %w", s.dir, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// syncDir makes the names in a directory durable.
func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// cause is err without the path that the message has already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// FileName is a host's or a run's name as a file's: what could be a path, or is not plain, is written as %HH.
func FileName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' && i > 0
		if plain {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
