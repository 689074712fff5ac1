package apply

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// TestGroundHealed: a restore that fails while the folder of the files cannot be written is tried again while the guard is armed, and what is
// said at the end is what came of it; the reason is what the swap failed of, not what a restore did. Where no guard is left to try, a person is
// named the command that puts the host back, and that does.
func TestGroundHealed(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 || testing.Short() {
		t.Skip("it makes a directory immutable, as only root may; and it takes its time")
	}
	for name, heals := range map[string]bool{"for a while": true, "for good": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t, time.Minute)
			etc := filepath.Dir(g.main)
			t.Cleanup(func() { exec.Command("chattr", "-i", etc).Run() })
			in := g.input("r1")
			told := remote.Quote(filepath.Join(g.dir, "told"))
			reload := "[ ! -e " + told + " ] || exit 0; : >" + told + "; chattr +i " + remote.Quote(etc)
			if !heals {
				reload += `; read -r p <"$MTAHARDEN_RUN/guard/pid"; kill -KILL "$p"`
			}
			in.Host.Commands = []plan.Commands{{MTA: "some", Reload: []plan.Command{{Argv: []string{"sh", "-c", reload + "; exit 1"}}}}}
			if heals {
				go g.heal(etc)
			}
			o := Apply(t.Context(), in)
			want := map[bool]Ending{true: RolledBack, false: Failed}[heals]
			if o.Ending != want || strings.Contains(o.Reason, "cannot make a directory") == heals {
				t.Errorf("it ended %s (%s)", o.Ending, o.Reason)
			}
			if !heals {
				exec.Command("chattr", "-i", etc).Run()
				if out, err := exec.Command("sh", "-c", o.Command).CombinedOutput(); err != nil {
					t.Errorf("%s: %v %s", o.Command, err, out)
				}
			}
			if g.state() != "before" || len(g.left()) > 0 || g.ending("r1") != RolledBack {
				t.Errorf("the host is %q, the run %q, left %v", g.state(), g.ending("r1"), g.left())
			}
		})
	}
}

// heal lets the folder be written again once two restores have failed of it.
func (g *ground) heal(etc string) {
	for range 3000 {
		text, _ := os.ReadFile(filepath.Join(g.dir, "lib", "r1", "journal"))
		if strings.Count(string(text), " restore failed ") >= 2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	exec.Command("chattr", "-i", etc).Run()
}
