package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func finding(rule, listener, status string) auditFinding {
	return auditFinding{Rule: rule, MTA: "m", Listener: listener, Status: status}
}

func TestMended(t *testing.T) {
	hole := auditFinding{Rule: "hole", MTA: "m", Listener: "a:25", Status: "fail", Fixable: true}
	for _, c := range []struct {
		name           string
		planned, found auditFinding
		wrong          string
	}{
		{"it is mended", hole, finding("hole", "a:25", "pass"), ""},
		{"all listeners are alike now", hole, finding("hole", "", "pass"), ""},
		{"it is not mended", hole, finding("hole", "a:25", "fail"), "was to be mended, and is fail"},
		{"nobody can tell", hole, finding("hole", "", "unknown"), "was to be mended, and is unknown"},
		{"it is gone", hole, finding("other", "a:25", "pass"), "there is no finding of it after"},
		{"another listener's is none", hole, finding("hole", "b:25", "pass"), "there is no finding of it after"},
		{"what a person has to mend is silent", finding("left", "", "fail"), finding("other", "", "pass"), "there is no finding of it after"},
		{"what a person has to mend stays", finding("left", "", "fail"), finding("left", "", "fail"), ""},
		{"something sound fails", finding("good", "", "pass"), finding("good", "b:25", "fail"), "was pass, and is fail"},
	} {
		got := strings.Join(mended([]auditFinding{c.planned}, []auditFinding{c.found}), "; ")
		if (got == "") != (c.wrong == "") || !strings.Contains(got, c.wrong) {
			t.Errorf("%s: %q, want %q", c.name, got, c.wrong)
		}
	}
}

func TestClaims(t *testing.T) {
	fixable := auditFinding{Rule: "hole", Status: "fail", Fixable: true}
	byHand := auditFinding{Rule: "hole", Status: "fail", Manual: "do it"}
	for _, c := range []struct {
		name      string
		unfixable []string
		finding   auditFinding
		wrong     string
	}{
		{"planned", nil, fixable, ""},
		{"a pass needs no plan", nil, finding("hole", "", "pass"), ""},
		{"left to a person", nil, byHand, "is not fixable"},
		{"left to a person, as the recipe says", []string{"hole"}, byHand, ""},
		{"nobody is told what to do", []string{"hole"}, finding("hole", "", "fail"), "no manual step"},
		{"the recipe expects less", []string{"hole"}, fixable, "the recipe says not"},
		{"another MTA's is left to a person", []string{"hole other"}, fixable, "no finding of it is"},
		{"this MTA's is left to a person", []string{"hole m"}, auditFinding{Rule: "hole", MTA: "m", Status: "fail", Manual: "do it"}, ""},
		{"and not another's", []string{"hole other"}, auditFinding{Rule: "hole", MTA: "m", Status: "fail", Manual: "do it"}, "is not fixable"},
		{"the recipe expects another", []string{"other"}, fixable, "no finding of it is"},
	} {
		j := &cycle{cycleJob: &cycleJob{recipeJob: recipeJob{recipe: &Recipe{Unfixable: c.unfixable}}}}
		got := strings.Join(j.claims([]auditFinding{c.finding}), "; ")
		if (got == "") != (c.wrong == "") || !strings.Contains(got, c.wrong) {
			t.Errorf("%s: %q, want %q", c.name, got, c.wrong)
		}
	}
}

func TestLostMail(t *testing.T) {
	before := map[string]string{"a": "250 ok", "b": "550 no", "c": "250 ok"}
	got := lostMail(before, map[string]string{"a": "250 ok", "b": "550 no", "c": "451 later"})
	if len(got) != 1 || !strings.Contains(got[0], "mail c was taken before") {
		t.Errorf("got %q", got)
	}
	if diff := sameFindings("x", []auditFinding{finding("r", "", "pass")}, []auditFinding{finding("r", "", "fail")}); len(diff) != 1 {
		t.Errorf("two reports that differ: %q", diff)
	}
}

func TestApplyLines(t *testing.T) {
	r, err := parseRecipe("x/y", []byte("expect: a fail\napply: unfixable a\napply: unfixable b\napply: refused edits  of others\n"))
	if err != nil || !slices.Equal(r.Unfixable, []string{"a", "b"}) || r.Refused != "edits of others" {
		t.Errorf("%v, %+v", err, r)
	}
	for _, bad := range []string{"apply: unfixable", "apply: refused", "apply: done", "apply:", "mail: some"} {
		if _, err := parseRecipe("x/y", []byte("sound: yes\n"+bad+"\n")); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// TestCycleHosts: a recipe of Postfix is mended on each release and on the variants that are planted alike; one with a host of its own there alone.
func TestCycleHosts(t *testing.T) {
	lab, err := openLab()
	if err != nil {
		t.Skip(err)
	}
	names := func(r *Recipe, full bool) string {
		hosts, err := lab.cycleHosts(r, cycleRun{full: full, seed: "s"})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(hostNames(hosts), " ")
	}
	got := strings.Fields(names(&Recipe{Name: "postfix/x", MTA: "postfix"}, true))
	slices.Sort(got)
	if strings.Join(got, " ") != "deb11-postfix deb12-openrc-postfix deb12-postfix deb12-sudo-postfix deb12-sysvinit-postfix deb13-postfix" {
		t.Errorf("got %q", got)
	}
	if got := names(&Recipe{Name: "postfix/x", MTA: "postfix"}, false); len(strings.Fields(got)) != 1 {
		t.Errorf("a sample runs on %q", got)
	}
	if got := names(&Recipe{Name: "sendmail/x", MTA: "sendmail", Host: "deb12-rhel-sendmail"}, true); got != "deb12-rhel-sendmail" {
		t.Errorf("got %q", got)
	}
}

// TestManifest: whatever of a file, a link or a folder is changed shows, but what runs by itself and what Debian's sendmail dates does not.
func TestManifest(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "etc/mail/x")
	for _, dir := range []string{"etc/mail", "var/log", "var/spool/q/a/b", "var/spool/postfix/etc"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) func() {
		return func() { must(os.WriteFile(filepath.Join(root, name), []byte(text), 0o644)) }
	}
	write("etc/mail/x", "one")()
	write("etc/mail/databases", "##### on: Sun\nrest\n")()
	write("etc/mail/sendmail.conf", "same")()
	must(os.Symlink("x", filepath.Join(root, "etc/mail/l")))
	when := time.Unix(1_700_000_000, 5)
	must(os.Chtimes(file, when, when))
	for _, c := range []struct {
		name  string
		do    func()
		shows bool
	}{
		{"nothing", func() {}, false},
		{"content of the same length and time", func() { write("etc/mail/x", "two")(); must(os.Chtimes(file, when, when)) }, true},
		{"time", func() { must(os.Chtimes(file, when, when.Add(1))) }, true},
		{"mode", func() { must(os.Chmod(file, 0o600)) }, true},
		{"a folder's mode", func() { must(os.Chmod(filepath.Join(root, "etc/mail"), 0o700)) }, true},
		{"a new file", write("etc/mail/y", ""), true},
		{"a link's target", func() { l := filepath.Join(root, "etc/mail/l"); must(os.Remove(l)); must(os.Symlink("y", l)) }, true},
		{"a copy for the chroot", write("var/spool/postfix/etc/hosts", "h"), true},
		{"an attribute", func() { must(dressFile(root, "/etc/mail/l")) }, true},
		{"mail under way", write("var/spool/q/a/message", "m"), false},
		{"a log", write("var/log/mail.log", "m"), false},
		{"a dated line", write("etc/mail/databases", "##### on: Mon\nrest\n"), false},
		{"a dated file's other line", write("etc/mail/databases", "##### on: Mon\nother\n"), true},
		{"a dated file's time", write("etc/mail/sendmail.conf", "same"), false},
	} {
		before, err := treeManifest(root)
		must(err)
		c.do()
		after, err := treeManifest(root)
		must(err)
		if diff := unlike(manifestText(before), manifestText(after)); (diff != "") != c.shows {
			t.Errorf("%s: shows %t, want %t: %s", c.name, diff != "", c.shows, diff)
		}
	}
}

// TestBegun: of what a start of Exim makes anew the time is not compared, all else is, and of every other file the time too.
func TestBegun(t *testing.T) {
	const file = "var/lib/exim4/config.autogenerated 100644 0:107 1795349932.405525364 26348 ad4b\n"
	for _, c := range []struct {
		name, after string
		same        bool
	}{
		{"as it was", file, true},
		{"its time", strings.Replace(file, "1795349932.405525364", "1795350053.813525364", 1), true},
		{"its text", strings.Replace(file, "ad4b", "ad4c", 1), false},
		{"its mode", strings.Replace(file, "100644", "100600", 1), false},
		{"its owner", strings.Replace(file, "0:107", "0:0", 1), false},
		{"an attribute of it", strings.Replace(file, " 26348", " user.x=00 26348", 1), false},
		{"it is gone", "", false},
	} {
		if got := unlike(begun(file), begun(c.after)) == ""; got != c.same {
			t.Errorf("%s: same %t, want %t", c.name, got, c.same)
		}
	}
	if other := strings.ReplaceAll(file, "autogenerated", "other"); begun(other) != other {
		t.Errorf("another file became %q", begun(other))
	}
}

// TestDressedTime: a dressed file has a time of its own, and none before 1970.
func TestDressedTime(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "f")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for was, want := range map[int64]int64{0: 0, 59: 0, 60: 0, 1_700_000_000: 1_699_999_940} {
		if err := os.Chtimes(file, time.Unix(was, 0), time.Unix(was, 0)); err != nil {
			t.Fatal(err)
		}
		if err := dressFile(root, "/f"); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(file)
		if err != nil || !st.ModTime().Equal(time.Unix(want, 123456789)) {
			t.Errorf("%d became %v, %v; want %d", was, st.ModTime(), err, want)
		}
	}
}

func TestInRoot(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, l := range [][2]string{{"/a/b", "abs"}, {"../a", "a/up"}, {"/loop", "loop"}} {
		if err := os.Symlink(l[0], filepath.Join(root, l[1])); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{"/abs/f": "/a/b/f", "/a/up/b/f": "/a/b/f", "/a/../../../a/f": "/a/f"} {
		if got, err := inRoot(root, path); err != nil || got != root+want {
			t.Errorf("%s: got %s, %v", path, got, err)
		}
	}
	if _, err := inRoot(root, "/loop/f"); err == nil {
		t.Error("a loop was followed")
	}
}
