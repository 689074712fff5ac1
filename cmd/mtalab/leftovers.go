package main

import (
	"fmt"
	"os"
)

// leftovers lists what of a lab that is down is still on this machine: mounts, links, namespaces, cgroups, processes.
func (l *Lab) leftovers() []string {
	var left []string
	for _, dir := range []string{l.State, l.Cache} {
		mounts, err := mountsBelow(dir)
		if err != nil {
			left = append(left, err.Error())
		}
		for _, m := range mounts {
			left = append(left, "mount "+m)
		}
	}
	if _, err := interfaceByName(l.linkName()); err == nil {
		left = append(left, "link "+l.linkName())
	}
	for _, v := range append(l.vantageNames(), "router") {
		if _, err := os.Stat(l.netnsPath(v)); err == nil {
			left = append(left, "netns "+l.netnsName(v))
		}
	}
	for _, h := range l.Hosts() {
		for _, dir := range machineDirs(l.machine(h)) {
			if _, err := os.Stat(dir); err == nil {
				left = append(left, dir)
			}
		}
	}
	for _, pid := range l.cgroups.procs("") {
		left = append(left, fmt.Sprintf("process %d", pid))
	}
	for _, dir := range l.cgroups.dirs("") {
		if _, err := os.Stat(dir); err == nil {
			left = append(left, "cgroup "+dir)
		}
	}
	return left
}

// machine is what systemd-nspawn calls the container, and its interface on the bridge after it.
func (l *Lab) machine(h Host) string { return fmt.Sprintf("%s%d", l.Instance, h.Number) }

// forgetMachine takes away what a systemd-nspawn that was killed leaves of a machine in /run.
func forgetMachine(name string) error {
	for _, dir := range machineDirs(name) {
		if err := unmount(dir); err != nil {
			return err
		}
		if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

func machineDirs(name string) []string {
	return []string{"/run/systemd/nspawn/propagate/" + name, "/run/systemd/nspawn/unix-export/" + name}
}
