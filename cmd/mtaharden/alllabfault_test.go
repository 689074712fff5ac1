package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/remote/remotetest"
)

// faultCase is one fault at one step of an apply on one host.
type faultCase struct {
	fault hostFault
	step  apply.Step
	host  string
}

func (c faultCase) String() string { return fmt.Sprintf("%s/%s/%s", c.host, c.fault.name, c.step) }

// faultCases are all of them, each fault at each step of each MTA; which release has it goes by the fault. The first third has each fault at
// each step once. The last are those of a host without systemd, where the guard and what restores at boot are made by other means.
func faultCases() []faultCase {
	mtas, releases := []string{"postfix", "sendmail", "exim"}, []string{"deb12", "deb13", "deb11"}
	var out []faultCase
	for turn := range mtas {
		for f, fault := range hostFaults {
			for s, step := range apply.Steps() {
				out = append(out, faultCase{fault, step, releases[f%len(releases)] + "-" + mtas[(f+s+turn)%len(mtas)]})
			}
		}
	}
	for _, fault := range hostFaults {
		for _, step := range apply.Steps()[slices.Index(apply.Steps(), apply.Guard):] {
			if fault.kill && fault.prepare == "" || fault.stop || fault.cut {
				out = append(out, faultCase{fault, step, "deb12-sysvinit-postfix"})
			}
		}
	}
	return out
}

// faultSample is how many cases an ordinary run tries, one of each MTA.
const faultSample = 3

// sampledFaults picks by the run's seed.
func sampledFaults(all []faultCase) []faultCase {
	if os.Getenv("MTALAB_FULL") != "" {
		return all
	}
	seed := cmp.Or(os.Getenv("MTALAB_SEED"), "usual")
	rank := func(c faultCase) uint64 {
		h := fnv.New64a()
		fmt.Fprint(h, seed, " ", c)
		return h.Sum64()
	}
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b faultCase) int { return cmp.Compare(rank(a), rank(b)) })
	var out []faultCase
	for _, c := range all {
		if len(out) < faultSample && !slices.ContainsFunc(out, func(o faultCase) bool { return mtaOf(o.host) == mtaOf(c.host) }) {
			out = append(out, c)
		}
	}
	return out
}

func mtaOf(host string) string { return host[strings.LastIndex(host, "-")+1:] }

// TestLabFaults breaks applies off at the boundary of every step, by every fault of hostFaults: no host is left in between, what is said of it is
// true, the next run finds it whole, and it takes mail. As its file's name has it, it begins before all others that run side by side: a case may
// wait for a guard's deadline twice, and begun last it would be what the whole run waits for.
func TestLabFaults(t *testing.T) {
	l := needLab(t)
	t.Parallel()
	cases := sampledFaults(faultCases())
	t.Logf("%d of %d cases of a fault at a step", len(cases), len(faultCases()))
	queues := map[string][]faultCase{}
	for _, c := range cases {
		queues[c.host] = append(queues[c.host], c)
	}
	for host, queue := range queues {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			remotetest.Alone(t, host)
			h := l.faulty(t, host)
			for _, c := range queue {
				t.Run(c.fault.name+"/"+string(c.step), func(t *testing.T) { h.try(t, c) })
			}
		})
	}
}

// faultyHost is a host on which one apply after the other is broken off.
type faultyHost struct {
	lab
	name, mta string
	plan      string // its saved plan
	before    string // the tree as every case finds it
	after     string // the tree that a run leaves which nothing disturbed; "" until a case needs it
	daemons   string
}

// faulty plants a host and plans for it.
func (l lab) faulty(t *testing.T, host string) *faultyHost {
	t.Helper()
	h := &faultyHost{lab: l, name: host, mta: mtaOf(host), plan: filepath.Join(t.TempDir(), "plan.json")}
	plant(t, l, host, nil) // whatever comes of the cases, the next test finds the image
	l.plantDemo(t, host, h.mta)
	code, out, stderr := mtaharden("plan", "-i", l.inventory, "--limit", host, "--batch", "--state", state(t), "-o", h.plan)
	if code != exitFound {
		t.Fatalf("plan ended with %d: %s\n%s", code, out, stderr)
	}
	h.before, h.daemons = l.on(t, host, faultTreeSh), l.on(t, host, daemonsSh)
	return h
}

// undisturbed is the tree that a run leaves which nothing disturbed. The host is put back by hand.
func (h *faultyHost) undisturbed(t *testing.T) string {
	t.Helper()
	if h.after == "" {
		run := h.change(t, state(t), 0, "changed", "apply", h.plan, "--limit", h.name)
		h.after = h.on(t, h.name, faultTreeSh)
		h.byHand(t, run)
	}
	return h.after
}

// byHand puts a run back by its own script.
func (h *faultyHost) byHand(t *testing.T, run string) {
	t.Helper()
	h.on(t, h.name, "sh "+runsDir+"/"+run+"/restore.sh >&2")
}

// clean forgets the host's runs. What is there must be as it was before them.
func (h *faultyHost) clean(t *testing.T) {
	t.Helper()
	h.on(t, h.name, "rm -rf /var/lib/mtaharden")
	if now := h.on(t, h.name, faultTreeSh); now != h.before {
		t.Errorf("it is not as it was:\n%s", differing(h.before, now))
		h.plantDemo(t, h.name, h.mta)
		h.before = h.on(t, h.name, faultTreeSh)
	}
}

// controller is an apply in a process of its own.
type controller struct {
	cmd         *exec.Cmd
	out, stderr bytes.Buffer
	ended       chan struct{}
}

// confirmWithin is the time to confirm of a run that is broken off: on a busy machine the look at the host that two thirds of it are for takes half of them.
const confirmWithin = time.Minute

func (h *faultyHost) begin(t *testing.T, state string) *controller {
	t.Helper()
	c := &controller{ended: make(chan struct{})}
	c.cmd = exec.Command("mtaharden", "apply", h.plan, "-i", h.inventory, "--limit", h.name, "--yes", "--batch", "--state", state, "--format", "json",
		"--confirm-timeout", confirmWithin.String())
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { c.cmd.Wait(); close(c.ended) }()
	t.Cleanup(func() { c.cmd.Process.Kill(); <-c.ended })
	return c
}

// claim is what somebody says of a run on the host.
type claim struct {
	Run, Outcome, Reason string
	Over                 bool
	Warnings             []string
	Command              string
	code                 int
}

// claimed is what the controller said at its end; nil where it was killed.
func (c *controller) claimed(t *testing.T) *claim {
	t.Helper()
	var doc struct{ Hosts []claim }
	if c.cmd.ProcessState.ExitCode() < 0 {
		return nil
	}
	if err := json.Unmarshal(c.out.Bytes(), &doc); err != nil || len(doc.Hosts) != 1 {
		t.Fatalf("it ended with %d: %v\n%s\n%s", c.cmd.ProcessState.ExitCode(), err, c.out.String(), c.stderr.String())
	}
	doc.Hosts[0].code = c.cmd.ProcessState.ExitCode()
	return &doc.Hosts[0]
}

// runs are what the host itself says of its runs, the newest last.
func (h *faultyHost) runs(t *testing.T) []claim {
	t.Helper()
	code, out, stderr := mtaharden("runs", "--host", h.name, "-i", h.inventory, "--batch", "--state", state(t), "--format", "json")
	var doc struct {
		Runs []struct {
			ID    string
			Hosts []struct {
				Outcome, Sentence string
				Over              bool
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || code != 0 && code != exitFound {
		t.Fatalf("runs ended with %d: %v: %s", code, err, stderr)
	}
	var said []claim
	for _, r := range doc.Runs {
		said = append(said, claim{Run: r.ID, Outcome: r.Hosts[0].Outcome, Reason: r.Hosts[0].Sentence, Over: r.Hosts[0].Over})
	}
	return said
}

// watch waits on the host for the beginning of a step and strikes there; the line of the journal at which it did is sent to at.
func (h *faultyHost) watch(t *testing.T, c faultCase) (at chan string) {
	t.Helper()
	at = make(chan string, 1)
	cmd := exec.Command(h.program, "exec", h.name, "--", "bash", "-c", watchSh, "bash", string(c.step), c.fault.strike)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	nothing, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		line, err := bufio.NewReader(out).ReadString('\n')
		if err == nil {
			at <- strings.TrimSpace(line)
		}
		close(at)
		io.Copy(io.Discard, out)
		cmd.Wait()
	})
	t.Cleanup(func() { nothing.Close(); wait.Wait() })
	return at
}

// state is a folder for what a controller writes down: root's alone.
func state(t *testing.T) string { return filepath.Join(t.TempDir(), "state") }
