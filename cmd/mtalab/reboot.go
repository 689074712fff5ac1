package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

func rebootCommand() *cobra.Command {
	var cut bool
	c := &cobra.Command{
		Use:   "reboot [--cut] HOST…",
		Short: "Shut hosts down and boot them again, with what is on their disks",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			lab, err := openLab()
			if err != nil {
				return err
			}
			return lab.Reboot(c.Context(), args, cut)
		},
	}
	c.Flags().BoolVar(&cut, "cut", false, "cut the power: nothing is shut down before")
	return c
}

// Reboot shuts hosts down, or cuts their power, and boots them again with what is on their disks. A host that is down is booted.
func (l *Lab) Reboot(ctx context.Context, names []string, cut bool) error {
	hosts, err := l.Select(names)
	if err != nil {
		return err
	}
	return eachHost(hosts, len(hosts), func(h Host) error {
		if err := l.reboot(ctx, h, cut); err != nil {
			return fmt.Errorf("cannot reboot %s: %w", h.Name, err)
		}
		return nil
	})
}

func (l *Lab) reboot(ctx context.Context, h Host, cut bool) error {
	unlock, err := l.lock(ctx, h.Name)
	if err != nil {
		return err
	}
	defer unlock()
	mounts, err := mountsBelow(filepath.Join(l.hostDir(h.Name), "root"))
	if err != nil {
		return err
	}
	if len(mounts) == 0 {
		return errors.New("it was never up")
	}
	if !cut && l.leader(h.Name) != 0 {
		if err := l.powerOff(ctx, h); err != nil {
			return err
		}
	}
	if err := l.cgroups.end(ctx, h.Name); err != nil {
		return err
	}
	if err := forgetMachine(l.machine(h)); err != nil {
		return err
	}
	if err := l.linkGone(ctx, h); err != nil {
		return err
	}
	if err := l.start(ctx, h); err != nil {
		return err
	}
	if err := l.sshReady(ctx, h, readyLimit); err != nil {
		return err
	}
	if err := l.ready(ctx, h, readyLimit); err != nil {
		return err
	}
	l.say("%s is up again", h.Name)
	return nil
}

// powerOff has a host shut itself down and waits until it has.
func (l *Lab) powerOff(ctx context.Context, h Host) error {
	// Its status says nothing: it may be ended with the host.
	if _, err := l.Exec(ctx, h.Name, []string{"poweroff"}, nil, io.Discard, io.Discard); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return poll(ctx, func() (bool, error) { return len(l.cgroups.procs(h.Name)) == 0, nil })
}
