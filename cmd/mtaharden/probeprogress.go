package main

import (
	"fmt"
	"io"
	"time"

	"mtaharden/remediate/probe"
	"mtaharden/remediate/report"
)

// sweepProgress tells on stderr how far a sweep is, and at once which address relays.
type sweepProgress struct {
	w                          io.Writer
	quiet                      bool // a single host needs no progress
	total, count, open, relays uint64
	before                     uint64 // done in an earlier run
	begun, told                time.Time
}

// tellEvery is the time between two lines of progress.
const tellEvery = 5 * time.Second

func newSweepProgress(w io.Writer, r *probeRun) *sweepProgress {
	now := time.Now()
	return &sweepProgress{w: w, quiet: !r.sweep && r.total < 2, total: r.total, begun: now, told: now}
}

// done counts a host; old says that an earlier run asked it.
func (p *sweepProgress) done(h *probe.HostResult, old bool) {
	p.count++
	if old {
		p.before++
	}
	if h.Open() {
		p.open++
	}
	if !p.quiet {
		p.found(h, old)
		if now := time.Now(); !old && (now.Sub(p.told) >= tellEvery || p.count == p.total) {
			p.told = now
			p.tell(now)
		}
	}
}

func (p *sweepProgress) found(h *probe.HostResult, old bool) {
	port, _ := h.OpenProxy()
	if !h.Verdict().Open() && port == nil {
		return
	}
	p.relays++
	if !old {
		what := "relays"
		if port != nil {
			what = "is an open proxy"
		}
		fmt.Fprintf(p.w, "mtaharden: %s %s\n", report.Clean(h.Addr.String()), what)
	}
}

func (p *sweepProgress) tell(now time.Time) {
	line := fmt.Sprintf("mtaharden: %d of %d asked, %d open, %d found", p.count, p.total, p.open, p.relays)
	if here := p.count - p.before; p.count < p.total && here > 0 {
		left := now.Sub(p.begun) / time.Duration(here) * time.Duration(p.total-p.count)
		line += fmt.Sprintf(", about %s left", left.Round(time.Second))
	}
	fmt.Fprintln(p.w, line)
}
