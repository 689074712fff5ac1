package apply

import (
	"slices"
	"strings"
	"testing"

	"mtaharden/remediate/mta"
	"mtaharden/remediate/plan"
)

// TestUnexplained: a line of the whole difference is explained once for each time that the plan's own changes bring it about.
func TestUnexplained(t *testing.T) {
	for _, c := range []struct{ whole, planned, want string }{
		{"@@ -1 +1 @@\n-a\n+b\n c\n", "@@ -1 +1 @@\n-a\n+b\n c\n", ""},
		{"@@ -1 +1 @@\n-a\n+b\n-z\n", "@@ -9 +9 @@\n-a\n+b\n", "-z"},
		{"@@ @@\n+b\n+b\n", "@@ @@\n+b\n", "+b"},
		{"@@ @@\n-b\n", "@@ @@\n+b\n", "-b"},
		{"", "@@ @@\n+b\n", ""},
		{strings.Repeat("+", cutDiff-1) + "\n", strings.Repeat("+", cutDiff-1) + "\n", "(the difference is too long to be shown whole)"},
	} {
		if got := strings.Join(unexplained(c.whole, c.planned), " "); got != c.want {
			t.Errorf("%.40q beside %.40q: unexplained %q, want %q", c.whole, c.planned, got, c.want)
		}
	}
}

func TestParseDiffs(t *testing.T) {
	good := "diff 1 pending 0\ndiff 1 plan 3\n-a\ndiff 1 whole 3\n-b\ndiff 2 pending 10\ndiff 1 p\n\n"
	diffs, err := parseDiffs([]byte(good), 2)
	if err != nil || diffs[0]["whole"] != "-b\n" || diffs[0]["pending"] != "" || diffs[1]["pending"] != "diff 1 p\n\n" {
		t.Errorf("%q: %q, %v", good, diffs, err)
	}
	for _, bad := range []string{
		"", "diff 1 pending 0\n", "diff 1 pending 0\ndiff 1 pending 0\ndiff 2 pending 0\n", "diff 1 other 0\ndiff 2 pending 0\n",
		"diff 0 pending 0\n", "diff 3 pending 0\n", "diff 1 pending 9\n-a\n", "diff 1 pending -1\n", "diff 1 pending 500000\n", "diff 1 pending\n", "x\n",
	} {
		if diffs, err := parseDiffs([]byte(bad), 2); err == nil {
			t.Errorf("%q was taken: %q", bad, diffs)
		}
	}
}

// FuzzParseDiffs: whatever the host prints is refused or taken without a fault, and what is taken says no more than was there.
func FuzzParseDiffs(f *testing.F) {
	f.Add([]byte("diff 1 pending 0\ndiff 1 plan 3\n-a\ndiff 1 whole 3\n-b\n"), 1)
	f.Add([]byte("diff 1 pending 1\nx"), 1)
	f.Fuzz(func(t *testing.T, out []byte, files int) {
		if files < 0 || files > 100 {
			return
		}
		diffs, err := parseDiffs(out, files)
		if err != nil {
			return
		}
		n := 0
		for _, d := range diffs {
			for _, text := range d {
				n += len(text)
			}
			unexplained(d[pairWhole], d[pairPlan])
		}
		if len(diffs) != files || n > len(out) {
			t.Errorf("%d files of %d, %d bytes of %d", len(diffs), files, n, len(out))
		}
	})
}

// TestStageWords: each directory once; what only gets another mode is no reason to copy its directory; a service none at all.
func TestStageWords(t *testing.T) {
	in := StageInput{
		Changes: []plan.Change{
			{Kind: plan.EditFile, Path: "/etc/x/a"}, {Kind: plan.Generated, Path: "/etc/x/a.db"}, {Kind: plan.ModeChange, Path: "/usr/sbin/tool"},
			{Kind: plan.Unit, Path: "/lib/systemd/system/x.service"},
		},
		Commands: []plan.Commands{{}, {Stage: &plan.Stage{
			Copies: []string{"/etc/x", "/etc/y"},
			Fresh:  []mta.Fresh{{Path: "/var/spool/x", Keep: []string{"etc"}, Sockets: []string{"/var/spool/x/auth"}}},
		}}},
	}
	want := "copy /etc/x copy /etc/y fresh /var/spool/x keep etc socket /var/spool/x/auth mode /usr/sbin/tool"
	if got := strings.Join(stageWords(in), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestShortly: a command's script does not stand in a message.
func TestShortly(t *testing.T) {
	for want, argv := range map[string][]string{
		"postmap hash:/etc/x":    {"postmap", "hash:/etc/x"},
		"/bin/sh /etc/x 'it is'": {"/bin/sh", "-c", "a long\nscript", "sh", "/etc/x", "it is"},
		"/bin/sh -c 'echo $1'":   {"/bin/sh", "-c", "echo $1"},
	} {
		if got := shortly(plan.Command{Argv: slices.Clone(argv)}); got != want {
			t.Errorf("%q: %q, want %q", argv, got, want)
		}
	}
}
