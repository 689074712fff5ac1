package ssh

import (
	"bytes"
	"net"
	"strings"
	"testing"
)

// FuzzGreeting: whatever a server sends and however it comes, the version is known once a line that begins with "SSH-" is whole, and is told once; of
// what is kept there are bounds.
func FuzzGreeting(f *testing.F) {
	f.Add([]byte("SSH-2.0-x\r\n\x00\x01"), 1)
	f.Add([]byte("220 mail\r\nSSH-2.0-x\nSSH-2.0-y\n"), 3)
	f.Add([]byte("\n\nxSSH-2.0\n"+strings.Repeat("a", 600)), 100)
	f.Fuzz(func(t *testing.T, sent []byte, step int) {
		if step < 1 || len(sent) > 1<<16 {
			return
		}
		near, far := net.Pipe()
		told := 0
		w := &watched{Conn: near, named: func() { told++ }}
		go func() {
			far.Write(sent)
			far.Close()
		}()
		buf := make([]byte, min(step, 4096))
		for {
			if _, err := w.Read(buf); err != nil {
				break
			}
			if len(w.first) > 200 || len(w.line) > 255 {
				t.Fatalf("%d and %d bytes are kept", len(w.first), len(w.line))
			}
		}
		want := 0
		for line := range bytes.Lines(sent) {
			if bytes.HasPrefix(line, []byte("SSH-")) && bytes.HasSuffix(line, []byte("\n")) {
				want = 1
			}
		}
		if told != want || !w.over() || !strings.HasPrefix(string(sent), w.greeting()) {
			t.Errorf("told %d times, want %d; greeting %q", told, want, w.greeting())
		}
	})
}
