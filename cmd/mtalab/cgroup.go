package main

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cgroups are the mount points of this machine's cgroup hierarchies that the lab uses. A host's processes are those
// below the lab's NAME there: that, and no name or saved number, is how they are counted and stopped.
type cgroups struct {
	unified string // cgroup2
	systemd string // v1 name=systemd, empty on a machine with cgroup2 alone
	memory  string // v1 memory controller, empty likewise
	top     string // the lab's own folder in each
}

func findCgroups(top string) (cgroups, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return cgroups{}, err
	}
	c := parseCgroups(string(data))
	c.top = top
	if c.unified == "" {
		return c, fmt.Errorf("cannot run the lab: this machine has no cgroup2 mount")
	}
	return c, nil
}

func parseCgroups(mountinfo string) cgroups {
	var c cgroups
	s := bufio.NewScanner(strings.NewReader(mountinfo))
	for s.Scan() {
		before, after, ok := strings.Cut(s.Text(), " - ")
		f, tail := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(tail) < 3 {
			continue
		}
		options := "," + tail[2] + ","
		switch {
		case tail[0] == "cgroup2" && c.unified == "":
			c.unified = f[4]
		case tail[0] == "cgroup" && strings.Contains(options, ",name=systemd,"):
			c.systemd = f[4]
		case tail[0] == "cgroup" && strings.Contains(options, ",memory,"):
			c.memory = f[4]
		}
	}
	return c
}

// dirs are the host's own folders, one a hierarchy, the unified one first.
func (c cgroups) dirs(name string) []string {
	var dirs []string
	for _, root := range []string{c.unified, c.systemd, c.memory} {
		if root != "" {
			dirs = append(dirs, filepath.Join(root, c.top, name))
		}
	}
	return dirs
}

// make creates the folders. Memory is counted where the kernel lets it be.
func (c cgroups) make(name string) ([]string, error) {
	dirs := c.dirs(name)
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("cannot make a cgroup: %v", err)
		}
	}
	if c.memory == "" {
		for _, dir := range []string{c.unified, filepath.Join(c.unified, c.top)} {
			_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+memory +pids"), 0o644)
		}
	}
	return dirs, nil
}

// procs lists every process of a host, in any of its folders.
func (c cgroups) procs(name string) []int {
	seen := map[int]bool{}
	for _, dir := range c.dirs(name) {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.Name() != "cgroup.procs" {
				return nil
			}
			data, _ := os.ReadFile(path)
			for _, f := range strings.Fields(string(data)) {
				if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
					seen[pid] = true
				}
			}
			return nil
		})
	}
	pids := make([]int, 0, len(seen))
	for pid := range seen {
		pids = append(pids, pid)
	}
	sort.Ints(pids)
	return pids
}

// end kills every process of a host, waits until they are gone and takes the folders away.
func (c cgroups) end(ctx context.Context, name string) error {
	err := poll(ctx, func() (bool, error) {
		pids := c.procs(name)
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		return len(pids) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("cannot end the processes of %s: %v", name, err)
	}
	return poll(ctx, func() (bool, error) { return c.remove(name), nil })
}

// remove takes away a host's empty folders, deepest first, and says whether they are gone.
func (c cgroups) remove(name string) bool {
	gone := true
	for _, dir := range c.dirs(name) {
		var below []string
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				below = append(below, path)
			}
			return nil
		})
		for i := len(below) - 1; i >= 0; i-- {
			_ = syscall.Rmdir(below[i])
		}
		if _, err := os.Stat(dir); err == nil {
			gone = false
		}
		_ = syscall.Rmdir(filepath.Dir(dir)) // the lab's own, when this was the last
	}
	return gone
}

// memoryBytes is what a host uses now, page cache included; 0 where the kernel does not count.
func (c cgroups) memoryBytes(name string) int64 {
	for _, path := range []string{
		filepath.Join(c.unified, c.top, name, "memory.current"),
		filepath.Join(c.memory, c.top, name, "memory.usage_in_bytes"),
	} {
		if data, err := os.ReadFile(path); err == nil {
			n, _ := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
			return n
		}
	}
	return 0
}

// leader is the first process of a host that runs, as this machine numbers it; 0 when the host is down.
func (l *Lab) leader(name string) int {
	for _, pid := range l.cgroups.procs(name) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil || strings.Contains(string(status), "\nState:\tZ") {
			continue
		}
		for line := range strings.SplitSeq(string(status), "\n") {
			if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
				f := strings.Fields(ids)
				if len(f) == 2 && f[1] == "1" {
					return pid
				}
			}
		}
	}
	return 0
}

// processor is the processor's time that everything in the lab has used so far (cgroup-v2: cpu.stat, which needs no controller).
func (c cgroups) processor() (time.Duration, error) {
	return processorIn(filepath.Join(c.unified, c.top))
}

// usage is likewise that of one host since it was started; 0 of one that is down.
func (c cgroups) usage(name string) time.Duration {
	used, _ := processorIn(filepath.Join(c.unified, c.top, name))
	return used
}

func processorIn(dir string) (time.Duration, error) {
	file := filepath.Join(dir, "cpu.stat")
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if usec, ok := strings.CutPrefix(line, "usage_usec "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(usec), 10, 64)
			return time.Duration(n) * time.Microsecond, err
		}
	}
	return 0, fmt.Errorf("%s names no usage_usec", file)
}
