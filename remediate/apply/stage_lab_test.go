package apply_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"mtaharden/inventory"
	"mtaharden/playbooks"
	"mtaharden/remediate"
	"mtaharden/remediate/apply"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta/all"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// labCase is a configuration that is planted on a host of the lab, and what must come of it in the stage.
type labCase struct {
	name, host, dir string
	want            map[string]string // header lines
	candidate       map[string][]byte // files of the stage, where they are not the plan's
}

func labCases(t *testing.T) []labCase {
	t.Helper()
	files, _ := filepath.Glob("testdata/stage/*.txtar")
	var out []labCase
	for _, f := range files {
		a, err := txtar.ParseFile(f)
		if err != nil {
			t.Fatal(err)
		}
		c := labCase{name: strings.TrimSuffix(filepath.Base(f), ".txtar"), dir: t.TempDir(), want: map[string]string{}}
		for line := range strings.Lines(string(a.Comment)) {
			if k, v, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, "#") {
				c.want[k] = strings.TrimSpace(v)
			}
		}
		if c.host = c.want["host"]; c.host == "" {
			t.Fatalf("%s names no host", f)
		}
		a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool {
			name, ok := strings.CutPrefix(f.Name, "candidate")
			if ok {
				if c.candidate == nil {
					c.candidate = map[string][]byte{}
				}
				c.candidate[name] = f.Data
			}
			return ok
		})
		if err := txtar.Write(a, c.dir); err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		t.Fatal("no cases")
	}
	return out
}

// TestLabStage plants open configurations on real hosts, tries the planned candidate in the stage, and finds it closed there, the host itself
// unchanged in files, mounts, processes and sockets.
func TestLabStage(t *testing.T) {
	if os.Getenv("MTALAB") != "1" {
		t.Skip("needs the lab: go run ./cmd/mtalab test")
	}
	t.Parallel()
	inv, err := inventory.Load(os.Getenv("MTALAB_INVENTORY"))
	if err != nil {
		t.Fatal(err)
	}
	lab := remotetest.LabProgram(t)
	cases := labCases(t)
	if os.Getenv("MTALAB_FULL") != "1" {
		all := len(cases)
		cases = slices.DeleteFunc(cases, func(c labCase) bool { return c.want["usual"] == "" })
		t.Logf("%d of %d cases; all of them with MTALAB_FULL=1, as in a full run", len(cases), all)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			remotetest.Alone(t, c.host)
			i := slices.IndexFunc(inv.Hosts, func(h *inventory.Host) bool { return h.Name == c.host })
			if i < 0 {
				t.Fatalf("the lab has no %s", c.host)
			}
			if out, err := exec.Command(lab, "plant", c.host, c.dir).CombinedOutput(); err != nil {
				t.Fatalf("plant: %v\n%s", err, out)
			}
			t.Cleanup(func() { _ = exec.Command(lab, "plant", c.host, t.TempDir()).Run() })
			tryStage(t, dial(t, inv.Hosts[i]), c)
		})
	}
}

func dial(t *testing.T, h *inventory.Host) remote.Host {
	t.Helper()
	r, err := ssh.Dial(t.Context(), ssh.Target{Name: h.Name, Address: h.Address, User: h.User, Identities: h.Identity, KnownHosts: h.KnownHosts, Become: h.Become})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// judged collects a host, or the stage of one, and judges it as apply does.
func judged(t *testing.T, ctx context.Context, host remote.Host, where apply.Where) *apply.Judgement {
	t.Helper()
	rules, err := playbooks.Baseline()
	if err != nil {
		t.Fatal(err)
	}
	judges := remediate.Judges{Drivers: all.Drivers(), Now: time.Now}
	j, err := judges.Of(remediate.Target{Name: "host", Rules: rules, Intent: plan.Intent{Role: "mx"}})(ctx, host, where)
	if err != nil {
		t.Fatalf("cannot judge (in the stage: %v): %v", where == apply.InStage, err)
	}
	for _, p := range j.Result.Problems {
		t.Logf("problem: %s", p)
	}
	return j
}

// outside prints what of a host a stage could show: its mounts, listening sockets, files, and the processes of its own namespace that no login
// brought. The log of mail is among the files: the candidate's daemons say nothing there.
const outside = `echo == mounts; sort /proc/1/mountinfo
echo == sockets; ss -ltnpH | sort; ss -lxH | awk '{ print $5 }' | sort
echo == processes; for p in /proc/[0-9]*; do
	grep -q '^NSpid:[[:space:]]*[0-9]*$' "$p/status" 2>/dev/null || continue
	case $(tr '\000' ' ' <"$p/cmdline" 2>/dev/null) in '' | sh\ * | */sh\ * | bash* | dash* | *unshare* | sshd* | *systemd* | *sleep* | sed* | sort* | tr* | grep* | ss\ * | awk*) ;;
	*) tr '\000' ' ' <"$p/cmdline"; echo ;; esac
done | sort
echo == files; find /run /var/spool /var/lib /var/mail /srv /etc /tmp /var/tmp -xdev \( -path /var/lib/mtaharden -o -path /run/systemd -o -path /run/user -o -path '/run/log' -o -path /var/lib/systemd -o -path /run/utmp -o -path /run/dbus \) -prune -o -printf '%p %M %u:%g\n' | sort
find /etc /srv /var/spool /var/mail /var/lib/exim4 /var/lib/postfix /var/log/mail.log /var/log/exim4 /usr/sbin -xdev -type f -exec sha256sum {} + | sort -k 2
echo == inside; grep -l '^NSpid:[[:space:]]*[0-9][0-9]*[[:space:]]' /proc/[0-9]*/status 2>/dev/null | wc -l`

// seenOutside is what outside prints, and how many processes have a namespace of their own.
func seenOutside(t *testing.T, ctx context.Context, host remote.Host) (seen, inside string) {
	t.Helper()
	res, err := host.Run(ctx, remote.Script(outside), 16<<20)
	if err != nil || len(res.Stdout) < 10000 {
		t.Fatalf("cannot look at the host: %v, %d bytes: %s", err, len(res.Stdout), res.Stderr)
	}
	seen, inside, _ = strings.Cut(string(res.Stdout), "== inside\n")
	return seen, strings.TrimSpace(inside)
}

// contents are the whole files that a plan's edits give.
func contents(t *testing.T, ctx context.Context, host remote.Host, changes []plan.Change) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, c := range changes {
		switch c.Kind {
		case plan.CreateFile:
			out[c.Path] = c.Content
		case plan.EditFile:
			res, err := host.Run(ctx, remote.Cmd{Argv: []string{"cat", c.Path}}, 4<<20)
			if err != nil || res.Exit != 0 {
				t.Fatalf("cat %s: %v", c.Path, err)
			}
			if out[c.Path], err = plan.Patch(res.Stdout, c.Edits); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

// handmade is the stage of a candidate that no plan makes: files with their contents, and what the driver says that follows.
func handmade(t *testing.T, ctx context.Context, host remote.Host, files map[string][]byte) apply.StageInput {
	t.Helper()
	drivers := all.Drivers()
	s, _, err := facts.Collect(ctx, host, remediate.Parts(drivers)...)
	if err != nil {
		t.Fatal(err)
	}
	in := apply.StageInput{Contents: files}
	var paths []string
	for name := range files {
		paths = append(paths, name)
		in.Changes = append(in.Changes, plan.Change{Kind: plan.EditFile, Path: name})
	}
	finished := func(cmds []remote.Cmd) (out []plan.Command) {
		for _, c := range cmds {
			out = append(out, plan.Command{Argv: c.Argv, Stdin: c.Stdin})
		}
		return out
	}
	for _, d := range drivers {
		for _, install := range d.Detect(s) {
			c, err := d.Read(s, install)
			if err != nil {
				t.Fatal(err)
			}
			st := d.Stage(s, c, paths)
			cmds := plan.Commands{MTA: d.Name, Regenerate: finished(d.Regenerate(install, paths)), Validate: finished(d.Validate(install)),
				Stage: &plan.Stage{Copies: st.Copies, Fresh: st.Fresh, Before: finished(st.Before), Start: finished(st.Start), After: finished(st.After), Listens: st.Listens}}
			for _, g := range st.Generated {
				cmds.Stage.Generated = append(cmds.Stage.Generated, plan.Made{Path: g.Path, Show: g.Show})
			}
			in.Commands = append(in.Commands, cmds)
		}
	}
	return in
}

func tryStage(t *testing.T, host remote.Host, c labCase) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	live := judged(t, ctx, host, apply.Live).Result
	rule, was, becomes := c.want["close"], plan.Fail, plan.Pass
	if rule == "" {
		rule, was, becomes = c.want["open"], plan.Pass, plan.Fail
	}
	if got := statusOf(live, rule); got != was {
		t.Fatalf("%s is %q on the live host, want %q", rule, got, was)
	}
	var in apply.StageInput
	if c.candidate != nil {
		in = handmade(t, ctx, host, c.candidate)
	} else {
		in = apply.StageInput{Changes: live.Changes, Commands: live.Commands, Contents: contents(t, ctx, host, live.Changes)}
	}
	in.Mask = facts.Masking()
	for _, ch := range in.Changes {
		t.Logf("change %s %s\n%s", ch.Kind, ch.Path, ch.Diff)
	}
	const run = "/var/lib/mtaharden/stage-test"
	if res, err := host.Run(ctx, remote.Script("mkdir -p -m 700 \"$1\"", run), 100); err != nil || res.Exit != 0 {
		t.Fatalf("mkdir: %v %s", err, res.Stderr)
	}
	before, _ := seenOutside(t, ctx, host)
	proof := tryCandidate(t, ctx, host, run, in, before, c.want["inside"])
	if got := statusOf(proof.Result, rule); got != becomes {
		t.Errorf("%s is %q in the stage, want %q", rule, got, becomes)
	}
	if c.candidate == nil {
		for _, f := range live.Findings {
			if got := statusOf(proof.Result, f.Rule); f.Fixable && got != plan.Pass {
				t.Errorf("%s is %q in the stage, and was to pass", f.Rule, got)
			}
		}
	}
	if got := statusOf(judged(t, ctx, host, apply.Live).Result, rule); got != was {
		t.Errorf("%s is %q on the live host after the stage", rule, got)
	}
}

// tryCandidate does with a stage what a run does, and holds that nothing of it shows outside: before is what was seen there. script must succeed
// in the stage.
func tryCandidate(t *testing.T, ctx context.Context, host remote.Host, run string, in apply.StageInput, before, script string) *apply.Judgement {
	t.Helper()
	begun := time.Now()
	s, err := apply.Stage(ctx, host, run, in)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background())
	files, err := s.Regenerate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Logf("generated %s\n%s", f.Path, f.Diff)
		if len(f.Unexplained) > 0 || f.Pending != "" {
			t.Errorf("unexplained %q, pending %q", f.Unexplained, f.Pending)
		}
	}
	if err := s.Validate(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	started := time.Since(begun)
	proof := judged(t, ctx, s.Host(), apply.InStage)
	t.Logf("staged, regenerated, validated and started after %s, judged after %s", started, time.Since(begun))
	tellAnswers(t, proof)
	if script != "" {
		if res, err := s.Host().Run(ctx, remote.Script(script), 1<<20); err != nil || res.Exit != 0 {
			t.Errorf("in the stage: %v, exit status %d: %s%s", err, res.Exit, res.Stdout, res.Stderr)
		}
	}
	during, inside := seenOutside(t, ctx, host)
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	after, left := seenOutside(t, ctx, host)
	if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(during, "\n")); diff != "" {
		t.Errorf("while the stage stands, this shows outside: %s", diff)
	}
	if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")); diff != "" {
		t.Errorf("the stage leaves this behind: %s", diff)
	}
	if inside == "0" || left != "0" {
		t.Errorf("%s processes in the stage, %s after it", inside, left)
	}
	return proof
}

// tellAnswers logs what the judges said in the stage, and wants the MTA itself among them.
func tellAnswers(t *testing.T, proof *apply.Judgement) {
	t.Helper()
	said := map[judge.Judge]map[judge.Outcome]int{}
	for _, answers := range proof.Answers {
		for _, a := range answers {
			if said[a.Judge] == nil {
				said[a.Judge] = map[judge.Outcome]int{}
			}
			said[a.Judge][a.Outcome]++
			if a.Judge == judge.MTA && a.Outcome == judge.CannotTell {
				t.Logf("cannot tell: %s %s %s: %s", a.Question.Listener, a.Question.Class, a.Question.Form, a.Text)
			}
		}
	}
	t.Logf("answers: %v", said)
	if len(said[judge.MTA]) == 0 {
		t.Error("the MTA itself was asked nothing in the stage")
	}
	for _, f := range proof.Result.Findings {
		t.Logf("%s %s %s: %s", f.Status, f.Rule, f.Listener, f.Have)
	}
}

// statusOf is the worst status of a rule's findings.
func statusOf(r *plan.Result, rule string) plan.Status {
	worst := plan.Status("")
	for _, f := range r.Findings {
		if f.Rule == rule && (worst == "" || f.Status == plan.Fail) {
			worst = f.Status
		}
	}
	return worst
}
