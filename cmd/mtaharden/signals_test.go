package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mtaharden/remediate"
	"mtaharden/remediate/apply"
	"mtaharden/remediate/plan"
)

// said is a standard error that can be read while it is written to.
type said struct {
	lines
	b bytes.Buffer
}

func newSaid() *said {
	s := &said{}
	s.w = &s.b
	return s
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestSignals: the first interrupt begins no more hosts and lets the one under way come to its end; the second ends that one's context too.
func TestSignals(t *testing.T) {
	for _, c := range []struct {
		interrupts int
		want       string
	}{{1, "a:changed b:not-begun"}, {2, "a:rolled-back b:not-begun"}} {
		said := newSaid()
		ch := &change{changing: &changing{}, stderr: &said.lines, plan: &plan.Plan{Hosts: []plan.HostPlan{{Name: "a"}}}}
		command, end := context.WithCancel(t.Context()) // the command's own, which ends with the first interrupt
		end()
		ch.prompt = &prompter{done: command.Done()}
		ctx, stop, interrupted, release := ch.signals()
		var got []string
		interrupt := func(over <-chan struct{}) {
			if err := syscall.Kill(syscall.Getpid(), syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			select {
			case <-over:
			case <-time.After(time.Minute):
				t.Fatal("the interrupt is not noticed")
			}
		}
		one := func(ctx context.Context, host string) apply.Outcome {
			o := apply.Outcome{Host: host, Ending: apply.Changed}
			ch.mu.Lock() // the interrupt comes while a person is asked something, and other hosts go on
			defer ch.mu.Unlock()
			var other sync.WaitGroup
			other.Go(func() { ch.tell("b")(apply.StepReport{Step: apply.Save, State: apply.Doing}) })
			defer other.Wait()
			interrupt(stop)
			if ctx.Err() != nil {
				t.Error("the first interrupt gives up the host under way")
			}
			select {
			case <-ch.prompt.done:
				t.Error("after the first interrupt nobody is asked for the second login of the host under way")
			default:
			}
			if c.interrupts > 1 {
				interrupt(ctx.Done())
				o.Ending, o.Err = apply.RolledBack, context.Cause(ctx)
			}
			return o
		}
		fleet := remediate.Fleet{Forks: 1, Stop: stop, Why: "interrupted", Now: time.Now}
		remediate.Roll(ctx, fleet, []string{"a", "b"}, one, func(o apply.Outcome) { got = append(got, o.Host+":"+string(o.Ending)) })
		slices.Sort(got)
		if text := strings.Join(got, " "); text != c.want || !interrupted() {
			t.Errorf("after %d interrupts: %s, interrupted %v", c.interrupts, text, interrupted())
		}
		if !strings.Contains(said.String(), "b: save\n") {
			t.Errorf("the other host's step is not told of: %q", said)
		}
		if n := strings.Count(said.String(), "mtaharden: interrupted"); n != c.interrupts {
			t.Errorf("after %d interrupts it said %q", c.interrupts, said)
		}
		release()
	}
}
