package remediate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// Judges are what a change is judged by, before it, in its stage and behind it: the same as an audit's.
type Judges struct {
	Drivers []*mta.Driver
	Probe   *Probing // nil: the network is asked no more than what every client is offered
	Now     func() time.Time

	network *network
}

// Open connects the network judge's places, as they are needed, for the run of ctx. Close ends that.
func (j *Judges) Open(ctx context.Context) { j.network = newNetwork(ctx, j.Probe) }

// Close ends what Open began.
func (j *Judges) Close() { j.network.close() }

// Of returns the judge of one host for apply: it collects over the connection that it is given, reads, asks, and judges by the target's rules
// and intent. In the stage it asks the candidate's daemons what only they can say; of an installation that did not run when the host was last
// judged live none is started there.
func (j *Judges) Of(t Target) func(context.Context, remote.Host, apply.Where) (*apply.Judgement, error) {
	t.Installed = nil // an installed collector cannot look into a stage; who may change a host may run the script
	var stopped []string
	return func(ctx context.Context, h remote.Host, where apply.Where) (*apply.Judgement, error) {
		begun, o := j.Now(), Outcome{Target: t}
		o.collect(ctx, h, j.Drivers)
		o.finish()
		if o.Snapshot == nil || o.Err != nil {
			return nil, o.Err
		}
		if where == apply.InStage {
			o.prove(ctx, h, j.Drivers, stopped)
		} else {
			o.follow(ctx, h, j.Drivers, begun)
		}
		out := j.judge(ctx, h, &o, where, begun)
		if where == apply.Live {
			stopped = nil
			for _, i := range out.Result.Installs {
				if !i.Active {
					stopped = append(stopped, placeOf(i.MTA, i.Instance, i.Config))
				}
			}
		}
		return out, nil
	}
}

func (j *Judges) judge(ctx context.Context, h remote.Host, o *Outcome, where apply.Where, begun time.Time) *apply.Judgement {
	installs := o.installs
	if installs == nil {
		installs = read(o.Snapshot, j.Drivers)
	}
	installs = answered(o.Snapshot, installs)
	var heard heard
	if where == apply.Live && j.network != nil {
		heard = j.network.ask(ctx, o.Target, o.Snapshot, installs, begun)
	}
	out := &apply.Judgement{Result: weigh(o.Snapshot, installs, heard, o.Target, j.Now()), Complete: o.Snapshot.Complete}
	for _, i := range installs {
		out.Answers = append(out.Answers, i.Answers)
		for _, s := range o.Snapshot.Seen(i.Install.MTA) {
			if !slices.Contains(out.Seen, s.Client) {
				out.Seen = append(out.Seen, s.Client)
			}
		}
	}
	if where == apply.Live {
		out.Offers = offers(ctx, h, o.Target, installs)
	}
	return out
}

// placeOf names an installation.
func placeOf(mta, instance, config string) string { return mta + "\x00" + instance + "\x00" + config }

// prove runs the drivers' own proofs beside the collector, in the stage: the candidate's daemons serve there, but for those of installations that
// are stopped.
func (o *Outcome) prove(ctx context.Context, host remote.Host, drivers []*mta.Driver, stopped []string) {
	var b strings.Builder
	for _, i := range read(o.Snapshot, drivers) {
		if i.Config == nil || i.Driver.Prove == nil || slices.Contains(stopped, placeOf(i.Install.MTA, i.Install.Instance, i.Install.Config)) {
			continue
		}
		if part := strings.TrimSpace(i.Driver.Prove(o.Snapshot, i.Config)); part != "" {
			b.WriteString(part + "\n")
		}
	}
	if b.Len() == 0 {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, followLimit, fmt.Errorf("it did not end within %s", followLimit))
	defer cancel()
	o.Snapshot, o.Raw = facts.Follow(ctx, host, o.Snapshot, o.Raw, b.String())
	o.installs = nil
}

// Fleet is a change that goes over hosts.
type Fleet struct {
	Rolling Rolling
	Forks   int
	Worst   time.Duration                  // how long one host may take
	Begin   func(host string) (end func()) // is told of each host that is begun, in their order; nil: nobody is (Breaker.Begin)
	Stop    <-chan struct{}
	Why     string // why nothing more is begun once Stop is closed
	Now     func() time.Time
}

// Roll carries one out for every host, as many at a time as Rolling lets, and hands each outcome to done as it comes, never two at once.
func Roll(ctx context.Context, f Fleet, hosts []string, one func(ctx context.Context, host string) apply.Outcome, done func(apply.Outcome)) {
	p := Progress{Waiting: slices.Clone(hosts)}
	ended := make(chan apply.Outcome)
	stop := f.Stop
	for {
		select {
		case <-stop:
			stop, p.Stopped = nil, f.Why
		default:
		}
		d := f.Rolling.Next(p, f.Now(), f.Worst, max(f.Forks, 1))
		if ctx.Err() != nil {
			d = Decision{Stop: context.Cause(ctx).Error()}
		}
		for _, h := range p.Waiting {
			why, skipped := d.Skip[h]
			if d.Stop != "" {
				why, skipped = d.Stop, true
			}
			if skipped {
				done(apply.Outcome{Host: h, Ending: apply.NotBegun, Reason: why, Err: ErrNotBegun})
				p.Ended = append(p.Ended, Ended{h, apply.NotBegun, true}) // not a failure: it was left alone
			}
		}
		p.Waiting = slices.DeleteFunc(p.Waiting, func(h string) bool { _, skipped := d.Skip[h]; return skipped || d.Stop != "" })
		for _, h := range d.Begin {
			p.Running = append(p.Running, h)
			p.Waiting = slices.DeleteFunc(p.Waiting, func(w string) bool { return w == h })
			end := f.begin(h)
			go func() {
				defer end()
				ended <- unbroken(careful(ctx, h, one))
			}()
		}
		if len(p.Running) == 0 {
			return
		}
		select {
		case o := <-ended:
			p.Running = slices.DeleteFunc(p.Running, func(h string) bool { return h == o.Host })
			p.Ended = append(p.Ended, Ended{o.Host, o.Ending, Well(o)})
			done(o)
		case <-stop:
			stop, p.Stopped = nil, f.Why
		}
	}
}

func (f Fleet) begin(host string) (end func()) {
	if f.Begin == nil {
		return func() {}
	}
	return f.Begin(host)
}

// unbroken calls a host that the breaker kept from being tried what it is.
func unbroken(o apply.Outcome) apply.Outcome {
	if errors.Is(o.Err, ErrBreaker) && o.Ending == apply.Unchanged {
		o.Ending, o.Reason = apply.NotBegun, o.Err.Error()
		o.Reason = strings.TrimPrefix(o.Reason, ErrNotBegun.Error()+": ")
	}
	return o
}

// Well says whether a host ended as it was meant to: changed, rolled back by a rollback, or with nothing to do.
func Well(o apply.Outcome) bool {
	return o.Ending == apply.Changed || o.Nothing || o.Ending == apply.NotBegun && errors.Is(o.Err, ErrBreaker) || o.Ending == apply.RolledBack && o.Err == nil
}

// careful keeps a fault of this program at one host from ending the run of all.
func careful(ctx context.Context, host string, one func(context.Context, string) apply.Outcome) (o apply.Outcome) {
	defer func() {
		if r := recover(); r != nil {
			o = apply.Outcome{Host: host, Ending: apply.NotKnown, Until: time.Now().Add(restoreTime), Err: errors.New("a fault of this program"),
				Reason: fmt.Sprintf("a fault of this program: %v", r)}
		}
	}()
	return one(ctx, host)
}

// PlanTarget is a target as a saved plan has it: judged by the plan's own rules and intent, reached as the inventory says.
func PlanTarget(p *plan.Plan, h plan.HostPlan, t Target) Target {
	t.Rules, t.Intent = p.RuleSets[h.RuleSet], h.Intent
	return t
}
