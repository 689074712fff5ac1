package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"mtaharden/remediate/remote/remotetest"
)

// atOnce runs the tests all at once: those of the lab mostly wait, for their hosts and for each other, and who waits must hold none up whose host
// is free. Scripts have turns of their own.
type atOnce struct{ m *testing.M }

func (a atOnce) Run() int { return remotetest.Parallel(a.m, 40) }

func TestMain(m *testing.M) {
	testscript.Main(atOnce{m}, map[string]func(){"mtaharden": main})
}

// scriptsAtOnce is how many scripts are run at a time: they compute.
const scriptsAtOnce = 4

// TestScript runs the command line as users type it: testdata/script/*.txtar.
func TestScript(t *testing.T) {
	t.Parallel()
	hosts, turns := newScriptHosts(t), make(chan struct{}, scriptsAtOnce)
	testscript.Run(t, testscript.Params{
		Dir:           "../../testdata/script",
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") == "1",
		Setup: func(e *testscript.Env) error {
			turns <- struct{}{}
			e.Defer(func() { <-turns })
			e.Setenv("XDG_STATE_HOME", e.WorkDir+"/state")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": endsWith, "smtp": serveMail, "httpproxy": serveProxy, "dns": serveNames, "await": await,
			"mailhost": hosts.start, "hostrun": hosts.run, "flip": flip, "agekey": ageKey, "attended": attended, "passwordhosts": hosts.passwords,
		},
	})
}

// endsWith is the script command `status N COMMAND…`: it runs the command and fails unless it ends with N.
func endsWith(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND…")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = exitOf(err)
	}
	if got != args[0] {
		ts.Fatalf("the exit status is %s, not %s", got, args[0])
	}
}

func exitOf(err error) string {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return strconv.Itoa(e.ExitCode())
	}
	return err.Error()
}
