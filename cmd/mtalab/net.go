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
// `outside`; this machine is on the bridge too, by one link. Taking the namespaces away takes all of it away.
const bridgeName = "mtabr0"

func (l *Lab) linkName() string { return l.Instance + "0" }

func (l *Lab) netnsName(v string) string { return l.Instance + "-" + v }
func (l *Lab) netnsPath(v string) string { return "/run/netns/" + l.netnsName(v) }

func (l *Lab) vantageAddr(v string) netip.Addr {
	if v == "outside" {
		return nth(l.Network.Outside4, l.Network.Outside)
	}
	return nth(l.Network.Bridge4, l.Network.Inside)
}

// netCommands is how the network is made, one ip(8) batch line each, from nothing.
func (l *Lab) netCommands() []string {
	n := l.Network
	at := func(p netip.Prefix, i int) string { return fmt.Sprintf("%s/%d", nth(p, i), p.Bits()) }
	router, inside, outside := l.netnsName("router"), l.netnsName("inside"), l.netnsName("outside")
	lines := []string{
		"netns add " + router, "netns add " + inside, "netns add " + outside,
		"-n " + router + " link set lo up", "-n " + inside + " link set lo up", "-n " + outside + " link set lo up",
		"-n " + router + " link add " + bridgeName + " address 02:6d:74:61:00:01 type bridge", // else it changes with each port, and neighbours lose it
		"link add " + l.linkName() + " type veth peer name mtaport0 netns " + router,
		"-n " + inside + " link add eth0 type veth peer name mtaport1 netns " + router,
		"-n " + outside + " link add eth0 type veth peer name mtaport2 netns " + router,
		"-n " + router + " link set mtaport0 master " + bridgeName + " up",
		"-n " + router + " link set mtaport1 master " + bridgeName + " up",
		"-n " + router + " link set mtaport2 up",
		"-n " + router + " link set " + bridgeName + " up",
	}
	for _, i := range []int{n.Router, n.Sink, n.Resolver} {
		lines = append(lines, "-n "+router+" addr add "+at(n.Bridge4, i)+" dev "+bridgeName,
			"-n "+router+" addr add "+at(n.Bridge6, i)+" dev "+bridgeName+" nodad")
	}
	return append(lines,
		"-n "+router+" addr add "+at(n.Outside4, n.OutsideRouter)+" dev mtaport2",
		"-n "+inside+" addr add "+at(n.Bridge4, n.Inside)+" dev eth0",
		"-n "+inside+" addr add "+at(n.Bridge6, n.Inside)+" dev eth0 nodad",
		"-n "+inside+" link set eth0 up",
		"-n "+inside+" route add default via "+nth(n.Bridge4, n.Router).String(),
		"-n "+outside+" addr add "+at(n.Outside4, n.Outside)+" dev eth0",
		"-n "+outside+" link set eth0 up",
		"-n "+outside+" route add default via "+nth(n.Outside4, n.OutsideRouter).String(),
		"addr add "+at(n.Bridge4, n.Controller)+" dev "+l.linkName(),
		"addr add "+at(n.Bridge6, n.Controller)+" dev "+l.linkName()+" nodad",
		"link set "+l.linkName()+" up",
		"route add "+n.Outside4.String()+" via "+nth(n.Bridge4, n.Router).String()+" dev "+l.linkName(),
	)
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
	for _, v := range []string{"router", "inside", "outside"} {
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
	for _, v := range []string{"outside", "inside", "router"} {
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
