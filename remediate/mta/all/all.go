// Package all is the list of the drivers, a line each.
package all

import (
	"mtaharden/remediate/mta"
	"mtaharden/remediate/mta/exim"
	"mtaharden/remediate/mta/postfix"
	"mtaharden/remediate/mta/sendmail"
)

// Drivers returns every driver, in the order in which reports name them.
func Drivers() []*mta.Driver {
	return []*mta.Driver{
		&postfix.Driver,
		sendmail.Driver,
		&exim.Driver,
	}
}
