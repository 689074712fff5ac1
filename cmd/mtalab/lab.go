package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"
)

// A Lab is the one lab of this machine: its plan, its folders and the cgroups its processes live in.
type Lab struct {
	*Catalog
	Instance string // what its namespaces, link and cgroups are named after: a second lab beside it has another
	Source   string // repository's testdata/lab
	Cache    string // images
	State    string // everything else
	cgroups  cgroups
	log      io.Writer
	logMu    *sync.Mutex
	images   *imageManifests
}

// openLab reads the plan. It needs root and Linux, and touches nothing.
func openLab() (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("cannot run the lab: it needs root, to mount images and start containers")
	}
	top, err := repository()
	if err != nil {
		return nil, err
	}
	source := filepath.Join(top, "testdata", "lab")
	catalog, err := loadCatalog(os.DirFS(source))
	if err != nil {
		return nil, err
	}
	instance := envOr("MTALAB_INSTANCE", "mtalab")
	if len(instance) > 9 { // the kernel's limit for a link's name is 15, vb-NAME100
		return nil, fmt.Errorf("cannot name a lab %q: at most 9 characters", instance)
	}
	cg, err := findCgroups(instance)
	if err != nil {
		return nil, err
	}
	return &Lab{
		Catalog: catalog, Instance: instance, Source: source, cgroups: cg, log: os.Stderr, logMu: new(sync.Mutex),
		images: &imageManifests{made: map[string]map[string]string{}},
		Cache:  envOr("MTALAB_CACHE", "/var/cache/mtalab"), State: envOr("MTALAB_STATE", "/var/lib/mtalab"),
	}, nil
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// repository finds the project: above the working directory, else where this program was built.
func repository() (string, error) {
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		starts = append(starts, filepath.Dir(file))
	}
	for _, dir := range starts {
		for ; dir != "/" && dir != "."; dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "testdata", "lab", "lab.toml")); err == nil {
				return dir, nil
			}
		}
	}
	return "", fmt.Errorf("cannot find testdata/lab/lab.toml: run mtalab inside the project")
}

// say tells what is being done, one line at a time, on stderr: stdout is data.
func (l *Lab) say(format string, args ...any) {
	l.logMu.Lock()
	defer l.logMu.Unlock()
	fmt.Fprintf(l.log, "mtalab: "+format+"\n", args...)
}

func (l *Lab) files() fs.FS { return os.DirFS(l.Source) }

func (l *Lab) lock(ctx context.Context, name string) (unlock func(), err error) {
	return lockIn(ctx, filepath.Join(l.State, "locks"), name)
}

const lockLimit = 20 * time.Minute // another mtalab may be building the very image

// lockIn takes an exclusive lock that ends with the returned function, or with this process.
func lockIn(ctx context.Context, dir, name string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lockLimit)
	defer cancel()
	err = poll(ctx, func() (bool, error) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		return err == nil, nil
	})
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock %s: another mtalab holds it: %v", name, err)
	}
	return func() { f.Close() }, nil
}

// List prints every host, its address, and whether it runs.
func (l *Lab) List(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "HOST\tADDRESS\tSTATE")
	for _, h := range l.Hosts() {
		state := "down"
		if l.leader(h.Name) != 0 {
			state = "up"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", h.Name, h.Addr, state)
	}
	for _, v := range l.vantageNames() {
		state := "down"
		if _, err := os.Stat(l.netnsPath(v)); err == nil {
			state = "up"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", v, l.vantageAddr(v), state)
	}
	return t.Flush()
}

// runTool runs a program of this machine and gives its output in the error when it fails.
func runTool(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot run %s %s: %v: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
