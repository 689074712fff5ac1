// Package exim is the driver of Exim 4: Debian's generated configurations, split or not, and a configuration file of one's own.
package exim

import (
	_ "embed"

	"mtaharden/remediate/mta"
)

//go:embed ask.sh
var askScript string

//go:embed seen.sh
var seenScript string

//go:embed collect.sh
var collectScript string

// Driver is all that this program knows of Exim.
var Driver = mta.Driver{
	Name:       "exim",
	Doc:        "Exim 4.x: asked with -bh where its configuration holds nothing that acts, and read with file and line.",
	Collect:    askScript + seenScript + collectScript,
	Services:   []string{"exim4", "exim"},
	Owners:     []string{"Debian-exim", "exim", "mail"},
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
}
