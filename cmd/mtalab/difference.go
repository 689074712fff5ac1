package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
)

// A difference is a package whose tests hold its reading of a configuration against the program itself: they start it, in namespaces of
// their own, over the lab's images. The variable names the images, parted by blanks, an image's layers parted by colons.
type difference struct {
	kind  string // of host; the part's name begins with it
	pkg   string
	run   string   // the tests
	roots string   // the variable
	short []string // further variables of a run that is not full
	full  []string
	begin func(seed int) string // a variable by which a run that is not full moves with the seed; nil where it is always the same one
}

// differences are the packages that have such tests.
var differences = []difference{
	{
		kind: "postfix", pkg: "./remediate/mta/postfix", run: "^TestShadow", roots: "MTAHARDEN_POSTFIX_ROOTS",
		full: []string{"MTAHARDEN_POSTFIX_CONFIGS=500", "MTAHARDEN_POSTFIX_CORPUS=all"},
		// Thirty of the first five hundred configurations, which full runs have compared: what is new in a short run is the program.
		begin: func(seed int) string { return fmt.Sprintf("MTAHARDEN_RANDOM=%d 30", seed%470+1) },
	},
	{
		kind: "exim", pkg: "./remediate/mta/exim", run: "^TestDifference", roots: "MTAHARDEN_EXIM_ROOTS",
		short: []string{"MTAHARDEN_EXIM_CONFIGS=40"}, full: []string{"MTAHARDEN_EXIM_CONFIGS=500", "MTAHARDEN_EXIM_CORPUS=all"},
	},
	{
		kind: "sendmail", pkg: "./remediate/mta/sendmail", run: "^TestDifference", roots: "MTAHARDEN_SENDMAIL_ROOTS",
		short: []string{"MTAHARDEN_SENDMAIL_GENERATED=4", "MTAHARDEN_SENDMAIL_CORPUS=4"}, full: []string{"MTAHARDEN_SENDMAIL_GENERATED=60", "MTAHARDEN_SENDMAIL_CORPUS=all"},
	},
}

// differenceParts are what compares, one a package.
func differenceParts() []part {
	var parts []part
	for _, d := range differences {
		parts = append(parts, part{d.kind + " by difference", func(t *testRun, ctx context.Context) error { return t.difference(ctx, d) }})
	}
	return parts
}

// difference runs one package's comparison over every release of its kind of host. The program in an image may be older than this
// machine's C library, so the test's own program, which runs in there too, is built without.
func (t *testRun) difference(ctx context.Context, d difference) error {
	var roots []string
	for _, h := range t.lab.Catalog.Hosts() {
		if h.Kind != d.kind {
			continue
		}
		layers, err := t.lab.image(ctx, h)
		if err != nil {
			return err
		}
		roots = append(roots, strings.Join(layers, ":"))
	}
	if len(roots) == 0 {
		return fmt.Errorf("the lab has no image of a host with %s", d.kind)
	}
	env := []string{"CGO_ENABLED=0", d.roots + "=" + strings.Join(roots, " ")}
	limit := "20m"
	if t.full { // a full run looks for what is new, the short one for what is broken
		env, limit = append(append(env, d.full...), fmt.Sprint("MTAHARDEN_DIFFERENCE_SEED=", numberOf(t.seed))), "60m"
	} else {
		env = append(env, d.short...)
		if d.begin != nil {
			env = append(env, d.begin(numberOf(t.seed)))
		}
	}
	return t.run(ctx, slices.Clip(env), "go", "test", "-count=1", "-v", "-timeout", limit, "-run", d.run, d.pkg)
}

// numberOf makes a small number of a seed, which may be a commit's name.
func numberOf(seed string) int {
	h := fnv.New32a()
	h.Write([]byte(seed))
	return int(h.Sum32()%9000) + 1
}
