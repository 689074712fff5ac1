package apply

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

//go:embed sh/stage.sh
var stageSh string

//go:embed sh/inside.sh
var insideSh string

//go:embed sh/enter.sh
var enterSh string

// What stops a run before the bar, in the stage.
var (
	// ErrNamespaces: this host gives no namespaces of its own, so that nothing can be tried over the live paths.
	ErrNamespaces = errors.New("no namespaces")
	// ErrPending: the unchanged sources do not give the live generated files. Somebody's edits would be published, or lost.
	ErrPending = errors.New("pending edits")
	// ErrCandidate: the MTA's own programs refuse the candidate.
	ErrCandidate = errors.New("the candidate is refused")
)

// Bounds of a stage.
const (
	stageLife   = 20 * time.Minute // of the namespaces, whatever becomes of the controller
	stageOutput = 8 << 20          // bytes that one command of it may print
	stepLimit   = 3 * time.Minute  // one command in it
)

// StageInput is what a stage is made for.
type StageInput struct {
	Changes  []plan.Change
	Commands []plan.Commands
	// Contents are the candidate's: the whole text of every edited and created file, by path.
	Contents map[string][]byte
	// Mask is the sh of a filter mh_masked that hides secrets of lines, the same secret by the same mark under one $mh_key.
	Mask string
	// WithPending lets pending edits of others be published.
	WithPending bool
	// Life is how long the namespaces may live; 0 is 20 minutes.
	Life time.Duration
}

// Staged is a stage that stands on a host: copies of the directories that a plan touches, over the live paths, in namespaces of their own.
type Staged struct {
	host  remote.Host
	dir   string // RUN/stage
	pid   int    // of the namespaces' first process, as the host counts
	start string // its start time in the kernel's ticks
	in    StageInput
	key   string // of the masks
}

// Stage makes the stage of a run in its folder, run (/var/lib/mtaharden/RUN), from the live files as they are: nothing of the candidate is in
// it yet. ErrNamespaces where the host refuses.
func Stage(ctx context.Context, host remote.Host, run string, in StageInput) (*Staged, error) {
	if in.Life == 0 {
		in.Life = stageLife
	}
	s := &Staged{host: host, dir: path.Join(run, "stage"), in: in, key: maskKey()}
	args := append([]string{s.dir, strconv.Itoa(int(in.Life.Seconds()))}, stageWords(in)...)
	script := "mh_inside=" + remote.Quote(insideSh) + "\n" + stageSh
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	res, err := host.Run(ctx, remote.Script(script, args...), 4096)
	if err != nil {
		return nil, fmt.Errorf("cannot stage: %w", err)
	}
	if res.Exit != 0 {
		return nil, stageError(res)
	}
	line, _, _ := strings.Cut(string(res.Stdout), "\n")
	if _, err := fmt.Sscanf(line, "up %d %s", &s.pid, &s.start); err != nil || s.pid < 2 || strings.Trim(s.start, "0123456789") != "" {
		return nil, fmt.Errorf("cannot stage: the host answers %q", clip(line))
	}
	return s, nil
}

// stageError is what the script ended with.
func stageError(res remote.Result) error {
	text := clip(string(res.Stderr))
	if res.Exit == 4 {
		return fmt.Errorf("cannot stage: %w: %s", ErrNamespaces, strings.TrimPrefix(text, "namespaces: "))
	}
	return fmt.Errorf("cannot stage: %s (exit status %d)", text, res.Exit)
}

// clip bounds what a host said for a message.
func clip(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 1000 {
		text = text[:1000] + "…"
	}
	return text
}

// stageWords are the directories of a stage, as the script takes them.
func stageWords(in StageInput) []string {
	var words []string
	dirs := map[string]bool{}
	copyOf := func(dir string) {
		if !dirs[dir] {
			dirs[dir] = true
			words = append(words, "copy", dir)
		}
	}
	for _, c := range in.Changes {
		if c.Kind != plan.Unit && c.Kind != plan.ModeChange {
			copyOf(path.Dir(c.Path))
		}
	}
	for _, c := range in.Commands {
		if c.Stage == nil {
			continue
		}
		for _, d := range c.Stage.Copies {
			copyOf(d)
		}
	}
	for _, c := range in.Commands {
		if c.Stage == nil {
			continue
		}
		for _, f := range c.Stage.Fresh {
			words = append(words, "fresh", f.Path)
			for _, k := range f.Keep {
				words = append(words, "keep", k)
			}
			for _, k := range f.Sockets {
				words = append(words, "socket", k)
			}
		}
	}
	for _, c := range in.Changes {
		if c.Kind == plan.ModeChange {
			words = append(words, "mode", c.Path)
		}
	}
	return words
}

// Host is the host as it would be: its commands run in the stage's namespaces, with the stage's files.
func (s *Staged) Host() remote.Host { return inside{s} }

type inside struct{ s *Staged }

func (i inside) Run(ctx context.Context, c remote.Cmd, limit int) (remote.Result, error) {
	argv := append([]string{"/bin/sh", "-c", enterSh, "sh", strconv.Itoa(i.s.pid), i.s.start}, c.Argv...)
	return i.s.host.Run(ctx, remote.Cmd{Argv: argv, Stdin: c.Stdin}, limit)
}

func (i inside) Transport() remote.Transport { return i.s.host.Transport() }

// Close does nothing: the stage ends by its own Close, and the host is another's.
func (i inside) Close() error { return nil }

const closeSh = `stage=$1 pid=$2 start=$3
now=$(sed -n 's/^.*) //p' "/proc/$pid/stat" 2>/dev/null | cut -d ' ' -f 20)
if [ "$now" = "$start" ]; then
	kill -KILL "$pid"
	i=0
	while [ -d "/proc/$pid" ] && [ "$i" -lt 100 ]; do
		i=$((i + 1))
		sleep 0.1 2>/dev/null || sleep 1
	done
	[ ! -d "/proc/$pid" ] || { echo "process $pid does not end" >&2; exit 5; }
fi
i=0
while [ -d "$stage" ]; do
	rm -rf "$stage" 2>/dev/null
	i=$((i + 1))
	if [ "$i" -gt 50 ]; then echo "cannot remove $stage" >&2; exit 5; fi
	[ ! -d "$stage" ] || sleep 0.1 2>/dev/null || sleep 1
done`

// Close ends everything that runs in the stage and removes it.
func (s *Staged) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	res, err := s.host.Run(ctx, remote.Script(closeSh, s.dir, strconv.Itoa(s.pid), s.start), 4096)
	if err == nil && res.Exit != 0 {
		err = errors.New(clip(string(res.Stderr)))
	}
	if err != nil {
		return fmt.Errorf("cannot end the stage: %w", err)
	}
	return nil
}
