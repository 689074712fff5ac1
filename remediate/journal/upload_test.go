package journal_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mtaharden/remediate/journal"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
)

// TestUpload: any bytes arrive in a file that root alone may read; it takes its name only where its content is what was sent; a disk that is full and a
// directory that cannot be made are said.
func TestUpload(t *testing.T) {
	data := bytes.Repeat([]byte("\x00'\\!\xff\r\n line"), 50000)
	hash := fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	for _, shell := range shells {
		t.Run(shell[0], func(t *testing.T) {
			t.Parallel()
			h := remotetest.NewDir(t, "", nil)
			h.Shell = shell
			l := journal.Layout{Dir: h.Root + "/lib"}
			up, file := h.Root+"/a dir/it's up", filepath.Join(h.Root, "file")
			for _, c := range []struct {
				name, hash string
				spoil      func() error
				taken      bool
			}{
				{"whole", hash, func() error { return nil }, true},
				{"a hash of another kind", "cksum:1 2", func() error { return nil }, true},
				{"cut", hash, func() error { return os.Truncate(up, int64(len(data)/2)) }, false},
				{"changed", hash, func() error { return os.WriteFile(up, bytes.ToUpper(data), 0o600) }, false},
				{"gone", hash, func() error { return os.Remove(up) }, false},
			} {
				os.Remove(file)
				if err := journal.Upload(t.Context(), h, up, data); err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				if st, err := os.Stat(up); err != nil || st.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v, %v", c.name, st, err)
				}
				if err := c.spoil(); err != nil {
					t.Fatal(err)
				}
				parts, _, err := l.Ask(t.Context(), h, "", journal.Take(remote.Quote(up), remote.Quote(file), c.hash)+"mh_fact status $?\n", 1000)
				if err != nil || len(parts) != 1 || (parts[0].Text == "0") != c.taken {
					t.Fatalf("%s: %+v, %v", c.name, parts, err)
				}
				if got, err := os.ReadFile(file); c.taken != (err == nil && bytes.Equal(got, data)) {
					t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
				}
			}
			if err := journal.Upload(t.Context(), h, "/dev/full/x", data); err == nil || !strings.Contains(err.Error(), "the host could not write it") {
				t.Errorf("no directory: %v", err)
			}
			if err := journal.Upload(t.Context(), h, "/proc/self/x", data); err == nil {
				t.Error("it wrote where nothing can be written")
			}
		})
	}
}
