package facts_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mtaharden/remediate/facts"
)

var update = flag.Bool("update", false, "write the snapshots of testdata/hosts anew")

// busyboxTools are the POSIX utilities that a directory host has besides its own stubs; none of them is stat, timeout or sha256sum.
const busyboxTools = "awk cat cksum cut date find grep head id ls od printf rm sed sh sleep sort tail tr true wc kill"

// TestDirectoryHosts runs the collector in directories that stand for systems we cannot boot: the tools that tell about the system are
// stubs written from the vendors' manuals, the others are busybox's, the shell is mksh.
func TestDirectoryHosts(t *testing.T) {
	for _, name := range []string{"aix", "hpux", "solaris"} {
		t.Run(name, func(t *testing.T) {
			dir, a := unpack(t, "testdata/"+name+".txtar")
			var part, want string
			for _, f := range a.Files {
				switch {
				case f.Name == "part":
					part = string(f.Data)
				case f.Name == "want":
					want = string(f.Data)
				case strings.HasPrefix(f.Name, "bin/"), bytes.HasPrefix(f.Data, []byte("#!")):
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
			s, _ := inDirectory(t, dir, facts.Nonce(), part)
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(told(s), "\n")); diff != "" {
				t.Errorf("%s\nproblems %q", diff, s.Problems)
			}
			saved(t, name, dir)
			if _, err := os.Stat(filepath.Join(dir, "renamed")); err == nil {
				t.Errorf("hostname was given an argument: here that renames the host")
			}
		})
	}
}

// saved collects a directory host with every driver's part. With -update the result becomes the host's snapshot in testdata/hosts; else
// that must tell the same of the host.
func saved(t *testing.T, name, dir string) {
	t.Helper()
	s, raw := inDirectory(t, dir, "mh-"+name+"-directory", parts()...)
	path := filepath.Join("..", "..", "testdata", "hosts", name+".snap")
	if *update {
		if err := os.WriteFile(path, raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	kept, err := facts.Parse(f)
	if err != nil || !kept.Complete || kept.OS != s.OS || !slices.Equal(kept.Listeners, s.Listeners) {
		t.Errorf("%s tells of %+v, %+v; the directory of %+v, %+v; %v: go test -update", path, kept.OS, kept.Listeners, s.OS, s.Listeners, err)
	}
}

// told writes what a snapshot says of its host.
func told(s *facts.Snapshot) string {
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
		if state == facts.Whole {
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
func inDirectory(t *testing.T, dir, nonce string, parts ...string) (*facts.Snapshot, []byte) {
	t.Helper()
	c := facts.Command(nonce, parts...)
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
	s, err := facts.Parse(bytes.NewReader(out))
	if err != nil || !s.Complete {
		t.Fatalf("%v: %s", err, out)
	}
	return s, out
}
