package apply

import (
	"context"
	"time"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// candidate is a plan's outcome in its stage.
type candidate interface {
	// Regenerate builds what comes from the changed sources, and returns those changes with their diffs, and the edits of others that it
	// would publish.
	Regenerate(context.Context) (generated, pending []plan.Change, err error)
	Validate(context.Context) error
	// Unproven says why nothing can be tried over the live paths; "" where it can.
	Unproven() string
	Host() remote.Host
}

// rooms are what a run has others do on its host. Each is one command there, or fails.
type rooms struct {
	lock     func(ctx context.Context, h remote.Host, in Input) (*keeper, error)
	note     func(ctx context.Context, h remote.Host, run string, entries []entry) error
	save     func(ctx context.Context, h remote.Host, run string, changes []plan.Change) (*backup.Manifest, map[int][]byte, error)
	stage    func(ctx context.Context, h remote.Host, in Input, m *backup.Manifest, files map[string][]byte) (candidate, error)
	complete func(ctx context.Context, h remote.Host, run string, m *backup.Manifest, c candidate) error
	arm      func(ctx context.Context, h remote.Host, run string, d time.Duration) error
	swap     func(ctx context.Context, h remote.Host, run string, d time.Duration) (status int, err error)
	restore  func(ctx context.Context, h remote.Host, run, how string) (status int, err error)
	confirm  func(ctx context.Context, h remote.Host, run string) (status int, err error)
	read     func(ctx context.Context, h remote.Host, run string) (*record, error)
}
