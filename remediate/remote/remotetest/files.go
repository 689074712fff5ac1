package remotetest

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/pkg/sftp"
)

// ServeFiles is a Server's SFTP that serves the files of this machine, with the rights of this process.
func ServeFiles(rw io.ReadWriteCloser) {
	s, err := sftp.NewServer(rw)
	if err == nil {
		s.Serve()
	}
}

// fileServerName is what sftp-server(8) of OpenSSH is called.
const fileServerName = "sftp-server"

// FileServer leaves a program of that name in dir. It is the test's own, whose TestMain asks IsFileServer first.
func FileServer(t testing.TB, dir string) {
	t.Helper()
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(dir, fileServerName))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// IsFileServer serves files on standard input and output where this program was started by the name of sftp-server, and reports whether it was.
func IsFileServer() bool {
	if filepath.Base(os.Args[0]) != fileServerName {
		return false
	}
	ServeFiles(struct {
		io.Reader
		io.WriteCloser
	}{os.Stdin, os.Stdout})
	return true
}
