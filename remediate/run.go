// Package remediate is the story of a run: its hosts, side by side, each from the first connection to its result.
package remediate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"mtaharden/playbooks"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// Target is one host of a run.
type Target struct {
	Name    string // the inventory's
	Address string
	Rules   []playbooks.Rule
	Intent  plan.Intent
	// Dial reaches the host; nil where Snapshot is judged instead.
	Dial     func(context.Context) (remote.Host, error)
	Snapshot *facts.Snapshot
	// Here says that the host is this machine.
	Here bool
	// Installed is the command of a collector installed on the host, run in place of sending the script; nil sends it.
	Installed []string
	// Login and Root are what Dial logs in and becomes root with, for Config.Breaker.
	Login, Root Credential
	// Limit bounds all that is done with the host, from the login to the network judge's last question; 0 is no bound of its own.
	Limit time.Duration
}

// end is when a step must have ended that is given so long by itself: no later than the host's time, which has run since begun.
func (t Target) end(begun time.Time, step time.Duration) time.Time {
	end := time.Now().Add(step)
	if all := begun.Add(t.Limit); t.Limit > 0 && all.Before(end) {
		return all
	}
	return end
}

// Config is what a run needs.
type Config struct {
	Targets []Target
	Drivers []*mta.Driver
	Forks   int      // how many hosts at the same time, at least 1
	Breaker *Breaker // what keeps a credential that hosts refuse from being tried on all; nil: nothing. The targets' Dial are its own (Guard)
	Probe   *Probing // how the network judge is asked; nil asks it nothing
	Now     func() time.Time
}

// Outcome is how one host of a run ended.
type Outcome struct {
	Target    Target
	Err       error           // nil, or why the host was not read to the end; errors.Is names the phase (remote.Err…)
	Snapshot  *facts.Snapshot // nil where nothing could be collected
	Raw       []byte          // the collector's output, as a snapshot file holds it
	Transport remote.Transport
	Result    *plan.Result // nil where nothing could be judged
	Took      time.Duration

	installs []plan.Judged // of Snapshot, read and not yet answered for; nil where that is still to be done
}

// judge gives the snapshot's verdict, the network's answers with it where that judge is asked; what was read of it on the way is used and
// let go.
func (o *Outcome) judge(ctx context.Context, c Config, n *network, begun time.Time) {
	installs := o.installs
	if o.installs = nil; installs == nil {
		installs = read(o.Snapshot, c.Drivers)
	}
	installs = answered(o.Snapshot, installs)
	var h heard
	if n != nil && o.Target.Dial != nil {
		h = n.ask(ctx, o.Target, o.Snapshot, installs, begun)
	}
	o.Result = weigh(o.Snapshot, installs, h, o.Target, c.Now())
}

// ErrIncomplete: the host was reached, and the collector's output ends before its end.
var ErrIncomplete = errors.New("not read to the end")

// ErrNotBegun: the run ended before the host's turn came.
var ErrNotBegun = errors.New("not begun")

// Run judges every target, Forks at a time, and hands each outcome to done as it comes, never two at once. One host's failure or slowness
// touches no other. When ctx ends, the hosts not begun are given to done with ErrNotBegun.
func Run(ctx context.Context, c Config, done func(Outcome)) {
	n := newNetwork(ctx, c.Probe)
	defer n.close()
	each(ctx, c, done, func(ctx context.Context, t Target) Outcome {
		begun := time.Now()
		o := Collect(ctx, c.Drivers, t)
		if o.Snapshot != nil {
			o.judge(ctx, c, n, begun)
		}
		return o
	})
}

// CollectAll collects every target and judges none.
func CollectAll(ctx context.Context, c Config, done func(Outcome)) {
	each(ctx, c, done, func(ctx context.Context, t Target) Outcome { return Collect(ctx, c.Drivers, t) })
}

func each(ctx context.Context, c Config, done func(Outcome), one func(context.Context, Target) Outcome) {
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, max(c.Forks, 1))
	for _, t := range c.Targets {
		slots <- struct{}{}
		end := c.Breaker.Begin(t)
		all.Go(func() {
			defer func() { <-slots }()
			defer end()
			begun := time.Now()
			o := Outcome{Target: t}
			if ctx.Err() != nil {
				o.Err = fmt.Errorf("%w: %w", ErrNotBegun, context.Cause(ctx))
			} else {
				o = guarded(ctx, t, one)
			}
			o.Took = time.Since(begun)
			mu.Lock()
			defer mu.Unlock()
			done(o)
		})
	}
	all.Wait()
}

// guarded keeps a fault in judging one host's data from ending the run of all.
func guarded(ctx context.Context, t Target, one func(context.Context, Target) Outcome) (o Outcome) {
	defer func() {
		if r := recover(); r != nil {
			o = Outcome{Target: t, Err: fmt.Errorf("cannot judge %s: a fault of this program: %v", t.Name, r)}
		}
	}()
	return one(ctx, t)
}

// Collect reaches one host and runs the collector there: one login, one exec, and a second one on the same login where reading the first
// one's output raised a question.
func Collect(ctx context.Context, drivers []*mta.Driver, t Target) Outcome {
	o, begun := Outcome{Target: t}, time.Now()
	if t.Dial == nil {
		o.Snapshot = t.Snapshot
		o.finish()
		return o
	}
	host, err := t.Dial(ctx)
	if err != nil {
		o.Err = err
		return o
	}
	defer host.Close()
	o.Transport = host.Transport()
	o.collect(ctx, host, drivers)
	o.finish()
	if o.Err == nil && t.Installed == nil {
		o.follow(ctx, host, drivers, begun)
	}
	return o
}

func (o *Outcome) collect(ctx context.Context, host remote.Host, drivers []*mta.Driver) {
	t := o.Target
	if t.Installed == nil {
		o.Snapshot, o.Raw, o.Err = facts.Collect(ctx, host, Parts(drivers)...)
	} else {
		w := &witness{Host: host}
		o.Snapshot, o.Raw, o.Err = facts.CollectInstalled(ctx, w, t.Installed, Parts(drivers)...)
		if why := remote.Refused(remote.Cmd{Argv: t.Installed}, w.last); o.Err != nil && why != nil {
			o.Err = remote.Wrap("become root on", t.Name, remote.ErrPrivilege, why)
		}
	}
	if errors.Is(o.Err, facts.ErrDigest) {
		o.Snapshot = nil // what another script says may not be judged as if it were ours
	}
	if o.Snapshot != nil {
		o.Snapshot.Host = t.Name
	}
}

// witness is a host that remembers how its last command ended.
type witness struct {
	remote.Host
	last remote.Result
}

func (w *witness) Run(ctx context.Context, c remote.Cmd, limit int) (remote.Result, error) {
	var err error
	w.last, err = w.Host.Run(ctx, c, limit)
	return w.last, err
}

// finish names a snapshot that ends too early, where nothing else has been said of it.
func (o *Outcome) finish() {
	if o.Err == nil && o.Snapshot != nil && !o.Snapshot.Complete {
		o.Err = ErrIncomplete
	}
}

// Parts are the drivers' own parts of the collector script.
func Parts(drivers []*mta.Driver) []string {
	parts := make([]string, 0, len(drivers))
	for _, d := range drivers {
		parts = append(parts, d.Collect)
	}
	return parts
}

// Judge is the pure half of a run: what the drivers make of a snapshot, and what the rules say to that.
func Judge(s *facts.Snapshot, drivers []*mta.Driver, t Target, now time.Time) *plan.Result {
	return weigh(s, answered(s, read(s, drivers)), heard{}, t, now)
}

// weigh puts a host's installations and the network's answers before the rules.
func weigh(s *facts.Snapshot, installs []plan.Judged, h heard, t Target, now time.Time) *plan.Result {
	res := plan.New(plan.Input{
		Snapshot: s, Installs: installs, Network: h.answers, Contacts: h.contacts, Passed: h.passed, Rules: t.Rules, Intent: t.Intent, Now: now,
	})
	res.Problems = append(res.Problems[:len(res.Problems):len(res.Problems)], h.problems...)
	if !s.Complete {
		doubt(res)
	}
	return res
}

// doubt takes back what a snapshot that ends too early cannot show: that nothing is wrong. What is wrong in the part that was read stays so.
func doubt(res *plan.Result) {
	for i := range res.Findings {
		f := &res.Findings[i]
		if f.GuideStatus == plan.Pass {
			f.GuideStatus = plan.Unknown
		}
		if f.Status != plan.Pass && f.Status != plan.NotApplicable {
			continue
		}
		f.Status = plan.Unknown
		f.Have = "the host was not read to the end; as far as it was read: " + f.Have
		f.Ko.Have = "호스트 수집이 끝까지 완료되지 않음; 수집된 범위: " + f.Ko.Have
	}
}

// read returns every installation that the drivers find, as far as it can be read.
func read(s *facts.Snapshot, drivers []*mta.Driver) []plan.Judged {
	var out []plan.Judged
	for _, d := range drivers {
		for _, install := range d.Detect(s) {
			j := plan.Judged{Driver: d, Install: install}
			if j.Config, j.Err = d.Read(s, install); j.Err != nil {
				j.Config = nil
			}
			out = append(out, j)
		}
	}
	return out
}

// answered adds the answers of the configuration and the MTA.
func answered(s *facts.Snapshot, installs []plan.Judged) []plan.Judged {
	for i := range installs {
		if j := &installs[i]; j.Config != nil {
			j.Answers = j.Driver.Answers(s, j.Config)
		}
	}
	return installs
}
