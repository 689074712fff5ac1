// Package postfix is the driver of Postfix, versions 2.3 to 3.10: reading, judging and editing main.cf, master.cf and the tables they name.
package postfix

import (
	_ "embed"

	"mtaharden/remediate/mta"
)

//go:embed collect.sh
var collector string

// Driver knows Postfix.
//
// Settings have the names of main.cf parameters and their expanded values; those that a service overrides in master.cf carry its
// listener. There are no pseudo-settings. Notes: "duplicate" (an earlier entry that a later one overrides), "unused-parameter" (a name
// that nothing reads), "stray" (a continuation with nothing to continue), "stale-map" (a compiled table older than its text),
// "missing-map", "invalid-net" (a network that makes every lookup fail, or matches nothing), "unknown-restriction", "dead" (a service
// that cannot start), "placeholder" (an unfilled template), "client-spoof" (who may name another client's address), "qmqp" (clients that may send to any destination by QMQP).
var Driver = mta.Driver{
	Name:       "postfix",
	Doc:        "Postfix 2.3 to 3.10",
	Collect:    collector,
	Services:   []string{"postfix"},
	Detect:     detect,
	Read:       read,
	Answers:    answers,
	Again:      again,
	Follow:     follow,
	Remedy:     remedy,
	Edit:       edit,
	Regenerate: regenerate,
	Validate:   validate,
	Reload:     reload,
	Stage:      staging,
	Prove:      prove,
}
