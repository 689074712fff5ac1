package inventory

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a jump host without zone files must read the same window as one with them
)

// Window is the daily span in which a host may be changed, in the wall-clock time of its zone. Where the end is not after the begin it
// reaches over midnight.
type Window struct {
	Begin, End time.Duration // since midnight, whole minutes, below 24 h
	Zone       *time.Location
}

var windowForm = regexp.MustCompile(`^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d) (\S+)$`)

// ParseWindow reads "HH:MM-HH:MM Zone", the zone as the IANA database names it (Asia/Seoul, UTC).
func ParseWindow(s string) (Window, error) {
	m := windowForm.FindStringSubmatch(s)
	if m == nil {
		return Window{}, fmt.Errorf("%q is not a window (write it as 02:00-04:00 Asia/Seoul)", s)
	}
	if m[5] == "Local" || strings.ToUpper(m[5]) == "LOCAL" {
		return Window{}, fmt.Errorf("unknown time zone %q: name the host's zone, as Asia/Seoul or UTC", m[5])
	}
	zone, err := time.LoadLocation(m[5])
	if err != nil {
		return Window{}, fmt.Errorf("unknown time zone %q", m[5])
	}
	w := Window{clock(m[1], m[2]), clock(m[3], m[4]), zone}
	if w.Begin == w.End {
		return Window{}, fmt.Errorf("%q is empty: it begins when it ends", s)
	}
	return w, nil
}

func clock(hour, minute string) time.Duration {
	h, _ := strconv.Atoi(hour) // the form holds digits alone
	m, _ := strconv.Atoi(minute)
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
}

func (w Window) String() string {
	hm := func(d time.Duration) string {
		return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
	}
	return hm(w.Begin) + "-" + hm(w.End) + " " + w.Zone.String()
}

// MarshalText gives the window as it is written in the file.
func (w Window) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// Open says whether the window is open at now, and when it then closes. A time that the zone skips or has twice on a day of change is
// what time.Date makes of it.
func (w Window) Open(now time.Time) (until time.Time, open bool) {
	local := now.In(w.Zone)
	for _, day := range []int{-1, 0} {
		end := day
		if w.End < w.Begin {
			end++
		}
		begin, until := w.at(local, day, w.Begin), w.at(local, end, w.End)
		if !now.Before(begin) && now.Before(until) {
			return until, true
		}
	}
	return time.Time{}, false
}

func (w Window) at(day time.Time, plus int, d time.Duration) time.Time {
	return time.Date(day.Year(), day.Month(), day.Day()+plus, int(d.Hours()), int(d.Minutes())%60, 0, 0, w.Zone)
}
