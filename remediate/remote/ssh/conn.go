package ssh

import (
	"bytes"
	"errors"
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
	before *host  // the jump host that it runs through; nil: none
	named  func() // called once, when the server has named its version; nil: nobody wants to know

	mu    sync.Mutex
	first []byte // the first bytes that came, at most 200
	line  []byte // the line that is coming, until the version has come; at most 255 bytes (RFC 4253, 4.2)
	heard time.Time
	gone  error // a read has failed, and why; nil: none has
	known bool  // the version has come
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.mu.Lock()
	was := w.known
	if n > 0 {
		w.heard = time.Now()
		w.first = append(w.first, p[:min(n, max(200-len(w.first), 0))]...)
		w.look(p[:n])
	}
	if w.gone == nil {
		w.gone = err
	}
	is := w.known
	w.mu.Unlock()
	if is && !was && w.named != nil {
		w.named()
	}
	return n, err
}

// look looks for the line that begins with "SSH-", and passes over those before it.
func (w *watched) look(p []byte) {
	for _, c := range p {
		switch {
		case w.known:
			return
		case c == '\n':
			w.known = bytes.HasPrefix(w.line, []byte("SSH-"))
			w.line = w.line[:0]
		case len(w.line) < 255:
			w.line = append(w.line, c)
		}
	}
}

// over reports whether the other side has ended the connection.
func (w *watched) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone != nil
}

// why is why a read failed; nil where none has.
func (w *watched) why() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone
}

// broken reports whether the link failed and no side has ended it: a route that is gone, nobody who answers any more.
func (w *watched) broken() bool {
	var link *net.OpError
	err := w.why()
	return errors.As(err, &link) && !hungUp(err) && !errors.Is(err, net.ErrClosed)
}

// jumpGone reports whether it ended because the jump host before it did: the host behind has said nothing.
func (w *watched) jumpGone() bool {
	return w.before != nil && w.over() && (w.before.lost.Load() != nil || w.before.conn.over())
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
