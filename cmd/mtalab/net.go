package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The network, all of it in namespaces of its own: `router` holds the bridge that the hosts are on and forwards to
// the vantage points outside; this machine is on the bridge too, by one link. Taking the namespaces away takes all of it away.
const bridgeName = "mtabr0"

func (l *Lab) linkName() string { return l.Instance + "0" }

func (l *Lab) netnsName(v string) string { return l.Instance + "-" + v }
func (l *Lab) netnsPath(v string) string { return "/run/netns/" + l.netnsName(v) }

func (l *Lab) vantageAddr(v string) netip.Addr {
	if out, ok := l.Vantages[v]; ok {
		return nth(out.Network4, l.Network.Stranger)
	}
	return nth(l.Network.Bridge4, l.Network.Inside)
}

// vantageName is the verified DNS name of a vantage point outside, and what it says in EHLO.
func (l *Lab) vantageName(v string) string {
	return clientName(l.Network.Stranger, l.Vantages[v].Domain)
}

func clientName(n int, domain string) string { return fmt.Sprintf("client%d.%s", n, domain) }

// netCommands is how the network is made, one ip(8) batch line each, from nothing.
func (l *Lab) netCommands() []string {
	n := l.Network
	at := func(p netip.Prefix, i int) string { return fmt.Sprintf("%s/%d", nth(p, i), p.Bits()) }
	router, inside := l.netnsName("router"), l.netnsName("inside")
	lines := []string{
		"netns add " + router, "netns add " + inside,
		"-n " + router + " link set lo up", "-n " + inside + " link set lo up",
		"-n " + router + " link add " + bridgeName + " address 02:6d:74:61:00:01 type bridge", // else it changes with each port, and neighbours lose it
		"link add " + l.linkName() + " type veth peer name mtaport0 netns " + router,
		"-n " + inside + " link add eth0 type veth peer name mtaport1 netns " + router,
		"-n " + router + " link set mtaport0 master " + bridgeName + " up",
		"-n " + router + " link set mtaport1 master " + bridgeName + " up",
		"-n " + router + " link set " + bridgeName + " up",
	}
	for _, i := range []int{n.Router, n.Sink, n.Resolver} {
		lines = append(lines, "-n "+router+" addr add "+at(n.Bridge4, i)+" dev "+bridgeName,
			"-n "+router+" addr add "+at(n.Bridge6, i)+" dev "+bridgeName+" nodad")
	}
	lines = append(lines,
		"-n "+inside+" addr add "+at(n.Bridge4, n.Inside)+" dev eth0",
		"-n "+inside+" addr add "+at(n.Bridge6, n.Inside)+" dev eth0 nodad",
		"-n "+inside+" link set eth0 up",
		"-n "+inside+" route add default via "+nth(n.Bridge4, n.Router).String(),
		"addr add "+at(n.Bridge4, n.Controller)+" dev "+l.linkName(),
		"addr add "+at(n.Bridge6, n.Controller)+" dev "+l.linkName()+" nodad",
		"link set "+l.linkName()+" up",
	)
	for i, name := range l.outsides() {
		v, ns, port := l.Vantages[name], l.netnsName(name), fmt.Sprintf("mtaport%d", i+2)
		lines = append(lines, "netns add "+ns, "-n "+ns+" link set lo up",
			"-n "+ns+" link add eth0 type veth peer name "+port+" netns "+router,
			"-n "+router+" link set "+port+" up",
			"-n "+router+" addr add "+at(v.Network4, n.Gateway)+" dev "+port,
			"-n "+router+" addr add "+at(v.Network6, n.Gateway)+" dev "+port+" nodad",
			"-n "+ns+" addr add "+at(v.Network4, n.Stranger)+" dev eth0",
			"-n "+ns+" addr add "+at(v.Network6, n.Stranger)+" dev eth0 nodad",
			"-n "+ns+" link set eth0 up",
			"-n "+ns+" route add default via "+nth(v.Network4, n.Gateway).String(),
			"-n "+ns+" route add default via "+nth(v.Network6, n.Gateway).String(),
			// The stranger alone: the rest of a documentation network may be a machine's mirror.
			"route add "+nth(v.Network4, n.Stranger).String()+"/32 via "+nth(n.Bridge4, n.Router).String()+" dev "+l.linkName(),
		)
	}
	return lines
}

// networkUp makes the network, or mends it when a part of it is missing.
func (l *Lab) networkUp(ctx context.Context) error {
	owner, exists := l.linkOwner(ctx)
	if exists && owner == l.State && l.networkWhole() {
		return nil
	}
	if exists && owner != "" && owner != l.State {
		return fmt.Errorf("cannot make the lab's network: the lab of %s runs on this machine; take it down first", owner)
	}
	if err := l.networkDown(ctx); err != nil {
		return err
	}
	for _, line := range l.netCommands() {
		if err := runTool(ctx, "ip", strings.Fields(line)...); err != nil {
			return err
		}
	}
	if err := inNetns(l.netnsPath("router"), letForward); err != nil {
		return err
	}
	// Last of all: a network that was cut off half-way has no owner and is made anew.
	return runTool(ctx, "ip", "link", "set", l.linkName(), "alias", l.State)
}

// letForward makes a router of the network namespace it is called in.
func letForward() error {
	for _, name := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		if err := os.WriteFile("/proc/sys/net/"+name, []byte("1"), 0o644); err != nil {
			return fmt.Errorf("cannot let the lab's router forward: %v", err)
		}
	}
	return nil
}

// linkOwner is the state folder of the lab that made this machine's link, which is the link's alias.
func (l *Lab) linkOwner(ctx context.Context) (owner string, exists bool) {
	out, err := exec.CommandContext(ctx, "ip", "-details", "link", "show", "dev", l.linkName()).Output()
	for line := range strings.SplitSeq(string(out), "\n") {
		if alias, ok := strings.CutPrefix(strings.TrimSpace(line), "alias "); ok {
			owner = strings.TrimSpace(alias)
		}
	}
	return owner, err == nil
}

func (l *Lab) networkWhole() bool {
	for _, v := range append(l.vantageNames(), "router") {
		if _, err := os.Stat(l.netnsPath(v)); err != nil {
			return false
		}
	}
	return true
}

// networkDown takes every namespace and link away and waits until the kernel has.
func (l *Lab) networkDown(ctx context.Context) error {
	if _, err := interfaceByName(l.linkName()); err == nil {
		if err := runTool(ctx, "ip", "link", "del", l.linkName()); err != nil {
			return err
		}
	}
	for _, v := range append(l.vantageNames(), "router") {
		if _, err := os.Stat(l.netnsPath(v)); err == nil {
			if err := runTool(ctx, "ip", "netns", "del", l.netnsName(v)); err != nil {
				return err
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return poll(ctx, func() (bool, error) {
		_, err := interfaceByName(l.linkName())
		return err != nil, nil
	})
}

// inNetns runs a function on a thread that is in another network namespace. The thread ends with it.
func inNetns(path string, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread, and nobody else meets its namespace
		f, err := os.Open(path)
		if err != nil {
			done <- fmt.Errorf("cannot enter the network of %s: %v", path, err)
			return
		}
		defer f.Close()
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("cannot enter the network of %s: %v", path, err)
			return
		}
		done <- do()
	}()
	return <-done
}
