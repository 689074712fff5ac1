package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"mtaharden/remediate/remote"
)

// About is what a run says of itself, on the host.
type About struct {
	Run        string
	Command    string        // apply or rollback
	Of         string        // of a rollback: the run that it undoes
	Plan       string        // digest of the plan
	User       string        // who ran it, and on which machine
	Controller string        //
	Program    string        // version and digest of the program
	Ticket     string        // --ticket
	Note       string        // --note
	Started    time.Time     // by the controller's clock
	Confirm    time.Duration // --confirm-timeout
}

// Entry is a line of a run's journal: "SEQ EPOCH STEP STATE text".
type Entry struct {
	Seq   int
	Time  time.Time // by the host's clock
	Step  string    // save backup stage regenerate validate prove guard swap reload verify confirm restore
	State string    // doing done failed skipped undone
	Text  string    // what the host wrote: to be cleaned before it is shown
}

// The words of an entry.
var (
	steps  = []string{"save", "backup", "stage", "regenerate", "validate", "prove", "guard", "swap", "reload", "verify", "confirm", "restore"}
	states = []string{"doing", "done", "failed", "skipped", "undone"}
)

// Lock is the host's lock: which run has it, whose that is, and the shell that holds it.
type Lock struct {
	Run    string
	Holder string // "USER@CONTROLLER", as its run wrote it
	PID    int
	Start  string // tells the shell from a later process of its number
	Alive  bool   // the shell still runs
}

// Guard is what restores a host whose run is not confirmed in time.
type Guard struct {
	Set      bool      // it was armed and nobody has taken it away
	Alive    bool      // its process waits, or is at work
	Deadline time.Time // by the host's clock
	PID      int
}

// Record is how a run stands, as its host has it.
type Record struct {
	Run     string
	Folder  bool // the run has a folder there
	About   About
	Entries []Entry
	Damaged int    // lines of the journal that are none, the last one apart where a lost machine cut it
	Cut     bool   // the journal is longer than what came
	Token   string // "", confirm, restore, next: who decides how the run ends
	Guard   Guard
	Hooks   []string // what would restore the host at its next boot, by path
	End     string   // "", confirmed or restored: the run is over and has cleared up
	Lock    *Lock    // the host's lock where it is this run's
	Owed    []string // what is due, a line each
	// Manifest is the file as it is (see backup.Decode); nil where there is none, and in a List.
	Manifest []byte
	Now      time.Time // the host's clock when it was read
}

// Armed says whether a guard will still restore the host by itself, or is at it.
func (r *Record) Armed() bool { return r.Guard.Set && r.Guard.Alive }

// Held says whether the shell of the run's controller still has the lock.
func (r *Record) Held() bool { return r.Lock != nil && r.Lock.Alive }

// State is the state that a step came to last, "" where it was not begun.
func (r *Record) State(step string) string {
	for i := len(r.Entries) - 1; i >= 0; i-- {
		if r.Entries[i].Step == step {
			return r.Entries[i].State
		}
	}
	return ""
}

// Bounds of one answer.
const (
	maxRecord = 24 << 20
	maxList   = 64 << 20
	maxRuns   = 1000
)

// Read returns how a run stands on a host, by one command that changes nothing. Where the host has no folder of that run, Folder is false.
func Read(ctx context.Context, h remote.Host, l Layout, run string) (*Record, error) {
	if err := CheckRun(run); err != nil {
		return nil, fmt.Errorf("cannot read a run: %w", err)
	}
	parts, now, err := l.Ask(ctx, h, run, "mh_lock\nmh_record "+run+"\nmh_blob manifest \"$mh_dir/manifest\" 8192\n", maxRecord)
	if err != nil {
		return nil, fmt.Errorf("cannot read run %s: %w", run, err)
	}
	records, err := recordsOf(parts, now)
	if err == nil && (len(records) != 1 || records[0].Run != run) {
		err = fmt.Errorf("%w: it is of another run", ErrDamaged)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read run %s: %w", run, err)
	}
	return &records[0], nil
}

// listSh sends every run, the newest maxRuns of them: their names begin with the time.
const listSh = `mh_lock
mh__n=0
for mh__f in "$mh_base"/*/; do mh__n=$((mh__n + 1)); done
for mh__f in "$mh_base"/*/; do
  mh__n=$((mh__n - 1))
  mh__f=${mh__f%/}
  mh__f=${mh__f##*/}
  case $mh__f in '*' | lock | *[!A-Za-z0-9._-]*) continue ;; esac
  [ "$mh__n" -ge MAX ] || mh_record "$mh__f"
done
`

// List returns how every run stands of which the host has a folder, the oldest first, by one command that changes nothing.
func List(ctx context.Context, h remote.Host, l Layout) ([]Record, error) {
	parts, now, err := l.Ask(ctx, h, "", strings.Replace(listSh, "MAX", strconv.Itoa(maxRuns), 1), maxList)
	if err != nil {
		return nil, fmt.Errorf("cannot list the runs: %w", err)
	}
	records, err := recordsOf(parts, now)
	if err != nil {
		return nil, fmt.Errorf("cannot list the runs: %w", err)
	}
	return records, nil
}

// recordsOf reads what mh_lock and mh_record sent.
func recordsOf(parts []Part, now int64) ([]Record, error) {
	var lock Lock
	var out []Record
	seen := map[string]bool{}
	for _, p := range parts {
		if name, ok := strings.CutPrefix(p.Key, "lock."); ok && !p.File {
			if err := lock.take(name, p.Text); err != nil {
				return nil, err
			}
			continue
		}
		if p.Key == "run" && !p.File {
			if err := CheckRun(p.Text); err != nil || seen[p.Text] || len(out) >= maxRuns {
				return nil, fmt.Errorf("%w: a run %.80q", ErrDamaged, p.Text)
			}
			seen[p.Text] = true
			out = append(out, Record{Run: p.Text, Now: time.Unix(now, 0).UTC()})
			continue
		}
		if len(out) == 0 {
			return nil, fmt.Errorf("%w: %.40q is of no run", ErrDamaged, p.Key)
		}
		if err := out[len(out)-1].take(p); err != nil {
			return nil, fmt.Errorf("%w: run %s: %w", ErrDamaged, out[len(out)-1].Run, err)
		}
	}
	for i := range out {
		if lock.Run == out[i].Run {
			of := lock
			out[i].Lock = &of
		}
	}
	return out, nil
}

func (k *Lock) take(name, text string) error {
	switch name {
	case "run":
		if err := CheckRun(text); err != nil {
			return fmt.Errorf("%w: the lock names the run %.80q", ErrDamaged, text)
		}
		k.Run = text
	case "holder":
		k.Holder = text
	case "pid":
		k.PID, _ = strconv.Atoi(text)
	case "start":
		k.Start = text
	case "alive":
		k.Alive = text == "yes"
	}
	return nil
}

func (r *Record) take(p Part) error {
	switch p.Key {
	case "folder":
		r.Folder = p.Text == "yes"
	case "about":
		return r.about(p)
	case "journal":
		r.Entries, r.Damaged = entries(p.Data)
		r.Cut = !p.Whole()
	case "owed":
		r.Owed = lines(p.Data)
	case "hooks":
		r.Hooks = lines(p.Data)
	case "end":
		if p.Text != "confirmed" && p.Text != "restored" {
			return fmt.Errorf("its end is %.40q", p.Text)
		}
		r.End = p.Text
	case "manifest":
		if !p.Whole() {
			return errors.New("its manifest is too large")
		}
		r.Manifest = p.Data
	case "token":
		if p.Text != "confirm" && p.Text != "restore" && p.Text != "next" && p.Text != "unknown" {
			return fmt.Errorf("its token is %.40q's", p.Text)
		}
		r.Token = p.Text
	default:
		return r.guard(p)
	}
	return nil
}

func (r *Record) guard(p Part) error {
	switch p.Key {
	case "guard":
		r.Guard.Set = p.Text == "yes"
	case "guard.deadline":
		t, err := epoch(p.Text)
		if err != nil {
			return err
		}
		r.Guard.Deadline = t
	case "guard.pid":
		r.Guard.PID, _ = strconv.Atoi(p.Text)
	case "guard.alive":
		r.Guard.Alive = p.Text == "yes"
	case "guard.start":
	default:
		return fmt.Errorf("it holds %.40q", p.Key)
	}
	return nil
}

// lines are the lines of a small file that are not empty, safe on a terminal.
func lines(data []byte) (out []string) {
	for line := range strings.Lines(string(data)) {
		if line = remote.Clean(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

func epoch(text string) (time.Time, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return time.Time{}, fmt.Errorf("%.40q is no time", text)
	}
	return time.Unix(n, 0).UTC(), nil
}
