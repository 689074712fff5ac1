package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// changeDemo goes on where the demonstration's audit ended: a plan is saved, carried out, looked at from outside, and taken back, and
// every file is then what it was.
func (l *Lab) changeDemo(ctx context.Context, program, inventory string, jobs []*recipeJob) error {
	before, err := l.manifests(ctx, jobs)
	if err != nil {
		return err
	}
	plan := filepath.Join(l.State, "demo-plan.json")
	if _, err := l.showProgram(ctx, io.Discard, 2, program, "plan", "-i", inventory, "-o", plan); err != nil {
		return err
	}
	out, err := l.showProgram(ctx, os.Stdout, 0, program, "apply", plan, "-i", inventory, "--accept-impact", "--yes")
	if err != nil {
		return err
	}
	run := regexp.MustCompile(`(?m)^  run +(\S+)$`).FindSubmatch(out)
	if run == nil {
		return errors.New("apply named no run")
	}
	for _, j := range jobs {
		if err := l.closed(j); err != nil {
			return err
		}
		l.say("%s: a stranger outside is refused in every form, and learns no account by VRFY or EXPN", j.host.Name)
	}
	if _, err := l.showProgram(ctx, io.Discard, 0, program, "rollback", string(run[1]), "-i", inventory, "--yes"); err != nil {
		return err
	}
	after, err := l.manifests(ctx, jobs)
	if err != nil {
		return err
	}
	for i, j := range jobs {
		if diff := unlike(before[i], after[i]); diff != "" {
			return fmt.Errorf("%s is not as it was before the apply:\n%s", j.host.Name, diff)
		}
		l.say("%s: rolled back; all of %d files, links and folders are as they were: content, owner, mode, attributes, time", j.host.Name, strings.Count(before[i], "\n"))
	}
	return nil
}

// showProgram runs the program as a person would, its report on out, and fails where its exit status is not the one that is due.
func (l *Lab) showProgram(ctx context.Context, out io.Writer, want int, program string, args ...string) ([]byte, error) {
	l.say("$ mtaharden %s", strings.Join(args, " "))
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	c := l.resolving(ctx, append([]string{program}, append(args, "--batch", "--state", filepath.Join(l.State, "demo-state"))...)...)
	var kept bytes.Buffer
	c.Stdout, c.Stderr = io.MultiWriter(out, &kept), os.Stderr
	status, err := commandStatus(c.Run())
	if err == nil && status != want {
		err = fmt.Errorf("mtaharden %s ended with %d, not with %d: %s", args[0], status, want, lastLines(kept.String(), 20))
	}
	return kept.Bytes(), err
}

// closed asks a host from outside as the recipes do, and fails where it takes anything that is not its own.
func (l *Lab) closed(j *recipeJob) error {
	w := l.callerFrom("outside", j.host, j.recipe.Port, false).witness(true, true)
	wrong := Stranger{Accepts: 0, Asks: map[string]string{"vrfy": "refused", "expn": "refused"}}.compare("outside", w)
	if len(wrong) > 0 {
		return fmt.Errorf("%s is not closed: %s", j.host.Name, strings.Join(wrong, "; "))
	}
	return nil
}

func (l *Lab) manifests(ctx context.Context, jobs []*recipeJob) ([]string, error) {
	var out []string
	for _, j := range jobs {
		text, err := l.manifest(ctx, j.host)
		if err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, nil
}

// unlike is the lines that stand in one of two texts of sorted lines alone, "" where there are none.
func unlike(before, after string) string {
	was, is := slices.Collect(strings.Lines(before)), slices.Collect(strings.Lines(after))
	var out strings.Builder
	for len(was) > 0 || len(is) > 0 {
		switch {
		case len(is) == 0 || len(was) > 0 && was[0] < is[0]:
			out.WriteString("- " + was[0])
			was = was[1:]
		case len(was) == 0 || is[0] < was[0]:
			out.WriteString("+ " + is[0])
			is = is[1:]
		default:
			was, is = was[1:], is[1:]
		}
	}
	return out.String()
}
