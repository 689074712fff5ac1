package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// unforeseen lists what an apply did to the host's tree beside its plan: a path that the plan does not name has changed, or an edited file lost its
// owner, mode, ACL or attributes.
func (c *cycle) unforeseen(now map[string]string) ([]string, error) {
	named, moded := map[string]bool{}, map[string]bool{}
	for _, change := range c.planned.Changes {
		if change.Kind == "service" {
			continue
		}
		rel, err := c.real(change.Path)
		if err != nil {
			return nil, err
		}
		named[rel] = true
		moded[rel] = moded[rel] || change.Kind != "edit"
	}
	var wrong []string
	for _, rel := range sortedKeys(c.tree) {
		switch was, is := c.tree[rel], now[rel]; {
		case was == is || c.startMakes(rel):
		case !named[rel]:
			wrong = append(wrong, fmt.Sprintf("apply changed %s, which the plan does not name: %q became %q", rel, was, is))
		case !moded[rel] && is != "" && worn(rel, was) != worn(rel, is):
			wrong = append(wrong, fmt.Sprintf("%s does not keep what it had beside its content: %q became %q", rel, worn(rel, was), worn(rel, is)))
		}
	}
	for _, rel := range sortedKeys(now) {
		if c.tree[rel] == "" && !named[rel] && !c.startMakes(rel) {
			wrong = append(wrong, fmt.Sprintf("apply made %s, which the plan does not name", rel))
		}
	}
	return wrong, nil
}

// real is a path of the host as its manifest has it.
func (c *cycle) real(path string) (string, error) {
	root := filepath.Join(c.lab.hostDir(c.host.Name), "root")
	name, err := inRoot(root, path)
	return strings.TrimPrefix(name, root+"/"), err
}

// startMakes says whether the MTA's own start, or the stop of its service, makes a path anew: Debian's Exim its configuration, Debian's Postfix the
// copies for its chroot, and a service that is taken out of use has its boot links taken away.
func (c *cycle) startMakes(rel string) bool {
	below := func(dirs ...string) bool {
		return slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(rel, dir) })
	}
	return "/"+rel == madeAtStart || below("var/spool/postfix/") || c.stopped() && below("etc/rc", "etc/systemd/system/")
}

// worn is what of a file's line is neither its time nor its content: mode, owner, attributes.
func worn(rel, line string) string {
	f := strings.Fields(strings.TrimPrefix(line, rel+" "))
	if len(f) < 5 {
		return line
	}
	return strings.Join(slices.Delete(f, 2, 3)[:len(f)-3], " ")
}

// expected holds what the plan found against the recipe, where the recipe's word does not rest on what the network was asked.
func (c *cycle) expected() []string {
	if c.probe || c.recipe.Network == "" {
		return c.compare(c.planned.Findings)
	}
	var wrong []string
	for _, e := range c.recipe.Expect {
		if !slices.ContainsFunc(c.planned.Findings, func(f auditFinding) bool { return f.Rule == e.Rule }) {
			wrong = append(wrong, e.Rule+": no finding")
		}
	}
	return wrong
}

// idle lists what the plan says it mends and has no change for.
func (c *cycle) idle() []string {
	if len(c.planned.Changes) > 0 || !slices.ContainsFunc(c.planned.Findings, func(f auditFinding) bool { return f.Status == "fail" && f.Fixable }) {
		return nil
	}
	return []string{"a finding is fixable, and the plan has no change"}
}

// risen lists what fails after an apply and was no finding before it.
func risen(planned, found []auditFinding) []string {
	var wrong []string
	for _, f := range found {
		if _, ok := nowAt(planned, f); f.Status == "fail" && !ok {
			wrong = append(wrong, fmt.Sprintf("%s is fail, and was no finding before: %s", f.key(), f.Have))
		}
	}
	return wrong
}

// served holds the mail that a host takes against what it took before. Of one that the plan takes out of service there must be nobody to take any.
func (c *cycle) served(ctx context.Context) error {
	if !c.stopped() {
		c.wrong = append(c.wrong, lostMail(c.takes, c.lab.legitimate(ctx, c.host, c.recipe))...)
		return nil
	}
	serves, err := c.listens(ctx)
	for line := range strings.Lines(serves) {
		if strings.HasSuffix(strings.TrimSpace(line), ":25") {
			c.fail("the service was to be stopped, and something listens on %s", strings.TrimSpace(line))
		}
	}
	return err
}

// offering begins the name of what a host offers, and takes no mail by alone.
const offering = "with "

// mailBefore says that there was nothing to lose, where a host that serves takes no legitimate mail at all and its recipe does not say so.
func (c *cycle) mailBefore() {
	taken := slices.ContainsFunc(sortedKeys(c.takes), func(path string) bool {
		return strings.HasPrefix(c.takes[path], "250") && !strings.HasPrefix(path, offering)
	})
	login := slices.ContainsFunc(sortedKeys(c.takes), func(path string) bool {
		return strings.HasPrefix(path, "by login ") && strings.HasPrefix(c.takes[path], "250")
	})
	switch {
	case c.recipe.Login.User != "" && !login:
		c.fail("the recipe has an account, and no login of it relayed before: %v", c.takes)
	case taken && c.recipe.NoMail:
		c.fail("the recipe says that no mail is taken, and some is: %v", c.takes)
	case !taken && !c.recipe.NoMail && !c.recipe.implied().Dead:
		c.fail("no legitimate mail was taken before, so that none could be lost: %v", c.takes)
	}
}
