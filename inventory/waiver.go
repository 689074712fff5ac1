package inventory

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Waiver accepts one rule's failure on some hosts until a day.
type Waiver struct {
	Rule    string    `json:"rule"`
	Hosts   string    `json:"hosts"` // the pattern as written
	Reason  string    `json:"reason"`
	Expires time.Time `json:"-"` // the begin of its last day, in the controller's zone; it holds through that day
	File    string    `json:"file"`
	Line    int       `json:"line"`

	col   int
	names map[string]bool
}

// Covers says whether the waiver names the host.
func (w Waiver) Covers(host string) bool { return w.names[host] }

// Matches says whether the waiver is for this rule on this host; whether it has expired is another question.
func (w Waiver) Matches(rule, host string) bool { return w.Rule == rule && w.Covers(host) }

// Expired says whether the last day of the waiver is over.
func (w Waiver) Expired(now time.Time) bool {
	y, m, d := w.Expires.Date()
	return !now.Before(time.Date(y, m, d+1, 0, 0, 0, 0, w.Expires.Location()))
}

func (r *reader) readWaivers(n *node) {
	if !n.array || len(n.list) > 0 && n.list[0].table == nil {
		r.errs.val(n, "waivers must be tables ([[waivers]]), not %s", kind(n.value))
		return
	}
	for _, e := range n.list {
		r.readWaiver(e)
	}
}

var ruleName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// waiver is a waiver whose hosts are not looked up yet.
type waiver struct {
	Waiver
	hosts *node // the value of its key hosts
}

// readWaiver reads one [[waivers]] table.
func (r *reader) readWaiver(n *node) {
	if n.table == nil {
		r.errs.val(n, "a waiver must be a table, not %s", kind(n.value))
		return
	}
	line, col := n.file.place(n.at)
	w := waiver{Waiver{File: n.file.name, Line: line, col: col}, n.table["hosts"]}
	words := []string{"rule", "hosts", "reason", "expires"}
	ok := true
	for _, key := range n.keys {
		if !slices.Contains(words, key) {
			r.errs.key(n.table[key], "unknown key %q in a waiver%s", key, hint(key, words))
			ok = false
		} else if err := w.set(key, n.table[key]); err != nil {
			r.errs.val(n.table[key], "%s: %v", key, err)
			ok = false
		}
	}
	for _, key := range words {
		if n.table[key] == nil {
			r.errs.val(n, "waiver without %q", key)
			ok = false
		}
	}
	if ok {
		r.waivers = append(r.waivers, w)
	}
}

func (w *waiver) set(key string, n *node) (err error) {
	switch key {
	case "rule":
		w.Rule, err = asString(n)
		if err == nil && !ruleName.MatchString(w.Rule) {
			err = fmt.Errorf("%q is not a rule's id", w.Rule)
		}
	case "hosts":
		w.Hosts, err = asString(n)
		if err == nil && strings.HasPrefix(w.Hosts, "@") {
			err = fmt.Errorf("a file of names is for the command line alone")
		}
	case "reason":
		w.Reason, err = asString(n)
		if err == nil && strings.TrimSpace(w.Reason) == "" {
			err = fmt.Errorf("must not be empty")
		}
	case "expires":
		w.Expires, err = asDate(n)
	}
	return err
}

// cover looks up the hosts of a waiver.
func (r *reader) cover(w waiver) {
	noFile := func(string) (string, error) {
		return "", fmt.Errorf("a file of names is for the command line alone")
	}
	hosts, err := r.inv.choose([]string{w.Waiver.Hosts}, noFile)
	if err != nil {
		r.errs.val(w.hosts, "hosts: %v", err)
		return
	}
	w.names = make(map[string]bool, len(hosts))
	for _, h := range hosts {
		w.names[h.Name] = true
	}
	r.inv.Waivers = append(r.inv.Waivers, w.Waiver)
}

// asDate takes a TOML local date, or the same in a string.
func asDate(n *node) (time.Time, error) {
	switch v := n.value.(type) {
	case time.Time:
		if v.Location().String() == "date-local" { // the decoder's name for a date without time
			y, m, d := v.Date()
			return time.Date(y, m, d, 0, 0, 0, 0, time.Local), nil
		}
	case string:
		if t, err := time.ParseInLocation(time.DateOnly, v, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("must be a date (2027-03-31)")
}
