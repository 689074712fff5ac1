package ssh_test

import (
	"context"
	"net"
	"sync"
)

// freezer makes connections through which, from some moment on, nothing comes any more: a link that died without a word.
type freezer struct {
	once sync.Once
	stop chan struct{}
}

func (f *freezer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	f.stop = make(chan struct{})
	return &frozenConn{Conn: conn, stop: f.stop, closed: make(chan struct{})}, err
}

func (f *freezer) freeze() { f.once.Do(func() { close(f.stop) }) }

type frozenConn struct {
	net.Conn
	stop   chan struct{}
	once   sync.Once
	closed chan struct{}
}

func (c *frozenConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	select {
	case <-c.stop:
		<-c.closed
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

func (c *frozenConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
