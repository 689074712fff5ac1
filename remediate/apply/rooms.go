package apply

import (
	"context"
	"time"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// candidate is a plan's outcome in its stage: a *Staged.
type candidate interface {
	Regenerate(context.Context) ([]GeneratedFile, error)
	Validate(context.Context) error
	Start(context.Context) error
	// Unproven says why nothing can be tried over the live paths; "" where it can.
	Unproven() string
	Host() remote.Host
}

// rooms are what a run has others do on its host. Each is one command there, or few, or fails.
type rooms struct {
	lock     func(ctx context.Context, h remote.Host, in Input) (*keeper, error)
	note     func(ctx context.Context, h remote.Host, run string, entries []entry) error
	save     func(ctx context.Context, h remote.Host, run string, in plan.HostPlan) (*backup.Manifest, map[int][]byte, error)
	stage    func(ctx context.Context, h remote.Host, in Input, files map[string][]byte) (candidate, error)
	complete func(ctx context.Context, h remote.Host, run string, m *backup.Manifest, changes []plan.Change, files map[string][]byte, reload []plan.Command) error
	around   func(ctx context.Context, h remote.Host, run string) (around, error)
	commit   func(ctx context.Context, h remote.Host, run, message string) error
	arm      func(ctx context.Context, h remote.Host, run string, d time.Duration) error
	swap     func(ctx context.Context, h remote.Host, run string) (status int, err error)
	abandon  func(ctx context.Context, h remote.Host, run string) (status int, err error)
	restore  func(ctx context.Context, h remote.Host, run, how string) (status int, err error)
	confirm  func(ctx context.Context, h remote.Host, run string) (status int, err error)
	scripts  func(ctx context.Context, h remote.Host, run string, m backup.Manifest) error
	// A rollback's own.
	record    func(ctx context.Context, h remote.Host, run string) (*journal.Record, error)
	others    func(ctx context.Context, h remote.Host, of, own string) ([]backup.Manifest, error)
	survey    func(ctx context.Context, h remote.Host, of string) ([]Line, error)
	threeWays func(ctx context.Context, h remote.Host, of, mask string, n int, path string) (string, error)
	resave    func(ctx context.Context, h remote.Host, run string, was *backup.Manifest) (*backup.Manifest, map[int][]byte, error)
	send      func(ctx context.Context, h remote.Host, m backup.Manifest, contents map[int][]byte) error
	undo      func(ctx context.Context, h remote.Host, run, of, how string) (status int, err error)
	texts     func(ctx context.Context, h remote.Host, run string) (restore, sums []byte, err error)
	ownFiles  func(m backup.Manifest, manifest []byte) ([]ownFile, error)
	mend      func(ctx context.Context, h remote.Host, run string, files []ownFile) error

	read func(ctx context.Context, h remote.Host, run string) (*record, error)
}
