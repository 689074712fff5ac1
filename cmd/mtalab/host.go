package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const readyLimit = 90 * time.Second

func (l *Lab) hostDir(name string) string { return filepath.Join(l.State, "hosts", name) }

// Up boots hosts side by side. One that fails does not hold up the others; one that runs already is left alone.
func (l *Lab) Up(ctx context.Context, names []string) error {
	hosts, err := l.Select(names)
	if err != nil {
		return err
	}
	if err := l.ground(ctx); err != nil {
		return err
	}
	return eachHost(hosts, 4, func(h Host) error { return l.up(ctx, h) })
}

// ground makes what all hosts stand on: keys, network, resolver and sink.
func (l *Lab) ground(ctx context.Context) error {
	unlock, err := l.lock(ctx, "network")
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.makeKeys(); err != nil {
		return err
	}
	if err := l.raiseInotify(); err != nil {
		return err
	}
	if err := l.networkUp(ctx); err != nil {
		return err
	}
	return l.daemonsUp(ctx)
}

// eachHost runs do for every host, at most n at a time, and joins what went wrong.
func eachHost(hosts []Host, n int, do func(Host) error) error {
	errs := make([]error, len(hosts))
	slots := make(chan struct{}, n)
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := do(h); err != nil {
				errs[i] = fmt.Errorf("%s: %w", h.Name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (l *Lab) up(ctx context.Context, h Host) error {
	unlock, err := l.lock(ctx, h.Name)
	if err != nil {
		return err
	}
	defer unlock()
	if l.leader(h.Name) != 0 && l.ready(ctx, h, 20*time.Second) == nil {
		l.say("%s is up", h.Name)
		return nil
	}
	return l.boot(ctx, h)
}

// boot starts a host from its image, whatever was left of an earlier one, and waits until it serves.
func (l *Lab) boot(ctx context.Context, h Host) error {
	start := time.Now()
	if err := l.stop(ctx, h); err != nil {
		return err
	}
	layers, err := l.image(ctx, h)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := mountOverlay(l.hostDir(h.Name), layers); err != nil {
		return err
	}
	if err := l.dress(h); err != nil {
		return err
	}
	if err := l.start(ctx, h); err != nil {
		return err
	}
	if err := l.sshReady(ctx, h, readyLimit); err != nil {
		return fmt.Errorf("%v (its console: %s)", err, filepath.Join(l.hostDir(h.Name), "console.log"))
	}
	reached := time.Since(began)
	if err := l.ready(ctx, h, readyLimit); err != nil {
		return fmt.Errorf("%v (its console: %s)", err, filepath.Join(l.hostDir(h.Name), "console.log"))
	}
	l.say("%s is up at %s: sshd after %.1f s, all of it after %.1f s, %d MiB (%.1f s with its image)", h.Name, h.Addr,
		reached.Seconds(), time.Since(began).Seconds(), l.cgroups.memoryBytes(h.Name)>>20, time.Since(start).Seconds())
	return nil
}

// dress gives a fresh root what makes it this host: address, resolver, keys. The machine id is the host's own and stays.
func (l *Lab) dress(h Host) error {
	root := filepath.Join(l.hostDir(h.Name), "root")
	if err := nameHost(root, h.Name+"."+l.Network.Domain, h.Addr.String()); err != nil {
		return err
	}
	k := l.Kinds[h.Kind]
	n := l.Network
	home, user := "/root", k.User
	if user != "" {
		home = "/home/" + user
	}
	hostKey, err := os.ReadFile(l.hostKeyPath(h.Name))
	if err != nil {
		return err
	}
	login, err := os.ReadFile(filepath.Join(l.keysDir(), "id_ed25519.pub"))
	if err != nil {
		return err
	}
	interfaces := fmt.Sprintf("auto lo host0\niface lo inet loopback\niface host0 inet static\n\taddress %s/%d\n\tgateway %s\n"+
		"iface host0 inet6 static\n\taddress %s/%d\n\tgateway %s\n\taccept_ra 0\n\tdad-attempts 0\n",
		h.Addr, n.Bridge4.Bits(), nth(n.Bridge4, n.Router), h.Addr6, n.Bridge6.Bits(), nth(n.Bridge6, n.Router))
	files := []struct {
		path string
		mode os.FileMode
		text string
	}{
		{"etc/network/interfaces", 0o644, interfaces},
		{"etc/resolv.conf", 0o644, fmt.Sprintf("nameserver %s\nsearch %s\n", nth(n.Bridge4, n.Resolver), n.Domain)},
		{"etc/machine-id", 0o444, cacheKey("machine", h.Name) + cacheKey("id", h.Name) + "\n"},
		{"etc/ssh/ssh_host_ed25519_key", 0o600, string(hostKey)},
		{home[1:] + "/.ssh/authorized_keys", 0o600, string(login)},
	}
	for _, f := range files {
		path := filepath.Join(root, f.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(f.text), f.mode); err != nil {
			return err
		}
	}
	if err := fewerCertificates(root); err != nil || user == "" {
		return err
	}
	return ownAs(root, user, filepath.Join(root, home[1:], ".ssh"))
}

// ownAs gives a folder and what is directly in it to a user of an image.
func ownAs(root, user, dir string) error {
	data, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil {
		return err
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		f := strings.Split(line, ":")
		if len(f) < 4 || f[0] != user {
			continue
		}
		var uid, gid int
		if _, err := fmt.Sscan(f[2], &uid); err != nil {
			return err
		}
		if _, err := fmt.Sscan(f[3], &gid); err != nil {
			return err
		}
		return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, uid, gid)
		})
	}
	return fmt.Errorf("cannot find the user %s in the image", user)
}

// start runs the container; it outlives this program. Its interface on this side is named after its number.
func (l *Lab) start(ctx context.Context, h Host) error {
	groups, err := l.cgroups.make(h.Name)
	if err != nil {
		return err
	}
	console, err := os.Create(filepath.Join(l.hostDir(h.Name), "console.log"))
	if err != nil {
		return err
	}
	defer console.Close()
	c := inCgroups(context.WithoutCancel(ctx), groups, "nsenter", "--net="+l.netnsPath("router"), "systemd-nspawn",
		"--quiet", "--register=no", "--keep-unit", "--network-bridge="+bridgeName, "--machine="+l.machine(h),
		"--hostname="+h.Name+"."+l.Network.Domain, "--uuid="+cacheKey("machine", h.Name)+cacheKey("id", h.Name),
		"--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only",
		"-D", filepath.Join(l.hostDir(h.Name), "root"), "/sbin/init")
	c.Stdout, c.Stderr = console, console
	c.SysProcAttr = detached()
	if err := c.Start(); err != nil {
		return fmt.Errorf("cannot start the container: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return poll(ctx, func() (bool, error) {
		select {
		case err := <-ended:
			text, _ := os.ReadFile(console.Name())
			return false, fmt.Errorf("the container ended at once: %v: %s", err, lastLines(string(text), 4))
		default:
			return l.leader(h.Name) != 0, nil
		}
	})
}

// stop ends a host and everything of it but its keys. A host that is down already is no error.
func (l *Lab) stop(ctx context.Context, h Host) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	if err := l.cgroups.end(ctx, h.Name); err != nil {
		return err
	}
	if err := forgetMachine(l.machine(h)); err != nil {
		return err
	}
	dir := l.hostDir(h.Name)
	if err := unmount(filepath.Join(dir, "root")); err != nil {
		return err
	}
	for _, name := range []string{"root", "upper", "work", "console.log"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("cannot clear %s: %v", dir, err)
		}
	}
	return l.linkGone(ctx, h)
}

// linkGone waits until the container's interface has left the bridge: its name is wanted again.
func (l *Lab) linkGone(ctx context.Context, h Host) error {
	if _, err := os.Stat(l.netnsPath("router")); err != nil {
		return nil
	}
	return inNetns(l.netnsPath("router"), func() error {
		return poll(ctx, func() (bool, error) {
			_, err := interfaceByName("vb-" + l.machine(h))
			return err != nil, nil
		})
	})
}

// Down stops hosts; without a name it takes the whole lab away: hosts, daemons, network. Images and keys stay.
func (l *Lab) Down(ctx context.Context, names []string) error {
	hosts, err := l.Select(names)
	if err != nil {
		return err
	}
	err = eachHost(hosts, 4, func(h Host) error {
		unlock, err := l.lock(ctx, h.Name)
		if err != nil {
			return err
		}
		defer unlock()
		return l.stop(ctx, h)
	})
	if err != nil || len(names) > 0 {
		return err
	}
	unlock, err := l.lock(ctx, "network")
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.cgroups.end(ctx, ""); err != nil { // the daemon, and a build that lost its mtalab
		return err
	}
	if err := l.networkDown(ctx); err != nil {
		return err
	}
	for _, dir := range []string{l.State, l.Cache} {
		if err := unmount(dir); err != nil {
			return err
		}
	}
	if err := l.restoreInotify(); err != nil {
		return err
	}
	if left := l.leftovers(); len(left) > 0 {
		return fmt.Errorf("cannot take everything down: left are %s", strings.Join(left, ", "))
	}
	return nil
}
