package inventory

import (
	"testing"
	"time"
)

func TestWindowOpen(t *testing.T) {
	tests := []struct {
		name, window, now, until string // until is "" where the window is closed
	}{
		{"begin", "02:00-04:00 Asia/Seoul", "2026-11-20T17:00:00Z", "2026-11-20T19:00:00Z"},
		{"before", "02:00-04:00 Asia/Seoul", "2026-11-20T16:59:59Z", ""},
		{"end", "02:00-04:00 Asia/Seoul", "2026-11-20T19:00:00Z", ""},
		{"over midnight, evening", "22:00-02:00 UTC", "2026-12-31T23:00:00Z", "2027-01-01T02:00:00Z"},
		{"over midnight, morning", "22:00-02:00 UTC", "2027-01-01T01:59:59Z", "2027-01-01T02:00:00Z"},
		{"over midnight, noon", "22:00-02:00 UTC", "2027-01-01T12:00:00Z", ""},
		{"to midnight", "22:00-00:00 UTC", "2027-01-01T23:59:00Z", "2027-01-02T00:00:00Z"},
		{"summer time", "01:00-05:00 Europe/Berlin", "2026-07-01T00:00:00Z", "2026-07-01T03:00:00Z"},
		{"winter time", "01:00-05:00 Europe/Berlin", "2026-01-01T00:00:00Z", "2026-01-01T04:00:00Z"},
		{"the night that loses an hour", "01:00-05:00 Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-29T03:00:00Z"},
		{"the night that gains an hour", "01:00-05:00 Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T04:00:00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, err := ParseWindow(tt.window)
			if err != nil {
				t.Fatal(err)
			}
			if w.String() != tt.window {
				t.Errorf("written back as %q", w)
			}
			now, err := time.Parse(time.RFC3339, tt.now)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if until, open := w.Open(now); open {
				got = until.UTC().Format(time.RFC3339)
			}
			if got != tt.until {
				t.Errorf("open until %q, want %q", got, tt.until)
			}
		})
	}
}

func TestWaiverHoldsThroughItsLastDay(t *testing.T) {
	seoul, err := time.LoadLocation("Asia/Seoul")
	if err != nil {
		t.Fatal(err)
	}
	w := Waiver{Expires: time.Date(2027, 3, 31, 0, 0, 0, 0, seoul)}
	for now, want := range map[time.Time]bool{
		time.Date(2027, 3, 31, 23, 59, 59, 0, seoul):    false,
		time.Date(2027, 4, 1, 0, 0, 0, 0, seoul):        true,
		time.Date(2027, 3, 31, 14, 59, 59, 0, time.UTC): false,
		time.Date(2027, 3, 31, 15, 0, 0, 0, time.UTC):   true,
		time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC):   false,
	} {
		if got := w.Expired(now); got != want {
			t.Errorf("at %v: expired %v", now, got)
		}
	}
}

func TestCheckRules(t *testing.T) {
	inv, err := Parse("a.toml", "hosts.a = {}\n[[waivers]]\nrule='vrfi'\nhosts='a'\nreason='r'\nexpires=2027-01-01\n", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := inv.CheckRules([]string{"expn", "vrfi"}); err != nil {
		t.Error(err)
	}
	err = inv.CheckRules([]string{"expn", "vrfy"})
	if want := `a.toml:2:3: waiver for unknown rule "vrfi": did you mean "vrfy"?`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestErrorsAreBounded(t *testing.T) {
	text := "[hosts.a]\n"
	for i := range 70 {
		text += "k" + string(rune('0'+i/10)) + string(rune('0'+i%10)) + " = 1\n"
	}
	_, err := Parse("a.toml", text, "")
	errs, ok := err.(*Errors)
	if !ok || len(errs.List) != 50 || errs.More != 20 {
		t.Errorf("%v", err)
	}
}
