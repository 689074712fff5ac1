package apply

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mtaharden/remediate/remote"
)

//go:embed sh/around.sh
var aroundSh string

// around is what else on a host has to do with its configuration files.
type around struct {
	managers []string // configuration management that is set up there: what is changed by hand it may change back
	keeper   bool     // etckeeper keeps /etc in a repository
	busy     string   // who changes packages at this moment, for a message; "" nobody
}

// managersKnown are the words that around.sh says.
var managersKnown = []string{"puppet", "chef", "salt", "cfengine", "rudder", "ansible-pull"}

// packagers are the package managers that around.sh knows.
var packagers = []string{"dpkg", "rpm"}

// parseAround reads lines "managed NAME", "etckeeper" and "busy TOOL PID PROGRAM". What is of another form is passed over: nothing rests on it.
func parseAround(out string) around {
	var a around
	for line := range strings.Lines(out) {
		word, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case word == "etckeeper":
			a.keeper = true
		case word == "managed" && slices.Contains(managersKnown, name) && !slices.Contains(a.managers, name):
			a.managers = append(a.managers, name)
		case word == "busy" && a.busy == "":
			tool, who, _ := strings.Cut(name, " ")
			pid, program, _ := strings.Cut(who, " ")
			if n, err := strconv.Atoi(pid); err == nil && slices.Contains(packagers, tool) {
				a.busy = fmt.Sprintf("process %d (%s) has the lock of %s", n, cmp.Or(clip(remote.Clean(program)), "?"), tool)
			}
		}
	}
	return a
}

func (s shell) around(ctx context.Context, h remote.Host, run string) (around, error) {
	res, err := s.script(ctx, h, run, aroundSh, s.pace.root)
	if err != nil {
		return around{}, err
	}
	return parseAround(string(res.Stdout)), nil
}

// commitSh has etckeeper(8) commit what is not committed.
const commitSh = `command -v etckeeper >/dev/null 2>&1 || exit 0
cd "$1/etc" || exit 0
etckeeper unclean || exit 0
exec etckeeper commit "$2"`

func (s shell) commit(ctx context.Context, h remote.Host, run, message string) error {
	res, err := s.script(ctx, h, run, commitSh, s.pace.root, message)
	if err == nil && res.Exit != 0 {
		err = fmt.Errorf("etckeeper does not commit%s", said(res))
	}
	return err
}

// warn says of the files that are about to change who else may write them.
func (r *runner) warn(ctx context.Context) error {
	var err error
	if r.around, err = r.rooms.around(ctx, r.host, r.in.Run); err != nil {
		return err
	}
	for _, m := range r.around.managers {
		r.out.Warnings = append(r.out.Warnings, m+" is set up on this host: it may undo the change")
	}
	for i, item := range r.manifest.Items {
		if by := managed(r.contents[i]); by != "" {
			r.out.Warnings = append(r.out.Warnings, fmt.Sprintf("%s says that %s manages it: make the change there too", item.Path, by))
		}
	}
	return nil
}

// quiet refuses a host whose packages are being changed: an upgrade of the MTA rewrites the very files, and starts and stops the daemon.
func (a around) quiet() error {
	if a.busy == "" {
		return nil
	}
	return fmt.Errorf("%w: packages are being changed on this host, try again when that is done: %s", ErrRefused, a.busy)
}

// committed has etckeeper, where /etc is in its care, make a commit. That it does not is told and stops nothing.
func (r *runner) committed(ctx context.Context, h remote.Host, when string) error {
	if !r.around.keeper {
		return nil
	}
	message := "mtaharden " + r.in.About.Command + ", " + when + " run " + r.in.Run
	for _, said := range []string{r.in.About.Ticket, r.in.About.Note} {
		if said != "" {
			message += " (" + remote.Clean(said) + ")"
		}
	}
	if err := r.rooms.commit(ctx, h, r.in.Run, message); err != nil {
		r.out.Warnings = append(r.out.Warnings, remote.Clean(err.Error()))
	}
	return ctx.Err()
}
