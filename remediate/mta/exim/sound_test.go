package exim

import (
	"testing"

	"mtaharden/remediate/mta/mtatest"
)

func TestSoundProcesses(t *testing.T) {
	mtatest.Processes(t, mtatest.Trusting{
		Collect: Driver.Collect, Main: "exim_collect", Sound: "exim_sound", Trusted: "exim_trusted",
		Set: "ex_awk=awk\nex_me=$(id | sed -n 's/^uid=\\([0-9]*\\).*/\\1/p')",
		Prints: map[string]string{
			`exim_words exim4 -bd -q30m -DX=1 -C DIR/roots; echo $ex_role $ex_cf $ex_macros`: "daemon DIR/roots -DX=1",
			`exim_words exim4 -i -- -bd -DX=1 -CDIR/roots; echo $ex_role $ex_cf $ex_macros`:  "other", // addresses, and no options
		},
	})
}
