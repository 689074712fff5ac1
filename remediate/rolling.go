package remediate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mtaharden/remediate/apply"
)

// Rolling says in which order a change goes over a fleet, and what stops it.
type Rolling struct {
	Canary  int       // how many hosts go first, each alone, before any other; 0: none
	Batch   Amount    // how many hosts are begun before all of them have ended; the zero Amount: no batches
	MaxFail Amount    // beyond how many hosts that did not end well no more is begun, over the whole run; unset: the first one stops it
	Until   time.Time // no host is begun whose worst case would cross it; zero: unsaid
	Groups  []Group   // the inventory's, with those of their limits that hold for the whole group
	Ignore  bool      // windows are not looked at; who says so answers for it
}

// Group is a set of hosts of which only so many may be in change at a time, and only in its window.
type Group struct {
	Name           string
	Hosts          []string
	MaxUnavailable int    // 0: unsaid
	Window         Window // nil: unsaid
}

// Window says whether it is open at a moment, and when it closes (inventory.Window).
type Window interface {
	Open(now time.Time) (until time.Time, open bool)
	String() string
}

// Amount is a number of hosts, or a part of them in percent.
type Amount struct {
	N       int
	Percent bool
	Set     bool // it was said
}

// ParseAmount reads "N" or "P%".
func ParseAmount(s string) (Amount, error) {
	number, percent := strings.CutSuffix(s, "%")
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || percent && n > 100 || strings.HasPrefix(number, "+") {
		return Amount{}, fmt.Errorf("%q is neither a number of hosts nor a percentage from 0%% to 100%%", s)
	}
	return Amount{N: n, Percent: percent, Set: true}, nil
}

// of is the amount of a number of hosts; a part of a host is a host where up is set, and none where it is not.
func (a Amount) of(hosts int, up bool) int {
	if !a.Percent {
		return a.N
	}
	n := hosts * a.N
	if up {
		n += 99
	}
	return n / 100
}

// Progress is how far a run over a fleet is.
type Progress struct {
	Waiting []string // in the order in which they are to be begun
	Running []string
	Ended   []Ended // in the order in which they ended
	Stopped string  // why no more is to be begun, where somebody said so (an interrupt)
}

// Ended is one host that is done.
type Ended struct {
	Host   string
	Ending apply.Ending
	Well   bool // it was changed, or had nothing to change
}

// Decision is what is to be done next.
type Decision struct {
	Begin []string          // hosts to begin now
	Skip  map[string]string // hosts that are not begun in this run, and why
	Stop  string            // why nothing more is begun at all; "" while there is
}

// Next decides which hosts are begun. It is a function of what it is given: worst is how long a host may take in its worst case, and forks how
// many may be under way. It begins nothing while hosts of the canary or of a batch are under way.
func (r Rolling) Next(p Progress, now time.Time, worst time.Duration, forks int) Decision {
	d := Decision{Skip: map[string]string{}}
	total := len(p.Waiting) + len(p.Running) + len(p.Ended)
	if d.Stop = r.stops(p, total); d.Stop != "" {
		return d
	}
	room := r.room(p, total, forks)
	running := slices.Clone(p.Running)
	for _, h := range p.Waiting {
		if why := r.closed(h, now, worst); why != "" {
			d.Skip[h] = why
			continue
		}
		if room <= 0 || !r.free(h, running) {
			continue
		}
		room--
		d.Begin = append(d.Begin, h)
		running = append(running, h)
	}
	return d
}

// stops says why no more hosts are begun.
func (r Rolling) stops(p Progress, total int) string {
	if p.Stopped != "" {
		return p.Stopped
	}
	bad := 0
	for i, e := range p.Ended {
		if e.Well {
			continue
		}
		bad++
		if i < r.Canary {
			return fmt.Sprintf("the canary %s ended %s", e.Host, e.Ending)
		}
	}
	most := 0
	if r.MaxFail.Set {
		most = r.MaxFail.of(total, false)
	}
	if bad > most {
		return fmt.Sprintf("%d of %d hosts did not end well, %d may", bad, total, most)
	}
	return ""
}

// room is how many hosts may be begun at this moment, groups aside.
func (r Rolling) room(p Progress, total, forks int) int {
	begun := len(p.Running) + len(p.Ended)
	if begun < r.Canary {
		return min(1-len(p.Running), r.Canary-begun) // one after the other
	}
	if begun == r.Canary && len(p.Running) > 0 {
		return 0
	}
	room := forks - len(p.Running)
	if r.Batch.Set {
		size := max(r.Batch.of(total, true), 1)
		inBatch := (begun - r.Canary) % size
		if inBatch == 0 && len(p.Running) > 0 {
			return 0 // a whole batch is under way
		}
		room = min(room, size-inBatch)
	}
	return room
}

// free says whether the host's groups let one more of them be in change.
func (r Rolling) free(host string, running []string) bool {
	for _, g := range r.Groups {
		if g.MaxUnavailable == 0 || !slices.Contains(g.Hosts, host) {
			continue
		}
		n := 0
		for _, h := range running {
			if slices.Contains(g.Hosts, h) {
				n++
			}
		}
		if n >= g.MaxUnavailable {
			return false
		}
	}
	return true
}

// closed says why a host may not be begun at this moment: a window of one of its groups is not open, or would close in the worst case before
// the host is done; or the run's own end is too near.
func (r Rolling) closed(host string, now time.Time, worst time.Duration) string {
	end := now.Add(worst)
	if !r.Until.IsZero() && end.After(r.Until) {
		return fmt.Sprintf("it might take until %s, and nothing is begun that could last beyond %s", clockTime(end, r.Until), clockTime(r.Until, r.Until))
	}
	if r.Ignore {
		return ""
	}
	for _, g := range r.Groups {
		if g.Window == nil || !slices.Contains(g.Hosts, host) {
			continue
		}
		until, open := g.Window.Open(now)
		switch {
		case !open:
			return fmt.Sprintf("outside the window of %s (%s)", g.Name, g.Window)
		case end.After(until):
			return fmt.Sprintf("it might take until after the window of %s closes (%s)", g.Name, g.Window)
		}
	}
	return ""
}

func clockTime(t, like time.Time) string { return t.In(like.Location()).Format("15:04:05") }

// NotAfter is the moment that --not-after names: the next time that the clock of now's zone shows HH:MM. A time that the zone skips is what
// time.Date makes of it.
func NotAfter(s string, now time.Time) (time.Time, error) {
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != 5 {
		return time.Time{}, fmt.Errorf("%q is not a time of day (write it as 04:00)", s)
	}
	for day := range 3 {
		at := time.Date(now.Year(), now.Month(), now.Day()+day, t.Hour(), t.Minute(), 0, 0, now.Location())
		if at.After(now) {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("no %s follows %s", s, now)
}

// Bar is the moment by which a host that is begun now must have come to where its live files change: what follows may last its worst case, and
// that is not to cross the end of a window of its groups, nor the run's own. The zero time: there is no such moment.
func (r Rolling) Bar(host string, now time.Time, timeout time.Duration) time.Time {
	end := r.Until
	for _, g := range r.Groups {
		if r.Ignore || g.Window == nil || !slices.Contains(g.Hosts, host) {
			continue
		}
		until, open := g.Window.Open(now)
		if !open {
			until = now // it has closed in this moment
		}
		if end.IsZero() || until.Before(end) {
			end = until
		}
	}
	if end.IsZero() {
		return end
	}
	return end.Add(leftLimit - WorstCase(timeout))
}

// WorstCase is how long a host may take from its beginning to its end: what stands left of the bar, the time to confirm twice, and a restore.
func WorstCase(timeout time.Duration) time.Duration { return leftLimit + 2*timeout + restoreTime }

const (
	leftLimit   = 5 * time.Minute
	restoreTime = time.Minute
)
