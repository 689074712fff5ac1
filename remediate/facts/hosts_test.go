package facts

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// busyboxTools are the POSIX utilities that a directory host has besides its own stubs; none of them is stat, timeout or sha256sum.
const busyboxTools = "awk cat cksum cut date find grep head id ls od printf rm sed sh sleep sort tail tr true wc kill"

// TestDirectoryHosts runs the collector in directories that stand for systems we cannot boot: the tools that tell about the system are
// stubs written from the vendors' manuals, the others are busybox's, the shell is mksh.
func TestDirectoryHosts(t *testing.T) {
	for _, name := range []string{"aix", "hpux", "solaris"} {
		t.Run(name, func(t *testing.T) {
			dir, a := plant(t, "testdata/"+name+".txtar")
			var part, want string
			for _, f := range a.Files {
				switch {
				case f.Name == "part":
					part = string(f.Data)
				case f.Name == "want":
					want = string(f.Data)
				case strings.HasPrefix(f.Name, "bin/"):
					if err := os.Chmod(filepath.Join(dir, f.Name), 0o755); err != nil {
						t.Fatal(err)
					}
				}
			}
			base(t, dir)
			if name == "aix" {
				if err := os.Mkdir(filepath.Join(dir, "usr/lib"), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink("../sbin/sendmail", filepath.Join(dir, "usr/lib/sendmail")); err != nil {
					t.Fatal(err)
				}
			}
			s := inDirectory(t, dir, part)
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(told(s), "\n")); diff != "" {
				t.Errorf("%s\nproblems %q", diff, s.Problems)
			}
			if _, err := os.Stat(filepath.Join(dir, "renamed")); err == nil {
				t.Errorf("hostname was given an argument: here that renames the host")
			}
		})
	}
}

// told writes what a snapshot says of its host.
func told(s *Snapshot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "os %s %s %q %q %s\nhost %s init %s\naddrs %s\n", s.OS.ID, s.OS.Version, s.OS.Name, s.OS.Kernel, s.OS.Arch, s.Hostname, s.Init, strings.Join(s.Addrs, " "))
	for _, l := range s.Listeners {
		fmt.Fprintf(&b, "listen %s %d\n", l.Addr, l.PID)
	}
	for _, k := range append(s.Facts("service:"), s.Facts("package:")...) {
		fmt.Fprintf(&b, "%s %s\n", k, s.Fact(k))
	}
	for _, p := range s.Processes {
		fmt.Fprintf(&b, "process %d %d %d %v age %v\n", p.PID, p.PPID, p.UID, p.Argv, s.Taken.Sub(p.Start))
	}
	for _, n := range s.Files("") {
		f, _ := s.File(n)
		state := f.State
		if state == Whole {
			state = "whole"
		}
		fmt.Fprintf(&b, "file %s %v %s\n", f.Path, f.Mode, state)
	}
	return b.String()
}

// base puts busybox, mksh and the libraries they need into a directory host.
func base(t *testing.T, dir string) {
	t.Helper()
	for from, to := range map[string]string{"busybox": "bin/busybox", "mksh": "bin/mksh"} {
		path, err := exec.LookPath(from)
		if err != nil {
			t.Fatalf("cannot make a directory host: %v", err)
		}
		install(t, path, filepath.Join(dir, to))
		out, _ := exec.Command("ldd", path).Output() // of a static program it fails
		for w := range strings.FieldsSeq(string(out)) {
			if strings.HasPrefix(w, "/") {
				install(t, w, filepath.Join(dir, w))
			}
		}
	}
	for tool := range strings.FieldsSeq(busyboxTools) {
		target := "busybox"
		if tool == "sh" {
			target = "mksh"
		}
		if err := os.Symlink(target, filepath.Join(dir, "bin", tool)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// A plain file serves: nothing here reads it, and what is thrown away may as well be kept.
	for _, f := range []string{"dev/null", "etc/passwd"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func install(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// inDirectory runs the collector with dir as its root directory; who is not root does so in a user namespace.
func inDirectory(t *testing.T, dir, part string) *Snapshot {
	t.Helper()
	c := Command(Nonce(), part)
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Path, cmd.Dir, cmd.Env = "/bin/sh", "/", []string{"PATH=/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	cmd.Stdin = bytes.NewReader(c.Stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Errorf("%v, standard error %q", err, stderr.String())
	}
	s, err := Parse(bytes.NewReader(out))
	if err != nil || !s.Complete {
		t.Fatalf("%v: %s", err, out)
	}
	return s
}

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
