package remotetest

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// Link is a long way between a client and a server: whatever is sent arrives Delay later. It counts round trips, not time: what a side sends
// stands one half of a trip behind the latest that it has seen of the other, and a connection begins with the whole one that TCP takes for itself
// (RFC 9293, 3.5). A busy machine can make a count greater, never less: who counts takes the least of a few tries.
type Link struct {
	Delay time.Duration // each way

	mu           sync.Mutex
	client, base int // halves of a trip: what the client has seen, and where the counting began
	server       int // what the server has seen
	up, down     int64
}

// Dial makes a connection over the link, as Target.Connect does.
func (l *Link) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.base, l.client, l.server = 0, 2, 3 // the acknowledgement that completes the connection is the first that the server sees of it
	l.mu.Unlock()
	select {
	case <-time.After(2 * l.Delay):
	case <-ctx.Done():
		conn.Close()
		return nil, context.Cause(ctx)
	}
	ours, theirs := net.Pipe()
	l.join(theirs, conn)
	return ours, nil
}

// Listen takes connections on a loopback port, and carries them over the link to address. It returns the port. For a client that is not this
// process: what TCP takes for itself is not counted, as it is done before the other end is asked.
func (l *Link) Listen(t testing.TB, address string) int {
	t.Helper()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var open sync.Map
	all.Go(func() {
		for {
			near, err := front.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", address)
			if err != nil {
				near.Close()
				continue
			}
			open.Store(near, true)
			open.Store(far, true)
			l.join(near, far)
		}
	})
	t.Cleanup(func() {
		front.Close()
		all.Wait()
		open.Range(func(conn, _ any) bool {
			conn.(net.Conn).Close()
			return true
		})
	})
	return front.Addr().(*net.TCPAddr).Port
}

// Reset begins the counting anew from what both sides have seen so far.
func (l *Link) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.client = max(l.client, l.server)
	l.client += l.client % 2
	l.base, l.server = l.client, l.client
}

// Trips is how many round trips lie between the beginning and the latest that the client has seen.
func (l *Link) Trips() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return float64(l.client-l.base) / 2
}

// Bytes are what went to the server and what came from it, over all connections.
func (l *Link) Bytes() (up, down int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up, l.down
}

func (l *Link) join(near, far net.Conn) {
	go l.carry(far, near, &l.client, &l.server, &l.up, 0)
	go l.carry(near, far, &l.server, &l.client, &l.down, l.Delay) // the server knows of the connection when its last acknowledgement has come
}

// parcel is what was sent together, the place that it has in the counting, and when it arrives.
type parcel struct {
	due  time.Time
	at   int
	data []byte
}

// carry takes bytes over. A parcel stands half a trip behind what its sender has seen, and its receiver has seen it when it arrives.
func (l *Link) carry(to, from net.Conn, sender, receiver *int, count *int64, late time.Duration) {
	way := make(chan parcel, 100000)
	go func() {
		defer to.Close()
		for p := range way {
			time.Sleep(time.Until(p.due))
			l.mu.Lock()
			*receiver = max(*receiver, p.at)
			l.mu.Unlock()
			if _, err := to.Write(p.data); err != nil {
				from.Close()
			}
		}
	}()
	defer close(way)
	time.Sleep(late)
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			l.mu.Lock()
			at := *sender + 1
			*count += int64(n)
			l.mu.Unlock()
			way <- parcel{time.Now().Add(l.Delay), at, append([]byte{}, buf[:n]...)}
		}
		if err != nil {
			return
		}
	}
}
