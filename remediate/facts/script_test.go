package facts

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// collect runs the collector with a driver's part under a shell of this machine, and reads what it wrote.
func collect(t *testing.T, part string, shell ...string) *Snapshot {
	t.Helper()
	out := output(t, part, shell...)
	s, err := Parse(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	if !s.Complete {
		t.Fatalf("%v: the frame has no end:\n%s", shell, out)
	}
	return s
}

// output runs the collector and returns what it wrote; a word on standard error is a failure.
func output(t *testing.T, part string, shell ...string) []byte {
	t.Helper()
	if len(shell) == 0 {
		shell = []string{"sh"}
	}
	cmd := exec.Command(shell[0], shell[1:]...)
	cmd.Stdin = strings.NewReader(Strip(Script(part)))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot run the collector by %v: %v\n%s", shell, err, stderr.Bytes())
	}
	if stderr.Len() > 0 {
		t.Errorf("%v: the collector wrote to standard error:\n%s", shell, stderr.Bytes())
	}
	return out
}

func TestOutputs(t *testing.T) {
	s := collect(t, `
mh_cmd both 5 sh -c 'echo hello; echo err >&2; exit 3'
mh_cmd hang 1 sleep 30
printf 'in\n\n' | mh_ask asked 5 cat
mh_cmd nonl 5 printf nonl
mh_cmd silent 5 true
mh_cmd flood 60 yes
mh_cmd nul 5 printf 'a\000b\n'
printf '10.0.0.1\tauth\tforeign\t3\tNov 20 17:02:00\n' | mh_seen postfix
mh_fact 'odd key' 'a value
of two lines'
mh_problem 'nothing is wrong'
mh_package /bin/true
mh_changelog dash
mh_fact log "$(mh_maillog | head -n 1)"
mh_fact run "$(mh_running sshd | wc -l)"
`)
	for _, c := range []struct {
		name, out, err string
		exit           int
		state          State
	}{
		{"both", "hello\n", "err\n", 3, Whole},
		{"hang", "", "", 124, Timeout},
		{"asked", "in\n\n", "", 0, Whole},
		{"nonl", "nonl", "", 0, Whole},
		{"silent", "", "", 0, Whole},
		{"nul", "a\x00b\n", "", 0, Whole},
	} {
		o, ok := s.Output(c.name)
		if !ok {
			t.Errorf("%s: no output; problems: %q", c.name, s.Problems)
			continue
		}
		if string(o.Stdout) != c.out || strings.TrimSpace(string(o.Stderr)) != strings.TrimSpace(c.err) || o.Exit != c.exit || o.State != c.state {
			t.Errorf("%s: got %+v", c.name, *o)
		}
	}
	if o, _ := s.Output("flood"); o == nil || o.State != Cut || len(o.Stdout) < 1<<20-10 || len(o.Stdout) > 1<<20 {
		t.Errorf("a flood was not cut at 1 MiB")
	}
	if got := s.Fact("odd key"); got != "a value of two lines" {
		t.Errorf("fact: %q", got)
	}
	if got := s.Fact("package:/bin/true"); !strings.HasPrefix(got, "coreutils ") {
		t.Errorf("package of true: %q", got)
	}
	if v := s.Seen("postfix"); len(v) != 1 || v[0].Client != "10.0.0.1" || !v[0].Auth || !v[0].Foreign || v[0].Count != 3 || v[0].Last.Month() != 11 {
		t.Errorf("seen: %+v", v)
	}
}
