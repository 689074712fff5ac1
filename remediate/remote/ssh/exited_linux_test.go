package ssh

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestProxyKeepsItsNumber: a ProxyCommand that ended by itself is not waited for before the last signal was sent to its group: until then its number can be no
// other process's. Afterwards no signal is sent any more.
func TestProxyKeepsItsNumber(t *testing.T) {
	p, err := startProxy("true", "nowhere")
	if err != nil {
		t.Fatal(err)
	}
	<-p.exited
	state := func() string {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		_, rest, _ := strings.Cut(string(text), ") ")
		return rest[:min(1, len(rest))]
	}
	if got := state(); got != "Z" {
		t.Errorf("before it is closed it is %q, want a zombie", got)
	}
	if _, err := p.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "its ProxyCommand ended (exit status 0)") {
		t.Error(err)
	}
	for range 2 {
		if err := p.Close(); err != nil || state() != "" || p.cmd.ProcessState == nil {
			t.Errorf("after it is closed it is %q, %v", state(), err)
		}
	}
}
