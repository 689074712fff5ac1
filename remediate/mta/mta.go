// Package mta says what a mail transfer agent's driver is: a value of data and pure functions over a Snapshot.
package mta

import (
	"net/netip"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/remote"
)

// Driver is everything this program knows of one MTA. All functions are pure. A nil function means "this MTA has no such step".
type Driver struct {
	Name string // "postfix": the word in reports and playbooks
	Doc  string // one sentence
	// Owners are the accounts beside root's that own directories of its configuration where it is packaged so: what lies there is theirs to
	// rename, and is changed all the same.
	Owners []string
	// Collect is the driver's part of the collector: POSIX sh over the functions that facts' script offers. It finds the
	// installations by itself, reads their configuration and puts the questions made of the keys it finds.
	Collect string
	// Detect returns the installations of this MTA, the running ones first.
	Detect func(*facts.Snapshot) []Install
	// Read returns the effective configuration of an installation. An error means that it could not be read at all; what was merely
	// not readable in part is in Config.Unread.
	Read func(*facts.Snapshot, Install) (*Config, error)
	// Answers returns what the MTA said when it was asked, and what the configuration says to the same questions and the standard ones.
	Answers func(*facts.Snapshot, *Config) []judge.Answer
	// Again returns what the configuration says to one more question, at a listener of its own: a question of Answers with another client or
	// sender. false where it was not asked, or cannot be said without asking the MTA itself.
	Again func(*Config, judge.Question) (judge.Answer, bool)
	// Follow is the sh of a second command on the same login, where reading the first snapshot raised a question that only the host can
	// answer; "" where it raised none. It is written over the same functions as Collect and stands alone: nothing of the driver's Collect is
	// there. What it sends is laid beside what the first sent (facts.Follow), and Read and Answers run again on the whole, once: Follow is
	// not asked a second time. A host whose collector is an installed copy, and a saved snapshot, are not asked: the answer stays cannot-tell.
	Follow func(*facts.Snapshot, *Config) string
	// Services are the names by which init systems know its service, each known to mh_service: a unit without ".service", or a start script.
	Services []string
	// Remedy returns the smallest fixes after which an answer would be another one; nil where only a person can decide.
	Remedy func(*Config, judge.Answer) []Fix
	// Edit returns the source files with the fixes made, no other byte touched, in the order in which they go live. It refuses values
	// with line breaks, edits that touch a mask, and what it cannot place, with an error that names file and line.
	Edit func(*Config, []Fix) ([]File, error)
	// Regenerate, Validate and Reload are the finished commands that follow an edit of paths.
	Regenerate func(in Install, paths []string) []remote.Cmd
	Validate   func(in Install) []remote.Cmd
	Reload     func(s *facts.Snapshot, in Install) []remote.Cmd
	// Stage says what it takes to regenerate, validate and start a candidate of the configuration in which paths are changed, over the live
	// paths and apart from everything live.
	Stage func(s *facts.Snapshot, c *Config, paths []string) Stage
	// Prove is the sh of a command that runs in the stage, where the candidate's daemons serve, after the collector: it asks them what only a
	// running daemon can say. It is written as Follow is, what it sends is laid beside the rest in the same way, and Answers reads it.
	Prove func(*facts.Snapshot, *Config) string
}

// Stage is what a candidate needs to be tried apart from everything live.
type Stage struct {
	// Copies are directories of which the stage has a copy of its own, beside those of the changed and the generated files. Everything that is
	// neither a copy nor fresh cannot be written there.
	Copies []string
	// Fresh are directories that are empty there: queues, data, mail stores, what daemons write at run time.
	Fresh []Fresh
	// Generated are the files that Regenerate makes of paths.
	Generated []Made
	// Before runs ahead of Start, on the stage's own copies; After takes back what it did, so that the judges see the candidate alone.
	Before []remote.Cmd
	// Start starts the daemons, which go on in the background; an exit status other than 0 is a refusal.
	Start []remote.Cmd
	After []remote.Cmd
	// Listens says that the daemons listen on TCP ports once they serve.
	Listens bool
}

// Fresh is a directory that is empty in the stage, with the owner and mode of the live one.
type Fresh struct {
	Path    string   `json:"path"`
	Keep    []string `json:"keep,omitempty"`    // what of it is copied all the same: names in it
	Sockets []string `json:"sockets,omitempty"` // paths of live sockets in it that the daemons must reach, since they only answer and note nothing
}

// Made is a file that the MTA's own programs make of others.
type Made struct {
	Path    string
	Sources []string // of the changed paths, those that it is made of
	// Show prints it as lines whose order says nothing; nil where it is a text itself, in which lines that begin with "#" say nothing.
	Show []string
}

// Install is one installation (or instance) of an MTA on a host.
type Install struct {
	MTA      string
	Instance string // postmulti's name, "" for the only one
	Version  string // upstream version: "3.7.11", "8.17.1.9", "4.96"
	Package  string // "postfix 3.7.11-0+deb12u1", "" where no package manager owns the program
	Program  string // resolved path of the daemon's program
	Config   string // directory or file, from the running process where one runs
	Active   bool   // it runs
	Listen   []string
	Fixed    []string // identifiers that the package's changelog names as fixed: "CVE-2023-51764"
	Features []string // what probing the program showed: "postfix:smtpd_forbid_bare_newline"
	Basis    Basis
	Panel    string // the panel or suite that generates its configuration, "" for none
}

// Basis says what this program's knowledge of such an installation rests on.
type Basis string

const (
	Lab       Basis = "lab"       // run on real hosts
	Published Basis = "published" // read from published configurations
	Manual    Basis = "manual"    // from manuals only
)

// Origin is where a value comes from.
type Origin struct {
	File string
	Line int    // from 1; 0 for a default or a command line
	How  string // default, file, override, argument, include, generated
}

// Setting is an effective value.
type Setting struct {
	Name     string // the MTA's own name: disable_vrfy_command, PrivacyOptions, acl_smtp_vrfy
	Listener string // "ADDR:PORT" where the value holds for one listener only
	Value    string // effective, with references expanded
	Raw      string // as written
	Origin
}

// Trust is one entry by which the configuration lets somebody relay.
type Trust struct {
	ID       string       // unique in the Config, and the Question.Entry of what was asked about it
	Listener string       // "" for all
	Kind     string       // client-net, client-name, sender, recipient, helo, any, table
	Value    string       // as written: "10.0.0.0/8", "198.51.100", "example.net"
	Net      netip.Prefix // valid for client-net
	Name     string       // the setting or file kind that holds it: mynetworks, access, relay-domains, relay_from_hosts
	Origin
	Fix []Fix // what takes the entry away; nil where only a person can
}

// Note is something that reading noticed and a rule may judge by its code.
type Note struct {
	Code     string // drift, pending, unused-parameter, duplicate, promiscuous-relay, pre-8.9, unparsed, unqualified-hostname, stale-map, stale-daemon …
	Listener string
	Text     string
	Origin
}

// Config is the effective configuration of one installation.
type Config struct {
	Install  Install
	Files    []File // the sources that were read, in the order they are read by the MTA
	Settings []Setting
	Trusted  []Trust
	Notes    []Note
	Unread   []Unread
	// Model is the driver's own reading, for its other functions; nothing outside the driver looks into it.
	Model any
}

// Unread is something that the judgement would need and the snapshot lacks.
type Unread struct{ What, Why string }

// Setting returns the value of name at listener: the listener's own where it has one, else the general one.
func (c *Config) Setting(name, listener string) (Setting, bool) {
	var general Setting
	found := false
	for _, s := range c.Settings {
		if s.Name != name {
			continue
		}
		if s.Listener != "" && s.Listener == listener {
			return s, true
		}
		if s.Listener == "" {
			general, found = s, true
		}
	}
	return general, found
}

// Op is what a Fix does with a setting.
type Op string

const (
	Set    Op = "set"    // the value becomes Value
	Unset  Op = "unset"  // the setting goes; the MTA's default holds
	Add    Op = "add"    // Value becomes a member of the list
	Remove Op = "remove" // Value is no longer a member of the list
)

// Fix is one wish for a setting, in the MTA's own words. Playbooks write them; Remedy and Trust.Fix make them.
type Fix struct {
	Name     string `json:"name" toml:"name"`
	Listener string `json:"listener,omitempty" toml:"listener"` // "" is the general value and every override of it
	Op       Op     `json:"op" toml:"op"`
	Value    string `json:"value" toml:"value"`
	File     string `json:"file,omitempty" toml:"-"` // where the entry stands, for remove of one among several
	Line     int    `json:"line,omitempty" toml:"-"`
}

// File is a source file, before or after an edit.
type File struct {
	Path    string // resolved
	Data    []byte
	Created bool        // it did not exist
	Origin  *facts.File // what was collected; nil for a created one
}
