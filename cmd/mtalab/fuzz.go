package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	fuzzInputs     = "2000x"
	fuzzInputsFull = "100000x"
)

// A fuzzPackage is one that has fuzz targets, and its test program, linked once for all of them.
type fuzzPackage struct {
	path, dir string
	program   string
	err       error // why there is no program
}

// fuzz gives every fuzz target that there is some inputs, its own seeds and finds first. A number, not a time: until Go 1.27
// a target whose time ends may fail with "context deadline exceeded" though it found nothing (golang/go#75804). It does what go test -fuzz
// does, which compiles for coverage and links anew for each target; here the next package is built while the targets of one are run.
func (t *testRun) fuzz(ctx context.Context) error {
	packages, err := t.fuzzPackages(ctx)
	if err != nil {
		return err
	}
	cache, err := t.output(ctx, "go", "env", "GOCACHE")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mtalab-fuzz-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	built := make(chan fuzzPackage, len(packages)) // room for all: the builder never waits for who reads
	go func() {
		defer close(built)
		for i, p := range packages {
			p.program = filepath.Join(dir, fmt.Sprint(i))
			_, p.err = t.output(ctx, "go", "test", "-c", "-fuzz", "^Fuzz", "-o", p.program, p.path)
			built <- p
		}
	}()
	var errs []error
	targets := 0
	for p := range built {
		n, err := t.fuzzOne(ctx, p, filepath.Join(strings.TrimSpace(cache), "fuzz", filepath.FromSlash(p.path)))
		targets += n
		errs = append(errs, err)
	}
	if targets == 0 {
		errs = append(errs, errors.New("there is no fuzz target at all"))
	}
	return errors.Join(errs...)
}

// fuzzPackages are the project's packages whose tests have a function that starts with Fuzz.
func (t *testRun) fuzzPackages(ctx context.Context) ([]fuzzPackage, error) {
	list, err := t.output(ctx, "go", "list", "-f", "{{.ImportPath}}\t{{.Dir}}\t{{range .TestGoFiles}}{{.}}\t{{end}}{{range .XTestGoFiles}}{{.}}\t{{end}}", "./...")
	if err != nil {
		return nil, err
	}
	var packages []fuzzPackage
	for line := range strings.Lines(list) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		for _, name := range f[2:] {
			text, err := os.ReadFile(filepath.Join(f[1], name))
			if err != nil {
				return nil, err
			}
			if strings.Contains(string(text), "\nfunc Fuzz") {
				packages = append(packages, fuzzPackage{path: f[0], dir: f[1]})
				break
			}
		}
	}
	return packages, nil
}

// fuzzOne runs the targets of a package, which keeps the inputs that reach new code in cache, and says how each ended. It returns how many there are.
func (t *testRun) fuzzOne(ctx context.Context, p fuzzPackage, cache string) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	program := func(args ...string) *exec.Cmd {
		c := t.command(ctx, nil, append([]string{p.program, "-test.paniconexit0", "-test.timeout=25m"}, args...)...)
		c.Dir = p.dir
		return c
	}
	list, err := program("-test.list=^Fuzz").CombinedOutput()
	names := strings.Fields(string(list))
	if err != nil || len(names) == 0 {
		return 0, fmt.Errorf("%s does not list its fuzz targets: %v: %s", p.path, err, lastLines(string(list), 20))
	}
	inputs := fuzzInputs
	if t.full {
		inputs = fuzzInputsFull
	}
	var errs []error
	for _, name := range names {
		word := "ok"
		out, err := program("-test.run=^$", "-test.fuzz=^"+name+"$", "-test.fuzztime="+inputs, "-test.fuzzminimizetime=100x", "-test.fuzzcachedir="+cache).CombinedOutput()
		if err != nil {
			word = "FAIL"
			errs = append(errs, fmt.Errorf("%s in %s: %w: %s", name, p.path, err, lastLines(string(out), 20)))
		}
		fmt.Fprintf(t.out, "%-5s %s %s\n", word, p.path, name)
	}
	return len(names), errors.Join(errs...)
}
