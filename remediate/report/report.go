// Package report writes what was found on hosts, as text for people and as json, jsonl and csv for programs.
package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/agext/levenshtein"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/plan"
)

// State says how far a host was read.
type State string

const (
	OK          State = "ok"
	Unreachable State = "unreachable"
	AuthFailed  State = "auth-failed"
	HostKey     State = "host-key"
	NoPrivilege State = "no-privilege"
	NotBegun    State = "not-begun"  // not tried: too many others refused the same credential
	Incomplete  State = "incomplete" // reached, and not read to the end
	Failed      State = "error"
)

// Run is what a report is about.
type Run struct {
	ID        string
	Command   string // audit, plan, apply, rollback
	Started   time.Time
	Finished  time.Time // zero until the run is over; Handler.End sets it
	Playbooks []string
	Hosts     []string // in the order in which reports that are one document show them

	// Of a run that changes hosts: what it rests on, and who answers for it.
	Of         string // of a rollback: the run that it undoes
	Plan       string // the plan's digest
	User       string
	Controller string // the machine that it is run on
	Program    string
	Ticket     string
	Note       string
}

// Host is one host's part of a report.
type Host struct {
	Name    string
	Address string
	State   State
	Error   string // why State is not OK
	Result  *plan.Result
	Apply   *apply.Outcome // how an apply or a rollback left it; nil of an audit and a plan
}

// Handler takes a run's hosts as they are done. It is not safe for concurrent use: the run hands over one host at a time.
type Handler interface {
	Begin(Run) error
	Host(*Host) error
	End(finished time.Time) error
}

// Options are how a report looks.
type Options struct {
	Lang    string // "en", which "" means, or "ko"
	Color   bool   // escape sequences may be written: a terminal, and no NO_COLOR
	Diffs   bool   // text: show the changes and whose mail they would refuse
	Verbose bool   // text: show passing findings too, and the evidence
	Width   int    // text: columns, 0 for 100
}

// Formats returns the names that New takes.
func Formats() []string { return []string{"text", "json", "jsonl", "csv"} }

// Languages returns the languages that Options.Lang takes.
func Languages() []string { return []string{"en", "ko"} }

// New returns the handler of a format that writes to w.
func New(format string, w io.Writer, o Options) (Handler, error) {
	if o.Lang == "" {
		o.Lang = "en"
	}
	if !slices.Contains(Languages(), o.Lang) {
		return nil, fmt.Errorf("cannot report in language %q: one of %s", o.Lang, strings.Join(Languages(), ", "))
	}
	switch format {
	case "", "text":
		return newText(w, o), nil
	case "json":
		return &jsonDocument{w: w, lang: o.Lang}, nil
	case "jsonl":
		return &jsonLines{w: w, lang: o.Lang}, nil
	case "csv":
		return newCSV(w, o.Lang), nil
	}
	return nil, fmt.Errorf("cannot report as %q: one of %s%s", format, strings.Join(Formats(), ", "), nearest(format))
}

func nearest(got string) string {
	best, score := "", 0.6
	for _, f := range Formats() {
		if s := levenshtein.Match(got, f, nil); s > score {
			best, score = f, s
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// Summary counts hosts and findings of every status.
type Summary struct {
	Hosts         int `json:"hosts"`
	Unreachable   int `json:"unreachable"` // hosts that were not reached or not entered: unreachable, host key, authentication, privilege
	Incomplete    int `json:"incomplete"`  // hosts that were reached and not read to the end
	Pass          int `json:"pass"`
	Fail          int `json:"fail"`
	Unknown       int `json:"unknown"`
	Review        int `json:"review"`
	Waived        int `json:"waived"`
	Error         int `json:"error"`
	NotApplicable int `json:"not_applicable"`
	// Outcomes counts how an apply or a rollback left the hosts.
	Outcomes map[apply.Ending]int `json:"outcomes,omitempty"`
}

// Add counts one host.
func (s *Summary) Add(h *Host) {
	s.Hosts++
	if h.Apply != nil {
		if s.Outcomes == nil {
			s.Outcomes = map[apply.Ending]int{}
		}
		s.Outcomes[h.Apply.Ending]++
	}
	switch h.State {
	case Unreachable, AuthFailed, HostKey, NoPrivilege, NotBegun:
		s.Unreachable++
	case Incomplete, Failed:
		s.Incomplete++
	}
	if h.Result == nil {
		return
	}
	for _, f := range h.Result.Findings {
		*s.count(f.Status)++
	}
}

// count returns the counter of a status.
func (s *Summary) count(status plan.Status) *int {
	switch status {
	case plan.Pass:
		return &s.Pass
	case plan.Fail:
		return &s.Fail
	case plan.Review:
		return &s.Review
	case plan.Waived:
		return &s.Waived
	case plan.Error:
		return &s.Error
	case plan.NotApplicable:
		return &s.NotApplicable
	}
	return &s.Unknown
}
