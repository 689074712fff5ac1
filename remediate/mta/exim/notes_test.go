package exim

import (
	"testing"
	"time"
)

// TestStamped reads the times of Exim's main log: the zone is the line's, else Exim's, else the host's, else nothing is known.
func TestStamped(t *testing.T) {
	const started = "exim 4.96 daemon started: pid=12, -q30m"
	for _, c := range []struct{ line, host, exim, want string }{
		{"2026-11-22 09:00:00 " + started, "+0900", "", "2026-11-22T00:00:00Z"},
		{"2026-11-22 09:00:00.123 " + started, "+0900", "", "2026-11-22T00:00:00Z"},
		{"2026-11-22 09:00:00 -0100 " + started, "+0900", "", "2026-11-22T10:00:00Z"},
		{"2026-11-22 09:00:00.123 +0000 [12] " + started, "+0900", "", "2026-11-22T09:00:00Z"},
		{"2026-11-22 09:00:00 " + started, "+0900", "UTC", "2026-11-22T09:00:00Z"},
		{"2026-11-22 09:00:00 " + started, "+0900", "Asia/Seoul", ""},
		{"2026-11-22 09:00:00 " + started, "", "", ""},
		{"2026-11-22 09:00:00", "+0000", "", "2026-11-22T09:00:00Z"},
		{"2026-11-22 29:00:00 " + started, "+0000", "", ""},
		{"2026-11-22", "+0000", "", ""},
		{"", "+0000", "", ""},
	} {
		at, ok := stamped(c.line, c.host, c.exim)
		got := ""
		if ok {
			got = at.UTC().Format(time.RFC3339)
		}
		if got != c.want {
			t.Errorf("%q %q %q: %q, want %q", c.line, c.host, c.exim, got, c.want)
		}
	}
}

func FuzzStamped(f *testing.F) {
	f.Add("2026-11-22 09:00:00.123 +0000 [12] exim 4.96 daemon started: pid=12", "+0900", "")
	f.Fuzz(func(t *testing.T, line, host, exim string) {
		if at, ok := stamped(line, host, exim); ok && at.Format("2006-01-02 15:04:05") != line[:19] {
			t.Errorf("%q is %v", line, at)
		}
	})
}
