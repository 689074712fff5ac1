package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Each host's init and loggers take about seven inotify instances, and the kernel's default is 128 for all of root's
// (inotify(7), max_user_instances): with two labs of fourteen hosts units fail for want of one. The lab raises the limit
// while it runs.
const inotifyWanted = 1024

func inotifyLimit() string { return "/proc/sys/fs/inotify/max_user_instances" }

func (l *Lab) inotifyBefore() string { return filepath.Join(l.State, "inotify.before") }

// raiseInotify raises the limit where it is lower, and keeps what it was.
func (l *Lab) raiseInotify() error {
	data, err := os.ReadFile(inotifyLimit())
	if err != nil {
		return err
	}
	now, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return fmt.Errorf("cannot read %s: %v", inotifyLimit(), err)
	}
	if now >= inotifyWanted {
		return nil
	}
	if err := replaceFile(l.inotifyBefore(), string(data), 0o600); err != nil {
		return err
	}
	l.say("raising fs.inotify.max_user_instances from %d to %d until the lab is down", now, inotifyWanted)
	return os.WriteFile(inotifyLimit(), []byte(strconv.Itoa(inotifyWanted)), 0o644)
}

// restoreInotify puts the limit back, if this lab raised it.
func (l *Lab) restoreInotify() error {
	data, err := os.ReadFile(l.inotifyBefore())
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(inotifyLimit(), data, 0o644); err != nil {
		return err
	}
	return os.Remove(l.inotifyBefore())
}
