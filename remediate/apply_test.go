package remediate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mtaharden/remediate/apply"
)

// TestRoll carries a run over hosts of which one fails, and one that is interrupted: every host is told of once, and nothing is begun after.
func TestRoll(t *testing.T) {
	hosts := strings.Fields("a b c d e f")
	for _, c := range []struct {
		name    string
		r       Rolling
		bad     string
		stopAt  string
		begun   string
		notDone string
	}{
		{name: "all", begun: "a b c d e f", r: Rolling{}},
		{name: "the first failure", begun: "a b", bad: "b", notDone: "c d e f"},
		{name: "a bad canary", r: Rolling{Canary: 1, MaxFail: Amount{N: 5, Set: true}}, begun: "a", bad: "a", notDone: "b c d e f"},
		{name: "an interrupt", begun: "a b c", stopAt: "c", notDone: "d e f"},
	} {
		var mu sync.Mutex
		var begun, left []string
		stop := make(chan struct{})
		f := Fleet{Rolling: c.r, Forks: 1, Worst: time.Minute, Stop: stop, Why: "interrupted", Now: time.Now}
		Roll(t.Context(), f, hosts, func(_ context.Context, h string) apply.Outcome {
			mu.Lock()
			begun = append(begun, h)
			mu.Unlock()
			if h == c.stopAt {
				close(stop)
			}
			if h == c.bad {
				return apply.Outcome{Host: h, Ending: apply.RolledBack, Err: errors.New("lost")}
			}
			return apply.Outcome{Host: h, Ending: apply.Changed}
		}, func(o apply.Outcome) {
			if o.Ending == apply.NotBegun {
				left = append(left, o.Host)
			}
		})
		if got := strings.Join(begun, " "); got != c.begun {
			t.Errorf("%s: begun %q, want %q", c.name, got, c.begun)
		}
		if got := strings.Join(slices.Sorted(slices.Values(left)), " "); got != c.notDone {
			t.Errorf("%s: not begun %q, want %q", c.name, got, c.notDone)
		}
	}
}

// TestRollFault: a fault of this program at one host is that host's outcome.
func TestRollFault(t *testing.T) {
	var got []apply.Ending
	Roll(t.Context(), Fleet{Forks: 1, Now: time.Now}, []string{"a"}, func(context.Context, string) apply.Outcome { panic("oh") }, func(o apply.Outcome) { got = append(got, o.Ending) })
	if len(got) != 1 || got[0] != apply.NotKnown {
		t.Errorf("it ended %v", got)
	}
}
