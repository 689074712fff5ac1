package remotetest

import (
	"os"
	"syscall"
	"testing"
)

// Alone keeps a test's hands on the lab's hosts until the test ends: packages are tested side by side, and a host that one of them plants is
// put back under the feet of another. MTALAB_INVENTORY names the lab. It is not to be nested.
func Alone(t testing.TB) {
	t.Helper()
	f, err := os.OpenFile(os.Getenv("MTALAB_INVENTORY")+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatalf("cannot keep the lab: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		t.Fatalf("cannot keep the lab: %v", err)
	}
}
