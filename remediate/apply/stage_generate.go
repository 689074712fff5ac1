package apply

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

//go:embed sh/show.sh
var showSh string

//go:embed sh/compare.sh
var compareSh string

// GeneratedFile is a file that the MTA's own programs made anew in the stage. Secrets are masked in what is shown.
type GeneratedFile struct {
	Path string
	// Diff says how the live file changes, as lines of a unified difference; comments, and the order of a map's keys, aside. "" where it
	// does not change: then there is nothing to publish.
	Diff string
	// Pending says how the live file differs from what its unchanged sources give: edits of others.
	Pending string
	// Unexplained are the lines of Diff that the plan's changes do not bring about.
	Unexplained []string
}

// PendingError is ErrPending with what is pending.
type PendingError struct{ Files []GeneratedFile }

func (e *PendingError) Error() string {
	var names []string
	for _, f := range e.Files {
		names = append(names, f.Path)
	}
	return "cannot regenerate " + strings.Join(names, ", ") + ": the unchanged sources do not give the live file: somebody's edits are not built yet, or were made in the generated file"
}

func (e *PendingError) Unwrap() error { return ErrPending }

// CandidateError is ErrCandidate with the program that refuses and what it said.
type CandidateError struct {
	Step    string // regenerate, validate, prove
	Command string
	Exit    int
	Said    string
}

func (e *CandidateError) Error() string {
	return fmt.Sprintf("cannot %s: %s ended with status %d: %s", e.Step, e.Command, e.Exit, e.Said)
}

func (e *CandidateError) Unwrap() error { return ErrCandidate }

// Regenerate builds the generated files in the stage, first of the unchanged sources, then of the candidate's, and returns how each of them
// changes. A *PendingError comes with the files where the unchanged sources do not give the live ones and WithPending is not set: the
// candidate is then not in the stage.
func (s *Staged) Regenerate(ctx context.Context) ([]GeneratedFile, error) {
	files := s.generated()
	if err := s.show(ctx, "live", files); err != nil {
		return nil, err
	}
	if len(files) > 0 {
		if err := s.commands(ctx, "regenerate", func(c plan.Commands) []plan.Command { return c.Regenerate }); err != nil {
			return nil, fmt.Errorf("the unchanged sources: %w", err)
		}
	}
	if err := s.show(ctx, "same", files); err != nil {
		return nil, err
	}
	first, err := s.compare(ctx, files)
	if err != nil {
		return nil, err
	}
	pending := slices.DeleteFunc(slices.Clone(first), func(f GeneratedFile) bool { return f.Pending == "" })
	if len(pending) > 0 && !s.in.WithPending {
		return first, &PendingError{pending}
	}
	if err := s.write(ctx); err != nil {
		return first, err
	}
	if err := s.commands(ctx, "regenerate", func(c plan.Commands) []plan.Command { return c.Regenerate }); err != nil {
		return first, err
	}
	if err := s.show(ctx, "next", files); err != nil {
		return first, err
	}
	return s.compare(ctx, files)
}

// generated are the generated files of all installations.
func (s *Staged) generated() []plan.Made {
	var out []plan.Made
	for _, c := range s.in.Commands {
		if c.Stage == nil {
			continue
		}
		for _, g := range c.Stage.Generated {
			if !slices.ContainsFunc(out, func(o plan.Made) bool { return o.Path == g.Path }) {
				out = append(out, g)
			}
		}
	}
	return out
}

// show keeps what the generated files hold at this moment.
func (s *Staged) show(ctx context.Context, phase string, files []plan.Made) error {
	if len(files) == 0 {
		return nil
	}
	args := []string{s.dir, phase}
	for i, f := range files {
		args = append(append(args, strconv.Itoa(i+1), f.Path, strconv.Itoa(len(f.Show))), f.Show...)
	}
	res, err := s.run(ctx, remote.Script("mh_key="+s.key+"\nexport mh_key\n"+s.in.Mask+"\n"+showSh, args...))
	if err == nil && res.Exit != 0 {
		err = fmt.Errorf("%s (exit status %d)", clip(string(res.Stderr)), res.Exit)
	}
	if err != nil {
		return fmt.Errorf("cannot show the generated files: %w", err)
	}
	return nil
}

func (s *Staged) compare(ctx context.Context, files []plan.Made) ([]GeneratedFile, error) {
	if len(files) == 0 {
		return nil, nil
	}
	args := []string{s.dir}
	for i := range files {
		args = append(args, strconv.Itoa(i+1))
	}
	res, err := s.run(ctx, remote.Script(compareSh, args...))
	if err == nil && res.Exit != 0 {
		err = fmt.Errorf("%s (exit status %d)", clip(string(res.Stderr)), res.Exit)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot compare the generated files: %w", err)
	}
	diffs, err := parseDiffs(res.Stdout, len(files))
	if err != nil {
		return nil, err
	}
	var out []GeneratedFile
	for i, f := range files {
		d := diffs[i]
		out = append(out, GeneratedFile{Path: f.Path, Diff: d[pairWhole], Pending: d[pairPending], Unexplained: unexplained(d[pairWhole], d[pairPlan])})
	}
	return out, nil
}

// run runs a command in the stage, within its time.
func (s *Staged) run(ctx context.Context, c remote.Cmd) (remote.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	return s.Host().Run(ctx, c, stageOutput)
}

// commands runs the commands that which picks of every installation; the first that fails is a *CandidateError.
func (s *Staged) commands(ctx context.Context, step string, which func(plan.Commands) []plan.Command) error {
	for _, c := range s.in.Commands {
		for _, cmd := range which(c) {
			res, err := s.run(ctx, asScript(cmd))
			if err != nil {
				return fmt.Errorf("cannot %s: %s: %w", step, shortly(cmd), err)
			}
			if res.Exit != 0 {
				said := string(res.Stderr)
				if strings.TrimSpace(said) == "" {
					said = string(res.Stdout)
				}
				return &CandidateError{Step: step, Command: shortly(cmd), Exit: res.Exit, Said: clip(said)}
			}
		}
	}
	return nil
}

// stageHead makes the functions that print contents.
func stageHead() string { return journal.Layout{}.Head("") }

// asScript is a plan's command as a script: its words may be such as not every login shell reads alike.
func asScript(c plan.Command) remote.Cmd {
	if len(c.Stdin) == 0 {
		return remote.Script(`"$@"`, c.Argv...)
	}
	return remote.Script(stageHead()+"{\n"+journal.Bytes(c.Stdin)+"} | \"$@\"", c.Argv...)
}

// shortly is a command without the text of its script.
func shortly(c plan.Command) string {
	if c.Say != "" {
		return clip(remote.Clean(c.Say))
	}
	argv := slices.Clone(c.Argv)
	if len(argv) > 3 && argv[1] == "-c" {
		argv = append(argv[:1:1], argv[4:]...)
	}
	return clip(remote.Cmd{Argv: argv}.String())
}

// Validate runs the MTA's own checkers on the candidate; a refusal is a *CandidateError.
func (s *Staged) Validate(ctx context.Context) error {
	return s.commands(ctx, "validate", func(c plan.Commands) []plan.Command { return c.Validate })
}

// Start starts the candidate's daemons in the stage; one that refuses to start is a *CandidateError. The judges then ask Host.
func (s *Staged) Start(ctx context.Context) error {
	for _, which := range []func(*plan.Stage) []plan.Command{
		func(p *plan.Stage) []plan.Command { return p.Before },
		func(p *plan.Stage) []plan.Command {
			if p.Listens && len(p.Start) > 0 {
				return append(slices.Clone(p.Start), plan.Command{Argv: []string{"/bin/sh", "-c", awaitListening, "sh"}})
			}
			return p.Start
		},
		func(p *plan.Stage) []plan.Command { return p.After },
	} {
		err := s.commands(ctx, "start the candidate", func(c plan.Commands) []plan.Command {
			if c.Stage == nil {
				return nil
			}
			return which(c.Stage)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// write puts the candidate's contents, modes and deletions into the stage: before the maps are built, which are then never older.
func (s *Staged) write(ctx context.Context) error {
	for _, c := range s.in.Changes {
		script, args := "", []string{c.Path}
		switch c.Kind {
		case plan.EditFile, plan.CreateFile:
			data, ok := s.in.Contents[c.Path]
			if !ok {
				return fmt.Errorf("cannot stage %s: its content is not known", c.Path)
			}
			script = stageHead() + "new=\nif [ ! -e \"$1\" ]; then new=yes; fi\n{\n" + journal.Bytes(data) + "} >\"$1\" || exit 5\n" +
				"if [ -n \"$new\" ]; then chmod 0644 \"$1\" || exit 5; fi\n"
		case plan.DeleteFile:
			script = "rm -f \"$1\"\n"
		case plan.ModeChange:
			script = "chown \"$2:$3\" \"$1\" && chmod \"$4\" \"$1\"\n"
			args = append(args, c.After.Owner, c.After.Group, c.After.Mode)
		default:
			continue
		}
		res, err := s.run(ctx, remote.Script(script, args...))
		if err == nil && res.Exit != 0 {
			err = fmt.Errorf("%s (exit status %d)", clip(string(res.Stderr)), res.Exit)
		}
		if err != nil {
			return fmt.Errorf("cannot stage %s: %w", c.Path, err)
		}
	}
	return nil
}

// awaitListening waits for a listening TCP socket in the stage, of which there is none but the candidate's.
const awaitListening = `i=0
until cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep '^ *[0-9]*: [0-9A-F]*:[0-9A-F]* [0-9A-F]*:[0-9A-F]* 0A ' >/dev/null; do
	i=$((i + 1))
	if [ "$i" -gt 100 ]; then echo "it does not listen" >&2; exit 1; fi
	sleep 0.2 2>/dev/null || { sleep 1; i=$((i + 4)); }
done`
