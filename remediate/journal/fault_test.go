package journal_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/journal"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
)

// TestBeginCut has the answer cut on its way, the shell going on or not: an error each time, and Read tells whether the run began.
func TestBeginCut(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, kill := range []bool{true, false} {
		for _, n := range []int{1, 20, 45, 60, 70} {
			h, l := host(t, nil)
			h.Fault = func(i int) *remotetest.Fault {
				if i > 1 {
					return nil
				}
				return &remotetest.Fault{CutAfter: n, Kill: kill}
			}
			ctx, cancel := context.WithCancel(t.Context())
			k, err := journal.Begin(ctx, h, l, journal.Start{About: about("r1"), Holder: "kim@jump1", Wait: 2 * time.Second})
			cancel()
			if k != nil || !errors.Is(err, remote.ErrCut) {
				t.Errorf("cut after %d bytes: %v", n, err)
			}
			rec, err := journal.Read(t.Context(), h, l, "r1")
			if err != nil {
				t.Fatal(err)
			}
			// Its lock, where it came to have it, is there for Recover; without, nothing of it matters.
			if rec.Lock != nil && (!rec.Folder || rec.Lock.Run != "r1" || len(rec.Entries) > 0) {
				t.Errorf("cut after %d bytes: %+v", n, rec)
			}
			tried++
		}
	}
	t.Logf("%d cuts", tried)
}

// TestReadCut has the answer to Read and List cut at every length.
func TestReadCut(t *testing.T) {
	t.Parallel()
	h, l := host(t, nil)
	if _, err := begin(t, h, l, "r1"); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for n := 1; n < 4000; n += 61 {
		h.Fault = func(int) *remotetest.Fault { return &remotetest.Fault{CutAfter: n, Kill: true} }
		rec, err := journal.Read(t.Context(), h, l, "r1")
		if err == nil {
			break // the cut is behind the end
		}
		list, lerr := journal.List(t.Context(), h, l)
		if rec != nil || list != nil || !errors.Is(err, remote.ErrCut) || !errors.Is(lerr, remote.ErrCut) {
			t.Fatalf("cut after %d bytes: %v, %v", n, err, lerr)
		}
		tried++
	}
	h.Fault = nil
	if tried < 5 {
		t.Errorf("only %d cuts were tried", tried)
	}
	t.Logf("%d cuts", tried)
}

// TestNoRoom holds that a run that cannot write its folder does not begin, and leaves nothing.
func TestNoRoom(t *testing.T) {
	h, l := host(t, nil)
	lib := filepath.Dir(l.Dir)
	if err := os.MkdirAll(lib, 0o755); err != nil {
		t.Fatal(err)
	}
	enter := filepath.Join(t.TempDir(), "enter")
	text := "#!/bin/sh\nexec unshare -m --propagation private /bin/sh -c 'mount -t tmpfs -o size=40k none " + lib + " && /bin/sh \"$@\"; rc=$?; ls -A " + l.Dir + " >" + h.Root + "/left.tmp; mv " + h.Root + "/left.tmp " + h.Root + "/left; exit $rc' sh \"$@\"\n"
	if err := os.WriteFile(enter, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	h.Shell = []string{enter}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	k, err := journal.Begin(ctx, h, l, journal.Start{About: about("r1"), Files: map[string]string{"restore.sh": strings.Repeat("x", 100_000)}})
	if k != nil || err == nil || !strings.Contains(err.Error(), "cannot write to the run's folder") {
		t.Errorf("%v", err)
	}
	left, err := os.ReadFile(h.Root + "/left")
	for errors.Is(err, os.ErrNotExist) && t.Context().Err() == nil { // the answer comes before the shell's end; the test's own limit bounds this
		time.Sleep(20 * time.Millisecond)
		left, err = os.ReadFile(h.Root + "/left")
	}
	if err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}
