package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func benchCommand() *cobra.Command {
	var install bool
	b := bench{}
	c := &cobra.Command{
		Use:   "bench [--install] [--runs N] [--forks N] [--entries N] [HOST…]",
		Short: "Time an audit of lab hosts, beside Ansible where it is installed, and what each judge costs",
		RunE: func(c *cobra.Command, args []string) error {
			lab, err := equippedLab(c.Context(), install, func(l *Lab) map[string]string {
				if install {
					return l.BenchTools
				}
				return nil // Ansible is timed where it is installed, and not missed
			})
			if err != nil {
				return err
			}
			b.lab, b.out = lab, os.Stdout
			return b.run(c.Context(), args)
		},
	}
	c.Flags().BoolVar(&install, "install", false, "install what this machine lacks, Ansible too")
	c.Flags().IntVar(&b.runs, "runs", 5, "time each `N` times")
	c.Flags().IntVar(&b.entries, "entries", 20, "time the judges on `N` entries of an inventory")
	c.Flags().IntVar(&b.forks, "forks", 10, "hosts at a time, for both")
	return c
}

// A bench times mtaharden's audit, and the shortest Ansible play that reads part of the same: no facts (the hosts have
// no Python), one raw task for each thing an audit reads.
type bench struct {
	lab                  *Lab
	out                  io.Writer
	runs, forks, entries int
}

func (b bench) run(ctx context.Context, names []string) error {
	hosts, err := b.lab.Select(names)
	if err != nil {
		return err
	}
	// Ansible knows no password files; a host that needs one is left out for both.
	hosts = slices.DeleteFunc(hosts, func(h Host) bool { return b.lab.Kinds[h.Kind].BecomePassword != "" })
	program, err := b.lab.buildAuditor(ctx)
	if err != nil {
		return err
	}
	if err := b.lab.Up(ctx, hostNames(hosts)); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mtalab-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	inventory := filepath.Join(dir, "hosts.toml")
	if err := os.WriteFile(inventory, []byte(b.lab.inventoryOf(hosts, b.lab.outsides(), nil)), 0o600); err != nil {
		return err
	}
	ours, err := b.time(ctx, func() *exec.Cmd {
		return exec.CommandContext(ctx, program, "audit", "-i", inventory, "--forks", fmt.Sprint(b.forks), "--format", "json", "--batch", "--state", dir)
	}, 0, 2)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "%d hosts, %d at a time, %d runs, seconds: least, median, most\n%-22s %s\n", len(hosts), b.forks, b.runs, "mtaharden audit", ours)
	if present("ansible-playbook") {
		err = b.ansible(ctx, dir, hosts, ours)
	} else {
		fmt.Fprintln(b.out, "ansible-playbook is not installed (--install installs it)")
	}
	if err != nil {
		return err
	}
	return b.judges(ctx, dir, program, hosts)
}

func (b bench) ansible(ctx context.Context, dir string, hosts []Host, ours timing) error {
	list := filepath.Join(dir, "hosts.ini")
	var text strings.Builder
	for _, h := range hosts {
		fmt.Fprintf(&text, "%s ansible_host=%s\n", h.Name, h.Addr)
	}
	if err := os.WriteFile(list, []byte(text.String()), 0o600); err != nil {
		return err
	}
	run := 0
	theirs, err := b.time(ctx, func() *exec.Cmd {
		run++ // each run makes its own connections, which serve all of its tasks and no other run's
		c := exec.CommandContext(ctx, "ansible-playbook", "-i", list, "-f", fmt.Sprint(b.forks), "-u", "root",
			"--private-key", filepath.Join(b.lab.keysDir(), "id_ed25519"),
			"--ssh-common-args", "-o UserKnownHostsFile="+b.lab.knownHostsPath(), filepath.Join(b.lab.Source, "bench", "read.yml"))
		c.Env = append(os.Environ(), "ANSIBLE_LOCAL_TEMP="+dir, "ANSIBLE_HOME="+dir, fmt.Sprintf("ANSIBLE_SSH_CONTROL_PATH_DIR=%s/%d", dir, run),
			"ANSIBLE_SSH_ARGS=-C -o ControlMaster=auto -o ControlPersist=5s")
		return c
	}, 0)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "%-22s %s\nratio of the medians    %.1f\n", "ansible-playbook", theirs, theirs.median.Seconds()/ours.median.Seconds())
	return nil
}

// A timing is the least, the median and the most of several runs.
type timing struct{ least, median, most time.Duration }

func (t timing) String() string {
	return fmt.Sprintf("%.2f %.2f %.2f", t.least.Seconds(), t.median.Seconds(), t.most.Seconds())
}

func (t timing) ratio(base timing) float64 { return t.median.Seconds() / base.median.Seconds() }

// time runs a command several times, after one run that does not count. Its status must be one of those given.
func (b bench) time(ctx context.Context, command func() *exec.Cmd, allowed ...int) (timing, error) {
	var took []time.Duration
	for i := range max(b.runs, 1) + 1 {
		d, err := once(command(), allowed...)
		if err != nil {
			return timing{}, err
		}
		if i > 0 {
			took = append(took, d)
		}
	}
	return summary(took), ctx.Err()
}

func once(c *exec.Cmd, allowed ...int) (time.Duration, error) {
	start := time.Now()
	var last strings.Builder
	c.Stderr = &last
	status, err := commandStatus(c.Run())
	if err != nil || !slices.Contains(allowed, status) {
		return 0, fmt.Errorf("%s ended with %d: %v: %s", filepath.Base(c.Path), status, err, lastLines(last.String(), 5))
	}
	return time.Since(start), nil
}

func summary(took []time.Duration) timing {
	slices.Sort(took)
	return timing{took[0], took[len(took)/2], took[len(took)-1]}
}

func hostNames(hosts []Host) []string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	return names
}
