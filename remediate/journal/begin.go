package journal

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"mtaharden/remediate/remote"
)

//go:embed sh/begin.sh
var beginSh string

// Why a run does not begin on a host.
var (
	// ErrVetoed: the host's own file says that it is to be audited only.
	ErrVetoed = errors.New("the host is vetoed")
	// ErrLocked: another run is at work on the host.
	ErrLocked = errors.New("the host is locked")
	// ErrPending: another run was broken off on the host and has not ended there: a guard will put it back, or Recover has to.
	ErrPending = errors.New("a run has not ended")
)

// Refused is why a run does not begin: what the host said, for the person to whom it is shown.
type Refused struct {
	Kind error   // ErrVetoed, ErrLocked or ErrPending
	Veto string  // of ErrVetoed: the text of the file, as it is
	By   *Record // of the others: the run that has the lock, with its Lock and Guard; its Manifest is not read
}

func (r *Refused) Error() string {
	if r.By == nil {
		return fmt.Sprintf("cannot begin a run: %v: %s", r.Kind, remote.Clean(r.Veto))
	}
	who := "run " + r.By.Run
	if r.By.Lock != nil && r.By.Lock.Holder != "" {
		who += " of " + remote.Clean(r.By.Lock.Holder)
	}
	switch {
	case r.Kind == ErrLocked:
		return fmt.Sprintf("cannot begin a run: %v: %s is at work on it", r.Kind, who)
	case r.By.Armed():
		return fmt.Sprintf("cannot begin a run: %v: %s was broken off; its guard restores the host by %s",
			r.Kind, who, r.By.Guard.Deadline.Format(time.TimeOnly))
	}
	return fmt.Sprintf("cannot begin a run: %v: %s was broken off, and no guard is armed", r.Kind, who)
}

func (r *Refused) Unwrap() error { return r.Kind }

// Start is a run that is to begin.
type Start struct {
	About  About
	Holder string            // who, for others that find the lock: "USER@CONTROLLER"
	Files  map[string]string // further files of the run's folder, by name: restore.sh
	Wait   time.Duration     // how long the host has to answer; 0 is a minute
}

// Hold is a run that has the host's lock. The lock outlives it: confirm or restore.sh give it back, and nothing else does.
type Hold struct {
	Run  string
	done chan struct{}
	err  error
}

// Done is closed when the shell that holds the lock has ended: the lock was given back, or the connection was lost.
func (k *Hold) Done() <-chan struct{} { return k.done }

// Err says why the shell ended, once Done is closed; nil where the lock had been given back.
func (k *Hold) Err() error { return k.err }

// Bounds of the shell's answer: what it says at first, and a line every five seconds of a day.
const (
	maxAnswer = 8 << 20
	maxBeats  = 1 << 20
)

// Begin makes the run's folder on the host and takes the host's lock, which a shell then holds that lives as long as the connection: ctx ends
// the connection with it. The error is a *Refused where another run has the lock or the host is vetoed; nothing is left of the folder then.
// Where it wraps remote.ErrCut the run may have begun: Read tells.
func Begin(ctx context.Context, h remote.Host, l Layout, s Start) (*Hold, error) {
	keeper, ok := h.(remote.Keeper)
	if !ok {
		return nil, errors.New("cannot begin a run: the connection keeps no command running")
	}
	if err := CheckRun(s.About.Run); err != nil {
		return nil, fmt.Errorf("cannot begin a run: %w", err)
	}
	nonce := remote.Nonce()
	first := &answer{end: []byte("\n" + nonce + " done\n"), came: make(chan struct{})}
	k := &Hold{Run: s.About.Run, done: make(chan struct{})}
	ctx, cut := context.WithCancelCause(ctx)
	go func() {
		defer cut(nil)
		var res remote.Result
		res, k.err = keeper.Keep(ctx, l.command(nonce, s.About.Run, s.script(l)), maxAnswer+maxBeats, first.hear)
		if k.err == nil && res.Exit != 0 {
			k.err = fmt.Errorf("the shell that holds the lock ended with status %d%s", res.Exit, said(res.Stderr))
		}
		close(k.done)
	}()
	wait := cmp.Or(s.Wait, time.Minute)
	timer := time.AfterFunc(wait, func() { cut(fmt.Errorf("the host did not answer within %s", wait)) })
	select {
	case <-first.came:
		timer.Stop()
	case <-k.done:
		if k.err != nil {
			return nil, fmt.Errorf("cannot begin a run: %w", k.err)
		}
	}
	parts, now, err := parse(first.bytes(), nonce)
	if err == nil {
		err = s.judge(parts, now)
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

// answer is standard output as it comes, up to the end of the first answer.
type answer struct {
	mu   sync.Mutex
	text []byte
	end  []byte
	came chan struct{}
	over bool
}

func (a *answer) hear(p []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return
	}
	a.text = append(a.text, p...)
	if bytes.Contains(a.text[max(len(a.text)-len(p)-len(a.end), 0):], a.end) {
		a.over = true
		close(a.came)
	}
}

func (a *answer) bytes() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text
}

// script is what takes the lock and holds it.
func (s Start) script(l Layout) string {
	var b strings.Builder
	b.WriteString(beginSh)
	b.WriteString("mh_files() {\n" + Put(`"$mh_dir"/`+FileAbout, []byte(s.About.Text())) + "mh__rc=$?\n")
	for _, name := range slices.Sorted(maps.Keys(s.Files)) {
		b.WriteString(`[ "$mh__rc" -eq 0 ] && ` + Put(`"$mh_dir"/`+remote.Quote(name), []byte(s.Files[name])) + "mh__rc=$?\n")
	}
	b.WriteString("return \"$mh__rc\"\n}\n")
	fmt.Fprintf(&b, "mh_begin %s %s\n", remote.Quote(l.veto()), remote.Quote(remote.Clean(s.Holder)))
	b.WriteString("mh_close\nmh_hold\nexit\n")
	return b.String()
}

// judge reads the answer.
func (s Start) judge(parts []Part, now int64) error {
	var rest []Part
	refusal := &Refused{}
	held, why := false, ""
	for _, p := range parts {
		switch p.Key {
		case "held":
			held = p.Text == s.About.Run
		case "why":
			why = p.Text
		case "veto":
			refusal.Kind, refusal.Veto = ErrVetoed, string(p.Data)
		default:
			rest = append(rest, p)
		}
	}
	switch {
	case held:
		return nil
	case refusal.Kind != nil:
		return refusal
	case why != "":
		return fmt.Errorf("cannot begin a run: %s", remote.Clean(why))
	}
	records, err := recordsOf(rest, now)
	if err != nil || len(records) != 1 || records[0].Lock == nil {
		return fmt.Errorf("cannot begin a run: %w", errors.Join(ErrDamaged, err))
	}
	refusal.By, refusal.Kind = &records[0], ErrPending
	if refusal.By.Held() {
		refusal.Kind = ErrLocked
	}
	return refusal
}
