package journal_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mtaharden/remediate/journal"
	"mtaharden/remediate/remote/remotetest"
)

// shells are those under which every script must do the same.
var shells = [][]string{{"dash"}, {"bash"}, {"mksh"}, {"ksh93"}, {"busybox", "sh"}, {"yash"}, {"posh"}}

func host(t testing.TB, shell []string) (*remotetest.Dir, journal.Layout) {
	t.Helper()
	h := remotetest.NewDir(t, "", nil)
	h.Shell = shell
	return h, journal.Layout{Dir: filepath.Join(h.Root, "lib/mtaharden"), Veto: filepath.Join(h.Root, "audit-only")}
}

func about(run string) journal.About {
	return journal.About{
		Run: run, Command: "apply", Plan: "0123456789ab", User: "kim", Controller: "jump1", Program: "0.1.0 sha256:00", Ticket: "OPS-4711 \x1b[31mred",
		Note: "two\nlines", Started: time.Unix(1_800_000_000, 0).UTC(), Confirm: 2 * time.Minute,
	}
}

// begin begins a run and gives its lock back when the test ends.
func begin(t *testing.T, h *remotetest.Dir, l journal.Layout, run string) (*journal.Hold, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	k, err := journal.Begin(ctx, h, l, journal.Start{About: about(run), Holder: "kim@jump1", Files: map[string]string{"restore.sh": "#!/bin/sh\necho 'nothing'\n"}})
	t.Cleanup(func() {
		cancel()
		if k != nil {
			<-k.Done()
		}
	})
	return k, err
}

func TestBegin(t *testing.T) {
	for _, shell := range shells {
		t.Run(shell[0], func(t *testing.T) {
			t.Parallel()
			h, l := host(t, shell)
			k, err := begin(t, h, l, "r1")
			if err != nil {
				t.Fatal(err)
			}
			rec, err := journal.Read(t.Context(), h, l, "r1")
			if err != nil {
				t.Fatal(err)
			}
			want := about("r1")
			want.Ticket, want.Note = "OPS-4711  [31mred", "two lines"
			if diff := cmp.Diff(want, rec.About); diff != "" {
				t.Errorf("about (-want +got):\n%s", diff)
			}
			if !rec.Folder || !rec.Held() || rec.Lock.Run != "r1" || rec.Lock.Holder != "kim@jump1" || rec.Lock.PID == 0 || rec.Token != "" || rec.Armed() || len(rec.Entries) != 0 {
				t.Errorf("record %+v, lock %+v", rec, rec.Lock)
			}
			if data, err := os.ReadFile(filepath.Join(l.Run("r1"), "restore.sh")); err != nil || string(data) != "#!/bin/sh\necho 'nothing'\n" {
				t.Errorf("restore.sh: %q, %v", data, err)
			}
			if fi, err := os.Stat(l.Base()); err != nil || fi.Mode() != os.ModeDir|0o700 {
				t.Errorf("the folder of all runs: %v, %v", fi.Mode(), err)
			}
			_, err = begin(t, h, l, "r2")
			var refused *journal.Refused
			if !errors.Is(err, journal.ErrLocked) || !errors.As(err, &refused) || refused.By.Run != "r1" || !strings.Contains(err.Error(), "run r1 of kim@jump1 is at work") {
				t.Fatalf("a second run: %v", err)
			}
			if list, err := journal.List(t.Context(), h, l); err != nil || len(list) != 1 || list[0].Run != "r1" || !list[0].Held() {
				t.Errorf("the list: %+v, %v", list, err)
			}
			if err := os.Rename(l.Lock(), filepath.Join(l.Run("r1"), "unlocked")); err != nil {
				t.Fatal(err)
			}
			<-k.Done()
			if k.Err() != nil {
				t.Errorf("the lock was given back, and its shell: %v", k.Err())
			}
			if _, err := begin(t, h, l, "r1"); err == nil || !strings.Contains(err.Error(), "cannot make the run's folder") {
				t.Errorf("the same run again: %v", err)
			}
			if _, err := begin(t, h, l, "r3"); err != nil {
				t.Errorf("after the lock was given back: %v", err)
			}
		})
	}
}

// TestBrokenOff holds that a lock whose shell has ended is told from one whose run is at work, and that nothing takes it away.
func TestBrokenOff(t *testing.T) {
	h, l := host(t, nil)
	ctx, cut := context.WithCancel(t.Context())
	k, err := journal.Begin(ctx, h, l, journal.Start{About: about("r1"), Holder: "kim@jump1"})
	if err != nil {
		t.Fatal(err)
	}
	cut()
	<-k.Done()
	if k.Err() == nil {
		t.Error("the shell was cut off and gave no error")
	}
	_, err = begin(t, h, l, "r2")
	if !errors.Is(err, journal.ErrPending) || !strings.Contains(err.Error(), "run r1 of kim@jump1 was broken off, and no guard is armed") {
		t.Errorf("after the cut: %v", err)
	}
	arm(t, l, "r1", os.Getpid())
	_, err = begin(t, h, l, "r2")
	if !errors.Is(err, journal.ErrPending) || !strings.Contains(err.Error(), "its guard restores the host by 04:00:00") {
		t.Errorf("with a guard: %v", err)
	}
	if _, err := os.Stat(l.Run("r2")); err == nil {
		t.Error("the run that did not begin has a folder")
	}
	rec, err := journal.Read(t.Context(), h, l, "r1")
	if err != nil || rec.Held() || rec.Lock == nil || !rec.Armed() || !slices.Equal(rec.Hooks, []string{"/etc/systemd/system/x.service"}) {
		t.Errorf("record %+v, %v", rec, err)
	}
}

// arm makes a guard's directory, as arming does.
func arm(t *testing.T, l journal.Layout, run string, pid int) {
	t.Helper()
	h := remotetest.NewDir(t, "", nil)
	parts, _, err := l.Ask(t.Context(), h, run, "mkdir \"$mh_dir/guard\"\nmh_birth "+strconv.Itoa(pid)+
		"\nprintf '%s\\n' \"$mh_born\" | mh_put \"$mh_dir/guard/start\"\nprintf '%s\\n' "+strconv.Itoa(pid)+" | mh_put \"$mh_dir/guard/pid\"\n"+
		"echo 1800072000 | mh_put \"$mh_dir/guard/deadline\"\necho /etc/systemd/system/x.service | mh_put \"$mh_dir/hooks\"\nmh_fact ok \"$?\"\n", 1<<20)
	if err != nil || len(parts) != 1 || parts[0].Text != "0" {
		t.Fatalf("%v, %v", parts, err)
	}
}

func TestVeto(t *testing.T) {
	for _, text := range []string{"", "change freeze until Monday, ask kim\n"} {
		h, l := host(t, nil)
		if err := os.WriteFile(l.Veto, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := begin(t, h, l, "r1")
		var refused *journal.Refused
		if !errors.Is(err, journal.ErrVetoed) || !errors.As(err, &refused) || refused.Veto != text {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := os.Stat(l.Base()); err == nil {
			t.Error("a vetoed run made a folder")
		}
	}
}

// TestFolder holds that a folder of runs that is not its owner's alone is mended or refused.
func TestFolder(t *testing.T) {
	h, l := host(t, nil)
	if err := os.MkdirAll(l.Base(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(l.Base(), 12345, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := begin(t, h, l, "r1"); err == nil || !strings.Contains(err.Error(), "belongs to the account 12345") {
		t.Errorf("another's folder: %v", err)
	}
	if err := os.Remove(l.Base()); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), l.Base()); err != nil {
		t.Fatal(err)
	}
	if _, err := begin(t, h, l, "r1"); err == nil || !strings.Contains(err.Error(), "is no directory") {
		t.Errorf("a link: %v", err)
	}
}
