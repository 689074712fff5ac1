package remediate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/remote"
)

// followLimit bounds the second command on a login, from its start to its end, within the host's own time.
const followLimit = 2 * time.Minute

// follow asks the host what reading its snapshot raised, with one more command on the same login, and takes in what that brings. Where
// nothing was raised the host is left alone. A second command that fails costs only what it would have told: the snapshot says so.
func (o *Outcome) follow(ctx context.Context, host remote.Host, drivers []*mta.Driver, begun time.Time) {
	questions := o.questions(drivers)
	if questions == "" {
		return
	}
	left := time.Until(o.Target.end(begun, followLimit)).Round(time.Second)
	ctx, cancel := context.WithTimeoutCause(ctx, left, fmt.Errorf("it did not end within %s", left))
	defer cancel()
	o.Snapshot, o.Raw = facts.Follow(ctx, host, o.Snapshot, o.Raw, questions)
	o.installs = nil
}

// questions reads the snapshot and returns the sh of what that raises. A fault of this program in it raises nothing, and is told where the
// snapshot is judged: the snapshot is whole, and is not lost to it.
func (o *Outcome) questions(drivers []*mta.Driver) (sh string) {
	defer func() {
		if recover() != nil {
			o.installs, sh = nil, ""
		}
	}()
	var b strings.Builder
	installs := read(o.Snapshot, drivers)
	for _, j := range installs {
		if j.Config == nil || j.Driver.Follow == nil {
			continue
		}
		if part := strings.TrimSpace(j.Driver.Follow(o.Snapshot, j.Config)); part != "" {
			b.WriteString(part + "\n")
		}
	}
	o.installs = installs
	return b.String()
}
