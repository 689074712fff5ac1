package main

import "sync"

// hostsAtOnce is how many hosts are planted, audited and asked at a time: most of the time they wait, for their init, for a pause before a
// greeting, for a reply, so that two processors serve six of them.
const hostsAtOnce = 6

// inTurns does every job, those of one host one after another and at most n at a time. Of the hosts that are free the one with the most work left
// is next: the last one to end is then a short one.
func inTurns[J any](jobs []J, host func(J) string, n int, do func(J)) {
	waiting := map[string][]J{}
	for _, j := range jobs {
		waiting[host(j)] = append(waiting[host(j)], j)
	}
	busy := map[string]bool{}
	var mu sync.Mutex
	changed := sync.NewCond(&mu)
	take := func() (j J, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		for len(waiting) > 0 {
			if name := longest(waiting, busy); name != "" {
				j, waiting[name], busy[name] = waiting[name][0], waiting[name][1:], true
				if len(waiting[name]) == 0 {
					delete(waiting, name)
				}
				return j, true
			}
			changed.Wait()
		}
		return j, false
	}
	var all sync.WaitGroup
	for range max(n, 1) {
		all.Go(func() {
			for j, ok := take(); ok; j, ok = take() {
				do(j)
				mu.Lock()
				delete(busy, host(j))
				changed.Broadcast()
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

// longest names the free host with the most jobs, the first by name of several; empty where each is busy.
func longest[J any](waiting map[string][]J, busy map[string]bool) string {
	name := ""
	for _, n := range sortedKeys(waiting) {
		if !busy[n] && (name == "" || len(waiting[n]) > len(waiting[name])) {
			name = n
		}
	}
	return name
}
