package remotetest

import (
	"bufio"
	"fmt"
	"net"
	"testing"
	"time"
)

// TestLink: a server that greets and answers each line costs one round trip for TCP, one for the greeting and one for each question that waits for the
// answer before; questions asked together cost one.
func TestLink(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				fmt.Fprintln(conn, "hello")
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					fmt.Fprintln(conn, lines.Text())
				}
			}()
		}
	}()
	for _, direct := range []bool{true, false} {
		link := &Link{Delay: 50 * time.Millisecond}
		least := 1000.0
		for range 5 {
			conn, err := link.Dial(t.Context(), "tcp", l.Addr().String())
			if !direct {
				conn.Close()
				conn, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", link.Listen(t, l.Addr().String())))
			}
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(conn)
			lines.Scan()
			if !direct {
				link.Reset()
			} else if got := link.Trips(); got < 2 {
				t.Fatalf("TCP and the greeting cost %g round trips", got)
			}
			for _, questions := range []int{1, 1, 3} {
				for i := range questions {
					fmt.Fprintln(conn, "question", i)
				}
				for range questions {
					lines.Scan()
				}
			}
			least = min(least, link.Trips())
			if up, down := link.Bytes(); up < 55 || down < 61 {
				t.Errorf("%d bytes went up and %d came down", up, down)
			}
			conn.Close()
		}
		if want := map[bool]float64{true: 5, false: 3}[direct]; least != want {
			t.Errorf("direct %v: %g round trips, want %g", direct, least, want)
		}
	}
}
