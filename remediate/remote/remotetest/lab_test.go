package remotetest

import (
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// free says whether a lock could be had at once.
func free(t *testing.T, name string, how int) bool {
	t.Helper()
	f, err := flock(name, how|syscall.LOCK_NB)
	switch {
	case err == nil:
		f.Close()
	case !errors.Is(err, syscall.EWOULDBLOCK):
		t.Fatal(err)
	}
	return err == nil
}

func TestHold(t *testing.T) {
	for _, c := range []struct {
		name           string
		hosts          []string
		a, b, in, lone bool // whether host a, host b, any host at all and the whole lab are free beside it
	}{
		{"nobody", nil, true, true, true, true},
		{"one", []string{"a"}, false, true, true, false},
		{"two, one of them twice", []string{"b", "a", "b"}, false, false, true, false},
		{"the lab", []string{}, true, true, false, false},
	} {
		lab := filepath.Join(t.TempDir(), "lab")
		release := func() {}
		if c.hosts != nil {
			var err error
			if release, err = hold(lab, c.hosts); err != nil {
				t.Fatal(err)
			}
		}
		for what, is := range map[string][2]bool{
			"host a":   {free(t, lab+".a", syscall.LOCK_EX), c.a},
			"host b":   {free(t, lab+".b", syscall.LOCK_EX), c.b},
			"a way in": {free(t, lab, syscall.LOCK_SH), c.in},
			"the lab":  {free(t, lab, syscall.LOCK_EX), c.lone},
			"the gate": {free(t, lab+".gate", syscall.LOCK_EX), true},
		} {
			if is[0] != is[1] {
				t.Errorf("%s held: %s is free: %v", c.name, what, is[0])
			}
		}
		release()
		for _, name := range []string{lab, lab + ".a", lab + ".b"} {
			if !free(t, name, syscall.LOCK_EX) {
				t.Errorf("%s, released: %s is not free", c.name, name)
			}
		}
	}
	if _, err := hold(filepath.Join(t.TempDir(), "none", "lab"), []string{"a"}); err == nil {
		t.Error("a lab that cannot be locked is held")
	}
}

// TestHoldTurns has the lab wanted while a host is held, and another host after that: the lab is had before the other host, which nobody holds.
func TestHoldTurns(t *testing.T) {
	lab := filepath.Join(t.TempDir(), "lab")
	first, err := hold(lab, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []string
	var all sync.WaitGroup
	want := func(name string, hosts ...string) {
		all.Go(func() {
			release, err := hold(lab, hosts)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, name)
			mu.Unlock()
			release()
		})
	}
	want("lab")
	for free(t, lab+".gate", syscall.LOCK_EX) {
		time.Sleep(time.Millisecond) // the test's own limit bounds this
	}
	want("b", "b")
	first()
	all.Wait()
	if !slices.Equal(order, []string{"lab", "b"}) {
		t.Errorf("they had it in the order %v", order)
	}
}

// TestHoldCrossed has many want the same hosts in all orders, and the lab between: each comes to its end, and none holds a host that another does.
func TestHoldCrossed(t *testing.T) {
	lab := filepath.Join(t.TempDir(), "lab")
	within := map[string]int{}
	var mu sync.Mutex
	count := func(hosts []string, by int) {
		mu.Lock()
		defer mu.Unlock()
		for _, h := range hosts {
			if within[h] += by; within[h] > 1 {
				t.Errorf("%s is held twice", h)
			}
		}
	}
	all := []string{"a", "b", "c"}
	var wg sync.WaitGroup
	for i, hosts := range [][]string{{"a", "b"}, {"b", "a"}, {"c", "a"}, {"b", "c"}, {"c", "b", "a"}, nil, {"a"}, {"c"}} {
		wg.Go(func() {
			for range 20 {
				release, err := hold(lab, hosts)
				if err != nil {
					t.Errorf("%d: %v", i, err)
					return
				}
				held := hosts
				if held == nil {
					held = all
				}
				count(held, 1)
				count(held, -1)
				release()
			}
		})
	}
	wg.Wait()
}
