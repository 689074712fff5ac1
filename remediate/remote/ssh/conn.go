package ssh

import (
	"fmt"
	"net"
	"sync"
	"time"

	"mtaharden/remediate/remote"
)

func clean(s string) string { return remote.Clean(s) }

func (t Target) tracef(format string, args ...any) {
	t.Trace(clean(fmt.Sprintf(format, args...)))
}

// watched is the connection underneath, which remembers what a failed login is explained with and when the host was last heard.
type watched struct {
	net.Conn
	mu    sync.Mutex
	first []byte // the first bytes that came, at most 200
	heard time.Time
	gone  bool // a read has failed
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	if n > 0 {
		w.heard = time.Now()
		w.first = append(w.first, p[:min(n, max(200-len(w.first), 0))]...)
	}
	w.gone = w.gone || err != nil
	return n, err
}

// over reports whether the other side has ended the connection.
func (w *watched) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone
}

func (w *watched) greeting() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.first)
}

func (w *watched) silence() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Since(w.heard)
}
