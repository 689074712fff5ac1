package sendmail

import (
	"testing"

	"mtaharden/remediate/mta/mtatest"
)

func TestSoundProcesses(t *testing.T) {
	mtatest.Processes(t, mtatest.Trusting{
		Collect: Driver.Collect, Main: "sendmail_collect", Sound: "sm_sound", Trusted: "sm_trusted",
		Prints: map[string]string{
			`sm_started_with "/usr/sbin/sendmail -bd -C DIR/roots"; echo $sm_configs`:                                            "DIR/roots",
			`sm_started_with "/usr/sbin/sendmail -i -- -bd -C DIR/roots"; echo $sm_configs`:                                      "", // addresses, and no options
			`mh_problem() { :; }; sm_started_with "/usr/sbin/sendmail -bd -C DIR/shared"; echo $sm_configs`:                      "",
			`mh_fact() { :; }; printf '%s\n' $$ 'x -bd -C DIR/roots' >DIR/kept/pid; sm_pidfile DIR/kept/pid; echo $sm_configs`:   "DIR/roots",
			`mh_fact() { :; }; printf '%s\n' $$ 'x -bd -C DIR/roots' >DIR/group/pid; sm_pidfile DIR/group/pid; echo $sm_configs`: "",
		},
	})
}
