package apply

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// groundFaults are what befalls one of the controller's operations.
var groundFaults = []string{"fail", "before", "half", "after", "unseen", "kill", "sleep"}

// TestGroundFaults has every fault at the controller's operations of an apply on real scripts: by itself the host comes to be as it was or
// confirmed, what the run says is what is, and the next run finds nothing in its way and leaves nothing. A run of the tests takes a sample;
// MTALAB_FULL takes all.
func TestGroundFaults(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 || testing.Short() {
		t.Skip("needs root: what is saved must be root's; and it takes its time")
	}
	clean := newGround(t, time.Minute)
	if o := Apply(t.Context(), clean.input("r1")); o.Ending != Changed {
		t.Fatalf("it ended %s (%s)", o.Ending, o.Reason)
	}
	eachFault(t, clean.ops, groundFault)
}

// eachFault runs a test for every fault of stepFaults, side by side.
func eachFault(t *testing.T, ops int, run func(t *testing.T, op int, kind string)) {
	t.Helper()
	all, total := stepFaults(t, ops)
	t.Logf("%d operations of the controller; %d of %d cases", ops, len(all), total)
	for _, c := range all {
		t.Run(fmt.Sprintf("%d-%s", c.op, c.kind), func(t *testing.T) {
			t.Parallel()
			run(t, c.op, c.kind)
		})
	}
}

// atStep is a fault at one of the controller's operations.
type atStep struct {
	op   int
	kind string
}

// stepFaults are the faults of a run of that many operations: all with MTALAB_FULL, else a sample by the seed MTAHARDEN_RANDOM. total counts all.
func stepFaults(t *testing.T, ops int) (cases []atStep, total int) {
	for op := 1; op <= ops; op++ {
		for _, k := range groundFaults {
			cases = append(cases, atStep{op, k})
		}
	}
	total = len(cases)
	if os.Getenv("MTALAB_FULL") == "" {
		seed := uint64(time.Now().UnixNano())
		if s, err := strconv.ParseUint(os.Getenv("MTAHARDEN_RANDOM"), 10, 64); err == nil {
			seed = s
		}
		rand.New(rand.NewPCG(seed, 1)).Shuffle(total, func(i, j int) { cases[i], cases[j] = cases[j], cases[i] })
		cases = cases[:min(12, total)]
		t.Logf("seed %d (MTAHARDEN_RANDOM)", seed)
	}
	return cases, total
}

func groundFault(t *testing.T, op int, kind string) {
	g := newGround(t, 6*time.Second)
	g.fault = func(n int) string {
		if n == op {
			return kind
		}
		return ""
	}
	o, died := carry(g.input("r1"))
	g.mu.Lock()
	g.fault = nil
	g.mu.Unlock()
	if !died {
		want := map[Ending]string{Unchanged: "before", Changed: "after", RolledBack: "before"}[o.Ending]
		if g.state() != want {
			t.Errorf("it says %s (%s), the host is %q", o.Ending, o.Reason, g.state())
		}
	}
	g.d = time.Minute // the next run is not the one that is hurried
	again := Apply(context.Background(), g.input("r2"))
	for range 60 { // the guard of the first run may still be at its last words
		if len(g.left()) == 0 {
			break
		}
		time.Sleep(time.Second)
	}
	if left := g.left(); len(left) > 0 {
		t.Errorf("the first run ended %s (%s), the next %s (%s); left are %v", o.Ending, o.Reason, again.Ending, again.Reason, left)
	}
	if again.Ending != Changed && !again.Nothing || g.state() != "after" || !g.confirmed() {
		t.Errorf("the first run ended %s (%s), the next %s (%s): the host is %q", o.Ending, o.Reason, again.Ending, again.Reason, g.state())
	}
}
