package apply_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
)

// site is a directory with the configuration of a mail server that is none: etc/source, of which "make" makes out/made, a queue, and a
// configuration directory that is a link.
type site struct {
	dir, run string
	host     *remotetest.Dir
}

func newSite(t *testing.T) site {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: namespaces")
	}
	s := site{dir: t.TempDir(), run: filepath.Join(t.TempDir(), "run")}
	s.host = remotetest.NewDir(t, s.dir, nil)
	for _, d := range []string{"real", "out", "queue/deep", "elsewhere"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(s.run, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(s.dir, "etc")); err != nil {
		t.Fatal(err)
	}
	s.write(t, "real/source", "# made on Monday\nb = 2\na = 1\n")
	s.write(t, "queue/message", "mail\n")
	s.write(t, "elsewhere/file", "kept\n")
	if out, err := exec.Command("/bin/sh", append([]string{"-c"}, s.make().Argv[2:]...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return s
}

func (s site) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (s site) read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// make builds out/made: the source's lines in upper case, below a comment with the time.
func (s site) make() plan.Command {
	return plan.Command{Argv: []string{"/bin/sh", "-c", `{ echo "# built $(date +%N)"; grep -v '^#' "$1/etc/source" | tr a-z A-Z; } >"$1/out/made"`, "sh", s.dir}}
}

func (s site) sh(script string) plan.Command {
	return plan.Command{Argv: []string{"/bin/sh", "-c", script, "sh", s.dir}}
}

// input is a plan that makes the source's content text.
func (s site) input(text string) apply.StageInput {
	source := filepath.Join(s.dir, "real/source")
	return apply.StageInput{
		Changes:  []plan.Change{{Kind: plan.EditFile, Path: source}, {Kind: plan.Generated, Path: filepath.Join(s.dir, "out/made")}},
		Contents: map[string][]byte{source: []byte(text)},
		Mask:     facts.Masking(),
		Commands: []plan.Commands{{Regenerate: []plan.Command{s.make()}, Stage: &plan.Stage{
			Copies:    []string{filepath.Join(s.dir, "etc")},
			Fresh:     []mta.Fresh{{Path: filepath.Join(s.dir, "queue")}},
			Generated: []plan.Made{{Path: filepath.Join(s.dir, "out/made")}},
		}}},
	}
}

func (s site) stage(t *testing.T, in apply.StageInput) *apply.Staged {
	t.Helper()
	st, err := apply.Stage(t.Context(), s.host, s.run, in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close(context.Background()) })
	return st
}

// state is what of this machine a stage could change: the site's files, and the mounts that this process sees.
func (s site) state(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", `cd "$1" && find . -printf '%p %M %U %T@ %C@ ' -type f -exec cat {} \; ; find "$1" "$2" -maxdepth 1; grep -F "$1" /proc/self/mountinfo; grep -F "$2" /proc/self/mountinfo; true`,
		"sh", s.dir, s.run).Output()
	if err != nil || len(out) < 100 {
		t.Fatalf("cannot look at the site: %v", err)
	}
	return string(out)
}

// inStage runs a script in the stage and returns what it prints.
func inStage(t *testing.T, st *apply.Staged, script string, args ...string) string {
	t.Helper()
	res, err := st.Host().Run(t.Context(), scriptCmd(script, args...), 1<<20)
	if err != nil || res.Exit != 0 {
		t.Fatalf("in the stage: %v, exit status %d: %s", err, res.Exit, res.Stderr)
	}
	return string(res.Stdout)
}

// TestStageOver: a run that was given up while its stage is made gets none, and nothing is left of it.
func TestStageOver(t *testing.T) {
	s := newSite(t)
	if err := os.Mkdir(filepath.Join(s.run, "token"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := s.state(t)
	if st, err := apply.Stage(t.Context(), s.host, s.run, s.input("b = 2\n")); err == nil || !strings.Contains(err.Error(), "the run is over") {
		t.Errorf("%+v, %v", st, err)
	}
	if now := s.state(t); now != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, now)
	}
}

// TestStage regenerates a candidate over live paths, also such as lead through a link: the difference is shown and explained, the live files,
// the queue and the mounts stay as they are, and nothing is left.
func TestStage(t *testing.T) {
	s := newSite(t)
	before := s.state(t)
	st := s.stage(t, s.input("# made on Monday\nb = 2\na = 3\npassword = s3cret\n"))
	files, err := st.Regenerate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 || files[0].Pending != "" || len(files[0].Unexplained) > 0 {
		t.Fatalf("%+v", files)
	}
	for _, want := range []string{"\n-A = 1\n", "\n+A = 3\n", "\n+PASSWORD = <secret "} {
		if !strings.Contains("\n"+files[0].Diff, want) {
			t.Errorf("the difference lacks %q:\n%s", want, files[0].Diff)
		}
	}
	if strings.Contains(files[0].Diff, "S3CRET") || strings.Contains(files[0].Diff, "built") {
		t.Errorf("a secret or a comment is shown:\n%s", files[0].Diff)
	}
	if got := inStage(t, st, `ls -A "$1/queue"; cat "$1/elsewhere/file"; tail -n 1 "$1/out/made"; cat "$1/etc/source" | wc -l`, s.dir); got != "deep\nkept\nPASSWORD = S3CRET\n4\n" {
		t.Errorf("in the stage: %q", got)
	}
	if got := inStage(t, st, `echo "$$"; ls /proc | grep -c '^[0-9]'; hostname; cat /proc/net/dev | grep -c :`); !strings.Contains(got, "\n") || len(strings.Fields(got)[1]) > 1 {
		t.Errorf("the stage's processes are not apart: %q", got)
	}
	during := s.state(t)
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := s.state(t); after != before || strings.Replace(during, "\n"+s.run+"/stage\n", "\n", 1) != before {
		t.Errorf("before:\n%s\nduring:\n%s\nafter:\n%s", before, during, after)
	}
}

// TestStagePending: what somebody edited and never built, and what somebody edited in the generated file, is told and not published; told to, it
// is, and shows as lines that the plan does not explain.
func TestStagePending(t *testing.T) {
	for _, c := range []struct{ name, file, text, candidate, want string }{
		{"never built", "real/source", "b = 2\na = 1\nmore = 9\n", "b = 2\na = 3\nmore = 9\n", "+MORE = 9"},
		{"by hand", "out/made", "B = 2\nA = 1\nHAND = 1\n", "b = 2\na = 3\n", "-HAND = 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.write(t, c.file, c.text)
			in := s.input(c.candidate)
			files, err := s.stage(t, in).Regenerate(t.Context())
			var pending *apply.PendingError
			if !errors.Is(err, apply.ErrPending) || !errors.As(err, &pending) || len(pending.Files) != 1 || len(files) != 1 || files[0].Pending == "" {
				t.Fatalf("%v, %+v", err, files)
			}
			if err := exec.Command("rm", "-rf", filepath.Join(s.run, "stage")).Run(); err != nil { // its namespaces end by that
				t.Fatal(err)
			}
			s.run = t.TempDir()
			in.WithPending = true
			if files, err = s.stage(t, in).Regenerate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(files[0].Unexplained) != 1 || files[0].Unexplained[0] != c.want || !strings.Contains(files[0].Diff, "\n+A = 3\n") {
				t.Errorf("%+v", files)
			}
		})
	}
}

// TestStageWritesNothingElse: what is neither a copy nor empty there cannot be written, whoever tries; what the candidate's own programs refuse,
// and what they say of it, is told.
func TestStageWritesNothingElse(t *testing.T) {
	s := newSite(t)
	in := s.input("b = 2\na = 3\n")
	in.Commands[0].Validate = []plan.Command{s.sh(`echo no >"$1/elsewhere/file"`)}
	in.Commands[0].Stage.Start = []plan.Command{s.sh(`echo "line 3: bad" >&2; exit 70`)}
	st := s.stage(t, in)
	if _, err := st.Regenerate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var refused *apply.CandidateError
	if err := st.Validate(t.Context()); !errors.Is(err, apply.ErrCandidate) || !strings.Contains(err.Error(), "ead-only") {
		t.Errorf("writing elsewhere: %v", err)
	}
	if err := st.Start(t.Context()); !errors.As(err, &refused) || refused.Exit != 70 || refused.Said != "line 3: bad" {
		t.Errorf("a daemon that does not start: %v", err)
	}
	if got := s.read(t, "elsewhere/file"); got != "kept\n" {
		t.Errorf("the live file holds %q", got)
	}
	inStage(t, st, `echo x >"$1/queue/x"; echo x >/run/mtaharden-test; echo x >/var/log/mtaharden-test`, s.dir)
	for _, name := range []string{"/run/mtaharden-test", "/var/log/mtaharden-test", filepath.Join(s.dir, "queue/x")} {
		if _, err := os.Lstat(name); err == nil {
			t.Errorf("%s shows outside", name)
		}
	}
}

// TestStageEnds: with the stage's folder its namespaces end, and all that runs in them; what runs in it is then told that it has ended. Its
// own time ends it too.
func TestStageEnds(t *testing.T) {
	for name, end := range map[string]func(site){
		"removed": func(s site) { _ = exec.Command("rm", "-rf", filepath.Join(s.run, "stage")).Run() },
		"time":    func(site) {},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			in := s.input("a = 1\n")
			if name == "time" {
				in.Life = 5 * time.Second
			}
			st := s.stage(t, in)
			daemon := s.sh(`(exec -a mtaharden-daemon sleep 600 || exec sleep 600) </dev/null >/dev/null 2>&1 & echo $!`)
			inStage(t, st, daemon.Argv[2], s.dir)
			pid := pidOf(t, s)
			end(s)
			for i := 0; syscall.Kill(pid, 0) == nil; i++ {
				if i > 600 {
					t.Fatal("its first process is still there")
				}
				time.Sleep(100 * time.Millisecond)
			}
			res, err := st.Host().Run(t.Context(), scriptCmd("true"), 100)
			if err != nil || res.Exit != 125 {
				t.Errorf("in a stage that has ended: %v, exit status %d: %s", err, res.Exit, res.Stderr)
			}
		})
	}
}

// TestStageRefused: a host that gives no namespaces says so, and nothing of a stage is left there.
func TestStageRefused(t *testing.T) {
	s := newSite(t)
	s.host.Tools = map[string]string{"unshare": "#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n"}
	_, err := apply.Stage(t.Context(), s.host, s.run, s.input("a = 1\n"))
	if !errors.Is(err, apply.ErrNamespaces) || !strings.Contains(err.Error(), "Operation not permitted") {
		t.Errorf("%v", err)
	}
	s = newSite(t)
	in := s.input("a = 1\n")
	in.Commands[0].Stage.Copies = append(in.Commands[0].Stage.Copies, "/usr/bin")
	if _, err := apply.Stage(t.Context(), s.host, s.run, in); err == nil || errors.Is(err, apply.ErrNamespaces) {
		t.Errorf("a system's directory is staged: %v", err)
	}
	if left, _ := os.ReadDir(s.run); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func pidOf(t *testing.T, s site) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.run, "stage/pid"))
	if err != nil {
		t.Fatal(err)
	}
	word, _, _ := strings.Cut(string(data), " ")
	pid := 0
	for _, c := range word {
		pid = pid*10 + int(c-'0')
	}
	return pid
}

// scriptCmd is a script as a command of the stage's host.
func scriptCmd(script string, args ...string) remote.Cmd { return remote.Script(script, args...) }
