package remediate

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mtaharden/inventory"
	"mtaharden/remediate/apply"
)

func moment(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func window(t *testing.T, s string) Window {
	t.Helper()
	w, err := inventory.ParseWindow(s)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func amount(t *testing.T, s string) Amount {
	t.Helper()
	a, err := ParseAmount(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func well(hosts ...string) []Ended {
	var out []Ended
	for _, h := range hosts {
		out = append(out, Ended{h, apply.Changed, true})
	}
	return out
}

// TestNext holds the decision of what is begun to a table.
func TestNext(t *testing.T) {
	ten := strings.Fields("a b c d e f g h i j")
	mx := Group{Name: "mx", Hosts: strings.Fields("a b c"), MaxUnavailable: 1}
	bad := Ended{"a", apply.RolledBack, false}
	for _, c := range []struct {
		name  string
		r     Rolling
		p     Progress
		forks int
		begin string
		stop  string
	}{
		{name: "as many as forks", p: Progress{Waiting: ten}, forks: 3, begin: "a b c"},
		{name: "no more than forks", p: Progress{Waiting: ten[2:], Running: ten[:2]}, forks: 3, begin: "c"},
		{name: "a canary goes alone", r: Rolling{Canary: 2}, p: Progress{Waiting: ten}, forks: 5, begin: "a"},
		{name: "the second canary waits for the first", r: Rolling{Canary: 2}, p: Progress{Waiting: ten[1:], Running: ten[:1]}, forks: 5},
		{name: "the second canary follows", r: Rolling{Canary: 2}, p: Progress{Waiting: ten[1:], Ended: well("a")}, forks: 5, begin: "b"},
		{name: "the others wait for the last canary", r: Rolling{Canary: 2}, p: Progress{Waiting: ten[2:], Running: []string{"b"}, Ended: well("a")}, forks: 5},
		{name: "behind the canary all go", r: Rolling{Canary: 1}, p: Progress{Waiting: ten[1:], Ended: well("a")}, forks: 3, begin: "b c d"},
		{name: "a bad canary stops all, whatever may fail", r: Rolling{Canary: 1, MaxFail: amount(t, "90%")}, p: Progress{Waiting: ten[1:], Ended: []Ended{bad}}, forks: 3, stop: "the canary a ended rolled-back"},
		{name: "a batch", r: Rolling{Batch: amount(t, "2")}, p: Progress{Waiting: ten}, forks: 5, begin: "a b"},
		{name: "a batch ends before the next begins", r: Rolling{Batch: amount(t, "2")}, p: Progress{Waiting: ten[2:], Running: []string{"b"}, Ended: well("a")}, forks: 5},
		{name: "the next batch", r: Rolling{Batch: amount(t, "2")}, p: Progress{Waiting: ten[2:], Ended: well("a", "b")}, forks: 5, begin: "c d"},
		{name: "a batch in percent is rounded up", r: Rolling{Batch: amount(t, "25%")}, p: Progress{Waiting: ten}, forks: 9, begin: "a b c"},
		{name: "a batch of no percent is a host", r: Rolling{Batch: amount(t, "0%")}, p: Progress{Waiting: ten}, forks: 9, begin: "a"},
		{name: "batches begin behind the canary", r: Rolling{Canary: 1, Batch: amount(t, "2")}, p: Progress{Waiting: ten[1:], Ended: well("a")}, forks: 9, begin: "b c"},
		{name: "the first failure stops", p: Progress{Waiting: ten[1:], Ended: []Ended{bad}}, forks: 3, stop: "1 of 10 hosts did not end well, 0 may"},
		{name: "as many as may fail", r: Rolling{MaxFail: amount(t, "1")}, p: Progress{Waiting: ten[1:], Ended: []Ended{bad}}, forks: 1, begin: "b"},
		{name: "one more than may fail", r: Rolling{MaxFail: amount(t, "1")}, p: Progress{Waiting: ten[2:], Ended: []Ended{bad, {"b", apply.Unchanged, false}}}, forks: 1, stop: "2 of 10 hosts did not end well, 1 may"},
		{name: "percentages are of the whole run", r: Rolling{MaxFail: amount(t, "10%")}, p: Progress{Waiting: ten[1:], Ended: []Ended{bad}}, forks: 1, begin: "b"},
		{name: "percentages round down", r: Rolling{MaxFail: amount(t, "19%")}, p: Progress{Waiting: ten[2:], Ended: []Ended{bad, bad}}, forks: 1, stop: "2 of 10 hosts did not end well, 1 may"},
		{name: "one of a group at a time", r: Rolling{Groups: []Group{mx}}, p: Progress{Waiting: ten}, forks: 4, begin: "a d e f"},
		{name: "a group's other host waits", r: Rolling{Groups: []Group{mx}}, p: Progress{Waiting: ten[1:4], Running: ten[:1]}, forks: 4, begin: "d"},
		{name: "an interrupt", p: Progress{Waiting: ten, Stopped: "interrupted"}, forks: 4, stop: "interrupted"},
	} {
		d := c.r.Next(c.p, moment(t, "2026-11-22T02:00:00Z"), time.Minute, c.forks)
		if got := strings.Join(d.Begin, " "); got != c.begin || d.Stop != c.stop {
			t.Errorf("%s: begins %q (%s), want %q (%s)", c.name, got, d.Stop, c.begin, c.stop)
		}
	}
}

// TestBar: what follows the bar, twice the time to confirm and a restore, ends in the window and before the run's own end.
func TestBar(t *testing.T) {
	now := moment(t, "2026-11-22T03:00:00Z")
	wide, early := Group{Name: "g", Hosts: []string{"a", "b"}, Window: window(t, "02:00-04:00 UTC")}, Group{Name: "h", Hosts: []string{"b"}, Window: window(t, "02:00-03:30 UTC")}
	shut := Group{Name: "s", Hosts: []string{"c"}, Window: window(t, "01:00-03:00 UTC")}
	r := Rolling{Groups: []Group{wide, early, shut, {Name: "none", Hosts: []string{"a", "d"}}}}
	until := r
	until.Until = moment(t, "2026-11-22T03:20:00Z")
	ignores := until
	ignores.Ignore = true
	for _, c := range []struct {
		r          Rolling
		host, want string
	}{
		{r, "a", "2026-11-22T03:55:00Z"}, {r, "b", "2026-11-22T03:25:00Z"}, {r, "c", "2026-11-22T02:55:00Z"}, {r, "d", ""},
		{until, "b", "2026-11-22T03:15:00Z"}, {until, "d", "2026-11-22T03:15:00Z"}, {ignores, "c", "2026-11-22T03:15:00Z"},
	} {
		var want time.Time
		if c.want != "" {
			want = moment(t, c.want)
		}
		if got := c.r.Bar(c.host, now, 2*time.Minute); !got.Equal(want) {
			t.Errorf("%s: %s, want %s", c.host, got, c.want)
		}
	}
}

// TestWindows: no host is begun outside its window, or where the worst case would cross its end.
func TestWindows(t *testing.T) {
	for _, c := range []struct {
		window, now string
		worst       time.Duration
		why         string // what the refusal says; "" begins
	}{
		{"02:00-04:00 UTC", "2026-11-22T02:00:00Z", time.Hour, ""},
		{"02:00-04:00 UTC", "2026-11-22T01:59:59Z", time.Minute, "outside the window"},
		{"02:00-04:00 UTC", "2026-11-22T03:00:00Z", time.Hour, ""},
		{"02:00-04:00 UTC", "2026-11-22T03:00:01Z", time.Hour, "closes"},
		{"02:00-04:00 UTC", "2026-11-22T04:00:00Z", time.Minute, "outside the window"},
		{"02:00-04:00 Asia/Seoul", "2026-11-21T17:30:00Z", time.Hour, ""},
		{"02:00-04:00 Asia/Seoul", "2026-11-22T02:30:00Z", time.Hour, "outside the window of g (02:00-04:00 Asia/Seoul)"},
		{"23:00-01:00 UTC", "2026-11-22T23:30:00Z", time.Hour, ""},
		{"23:00-01:00 UTC", "2026-11-23T00:30:00Z", 20 * time.Minute, ""},
		{"23:00-01:00 UTC", "2026-11-23T00:30:00Z", time.Hour, "closes"},
		{"23:00-01:00 UTC", "2026-11-23T01:30:00Z", time.Minute, "outside the window"},
		// The clock goes from 02:00 to 03:00 on 2026-03-29: of the window 01:00-04:00 two hours are left.
		{"01:00-04:00 Europe/Berlin", "2026-03-29T00:00:00Z", 2 * time.Hour, ""},
		{"01:00-04:00 Europe/Berlin", "2026-03-29T00:00:00Z", 2*time.Hour + time.Minute, "closes"},
		// It goes from 03:00 back to 02:00 on 2026-10-25: the same window lasts four hours.
		{"01:00-04:00 Europe/Berlin", "2026-10-24T23:00:00Z", 4 * time.Hour, ""},
		{"01:00-04:00 Europe/Berlin", "2026-10-24T23:00:00Z", 4*time.Hour + time.Minute, "closes"},
	} {
		r := Rolling{Groups: []Group{{Name: "g", Hosts: []string{"a"}, Window: window(t, c.window)}}}
		d := r.Next(Progress{Waiting: []string{"a"}}, moment(t, c.now), c.worst, 1)
		began := slices.Contains(d.Begin, "a")
		if began != (c.why == "") || !strings.Contains(d.Skip["a"], c.why) {
			t.Errorf("%s at %s for %s: begun %v, %q; want %q", c.window, c.now, c.worst, began, d.Skip["a"], c.why)
		}
		r.Ignore = true
		if d := r.Next(Progress{Waiting: []string{"a"}}, moment(t, c.now), c.worst, 1); len(d.Begin) != 1 {
			t.Errorf("%s at %s is not ignored", c.window, c.now)
		}
	}
}

func TestNotAfter(t *testing.T) {
	seoul, err := time.LoadLocation("Asia/Seoul")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ say, now, want string }{
		{"04:00", "2026-11-22T02:00:00Z", "2026-11-22T04:00:00Z"},
		{"04:00", "2026-11-22T04:00:00Z", "2026-11-23T04:00:00Z"},
		{"00:30", "2026-11-22T23:00:00Z", "2026-11-23T00:30:00Z"},
	} {
		at, err := NotAfter(c.say, moment(t, c.now))
		if err != nil || !at.Equal(moment(t, c.want)) {
			t.Errorf("%s at %s is %s (%v), want %s", c.say, c.now, at, err, c.want)
		}
	}
	if at, err := NotAfter("04:00", moment(t, "2026-11-21T18:00:00Z").In(seoul)); err != nil || !at.Equal(moment(t, "2026-11-21T19:00:00Z")) {
		t.Errorf("in Seoul it is %s (%v)", at, err)
	}
	for _, bad := range []string{"", "4:00", "24:00", "04:00:00", "x"} {
		if _, err := NotAfter(bad, moment(t, "2026-11-22T02:00:00Z")); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	r := Rolling{Until: moment(t, "2026-11-22T04:00:00Z")}
	if d := r.Next(Progress{Waiting: []string{"a"}}, moment(t, "2026-11-22T03:50:01Z"), 10*time.Minute, 1); len(d.Begin) != 0 || !strings.Contains(d.Skip["a"], "beyond 04:00:00") {
		t.Errorf("begun %v, %q", d.Begin, d.Skip["a"])
	}
}

func TestAmount(t *testing.T) {
	for _, bad := range []string{"", "%", "-1", "101%", "1.5", "+1", "a", "1%%"} {
		if a, err := ParseAmount(bad); err == nil {
			t.Errorf("%q is taken as %v", bad, a)
		}
	}
	for _, c := range []struct {
		say      string
		of       int
		up, down int
	}{{"3", 10, 3, 3}, {"25%", 10, 3, 2}, {"100%", 7, 7, 7}, {"0%", 7, 0, 0}, {"1%", 7, 1, 0}} {
		a := amount(t, c.say)
		if a.of(c.of, true) != c.up || a.of(c.of, false) != c.down {
			t.Errorf("%s of %d is %d and %d", c.say, c.of, a.of(c.of, true), a.of(c.of, false))
		}
	}
}
