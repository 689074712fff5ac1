package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sort"
	"strings"
	"time"
)

// equippedLab opens the lab and sees to the programs that it runs, and to those of further lists of its plan.
func equippedLab(ctx context.Context, install bool, more ...func(*Lab) map[string]string) (*Lab, error) {
	lab, err := openLab()
	if err != nil {
		return nil, err
	}
	var lists []map[string]string
	for _, list := range more {
		lists = append(lists, list(lab))
	}
	return lab, lab.tools(ctx, install, lists...)
}

// tools looks for the programs that the lab runs, and those of further lists, and installs the packages of those that
// are missing when told to.
func (l *Lab) tools(ctx context.Context, install bool, more ...map[string]string) error {
	missing := missingPackages(append(more, l.Tools)...)
	if len(missing) == 0 {
		return nil
	}
	if !install {
		return fmt.Errorf("cannot run the lab: this machine lacks %s (with --install mtalab installs it)", strings.Join(missing, " "))
	}
	l.say("installing %s", strings.Join(missing, " "))
	return aptInstall(ctx, missing)
}

// missingPackages lists the packages whose programs are not on this machine.
func missingPackages(lists ...map[string]string) []string {
	var packages []string
	for _, list := range lists {
		for program, pkg := range list {
			if !present(program) {
				packages = append(packages, pkg)
			}
		}
	}
	sort.Strings(packages)
	return slices.Compact(packages)
}

// present looks for a file by its path, or for a program by its name.
func present(program string) bool {
	_, err := exec.LookPath(program)
	if strings.HasPrefix(program, "/") {
		_, err = os.Stat(program)
	}
	return err == nil
}

func aptInstall(ctx context.Context, packages []string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	apt := func(args ...string) error {
		c := exec.CommandContext(ctx, "apt-get", append([]string{"-qq", "-o", "DPkg::Lock::Timeout=300"}, args...)...)
		c.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		out, err := c.CombinedOutput()
		if err != nil {
			return fmt.Errorf("cannot run apt-get %s: %v: %s", strings.Join(args, " "), err, lastLines(string(out), 5))
		}
		return nil
	}
	args := append([]string{"install", "-y", "--no-install-recommends"}, packages...)
	if apt(args...) == nil {
		return nil
	}
	if err := apt("update"); err != nil {
		return err
	}
	return apt(args...)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// poll asks until done, or until the context ends. Its steps grow from 5 to 100 ms.
func poll(ctx context.Context, ask func() (bool, error)) error {
	for step := 5 * time.Millisecond; ; step = min(2*step, 100*time.Millisecond) {
		done, err := ask()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(step):
		}
	}
}
