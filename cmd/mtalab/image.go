package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const buildLimit = 15 * time.Minute

// image builds what is missing of a host's image and returns its layers, topmost first, as overlayfs wants them.
func (l *Lab) image(ctx context.Context, h Host) ([]string, error) {
	key, err := l.baseKey(l.files(), h.Release)
	if err != nil {
		return nil, err
	}
	base := filepath.Join(l.Cache, h.Release+"-base-"+key)
	if err := l.buildOnce(ctx, base, func(dir string) error { return l.buildBase(ctx, h.Release, dir) }); err != nil {
		return nil, fmt.Errorf("cannot build the image of %s: %w", h.Release, err)
	}
	layers := []string{base}
	for i, kind := range l.layers(h) {
		if key, err = l.layerKey(l.files(), key, h, kind); err != nil {
			return nil, err
		}
		dir := filepath.Join(l.Cache, l.layerName(h, kind)+"-"+key)
		under := layers
		err := l.buildOnce(ctx, dir, func(dir string) error { return l.buildLayer(ctx, h, l.layers(h)[:i+1], under, dir) })
		if err != nil {
			return nil, fmt.Errorf("cannot build the image of %s: %v", h.Name, err)
		}
		layers = append([]string{dir}, layers...)
	}
	return layers, nil
}

// buildOnce makes a folder of the cache unless it is there whole. A folder cut off half-way is made anew.
func (l *Lab) buildOnce(ctx context.Context, dir string, build func(dir string) error) error {
	if _, err := os.Stat(dir + ".ok"); err == nil {
		return nil
	}
	unlock, err := lockIn(ctx, filepath.Join(l.Cache, "locks"), filepath.Base(dir))
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(dir + ".ok"); err == nil {
		return nil
	}
	if err := l.clear(ctx, dir); err != nil {
		return err
	}
	if err := os.MkdirAll(l.Cache, 0o755); err != nil {
		return err
	}
	start := time.Now()
	l.say("building %s", filepath.Base(dir))
	if err := build(dir); err != nil {
		return err
	}
	if err := os.WriteFile(dir+".ok", nil, 0o644); err != nil {
		return err
	}
	l.say("built %s in %.0f s", filepath.Base(dir), time.Since(start).Seconds())
	return l.prune(dir)
}

// prune takes away the images that a new one replaces, except those that a host runs on.
func (l *Lab) prune(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	cut := strings.LastIndex(dir, "-") + 1
	old, err := filepath.Glob(dir[:cut] + strings.Repeat("[0-9a-f]", len(dir)-cut))
	if err != nil {
		return err
	}
	for _, d := range old {
		if d == dir || strings.Contains(string(mounts), d) {
			continue
		}
		if err := os.Remove(d + ".ok"); err != nil && !os.IsNotExist(err) {
			return err
		}
		if err := os.RemoveAll(d); err != nil {
			return err
		}
	}
	return nil
}

// clear takes away what a build left that was cut off: its processes first, then its mounts, and only then its files.
func (l *Lab) clear(ctx context.Context, dir string) error {
	if err := l.cgroups.end(ctx, buildUnit(dir)); err != nil {
		return err
	}
	for _, d := range []string{dir, dir + ".build"} {
		if err := unmount(d); err != nil {
			return err
		}
		if mounts, err := mountsBelow(d); err != nil || len(mounts) > 0 {
			return fmt.Errorf("cannot clear %s: mounted still: %v %v", d, mounts, err)
		}
		if err := os.RemoveAll(d); err != nil {
			return err
		}
	}
	return nil
}

func buildUnit(dir string) string { return "build-" + filepath.Base(dir) }

// buildBase makes a release's base image with mmdebstrap, from this machine's own mirror.
func (l *Lab) buildBase(ctx context.Context, release, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	suite := l.Releases[release].Suite
	sources, err := aptSources(os.DirFS("/"))
	if err != nil {
		return err
	}
	m, err := debianMirror(sources, l.suites())
	if err != nil {
		return err
	}
	// It is not told to be quiet: what it prints is read and shown where it fails, and apt's own words are among it.
	args := []string{"--variant=minbase", "--include=" + strings.Join(l.Base.Packages, ","),
		"--aptopt=Acquire::Check-Valid-Until false", "--aptopt=APT::Install-Recommends false",
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
		`--setup-hook=mkdir -p "$1/etc" && printf '127.0.0.1 localhost\n' > "$1/etc/hosts" && echo localhost > "$1/etc/hostname"`,
		suite, dir}
	groups, err := l.cgroups.make(buildUnit(dir))
	if err != nil {
		return err
	}
	defer l.cgroups.end(context.WithoutCancel(ctx), buildUnit(dir))
	// In a mount namespace of its own: what it mounts ends with it.
	argv := append([]string{"env", "LC_ALL=C.UTF-8", "unshare", "--mount", "--propagation", "private", "mmdebstrap"}, append(args, m.lines(suite)...)...)
	out, err := inCgroups(ctx, groups, argv...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("the mirror of this machine's apt sources does not give %s: %v: %s", suite, err, lastLines(string(out), 6))
		if strings.Contains(string(out), "does not have a Release file") {
			return &goneError{release, err}
		}
		return err
	}
	script, err := fs.ReadFile(l.files(), "image/"+l.Base.Script)
	if err != nil {
		return err
	}
	return l.runIn(ctx, buildUnit(dir), dir, "build."+l.Network.Domain, string(script), nil)
}

// A goneError says that the mirror has a release no longer.
type goneError struct {
	release string
	err     error
}

func (e *goneError) Error() string { return e.err.Error() }

// suites are the code names of the releases that the lab knows, and this machine's own.
func (l *Lab) suites() []string {
	var names []string
	for _, r := range l.Releases {
		names = append(names, r.Suite)
	}
	return append(names, osCodename(os.DirFS("/")))
}

// osCodename is VERSION_CODENAME of os-release(5), empty where it is not said.
func osCodename(root fs.FS) string {
	data, _ := fs.ReadFile(root, "etc/os-release")
	for line := range strings.SplitSeq(string(data), "\n") {
		if v, ok := strings.CutPrefix(line, "VERSION_CODENAME="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}

// buildLayer installs one kind's packages over the layers under it and runs the set-up scripts: that of the kind it is
// laid over too, since the host's name has changed since.
func (l *Lab) buildLayer(ctx context.Context, h Host, kinds, under []string, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	kind := kinds[len(kinds)-1]
	build := dir + ".build"
	root := filepath.Join(build, "root")
	defer func() {
		if unmount(build) == nil {
			_ = os.RemoveAll(build)
		}
	}()
	if err := mountOverlay(build, under); err != nil {
		return err
	}
	name := l.layerName(h, kind)
	if err := nameHost(root, name+"."+l.Network.Domain, "127.0.1.1"); err != nil {
		return err
	}
	script, err := l.layerScript(kinds)
	if err != nil {
		return err
	}
	env := map[string]string{"LAB_BECOME_PASSWORD": l.Kinds[kind].BecomePassword}
	if err := l.runIn(ctx, buildUnit(dir), root, name+"."+l.Network.Domain, script, env); err != nil {
		return err
	}
	if err := unmount(root); err != nil {
		return err
	}
	return os.Rename(filepath.Join(build, "upper"), dir)
}

func (l *Lab) layerScript(kinds []string) (string, error) {
	var b strings.Builder
	b.WriteString("set -eu\nexport DEBIAN_FRONTEND=noninteractive\n")
	if packages := l.Kinds[kinds[len(kinds)-1]].Packages; len(packages) > 0 {
		b.WriteString("printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d\n")
		b.WriteString("apt-get -qq update\n")
		b.WriteString("apt-get -qq -y --allow-remove-essential -o Dpkg::Use-Pty=0 install " + strings.Join(packages, " ") + "\n")
		b.WriteString("apt-get -qq clean; rm -rf /var/lib/apt/lists/*; rm -f /usr/sbin/policy-rc.d\n")
	}
	for _, kind := range kinds {
		script, err := fs.ReadFile(l.files(), "image/"+l.Kinds[kind].Script)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "(\n%s\n)\n", script)
	}
	return b.String(), nil
}

// nameHost gives an image its qualified name: sendmail waits a minute for a name that has no dot.
func nameHost(root, full, addr string) error {
	name, _, _ := strings.Cut(full, ".")
	for path, text := range map[string]string{
		"etc/hostname": full + "\n",
		"etc/mailname": full + "\n",
		"etc/hosts":    fmt.Sprintf("127.0.0.1 localhost\n::1 localhost ip6-localhost\n%s %s %s\n", addr, full, name),
	} {
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// runIn runs a script in an image that is not booted, with this machine's network and a private everything else.
func (l *Lab) runIn(ctx context.Context, unit, root, hostname, script string, env map[string]string) error {
	groups, err := l.cgroups.make(unit)
	if err != nil {
		return err
	}
	machine := "mtabuild-" + cacheKey(unit)
	defer forgetMachine(machine)
	defer l.cgroups.end(context.WithoutCancel(ctx), unit)
	args := []string{"systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--as-pid2", "--pipe",
		"--machine=" + machine,
		"--resolv-conf=replace-host", "--timezone=off", "--hostname=" + hostname, "-D", root}
	for k, v := range env {
		args = append(args, "--setenv="+k+"="+v)
	}
	c := inCgroups(ctx, groups, append(args, "/bin/sh", "-s")...)
	c.Stdin = strings.NewReader(script)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		return fmt.Errorf("the set-up script failed: %v: %s", err, lastLines(out.String(), 8))
	}
	return nil
}

// inCgroups is a command that puts itself into cgroups before it becomes what it runs.
func inCgroups(ctx context.Context, groups []string, argv ...string) *exec.Cmd {
	args := []string{"-c", `while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"`, "sh"}
	args = append(append(append(args, groups...), "--"), argv...)
	c := exec.CommandContext(ctx, "/bin/sh", args...)
	c.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "SYSTEMD_NSPAWN_LOCK=0", "SYSTEMD_LOG_LEVEL=warning")
	return c
}
