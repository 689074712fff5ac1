// Package journal is how far a run has got on a host: the run's folder there, the lock that keeps runs apart, and the lines that each step leaves.
package journal

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// Where runs keep their folders on a host, and the file by which a host refuses to be changed.
const (
	DefaultDir  = "/var/lib/mtaharden"
	DefaultVeto = "/etc/mtaharden/audit-only"
)

// Layout says where things are on a host. The zero value is the usual place; tests have their own.
type Layout struct {
	Dir  string // the folder of all runs, root's alone
	Veto string // while this file is there no run begins; its text is shown
}

func (l Layout) dir() string {
	if l.Dir == "" {
		return DefaultDir
	}
	return l.Dir
}

func (l Layout) veto() string {
	if l.Veto == "" {
		return DefaultVeto
	}
	return l.Veto
}

// Base is the folder of all runs.
func (l Layout) Base() string { return l.dir() }

// Lock is the directory that names the run under way on the host: run, holder, pid, start.
func (l Layout) Lock() string { return path.Join(l.dir(), "lock") }

// Run is the folder of a run.
func (l Layout) Run(run string) string { return path.Join(l.dir(), run) }

// What a run's folder holds. Every file appears whole or not at all, but the journal, which grows by lines.
const (
	FileAbout    = "about"    // "key value" lines: About
	FileJournal  = "journal"  // a line an event: Entry
	FileManifest = "manifest" // backup.Manifest as JSON
	FileSums     = "sums"     // the hashes of the manifest and of the scripts, once these are whole: backup.Sums
	FileOwed     = "owed"     // what is due, a line each; empty when all of it is done
	DirToken     = "token"    // made by one rename; token/who is confirm, restore or next
	DirGuard     = "guard"    // there while a guard is armed: pid, start, deadline (seconds since 1970)
	FileHooks    = "hooks"    // the paths of what would restore at the next boot, a line each
	FileEnd      = "end"      // confirmed or restored, once the run is over
	DirKeep      = "keep"     // keep/N: the original inode of item N
	DirCopy      = "copy"     // copy/N: its content
	DirNew       = "new"      // new/N: what goes live
	FileRestore  = "restore.sh"
)

// CheckRun says whether a run's name can be a folder's: letters, digits, ".", "_" and "-", no "." in front, at most 64, and nothing that the
// folder of all runs uses for itself.
func CheckRun(run string) error {
	switch {
	case run == "" || len(run) > 64:
		return fmt.Errorf("a run's name has from 1 to 64 letters, not %d", len(run))
	case run[0] == '.' || run[0] == '-' || strings.Trim(run, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "":
		return fmt.Errorf("%q is no name of a run", run)
	case run == "lock":
		return errors.New(`"lock" is no name of a run`)
	}
	return nil
}
