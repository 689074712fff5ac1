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
	Rule    string `json:"rule"`
	Hosts   string `json:"hosts"` // the pattern as written
	Reason  string `json:"reason"`
	Expires string `json:"expires"` // YYYY-MM-DD; it holds through that day, in the controller's zone
	File    string `json:"file"`
	Line    int    `json:"line"`

	col   int
	names map[string]bool
}

// Covers says whether the waiver names the host.
func (w Waiver) Covers(host string) bool { return w.names[host] }

// Matches says whether the waiver is for this rule on this host; whether it has expired is another question.
func (w Waiver) Matches(rule, host string) bool { return w.Rule == rule && w.Covers(host) }

// Expired says whether the last day of the waiver is over, by the calendar of now's zone.
func (w Waiver) Expired(now time.Time) bool { return now.Format(time.DateOnly) > w.Expires }

func (r *reader) readWaivers(n *node) {
	if !n.array || len(n.list) > 0 && n.list[0].table == nil {
		r.errs.val(n, "waivers must be tables ([[waivers]]), not %s", kind(n.value))
		return
	}
	for _, e := range n.list {
		r.waivers = append(r.waivers, e)
	}
}

var ruleName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// waiver reads one [[waivers]] table once the hosts are known.
func (r *reader) waiver(n *node) {
	words := []string{"rule", "hosts", "reason", "expires"}
	line, col := n.file.place(n.at)
	w := Waiver{File: n.file.name, Line: line, col: col}
	into := map[string]*string{"rule": &w.Rule, "hosts": &w.Hosts, "reason": &w.Reason}
	ok := true
	bad := func(at *node, format string, args ...any) {
		ok = false
		r.errs.val(at, format, args...)
	}
	if n.table == nil {
		bad(n, "a waiver must be a table, not %s", kind(n.value))
		return
	}
	for _, key := range n.keys {
		c := n.table[key]
		var err error
		switch {
		case into[key] != nil:
			*into[key], err = asString(c)
		case key == "expires":
			w.Expires, err = asDate(c)
		default:
			ok = false
			r.errs.key(c, "unknown key %q in a waiver%s", key, hint(key, words))
		}
		if err != nil {
			bad(c, "%s: %v", key, err)
		}
	}
	for _, key := range words {
		if n.table[key] == nil {
			bad(n, "waiver without %q", key)
		}
	}
	if ok && !ruleName.MatchString(w.Rule) {
		bad(n.table["rule"], "rule: %q is not a rule's id", w.Rule)
	}
	if ok && strings.TrimSpace(w.Reason) == "" {
		bad(n.table["reason"], "reason: must not be empty")
	}
	if ok {
		r.cover(w, n.table["hosts"])
	}
}

func (r *reader) cover(w Waiver, n *node) {
	hosts, err := r.inv.Select(w.Hosts)
	if strings.HasPrefix(w.Hosts, "@") {
		err = fmt.Errorf("a file of names is for the command line alone")
	}
	if err != nil {
		r.errs.val(n, "hosts: %v", err)
		return
	}
	w.names = make(map[string]bool, len(hosts))
	for _, h := range hosts {
		w.names[h.Name] = true
	}
	r.inv.Waivers = append(r.inv.Waivers, w)
}

// asDate takes a TOML local date, or the same in a string.
func asDate(n *node) (string, error) {
	switch v := n.value.(type) {
	case time.Time:
		if v.Location().String() == "date-local" { // the decoder's name for a date without time
			return v.Format(time.DateOnly), nil
		}
	case string:
		if t, err := time.Parse(time.DateOnly, v); err == nil {
			return t.Format(time.DateOnly), nil
		}
	}
	return "", fmt.Errorf("must be a date (2027-03-31)")
}

// sortHosts brings hosts into the order of the inventory.
func (inv *Inventory) inOrder(keep func(*Host) bool) []*Host {
	return slices.DeleteFunc(slices.Clone(inv.Hosts), func(h *Host) bool { return !keep(h) })
}
