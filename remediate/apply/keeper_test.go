package apply

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/remote"
)

// fakeEtckeeper does with git what etckeeper(8) does with it: it says whether something is not committed, and commits all.
const fakeEtckeeper = `#!/bin/sh
GIT_AUTHOR_NAME=r GIT_AUTHOR_EMAIL=r@x GIT_COMMITTER_NAME=r GIT_COMMITTER_EMAIL=r@x GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL GIT_CONFIG_NOSYSTEM
case $1 in
unclean) [ -n "$(git status --porcelain)" ] ;;
commit) git add -A && git commit -q -m "$2" ;;
*) exit 1 ;;
esac
`

// TestKeeper: where /etc is in a repository, an apply and a rollback each leave a commit of what they did, and before it one of what others had
// not committed: their edits are neither lost nor called ours. A commit that fails is told, and stops nothing.
func TestKeeper(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: what is saved must be root's")
	}
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git on this machine")
	}
	g := newGround(t, 5*time.Minute)
	g.tools = map[string]string{"etckeeper": fakeEtckeeper}
	etc := filepath.Join(g.dir, "etc")
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", etc, "-c", "user.name=r", "-c", "user.email=r@x"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q")
	git("add", "-A")
	git("commit", "-q", "-m", "all")
	must(t, os.WriteFile(filepath.Join(etc, "hosts"), []byte("somebody's\n"), 0o644))
	in := g.input("r1")
	in.About.Ticket, in.About.Note = "CHG-4711", "agreed\x1b[2J"
	if o := Apply(t.Context(), in); o.Ending != Changed || len(o.Warnings) > 0 {
		t.Fatalf("it ended %s (%s), warnings %q", o.Ending, o.Reason, o.Warnings)
	}
	u := Undo{Input: g.input("r2"), Of: "r1"}
	u.About.Command = "rollback"
	if o := Rollback(t.Context(), u); o.Ending != RolledBack || len(o.Warnings) > 0 {
		t.Fatalf("the rollback ended %s (%s), warnings %q", o.Ending, o.Reason, o.Warnings)
	}
	got := git("log", "--reverse", "--name-only", "--format=%s")
	want := "all\n\nmail/main.cf\nmail/postqueue\n" +
		"mtaharden apply, before run r1 (CHG-4711) (" + remote.Clean(in.About.Note) + ")\n\nhosts\n" +
		"mtaharden apply, after run r1 (CHG-4711) (" + remote.Clean(in.About.Note) + ")\n\nmail/main.cf\n" +
		"mtaharden rollback, after run r2\n\nmail/main.cf"
	if got != want {
		t.Errorf("the commits are\n%s\nwant\n%s", got, want)
	}
	g.tools["etckeeper"] = "#!/bin/sh\n[ \"$1\" = unclean ] || { echo locked >&2; exit 1; }\n"
	if o := Apply(t.Context(), g.input("r3")); o.Ending != Changed || len(o.Warnings) == 0 || !strings.Contains(o.Warnings[0], "etckeeper does not commit: locked") {
		t.Errorf("with a keeper that fails it ended %s (%s), warnings %q", o.Ending, o.Reason, o.Warnings)
	}
}

// TestVeto: a host that says that it may be audited only is left alone, and its words are shown.
func TestVeto(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: what is saved must be root's")
	}
	g := newGround(t, 5*time.Minute)
	must(t, os.WriteFile(filepath.Join(g.dir, "audit-only"), []byte("frozen until the audit is over: ask kim\n"), 0o644))
	for _, o := range []Outcome{Apply(t.Context(), g.input("r1")), Rollback(t.Context(), Undo{Input: g.input("r2"), Of: "r1"})} {
		if o.Ending != Unchanged || o.Nothing || !strings.Contains(o.Reason, "ask kim") || g.state() != "before" || len(g.left()) > 0 {
			t.Errorf("it ended %s (%s): %q, left %v", o.Ending, o.Reason, g.state(), g.left())
		}
	}
	if _, err := os.Stat(filepath.Join(g.dir, "lib", "r1")); err == nil {
		t.Error("a vetoed run left a folder")
	}
}
