package ssh

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestDoors: no more logins are under way at one address than sshd bears, and other addresses do not wait for them.
func TestDoors(t *testing.T) {
	d := &Doors{}
	var under, most atomic.Int32
	var all sync.WaitGroup
	for range 60 {
		all.Go(func() {
			leave, err := d.enter(t.Context(), "through bastion", "bastion > mx")
			if err != nil {
				t.Error(err)
				return
			}
			n := under.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Millisecond)
			under.Add(-1)
			leave()
		})
	}
	all.Wait()
	if n := most.Load(); n > handshakes || n == 0 {
		t.Errorf("%d logins were under way at once", n)
	}
	for _, place := range []string{"a", "b"} {
		for range handshakes {
			if _, err := d.enter(t.Context(), place); err != nil {
				t.Fatal(err)
			}
		}
	}
}
