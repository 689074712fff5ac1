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
	remotetest.Alone(t)
	inv, err := inventory.Load(os.Getenv("MTALAB_INVENTORY"))
	if err != nil {
		t.Fatal(err)
	}
	lab := filepath.Join(t.TempDir(), "mtalab")
	if out, err := exec.Command("go", "build", "-o", lab, "mtaharden/cmd/mtalab").CombinedOutput(); err != nil {
		t.Fatalf("cannot build the lab: %v\n%s", err, out)
	}
	for _, c := range labCases(t) {
		t.Run(c.name, func(t *testing.T) {
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

func tryStage(t *testing.T, host remote.Host, c labCase) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	live := judged(t, ctx, host, apply.Live).Result
	if s := statusOf(live, c.want["close"]); s != plan.Fail {
		t.Fatalf("%s is %q on the live host, want fail", c.want["close"], s)
	}
	for _, ch := range live.Changes {
		t.Logf("change %s %s\n%s", ch.Kind, ch.Path, ch.Diff)
	}
	const run = "/var/lib/mtaharden/stage-test"
	if res, err := host.Run(ctx, remote.Script("mkdir -p -m 700 \"$1\"", run), 100); err != nil || res.Exit != 0 {
		t.Fatalf("mkdir: %v %s", err, res.Stderr)
	}
	s, err := apply.Stage(ctx, host, run, apply.StageInput{
		Changes: live.Changes, Commands: live.Commands, Contents: contents(t, ctx, host, live.Changes), Mask: facts.Masking(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background())
	begun := time.Now()
	files, err := s.Regenerate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Logf("generated %s\n%sunexplained %q", f.Path, f.Diff, f.Unexplained)
	}
	if err := s.Validate(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("regenerated, validated and started after %s", time.Since(begun))
	proof := judged(t, ctx, s.Host(), apply.InStage)
	staged := proof.Result
	for _, f := range live.Findings {
		if f.Fixable {
			if got := statusOf(staged, f.Rule); got != plan.Pass {
				t.Errorf("%s is %q in the stage", f.Rule, got)
			}
		}
	}
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
	for _, f := range staged.Findings {
		t.Logf("%s %s %s %s: %s", f.Status, f.Rule, f.Listener, f.Title, f.Have)
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if s := statusOf(judged(t, ctx, host, apply.Live).Result, c.want["close"]); s != plan.Fail {
		t.Errorf("%s is %q on the live host after the stage", c.want["close"], s)
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
