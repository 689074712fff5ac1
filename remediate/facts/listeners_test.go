package facts

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestListeners holds that ss, netstat, lsof and /proc/net tell the same of sockets of this very process.
func TestListeners(t *testing.T) {
	var want []string
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0"} {
		l, err := net.Listen(map[bool]string{true: "tcp6", false: "tcp4"}[addr[0] == '['], addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		want = append(want, l.Addr().String())
	}
	s := collect(t, `
mh_fact ss "$(mh__ss)"
mh_fact netstat "$(mh__netstat)"
mh_fact procnet "$(mh__procnet)"
mh_fact lsof "$(mh__lsof "$(mh__ss | sed 's/ [0-9]*$/ 0/')")"
`)
	for _, tool := range []string{"ss", "netstat", "procnet", "lsof"} {
		if tool != "procnet" && s.Tools[tool] == "" {
			t.Logf("%s is not here", tool)
			continue
		}
		for _, addr := range want {
			if line := fmt.Sprintf("%s %d", addr, os.Getpid()); !strings.Contains(" "+s.Fact(tool)+" ", " "+line+" ") {
				t.Errorf("%s does not tell of %q: %s", tool, line, s.Fact(tool))
			}
		}
	}
	for _, addr := range want {
		if !slices.Contains(s.Listeners, Listener{Addr: addr, PID: os.Getpid()}) {
			t.Errorf("no listener %s: %v", addr, s.Listeners)
		}
	}
	i := slices.IndexFunc(s.Processes, func(p Process) bool { return p.PID == os.Getpid() })
	if i < 0 {
		t.Fatalf("this process is missing: %+v", s.Processes)
	}
	p := s.Processes[i]
	exe, _ := os.Executable()
	if p.Exe != exe || p.PPID != os.Getppid() || p.UID != os.Getuid() || !slices.Equal(p.Argv, os.Args) || p.Container != "" || time.Since(p.Start).Abs() > time.Hour {
		t.Errorf("this process: %+v", p)
	}
}
