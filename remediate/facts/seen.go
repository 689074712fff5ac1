package facts

import (
	"strconv"
	"strings"
	"time"
)

// parseSeen reads lines "ADDR TAB auth|- TAB foreign|local TAB COUNT TAB LAST". LAST is seconds since 1970, RFC 3339 or the date of a
// syslog line ("Nov 21 17:02:11", without a year: the last such day before the snapshot was taken).
func parseSeen(data []byte, taken time.Time) []Seen {
	var all []Seen
	for line := range strings.Lines(string(data)) {
		w := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
		if len(w) < 4 || w[0] == "" {
			continue
		}
		n, err := strconv.Atoi(w[3])
		if err != nil || n < 0 {
			continue
		}
		v := Seen{Client: w[0], Auth: w[1] == "auth", Foreign: w[2] == "foreign", Count: n}
		if len(w) > 4 {
			v.Last = logTime(w[4], taken)
		}
		all = append(all, v)
	}
	return all
}

// logTime reads the date of a line of a mail log.
func logTime(text string, taken time.Time) time.Time {
	text = strings.Join(strings.Fields(text), " ")
	if n, err := strconv.ParseFloat(text, 64); err == nil && n > 0 && n < 1<<40 {
		return time.Unix(int64(n), 0).UTC()
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05-0700", "2006-01-02T15:04:05", "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	t, err := time.Parse("Jan 2 15:04:05", text)
	if err != nil {
		return time.Time{}
	}
	t = t.AddDate(taken.Year(), 0, 0)
	if t.After(taken.Add(48 * time.Hour)) {
		t = t.AddDate(-1, 0, 0)
	}
	return t
}
