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
	kind  string // of host; the stage's name begins with it
	pkg   string
	run   string   // the tests
	roots string   // the variable
	short []string // further variables of a run that is not full
	full  []string
}

// differences are the packages that have such tests.
var differences = []difference{
	{"postfix", "./remediate/mta/postfix", "^TestShadow", "MTAHARDEN_POSTFIX_ROOTS", []string{"MTAHARDEN_POSTFIX_CONFIGS=30"}, []string{"MTAHARDEN_POSTFIX_CONFIGS=500", "MTAHARDEN_POSTFIX_CORPUS=all"}},
	{"exim", "./remediate/mta/exim", "^TestDifference", "MTAHARDEN_EXIM_ROOTS", []string{"MTAHARDEN_EXIM_CONFIGS=40"}, []string{"MTAHARDEN_EXIM_CONFIGS=500", "MTAHARDEN_EXIM_CORPUS=all"}},
	{
		"sendmail", "./remediate/mta/sendmail", "^TestDifference", "MTAHARDEN_SENDMAIL_ROOTS",
		[]string{"MTAHARDEN_SENDMAIL_GENERATED=4", "MTAHARDEN_SENDMAIL_CORPUS=4"}, []string{"MTAHARDEN_SENDMAIL_GENERATED=60", "MTAHARDEN_SENDMAIL_CORPUS=all"},
	},
}

// differenceStages are the stages that compare, one a package.
func (t *testRun) differenceStages() []stage {
	var stages []stage
	for _, d := range differences {
		stages = append(stages, stage{d.kind + " by difference", func(ctx context.Context) error { return t.difference(ctx, d) }})
	}
	return stages
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
	limit := "10m"
	if t.full { // a full run looks for what is new, the short one for what is broken
		env, limit = append(append(env, d.full...), "MTAHARDEN_DIFFERENCE_SEED="+numberOf(t.seed)), "60m"
	} else {
		env = append(env, d.short...)
	}
	return t.run(ctx, slices.Clip(env), "go", "test", "-count=1", "-v", "-timeout", limit, "-run", d.run, d.pkg)
}

// numberOf makes a small number of a seed, which may be a commit's name.
func numberOf(seed string) string {
	h := fnv.New32a()
	h.Write([]byte(seed))
	return fmt.Sprint(h.Sum32()%9000 + 1)
}
