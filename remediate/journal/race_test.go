package journal_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/journal"
	"mtaharden/remediate/remote/remotetest"
)

// TestRacer is a controller of its own: a process that TestControllers starts.
func TestRacer(t *testing.T) {
	dir, run := os.Getenv("RACER_DIR"), os.Getenv("RACER_RUN")
	if dir == "" {
		t.Log("it is a process of TestControllers, and nothing by itself")
		return
	}
	h := remotetest.NewDir(t, dir, nil)
	l := journal.Layout{Dir: dir + "/runs", Veto: dir + "/veto"}
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	_, err := journal.Begin(context.Background(), h, l, journal.Start{About: journal.About{Run: run}, Holder: run + "@jump"})
	var refused *journal.Refused
	switch {
	case err == nil:
		fmt.Println("won")
		_, _ = io.Copy(io.Discard, os.Stdin) // it holds the lock until it is killed
	case errors.As(err, &refused) && errors.Is(err, journal.ErrLocked):
		fmt.Println("lost to", refused.By.Run)
	default:
		fmt.Println("failed:", err)
	}
}

// racer is one such process.
type racer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startRacer(t *testing.T, dir, run string) *racer {
	t.Helper()
	r := &racer{cmd: exec.Command(os.Args[0], "-test.run=^TestRacer$")}
	r.cmd.Env = append(os.Environ(), "RACER_DIR="+dir, "RACER_RUN="+run)
	var err error
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.out = bufio.NewReader(out)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.cmd.Process.Kill(); _ = r.cmd.Wait() })
	return r
}

func (r *racer) line(t *testing.T) string {
	t.Helper()
	text, err := r.out.ReadString('\n')
	if err != nil {
		t.Fatalf("a controller said nothing: %v", err)
	}
	return strings.TrimSpace(text)
}

// TestControllers has controllers that are processes of their own race for a host: one has the lock, and the others are told whose it is. When
// that one is killed its lock stays, and is told from one whose run is at work.
func TestControllers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	racers := map[string]*racer{}
	for i := range 5 {
		run := fmt.Sprintf("r%d", i)
		racers[run] = startRacer(t, dir, run)
		if got := racers[run].line(t); got != "ready" {
			t.Fatalf("it said %q", got)
		}
	}
	for _, r := range racers {
		if _, err := io.WriteString(r.in, "go\n"); err != nil {
			t.Fatal(err)
		}
	}
	winner, lost := "", map[string]int{}
	for run, r := range racers {
		switch got := r.line(t); {
		case got == "won" && winner == "":
			winner = run
		case strings.HasPrefix(got, "lost to "):
			lost[strings.TrimPrefix(got, "lost to ")]++
		default:
			t.Errorf("%s said %q, and %q has won", run, got, winner)
		}
	}
	if winner == "" || lost[winner] != 4 {
		t.Fatalf("%q won, the others lost to %v", winner, lost)
	}
	if err := racers[winner].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	h, l := remotetest.NewDir(t, dir, nil), journal.Layout{Dir: dir + "/runs", Veto: dir + "/veto"}
	for {
		rec, err := journal.Read(t.Context(), h, l, winner)
		if err != nil || rec.Lock == nil {
			t.Fatalf("the killed controller's run: %+v, %v", rec, err)
		}
		if !rec.Held() {
			break // its shell found that nobody reads it any more; the test's own limit bounds this
		}
		time.Sleep(200 * time.Millisecond)
	}
	_, err := journal.Begin(t.Context(), h, l, journal.Start{About: journal.About{Run: "r9"}})
	if !errors.Is(err, journal.ErrPending) {
		t.Errorf("after the kill: %v", err)
	}
}
