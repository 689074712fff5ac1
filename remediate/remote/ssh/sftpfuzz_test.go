package ssh

import (
	"bytes"
	"io"
	"testing"

	"github.com/pkg/sftp"
)

// said is a server that says so much whatever it is told, and then ends.
type said struct{ io.Writer }

func (said) Close() error { return nil }

// FuzzFileServer: whatever an SFTP server says, the upload ends, and is said to be done only by a server that answered for every part.
func FuzzFileServer(f *testing.F) {
	version := []byte{0, 0, 0, 5, 2, 0, 0, 0, 3}
	dir := []byte{0, 0, 0, 21, 105, 0, 0, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x41, 0xc0}
	handle := []byte{0, 0, 0, 10, 102, 0, 0, 0, 2, 0, 0, 0, 1, 'h'}
	ok := func(id byte) []byte { return []byte{0, 0, 0, 17, 101, 0, 0, 0, id, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} }
	f.Add(version)
	f.Add(bytes.Join([][]byte{version, dir, handle, ok(3), ok(4), ok(5), ok(6)}, nil))
	f.Add(append(append([]byte{}, version...), 0, 0, 0, 1, 101))
	f.Add([]byte("noise on stdout\n"))
	data := bytes.Repeat([]byte("x"), 100000)
	f.Fuzz(func(t *testing.T, answer []byte) {
		c, err := sftp.NewClientPipe(bytes.NewReader(answer), said{io.Discard}, sftp.UseConcurrentWrites(true))
		if err != nil {
			return
		}
		if err := store(c, "/dir/file", data); err == nil && len(answer) < 150 {
			t.Error("it was done, by few words")
		}
	})
}
