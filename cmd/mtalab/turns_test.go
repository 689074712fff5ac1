package main

import (
	"strings"
	"sync"
	"testing"
)

// Every job is done once, those of a host in their order and never two at a time, and no more at a time than was said.
func TestInTurns(t *testing.T) {
	jobs := strings.Fields("a1 a2 a3 a4 b1 b2 b3 c1 d1 d2 e1")
	for _, n := range []int{0, 1, 3, 20} {
		var mu sync.Mutex
		var done []string
		busy, most := map[byte]bool{}, 0
		inTurns(jobs, func(j string) string { return j[:1] }, n, func(j string) {
			mu.Lock()
			if busy[j[0]] {
				t.Errorf("%d at a time: two jobs of %c at a time", n, j[0])
			}
			busy[j[0]] = true
			most = max(most, len(busy))
			mu.Unlock()
			defer mu.Unlock()
			mu.Lock()
			delete(busy, j[0])
			done = append(done, j)
		})
		if len(done) != len(jobs) || most > max(n, 1) {
			t.Errorf("%d at a time: did %v, at most %d at a time", n, done, most)
		}
		last := map[byte]string{}
		for _, j := range done {
			if j < last[j[0]] {
				t.Errorf("%d at a time: %s came after %s", n, j, last[j[0]])
			}
			last[j[0]] = j
		}
	}
	var order []string
	inTurns(jobs, func(j string) string { return j[:1] }, 1, func(j string) { order = append(order, j) })
	if got := strings.Join(order, " "); got != "a1 a2 b1 a3 b2 d1 a4 b3 c1 d2 e1" {
		t.Errorf("one at a time, the host with the most left first: got %s", got)
	}
}
