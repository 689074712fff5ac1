package remote

import (
	"os/exec"
	"strings"
	"testing"
)

// shells are login shells that real accounts have. Each one that is installed must read a command line into the very words it was made from.
var shells = []string{"sh", "dash", "bash", "ksh", "mksh", "posh", "yash", "zsh", "csh", "tcsh", "fish"}

var wordLists = [][]string{
	{""},
	{"a", "", "b"},
	{"it's", `a\b`, `a\\b`, `\'`, `'\''`, `\`, "'", `ends with \`},
	{"hi!", "!", "!!", "!$", `\!`, "'!'", "a!b c!d"},
	{"$HOME", "${x}", "$(id)", "`id`", `"q"`, "$'x'"},
	{"*", "?", "[a-z]", "{a,b}", "~", "~root", "a=b", "=ls", "%self", "^a^b", "#x", "@x"},
	{"&", ";", "|", "<", ">", "(", ")", "a&b;c|d>e<f"},
	{"-n", "--", "-", " lead", "trail ", "a  b", "tab\there", "x,y:z%+"},
	{"/bin/sh", "-c", `echo x >&2; exec "$@"`, "sh", "/bin/cat", "a b"},
	{"/bin/sh", "-c", `while read l; do case $l in *x*) break;; esac; done; eval "$(cat)"`},
}

// words asks shell what it makes of line: each word's bytes, ended by a NUL.
func words(t testing.TB, shell string, argv []string) []string {
	t.Helper()
	line, err := CommandLine(append([]string{"/usr/bin/printf", `%s\000`}, argv...))
	if err != nil {
		t.Fatalf("CommandLine(%q): %v", argv, err)
	}
	cmd := exec.Command(shell, "-c", line)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir(), "TERM=dumb"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s -c %s: %v\n%s", shell, line, err, out)
	}
	got := strings.Split(string(out), "\x00")
	return got[:len(got)-1]
}

func TestCommandLineInRealShells(t *testing.T) {
	ran := 0
	for _, shell := range shells {
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		ran++
		for _, argv := range wordLists {
			if got := words(t, shell, argv); strings.Join(got, "\x00") != strings.Join(argv, "\x00") || len(got) != len(argv) {
				t.Errorf("%s read %q as %q", shell, argv, got)
			}
		}
	}
	t.Logf("%d shells read %d word lists each", ran, len(wordLists))
	if ran == 0 {
		t.Error("not even sh was found")
	}
}

func TestCommandLineRefuses(t *testing.T) {
	for _, w := range []string{"a\nb", "a\x00b", "\x1b[0m", "\r", "é", "\x7f"} {
		if line, err := CommandLine([]string{"echo", w}); err == nil {
			t.Errorf("CommandLine(%q) = %s: want an error", w, line)
		}
	}
}

// FuzzCommandLine: what sh reads is what was meant; and the line never holds what csh or fish would read otherwise inside quotes.
func FuzzCommandLine(f *testing.F) {
	for _, l := range wordLists {
		f.Add(strings.Join(l, " "))
	}
	f.Fuzz(func(t *testing.T, w string) {
		if _, err := CommandLine([]string{w}); err != nil {
			return
		}
		for _, shell := range []string{"sh", "csh", "fish"} {
			if _, err := exec.LookPath(shell); err != nil {
				continue
			}
			if got := words(t, shell, []string{w}); len(got) != 1 || got[0] != w {
				t.Errorf("%s read %q as %q", shell, w, got)
			}
		}
	})
}
