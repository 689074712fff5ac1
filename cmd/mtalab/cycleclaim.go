package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bad are the statuses that an apply is to leave behind nowhere it said it could mend.
func bad(status string) bool { return slices.Contains([]string{"fail", "unknown", "error"}, status) }

// among says whether a finding is one of those that a recipe names by their rule, or by rule and MTA.
func (f auditFinding) among(named []string) bool {
	return slices.Contains(named, f.Rule) || slices.Contains(named, f.Rule+" "+f.MTA)
}

func (f auditFinding) key() string { return f.Rule + " " + f.MTA + " " + f.Listener }

// claims holds what the plan says it can mend against the recipe: every failed finding is fixable but those of the rules that the recipe (or what
// holds of all hosts: a package is upgraded by a person) leaves to a person, and those say what he has to do.
func (c *cycle) claims(findings []auditFinding) []string {
	var wrong []string
	left := map[string]bool{}
	for _, f := range findings {
		switch {
		case f.Status != "fail":
		case f.Fixable && f.among(c.recipe.Unfixable):
			wrong = append(wrong, fmt.Sprintf("%s is said to be fixable, the recipe says not", f.key()))
		case f.Fixable:
		case f.Manual == "":
			wrong = append(wrong, fmt.Sprintf("%s is not fixable, and no manual step is named: %s", f.key(), f.Have))
		default:
			c.unfixable++
			left[f.Rule], left[f.Rule+" "+f.MTA] = true, true
			if !f.among(c.recipe.Unfixable) {
				wrong = append(wrong, fmt.Sprintf("%s is not fixable: %s (%s)", f.key(), f.Have, f.Manual))
			}
		}
	}
	for _, rule := range c.recipe.Unfixable {
		if !left[rule] {
			wrong = append(wrong, fmt.Sprintf("%s was to be left to a person, and no finding of it is", rule))
		}
	}
	return wrong
}

// mended lists what is worse than the plan promised: what it could mend still fails, what was left to a person is silent, what was sound is not.
func mended(planned, found []auditFinding) []string {
	var wrong []string
	for _, f := range planned {
		n, ok := nowAt(found, f)
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("%s was %s, and there is no finding of it after", f.key(), f.Status))
		case f.Fixable && bad(n.Status):
			wrong = append(wrong, fmt.Sprintf("%s was to be mended, and is %s: %s", f.key(), n.Status, n.Have))
		case !bad(f.Status) && bad(n.Status):
			wrong = append(wrong, fmt.Sprintf("%s was %s, and is %s: %s", f.key(), f.Status, n.Status, n.Have))
		}
	}
	return wrong
}

// nowAt is what a finding has become: that of the same listener; where all listeners are alike now, or were before, the worst of the rule's.
func nowAt(found []auditFinding, was auditFinding) (auditFinding, bool) {
	var now auditFinding
	for _, f := range found {
		switch {
		case f.key() == was.key():
			return f, true
		case f.Rule != was.Rule || f.MTA != was.MTA || f.Listener != "" && was.Listener != "":
		case now.Rule == "" || slices.Index(statuses(), f.Status) < slices.Index(statuses(), now.Status):
			now = f
		}
	}
	return now, now.Rule != ""
}

// sameFindings lists where two reports of one host differ.
func sameFindings(what string, one, other []auditFinding) []string {
	list := func(findings []auditFinding) string {
		var lines []string
		for _, f := range findings {
			lines = append(lines, f.key()+" "+f.Status+"\n")
		}
		slices.Sort(lines)
		return strings.Join(lines, "")
	}
	if diff := unlike(list(one), list(other)); diff != "" {
		return []string{what + ":\n" + diff}
	}
	return nil
}

// stopped says whether the plan takes the mail server out of service: no mail is due then.
func (c *cycle) stopped() bool {
	return slices.ContainsFunc(c.planned.Changes, func(change struct{ Path, Kind string }) bool { return change.Kind == "service" })
}

// closes says whether a stranger outside must now be refused: he was relayed for by the judges' word, is not any more by theirs, and the recipe names
// nobody outside as one of the host's own.
func (c *cycle) closes(found []auditFinding) bool {
	open := func(findings []auditFinding) bool {
		return slices.ContainsFunc(findings, func(f auditFinding) bool { return f.Rule == "open-relay" && f.Status != "pass" })
	}
	return open(c.planned.Findings) && !open(found) && len(c.recipe.RelayNetworks) == 0
}

// lostMail lists the legitimate mail that was taken before and is not now.
func lostMail(before, after map[string]string) []string {
	var wrong []string
	for _, path := range sortedKeys(before) {
		if strings.HasPrefix(before[path], "250") && !strings.HasPrefix(after[path], "250") {
			wrong = append(wrong, fmt.Sprintf("mail %s was taken before, and is not now: %s", path, after[path]))
		}
	}
	return wrong
}

// dressFile gives a file what a change must keep and a host's image never has: an ACL (acl(5): as it is stored, a version and entries of tag, permission
// and id), an attribute, and a time of its own. Its mode stays what it is. The time is none before 1970, which make(1) takes for one to come: it
// would build anew for ever what Debian's Makefile of sendmail makes of the file.
func dressFile(root, path string) error {
	name, err := inRoot(root, path)
	if err != nil {
		return err
	}
	st, err := os.Stat(name)
	if err != nil {
		return err
	}
	mode := uint16(st.Mode().Perm())
	acl := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, mode >> 6, 1<<32 - 1}, {2, mode >> 3 & 4, 65534}, {4, mode >> 3 & 7, 1<<32 - 1}, {16, mode >> 3 & 7, 1<<32 - 1}, {32, mode & 7, 1<<32 - 1}} {
		acl = binary.LittleEndian.AppendUint16(acl, e.tag)
		acl = binary.LittleEndian.AppendUint16(acl, e.perm)
		acl = binary.LittleEndian.AppendUint32(acl, e.id)
	}
	if err := unix.Setxattr(name, "system.posix_acl_access", acl, 0); err != nil {
		return fmt.Errorf("cannot give %s an ACL: %w", path, err)
	}
	if err := unix.Setxattr(name, "user.mtalab", []byte("kept"), 0); err != nil {
		return fmt.Errorf("cannot give %s an attribute: %w", path, err)
	}
	when := st.ModTime().Add(-time.Minute)
	if when.Unix() < 0 {
		when = time.Unix(0, 0)
	}
	when = when.Truncate(time.Second).Add(123456789)
	return os.Chtimes(name, when, when)
}

// inRoot is where a path of a host lies on this machine, each link on the way followed inside the host's root.
func inRoot(root, path string) (string, error) {
	done, rest := "/", strings.Split(strings.Trim(path, "/"), "/")
	for links := 0; len(rest) > 0; {
		next := filepath.Join(done, rest[0])
		rest = rest[1:]
		target, err := os.Readlink(filepath.Join(root, next))
		switch {
		case err != nil:
			done = next
		case links > 40:
			return "", fmt.Errorf("cannot follow %s: too many links", path)
		case strings.HasPrefix(target, "/"):
			done, rest, links = "/", append(strings.Split(strings.Trim(target, "/"), "/"), rest...), links+1
		default:
			rest, links = append(strings.Split(target, "/"), rest...), links+1
		}
	}
	return filepath.Join(root, done), nil
}
