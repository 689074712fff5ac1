package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func interfaceByName(name string) (*net.Interface, error) { return net.InterfaceByName(name) }

// ready waits until a host serves: its init says it has started, sshd greets, and the MTA (where one is) greets.
func (l *Lab) ready(ctx context.Context, h Host, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := l.sshReady(ctx, h, limit); err != nil {
		return err
	}
	if err := l.awaitInit(ctx, h); err != nil {
		return err
	}
	if l.Kinds[h.Kind].MTA == "" {
		return nil
	}
	return l.awaitMTA(ctx, h)
}

// sshReady waits until sshd greets.
func (l *Lab) sshReady(ctx context.Context, h Host, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := l.awaitBanner(ctx, "", netip.AddrPortFrom(h.Addr, 22), "SSH-2.0-"); err != nil {
		return fmt.Errorf("cannot reach sshd: %v", err)
	}
	return nil
}

// awaitMTA waits for a greeting on the host's own loopback.
func (l *Lab) awaitMTA(ctx context.Context, h Host) error {
	leader := l.leader(h.Name)
	if leader == 0 {
		return fmt.Errorf("the host is down")
	}
	local := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 25)
	if err := l.awaitBanner(ctx, fmt.Sprintf("/proc/%d/ns/net", leader), local, "220"); err != nil {
		return fmt.Errorf("the MTA does not greet: %v", err)
	}
	return nil
}

// awaitInit waits until init has started everything. A unit that failed is said, and is no error of the lab's.
func (l *Lab) awaitInit(ctx context.Context, h Host) error {
	if l.initOf(h) != "systemd" {
		return nil
	}
	out, _ := l.hostCommand(ctx, h.Name, nil, "systemctl", "is-system-running", "--wait").Output()
	switch state := strings.TrimSpace(string(out)); state {
	case "running":
		return nil
	case "degraded":
		failed, _ := l.hostCommand(ctx, h.Name, nil, "systemctl", "--failed", "--plain", "--no-legend").Output()
		l.say("%s: units that failed: %s", h.Name, strings.Join(strings.Fields(string(failed)), " "))
		return nil
	default:
		return fmt.Errorf("its init says %q: %v", state, ctx.Err())
	}
}

func (l *Lab) initOf(h Host) string {
	if i := l.Kinds[h.Kind].Init; i != "" {
		return i
	}
	return "systemd"
}

// awaitBanner connects again and again until a line with the prefix comes. netns empty: this machine's network.
func (l *Lab) awaitBanner(ctx context.Context, netns string, to netip.AddrPort, prefix string) error {
	var last error
	err := poll(ctx, func() (bool, error) {
		var line string
		limit := 12 * time.Second
		if d, ok := ctx.Deadline(); ok {
			limit = min(limit, time.Until(d))
		}
		line, last = greeting(netns, to, limit)
		return strings.HasPrefix(line, prefix), nil
	})
	if err != nil && last != nil {
		return fmt.Errorf("%v: %v", err, last)
	}
	return err
}

// greeting is the first line that a server says.
func greeting(netns string, to netip.AddrPort, limit time.Duration) (line string, err error) {
	ask := func() error {
		conn, err := net.DialTimeout("tcp", to.String(), time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(limit))
		line, err = bufio.NewReader(conn).ReadString('\n')
		return err
	}
	if netns == "" {
		err = ask()
	} else {
		err = inNetns(netns, ask)
	}
	return line, err
}

// hostCommand is a command on a host that runs, as root in all its namespaces, in the host's own cgroup.
func (l *Lab) hostCommand(ctx context.Context, name string, env []string, argv ...string) *exec.Cmd {
	groups, err := l.cgroups.make(name + "/exec")
	leader := l.leader(name)
	if err != nil || leader == 0 {
		return exec.CommandContext(ctx, "/bin/sh", "-c", "echo 'the host is down' >&2; exit 125")
	}
	args := []string{"nsenter", "-t", fmt.Sprint(leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--", "/usr/bin/env", "-i",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh"}
	args = append(append(args, env...), argv...)
	c := inCgroups(ctx, groups, args...)
	c.WaitDelay = 2 * time.Second
	return c
}
