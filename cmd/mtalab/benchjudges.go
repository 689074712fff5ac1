package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// The functions of the collector that put questions to an MTA, each with the file that ends by calling what calls it.
func asking() []mute {
	return []mute{
		{"remediate/mta/exim/collect.sh", "exim_questions", "exim_collect"},
		{"remediate/mta/sendmail/collect.sh", "sm_ask", "sendmail_collect"},
	}
}

// A mute takes a function's body out of a script: before its last line, which calls Call, it is defined anew as nothing.
type mute struct{ File, Function, Call string }

func (m mute) apply(script string) (string, error) {
	head, ok := strings.CutSuffix(strings.TrimRight(script, "\n")+"\n", "\n"+m.Call+"\n")
	if !ok {
		return "", fmt.Errorf("cannot take the questions out of %s: it does not end with %s", m.File, m.Call)
	}
	return head + "\n" + m.Function + "() {\n\t:\n}\n\n" + m.Call + "\n", nil
}

// buildMute builds the program whose collector asks no MTA, from the project's own source with those functions taken out.
func (l *Lab) buildMute(ctx context.Context, dir string) (string, error) {
	top := filepath.Dir(filepath.Dir(l.Source))
	replace := map[string]string{}
	for i, m := range asking() {
		script, err := os.ReadFile(filepath.Join(top, m.File))
		if err != nil {
			return "", err
		}
		text, err := m.apply(string(script))
		if err != nil {
			return "", err
		}
		file := filepath.Join(dir, fmt.Sprintf("mute%d.sh", i))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(top, m.File)] = file
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "mtaharden-mute")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return "", err
	}
	c := exec.CommandContext(ctx, "go", "build", "-overlay", file, "-o", program, "./cmd/mtaharden")
	c.Dir = top
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build mtaharden without questions: %v: %s", err, lastLines(string(out), 10))
	}
	return program, nil
}

// fleet is n entries of an inventory over the hosts that are there, each under a name of its own.
func fleet(hosts []Host, n int) []Host {
	entries := make([]Host, 0, n)
	for i := range n {
		h := hosts[i%len(hosts)]
		h.Name = fmt.Sprintf("%s-%02d", h.Name, i/len(hosts)+1)
		entries = append(entries, h)
	}
	return entries
}

// judges times what the judges cost: the audit that only reads, the audit that asks the MTAs, and the one that asks the
// network too, of the same fleet, in turns. Hosts of a fleet have processors of their own and the lab's share this machine's: no more are asked at a time than
// it has. It fails when a judge that should have spoken did not, or the reverse.
func (b bench) judges(ctx context.Context, dir, program string, hosts []Host) error {
	hosts = slices.DeleteFunc(slices.Clone(hosts), func(h Host) bool { return b.lab.Kinds[h.Kind].MTA == "" })
	if len(hosts) == 0 {
		return nil
	}
	silent, err := b.lab.buildMute(ctx, dir)
	if err != nil {
		return err
	}
	entries := fleet(hosts, b.entries)
	inventory := filepath.Join(dir, "fleet.toml")
	text := b.lab.inventoryOf(entries, []string{"outside"}, func(Host) string { return "role = \"mx\"\n" })
	if err := os.WriteFile(inventory, []byte(text), 0o600); err != nil {
		return err
	}
	audits := []judgesAudit{
		{name: "reading alone", program: silent, judges: "config"},
		{name: "audit", program: program, judges: "config mta"},
		{name: "audit --probe", program: program, flags: []string{"--probe"}, judges: "config mta network"},
	}
	for round := range max(b.runs, 1) + 1 {
		for i := range audits {
			if err := b.lab.settle(ctx, hosts); err != nil {
				return err
			}
			if err := audits[i].run(ctx, b.lab, inventory, dir, len(entries), round > 0); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(b.out, "\n%d entries over %d hosts, %d at a time, %d runs in turns, seconds: least, median, most; ratio to reading alone; "+
		"median of the processor's time here and in the lab, ratio\n", len(entries), len(hosts), runtime.NumCPU(), b.runs)
	base := audits[0]
	for _, a := range audits {
		took, work := summary(a.took), summary(a.work)
		fmt.Fprintf(b.out, "%-22s %s  %.2f   %.2f %.2f  %.2f\n", a.name, took, took.ratio(summary(base.took)),
			summary(a.here).median.Seconds(), (work.median - summary(a.here).median).Seconds(), work.ratio(summary(base.work)))
	}
	return nil
}

// settle has every Postfix begin its count of messages anew. A host that is asked by the network judge opens some twenty that are never sent, and
// after a hundred the next waits a second each, until the queue manager wakes (postconf(5), in_flow_delay): a host asked forty times in
// five minutes would be timed as none is that is asked once.
func (l *Lab) settle(ctx context.Context, hosts []Host) error {
	for _, h := range hosts {
		var said bytes.Buffer
		code, err := l.Exec(ctx, h.Name, []string{"/bin/sh", "-c", "! command -v postqueue >/dev/null || postqueue -f"}, nil, &said, &said)
		if err != nil || code != 0 {
			return fmt.Errorf("cannot wake the queue manager of %s: exit status %d, %v: %s", h.Name, code, err, lastLines(said.String(), 3))
		}
	}
	return nil
}

// A judgesAudit is one way to audit, who must have spoken in it, and how long each run took, on the clock and of the processor: of
// the program's own, and of all with what the lab's hosts did.
type judgesAudit struct {
	name, program    string
	flags            []string
	judges           string
	took, here, work []time.Duration
}

func (a *judgesAudit) run(ctx context.Context, l *Lab, inventory, state string, n int, counts bool) error {
	args := append([]string{"audit", "-i", inventory, "--forks", fmt.Sprint(runtime.NumCPU()), "--format", "json", "--batch", "--state", state}, a.flags...)
	c := l.resolving(ctx, append([]string{a.program}, args...)...)
	var out bytes.Buffer
	c.Stdout = &out
	before, err := l.cgroups.processor()
	if err != nil {
		return err
	}
	took, err := once(c, 0, 2)
	if err != nil {
		return err
	}
	after, err := l.cgroups.processor()
	if err != nil {
		return err
	}
	if counts {
		here := c.ProcessState.UserTime() + c.ProcessState.SystemTime()
		a.took, a.here, a.work = append(a.took, took), append(a.here, here), append(a.work, here+after-before)
	}
	if spoke, err := judgesOf(out.Bytes(), n); err != nil || spoke != a.judges {
		return fmt.Errorf("%s: the judges that spoke are %q, not %q: %v", a.name, spoke, a.judges, err)
	}
	return nil
}

// judgesOf lists who gave evidence on open relays in an audit of n hosts, all of which must have been read.
func judgesOf(data []byte, n int) (string, error) {
	var report auditReport
	if err := json.Unmarshal(data, &report); err != nil {
		return "", err
	}
	if len(report.Hosts) != n {
		return "", fmt.Errorf("%d hosts are in the report, not %d", len(report.Hosts), n)
	}
	spoke := map[string]bool{}
	for _, h := range report.Hosts {
		if h.State != "ok" {
			return "", fmt.Errorf("%s was not read: %s %s", h.Name, h.State, h.Error)
		}
		for _, f := range h.Findings {
			for _, e := range f.Evidence {
				if f.Rule == "open-relay" && e.Says != "cannot-tell" {
					spoke[e.Judge] = true
				}
			}
		}
	}
	return strings.Join(sortedKeys(spoke), " "), nil
}
