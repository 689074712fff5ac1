package facts_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"mtaharden/inventory"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// loginFiles are what a login that runs "true" changes on the hosts of the lab, and what changes there by the clock alone: the records of
// logins, the logs and the journal that sshd and systemd-logind write to, logind's sessions, and what the MTAs' own daemons touch unasked.
// TestLabChangesNothing finds what a login changes by doing it first, and fails when this list lacks one of them.
var loginFiles = regexp.MustCompile(`^/(` + strings.Join([]string{
	`var/log/(wtmp|lastlog|btmp|auth\.log|syslog|messages|debug|daemon\.log|user\.log|cron\.log|mail\.log)`,
	`var/log/wtmp\.db`, `var/lib/wtmpdb/.*`, `var/lib/lastlog/.*`, `var/log/journal/.*`, `run/log/journal/.*`,
	`run/utmp`, `run/systemd(/.*)?`, `run/user(/.*)?`, `run/motd\.dynamic(\.new)?`, `run`, `run/mount(/.*)?`, `run/dbus/.*`,
	`run/sshd(\.pid)?`, `tmp(/systemd-private.*)?`, `var/tmp(/systemd-private.*)?`, `root/\.cache(/.*)?`, `var/lib/systemd/.*`,
	`var/cache/(apt|man|ldconfig)(/.*)?`, `run/sudo(/.*)?`, `var/lib/sudo(/.*)?`,
	// The daemons' own clocks: master's and qmgr's wake-ups, sendmail's queue runs and load file.
	`var/spool/postfix/(public|private|active|incoming|deferred|defer|maildrop|hold)(/.*)?`, `var/lib/postfix(/.*)?`,
	`run/sendmail/.*`, `var/lib/sendmail/dead\.letter`, `var/spool/mqueue(-client)?`, `run/exim4(/.*)?`,
}, "|") + `)$`)

// listing prints of every path of a host its mode, owner, size, times of change and content.
const listing = `cd / && find . /run /tmp /var/tmp -xdev -path ./proc -prune -o -path ./sys -prune -o -path ./dev -prune -o -printf '%p\t%M %U:%G %s %T@ %C@\n' | sed 's;^\.;;' | sort -u
find /etc /var/spool /var/lib /usr/local /root /opt /srv -xdev -type f -size -4096k -exec sha256sum {} +`

// TestLabChangesNothing collects real hosts over SSH and finds them changed nowhere but where a login that runs "true" changes them too.
func TestLabChangesNothing(t *testing.T) {
	if os.Getenv("MTALAB") != "1" {
		t.Skip("needs the lab: go run ./cmd/mtalab test")
	}
	t.Parallel()
	inv, err := inventory.Load(os.Getenv("MTALAB_INVENTORY"))
	if err != nil {
		t.Fatal(err)
	}
	lab := remotetest.LabProgram(t)
	for _, c := range []struct{ host, plant string }{
		{"deb12-postfix", ""}, {"deb12-sendmail", ""}, {"deb12-exim", ""}, {"deb13-exim", "testdata/acting.txtar"},
	} {
		i := indexOf(inv, c.host)
		if i < 0 {
			t.Errorf("the lab has no %s", c.host)
			continue
		}
		t.Run(c.host, func(t *testing.T) {
			t.Parallel()
			remotetest.Alone(t, c.host)
			quietHost(t, lab, inv.Hosts[i], c.plant)
		})
	}
}

func indexOf(inv *inventory.Inventory, name string) int {
	for i := range inv.Hosts {
		if inv.Hosts[i].Name == name {
			return i
		}
	}
	return -1
}

func quietHost(t *testing.T, lab string, h *inventory.Host, archive string) {
	if archive != "" {
		dir, _ := unpack(t, archive)
		if out, err := exec.Command(lab, "plant", h.Name, dir).CombinedOutput(); err != nil {
			t.Fatalf("plant: %v\n%s", err, out)
		}
		t.Cleanup(func() { _ = exec.Command(lab, "plant", h.Name, t.TempDir()).Run() })
	}
	look := func() map[string]string {
		out, err := exec.Command(lab, "exec", h.Name, "--", "sh", "-c", listing).Output()
		if len(out) < 10000 {
			t.Fatalf("cannot list %s: %v", h.Name, err)
		}
		return lines(string(out))
	}
	look() // the first reading of a directory whose files were moved away has overlayfs take its mark "impure" off, which dates the directory
	first := look()
	over(t, h, func(ctx context.Context, r remote.Host) error {
		_, err := r.Run(ctx, remote.Cmd{Argv: []string{"true"}}, 1024)
		return err
	})
	second := look()
	login := difference(first, second)
	for path := range login {
		if !loginFiles.MatchString(path) {
			t.Errorf("a login that runs true changes %s: it is not in the list", path)
		}
	}
	over(t, h, func(ctx context.Context, r remote.Host) error {
		s, _, err := facts.Collect(ctx, r, parts()...)
		if err == nil && (!s.Complete || !s.Root) {
			err = fmt.Errorf("complete %v, root %v: %q", s.Complete, s.Root, s.Problems)
		}
		return err
	})
	for path, what := range difference(second, look()) {
		if _, ok := login[path]; !ok && !loginFiles.MatchString(path) {
			t.Errorf("the collect changed %s: %s", path, what)
		}
	}
	// The brackets keep the patterns from finding the command that looks for them.
	const find = `grep -lz '^[m]h_key=' /proc/[0-9]*/environ; grep -lz '[m]h_collect()' /proc/[0-9]*/cmdline; true`
	out, _ := exec.Command(lab, "exec", h.Name, "--", "sh", "-c", find).Output()
	for f := range strings.FieldsSeq(string(out)) {
		t.Errorf("a process outlives the collect: %s", f)
	}
}

// lines makes a map of "path TAB attributes" and of "sum  path".
func lines(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if path, rest, ok := strings.Cut(line, "\t"); ok {
			m[path] += rest
		} else if sum, path, ok := strings.Cut(line, "  "); ok {
			m[path] += " " + sum
		}
	}
	return m
}

func over(t *testing.T, h *inventory.Host, do func(context.Context, remote.Host) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	r, err := ssh.Dial(ctx, ssh.Target{Name: h.Name, Address: h.Address, User: h.User, Identities: h.Identity, KnownHosts: h.KnownHosts, Become: h.Become})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := do(ctx, r); err != nil {
		t.Fatal(err)
	}
}
