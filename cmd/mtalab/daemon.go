package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// daemonUnit is the cgroup of the one process that serves the sink, the resolver and the vantage points' sshd.
const daemonUnit = "daemon"

// daemonsUp starts that process unless all of it answers, and waits until it does.
func (l *Lab) daemonsUp(ctx context.Context) error {
	if len(l.cgroups.procs(daemonUnit)) > 0 && l.daemonsReady(ctx, 2*time.Second) == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := l.cgroups.end(ctx, daemonUnit); err != nil {
		return err
	}
	groups, err := l.cgroups.make(daemonUnit)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(l.State, "daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	c := inCgroups(context.WithoutCancel(ctx), groups, "nsenter", "--net="+l.netnsPath("router"), self, "daemon")
	c.Dir = filepath.Dir(filepath.Dir(l.Source))
	c.Env = append(c.Env, "MTALAB_DAEMON=1", "MTALAB_INSTANCE="+l.Instance, "MTALAB_STATE="+l.State, "MTALAB_CACHE="+l.Cache)
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = detached()
	if err := c.Start(); err != nil {
		return err
	}
	go func() { _ = c.Wait() }()
	if err := l.daemonsReady(ctx, 15*time.Second); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("cannot start the sink and the resolver: %v: %s", err, lastLines(string(text), 3))
	}
	return nil
}

// daemonsReady asks each of them for a sign of life.
func (l *Lab) daemonsReady(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := l.awaitBanner(ctx, "", netip.AddrPortFrom(nth(l.Network.Bridge4, l.Network.Sink), 25), "220"); err != nil {
		return err
	}
	for _, v := range l.outsides() {
		if err := l.awaitBanner(ctx, l.netnsPath("inside"), netip.AddrPortFrom(l.vantageAddr(v), 22), "SSH-2.0-"); err != nil {
			return err
		}
	}
	return poll(ctx, func() (bool, error) {
		addr := netip.AddrPortFrom(nth(l.Network.Bridge4, l.Network.Resolver), 53)
		conn, err := net.DialTimeout("tcp", addr.String(), time.Second)
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
}

// serve runs them until the context ends or one of them fails.
func (l *Lab) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	services := []func(context.Context) error{l.serveSink, l.serveDNS}
	for _, v := range l.outsides() {
		services = append(services, func(ctx context.Context) error { return l.serveSSH(ctx, v) })
	}
	done := make(chan error, len(services))
	for _, s := range services {
		go func() {
			err := s(ctx)
			cancel(err)
			done <- err
		}()
	}
	var errs []error
	for range services {
		errs = append(errs, <-done)
	}
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return nil
	}
	return errors.Join(errs...)
}
