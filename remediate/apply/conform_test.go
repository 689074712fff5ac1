package apply

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
	here "mtaharden/remediate/remote/local"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// transports are the ways to a host, all of them to this machine.
var transports = map[string]func(t *testing.T) remote.Host{
	"directory": func(t *testing.T) remote.Host { return remotetest.NewDir(t, "", nil) },
	"local": func(t *testing.T) remote.Host {
		h, err := here.Dial(t.Context(), here.Target{Become: "none"})
		if err != nil {
			t.Fatal(err)
		}
		return h
	},
	"ssh, no sftp": func(t *testing.T) remote.Host { return overSSH(t, &remotetest.Server{}, "", false) },
	"ssh, sftp": func(t *testing.T) remote.Host {
		return overSSH(t, &remotetest.Server{SFTP: remotetest.ServeFiles}, "", true)
	},
	"ssh, sudo that asks, no sftp":         func(t *testing.T) remote.Host { return bySudo(t, false) },
	"ssh, sudo that asks, sftp-server too": func(t *testing.T) remote.Host { return bySudo(t, true) },
}

// bySudo is a login that is not root's.
func bySudo(t *testing.T, sftp bool) remote.Host {
	t.Helper()
	tools, path := t.TempDir(), "/usr/sbin:/usr/bin:/sbin:/bin"
	for name, text := range map[string]string{
		"id":   "echo 1000",
		"sudo": `printf '%s' "$3" >&2; read -r p; [ "$p" = word ] || exit 1; while [ "$1" != -- ]; do shift; done; shift; PATH=$ROOTS; export PATH; exec "$@"`,
	} {
		if err := os.WriteFile(filepath.Join(tools, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	roots := path
	if sftp {
		dir := t.TempDir()
		remotetest.FileServer(t, dir)
		roots += ":" + dir
	}
	return overSSH(t, &remotetest.Server{Env: []string{"PATH=" + tools + ":" + path, "ROOTS=" + roots}}, "sudo", sftp)
}

// overSSH logs in to this machine. A large content has to go up by SFTP where the server has it, and in no other case.
func overSSH(t *testing.T, s *remotetest.Server, become string, sftp bool) remote.Host {
	t.Helper()
	file, pub := remotetest.NewKeyFile(t, "")
	s.User, s.Keys = "admin", append(s.Keys, pub)
	x := ssh.Target{Address: "127.0.0.1", Port: s.Start(t), User: "admin", Identities: []string{file}, KnownHosts: []string{s.KnownHosts(t)}, Become: become}
	if become != "" {
		x.BecomePassword = func() (string, error) { return "word", nil }
	}
	var by, not atomic.Int32
	x.Trace = func(line string) {
		if strings.HasSuffix(line, " by sftp") {
			by.Add(1)
		} else if strings.HasPrefix(line, "no sftp, ") {
			not.Add(1)
		}
	}
	h, err := ssh.Dial(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.Close()
		large := strings.Contains(t.Name(), "large_content")
		if (by.Load() > 0) != (large && sftp) || (not.Load() > 0) != (large && !sftp) {
			t.Errorf("%d contents went up by sftp, %d did not", by.Load(), not.Load())
		}
	})
	return h
}

// place is a directory of live files on a host, and the runs that change them.
type place struct {
	t    *testing.T
	h    remote.Host
	etc  string
	file string
	s    shell
	runs int
	late func() // what somebody else does between the save and the swap
}

const textBefore, textAfter = "relay = all\x00\xff\n", "relay = none\r\n"

func newPlace(t *testing.T, h remote.Host) *place {
	t.Helper()
	dir := scratch(t)
	p := &place{t: t, h: h, etc: filepath.Join(dir, "etc", "mail"), s: shell{journal.Layout{Dir: dir + "/lib/runs", Veto: dir + "/veto"}, pace{grace: 1, patience: 5, root: dir}}}
	p.must(os.MkdirAll(filepath.Join(dir, "etc", "rcS.d"), 0o755)) // where a boot hook goes
	p.file = filepath.Join(p.etc, "it's \"main\".cf")
	p.must(os.Mkdir(p.etc, 0o755))
	p.live()
	return p
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// replace puts a content in a path's place by a whole run: lock, save, guard, swap, confirm. The error is the refusal, or the failure of the swap.
func (p *place) replace(ctx context.Context, path string, content []byte) error {
	p.runs++
	run := fmt.Sprintf("20261122-02000%d.000", p.runs)
	host := plan.HostPlan{Name: "mx", Changes: []plan.Change{{Kind: plan.EditFile, Path: path, Edits: []plan.Edit{{Start: 0, End: len(textBefore), New: content}}}}}
	r := p.s.rooms()
	k, err := r.lock(ctx, p.h, Input{Host: host, Run: run, About: journal.About{Run: run, Command: "apply", User: "kim", Controller: "jump1"}})
	if err != nil {
		return err
	}
	defer k.stop()
	m, _, err := r.save(ctx, p.h, run, host)
	if err == nil {
		err = r.complete(ctx, p.h, run, m, host.Changes, map[string][]byte{path: content}, nil)
	}
	if err == nil {
		err = r.arm(ctx, p.h, run, 10*time.Minute)
	}
	if err != nil {
		r.abandon(context.WithoutCancel(ctx), p.h, run)
		return err
	}
	if p.late != nil {
		p.late()
	}
	status, err := r.swap(ctx, p.h, run)
	if err == nil && status == scriptDone {
		status, err = r.confirm(ctx, p.h, run)
	}
	if err == nil && status != scriptDone {
		rec, readErr := r.read(ctx, p.h, run)
		if err = readErr; err == nil {
			err = fmt.Errorf("status %d: %s", status, rec.why())
		}
	}
	return err
}

// attributes are those that a replaced file must have as before: names and values as the kernel keeps them.
var attributes = map[string][]byte{
	"user.note":        []byte("ours"),
	"security.selinux": []byte("system_u:object_r:etc_mail_t:s0\x00"),
	"trusted.mark":     {0, 1, 255},
	"system.posix_acl_access": {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0x92, 0x10, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255,
		16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255},
}

func (p *place) dress() {
	for name, value := range attributes {
		p.must(unix.Setxattr(p.file, name, value, 0))
	}
}

// is checks content, owner, mode and attributes of the file.
func (p *place) is(content string, dressed bool) {
	p.t.Helper()
	data, err := os.ReadFile(p.file)
	p.must(err)
	var st syscall.Stat_t
	p.must(syscall.Lstat(p.file, &st))
	if string(data) != content || st.Uid != 25 || st.Gid != 26 || st.Mode != syscall.S_IFREG|0o640 {
		p.t.Errorf("%.100q (%d bytes) of %d:%d, mode %o", data, len(data), st.Uid, st.Gid, st.Mode)
	}
	for name, want := range attributes {
		value := make([]byte, 1000)
		n, err := unix.Getxattr(p.file, name, value)
		if dressed && (err != nil || !bytes.Equal(value[:n], want)) {
			p.t.Errorf("%s is %q, %v", name, value[:max(n, 0)], err)
		}
	}
}

func (p *place) mount(options string) {
	p.must(unix.Mount("tmpfs", p.etc, "tmpfs", 0, options))
	p.t.Cleanup(func() { unix.Unmount(p.etc, unix.MNT_DETACH) })
	p.live()
}

// live makes the live file.
func (p *place) live() {
	p.must(os.WriteFile(p.file, []byte(textBefore), 0o600))
	p.must(os.Chown(p.file, 25, 26))
	p.must(os.Chmod(p.file, 0o640))
}

// mountQuota puts the live directory on a file system with room, where a quota that root too is held to leaves none: btrfs' limit of a subvolume. The image
// is testdata/quota.btrfs.gz: mkfs.btrfs --mixed of 16 MiB, and in it, as the default, a subvolume with `btrfs qgroup limit 512K`. ext4 and xfs hold root to no quota.
func (p *place) mountQuota() {
	if list, _ := os.ReadFile("/proc/filesystems"); !strings.Contains(string(list), "\tbtrfs\n") {
		p.t.Skip("this kernel has no btrfs, whose quotas hold for root")
	}
	packed, err := os.Open("testdata/quota.btrfs.gz")
	p.must(err)
	p.t.Cleanup(func() { packed.Close() })
	p.must(syscall.Flock(int(packed.Fd()), syscall.LOCK_EX)) // older kernels mount one file system of a UUID at a time
	image, err := gzip.NewReader(packed)
	p.must(err)
	data, err := io.ReadAll(image)
	p.must(err)
	file := filepath.Join(p.t.TempDir(), "image")
	p.must(os.WriteFile(file, data, 0o600))
	if out, err := exec.Command("mount", "-o", "loop", file, p.etc).CombinedOutput(); err != nil {
		p.t.Fatalf("mount: %v: %s", err, out)
	}
	p.t.Cleanup(func() { // what a closed connection had begun on the host may take a moment to end
		err := unix.Unmount(p.etc, 0)
		for wait := 0; err == unix.EBUSY && wait < 600; wait++ {
			time.Sleep(100 * time.Millisecond)
			err = unix.Unmount(p.etc, 0)
		}
		p.must(err)
	})
	p.live()
	fill, err := os.Create(filepath.Join(p.etc, "fill"))
	p.must(err)
	defer fill.Close()
	for err == nil {
		_, err = fill.Write(make([]byte, 4096))
	}
	var st unix.Statfs_t
	p.must(unix.Statfs(p.etc, &st))
	if free := st.Bavail * uint64(st.Bsize); !errors.Is(err, unix.EDQUOT) || free < 4<<20 {
		p.t.Fatalf("%v, and %d bytes are free: the test shows nothing", err, free)
	}
}

// promises are what a replacement keeps, whichever way the host is reached. says is the refusal, of which nothing may be left behind.
var promises = []struct {
	name, says string
	do         func(p *place) error
}{
	{"owner, mode, ACL, attributes and label stay", "", func(p *place) error {
		p.dress()
		err := p.replace(p.t.Context(), p.file, []byte(textAfter))
		p.is(textAfter, true)
		return err
	}},
	{"a large content of any bytes", "", func(p *place) error {
		big := bytes.Repeat([]byte("0123456789\x00\x01\xfe'\\!\r\n"), 60000) // more than 1 MiB, from where it goes up by SFTP
		err := p.replace(p.t.Context(), p.file, big)
		p.is(string(big), false)
		return err
	}},
	{"through links, which stay", "", func(p *place) error {
		link, way := filepath.Join(p.etc, "link"), filepath.Join(p.etc, "way")
		p.must(os.Symlink(".", way))
		p.must(os.Symlink("way/"+filepath.Base(p.file), link))
		err := p.replace(p.t.Context(), link, []byte(textAfter))
		p.is(textAfter, false)
		if to, err := os.Readlink(link); err != nil || to != "way/"+filepath.Base(p.file) {
			p.t.Errorf("the link leads to %q, %v", to, err)
		}
		return err
	}},
	{"a reader sees the one or the other", "", func(p *place) error {
		var stop atomic.Bool
		seen := make(chan string, 1)
		go func() {
			odd := ""
			for !stop.Load() {
				if data, err := os.ReadFile(p.file); err != nil || string(data) != textBefore && string(data) != textAfter {
					odd = fmt.Sprintf("%.100q, %v", data, err)
				}
			}
			seen <- odd
		}()
		err := p.replace(p.t.Context(), p.file, []byte(textAfter))
		stop.Store(true)
		if odd := <-seen; odd != "" {
			p.t.Errorf("a reader saw %s", odd)
		}
		return err
	}},
	{"hard links of its own runs", "", func(p *place) error {
		if err := p.replace(p.t.Context(), p.file, []byte(textBefore+"more")); err != nil {
			return err
		}
		return p.replace(p.t.Context(), p.file, []byte(textAfter))
	}},
	{"a hard link of somebody's", "has 2 names (hard links)", func(p *place) error {
		p.must(os.Link(p.file, filepath.Join(p.etc, "other")))
		return p.replace(p.t.Context(), p.file, []byte(textAfter))
	}},
	{"immutable", "is immutable or append-only", func(p *place) error { return p.flagged("+i", p.file) }},
	{"append-only", "is immutable or append-only", func(p *place) error { return p.flagged("+a", p.file) }},
	{"in an immutable directory", "is immutable or append-only", func(p *place) error { return p.flagged("+i", p.etc) }},
	{"read-only", "is on a file system that is mounted read-only", func(p *place) error {
		p.mount("size=1m,mode=755")
		p.must(unix.Mount("", p.etc, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		return p.replace(p.t.Context(), p.file, []byte(textAfter))
	}},
	{"full", "no room for", func(p *place) error {
		p.mount("size=128k,mode=755")
		p.must(os.WriteFile(filepath.Join(p.etc, "fill"), make([]byte, 100<<10), 0o600))
		return p.replace(p.t.Context(), p.file, []byte(textAfter))
	}},
	{"over quota", "no room for", func(p *place) error {
		p.mountQuota()
		return p.replace(p.t.Context(), p.file, []byte(textAfter))
	}},
	{"no inode left", "has room for 2 files only", func(p *place) error {
		p.mount("nr_inodes=4,mode=755")
		return p.replace(p.t.Context(), p.file, []byte(textAfter))
	}},
	{"a link that leads nowhere", "leads to nothing", func(p *place) error {
		p.must(os.Symlink("nothing", filepath.Join(p.etc, "link")))
		return p.replace(p.t.Context(), filepath.Join(p.etc, "link"), []byte(textAfter))
	}},
	{"links in a circle", "its links lead in a circle", func(p *place) error {
		p.must(os.Symlink("link", filepath.Join(p.etc, "link")))
		return p.replace(p.t.Context(), filepath.Join(p.etc, "link"), []byte(textAfter))
	}},
	{"a directory that others may write to", "can be written to by others than its owner", func(p *place) error {
		p.must(os.Chmod(p.etc, 0o777))
		return p.replace(p.t.Context(), p.file, []byte(textAfter))
	}},
	{"no plain file", "is no plain file", func(p *place) error {
		p.must(os.Mkdir(filepath.Join(p.etc, "dir"), 0o755))
		return p.replace(p.t.Context(), filepath.Join(p.etc, "dir"), []byte(textAfter))
	}},
	{"changed meanwhile", "the content of", func(p *place) error {
		p.late = func() { p.must(os.WriteFile(p.file, []byte("somebody's\n"), 0o640)) }
		err := p.replace(p.t.Context(), p.file, []byte(textAfter))
		p.is("somebody's\n", false)
		p.must(os.WriteFile(p.file, []byte(textBefore), 0o640))
		return err
	}},
	{"given to another meanwhile", "owner or mode of", func(p *place) error {
		p.late = func() { p.must(os.Chmod(p.file, 0o600)) }
		err := p.replace(p.t.Context(), p.file, []byte(textAfter))
		p.must(os.Chmod(p.file, 0o640))
		return err
	}},
}

// flagged is a replacement where a file has an attribute of chattr(1) for that long.
func (p *place) flagged(flag, name string) error {
	if out, err := exec.Command("chattr", flag, name).CombinedOutput(); err != nil {
		p.t.Fatalf("chattr: %v: %s", err, out)
	}
	off := func() { exec.Command("chattr", "-"+flag[1:], name).Run() }
	p.t.Cleanup(off)
	err := p.replace(p.t.Context(), p.file, []byte(textAfter))
	off()
	return err
}

// TestConformance: every way to a host keeps every promise of a replacement, and a refusal leaves the file and its directory as they were.
func TestConformance(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("it mounts file systems and gives files away: only root may")
	}
	t.Parallel()
	for name, open := range transports {
		for _, c := range promises {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				p := newPlace(t, open(t))
				err := c.do(p)
				switch {
				case c.says == "" && err != nil:
					t.Error(err)
				case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
					t.Errorf("%v, want %q", err, c.says)
				case c.says != "":
					p.is(textBefore, false)
				}
				if left, _ := filepath.Glob(filepath.Join(p.etc, ".mtaharden*")); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
			})
		}
	}
}
