package remotetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// Alone keeps a test's hands on hosts of the lab until the test ends: packages are tested side by side, and a host that one of them plants is
// put back under the feet of another. Without hosts it is the whole lab, its network included. MTALAB_INVENTORY names the lab. It is not to be
// nested, and who holds it waits for no parallel test of its own: all of those may be waiting for it.
func Alone(t testing.TB, hosts ...string) {
	t.Helper()
	release, err := hold(os.Getenv("MTALAB_INVENTORY")+".lock", hosts)
	if err != nil {
		t.Fatalf("cannot keep %v of the lab: %v", hosts, err)
	}
	t.Cleanup(release)
}

// hold waits for hosts, or for the whole lab where there is none, and keeps them until release. Who wants hosts shares the lab, and takes its
// hosts in the order of their names: two that want the same ones never wait for each other. Who wants the lab waits at its gate for those within,
// and nobody passes it there: a lab that is always in use would else never be its.
func hold(lab string, hosts []string) (release func(), err error) {
	var files []*os.File
	free := func(files []*os.File) {
		for _, f := range files {
			f.Close()
		}
	}
	take := func(name string, how int) (*os.File, error) {
		f, err := flock(name, how)
		if err == nil {
			files = append(files, f)
		}
		return f, err
	}
	gate, err := flock(lab+".gate", syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_EX
	if len(hosts) > 0 {
		how = syscall.LOCK_SH
	}
	_, err = take(lab, how)
	gate.Close()
	for _, h := range slices.Compact(slices.Sorted(slices.Values(hosts))) {
		if err == nil {
			_, err = take(lab+"."+h, syscall.LOCK_EX)
		}
	}
	if err != nil {
		free(files)
		return nil, err
	}
	return func() { free(files) }, nil
}

// flock waits for a lock on a file, which ends when the file is closed or this process ends.
func flock(name string, how int) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(f.Fd()), how); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", name, err)
	}
	return f, nil
}

// Need is where a program of this machine is that a test takes. Where it is missing the test is passed over, but not with the lab: what the lab is there to
// show would else not be shown, and nobody would know.
func Need(t testing.TB, program, pkg string) string {
	t.Helper()
	at, err := exec.LookPath(program)
	switch {
	case err == nil:
	case os.Getenv("MTALAB") == "1":
		t.Fatalf("MTALAB=1, but this machine has no %s (Debian: %s)", program, pkg)
	default:
		t.Skipf("this machine has no %s (Debian: %s)", program, pkg)
	}
	return at
}

// LabProgram is mtalab, built where mtalab test does not name itself.
func LabProgram(t testing.TB) string {
	t.Helper()
	if program := os.Getenv("MTALAB_PROGRAM"); program != "" {
		return program
	}
	lab := filepath.Join(t.TempDir(), "mtalab")
	if out, err := exec.Command("go", "build", "-o", lab, "mtaharden/cmd/mtalab").CombinedOutput(); err != nil {
		t.Fatalf("cannot build the lab: %v\n%s", err, out)
	}
	return lab
}
