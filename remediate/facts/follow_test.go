package facts

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"mtaharden/remediate/remote"
)

// shellHost runs commands by a shell of this machine, as sshd would; fail stands in for a command that cannot be run.
type shellHost struct {
	shell []string
	fail  func(remote.Cmd) (remote.Result, error)
	runs  int
}

func (h *shellHost) Run(ctx context.Context, c remote.Cmd, _ int) (remote.Result, error) {
	if h.runs++; h.runs > 1 && h.fail != nil {
		return h.fail(c)
	}
	shell := append(slices.Clone(h.shell), "-c", c.String())
	cmd := exec.CommandContext(ctx, shell[0], shell[1:]...)
	cmd.Stdin = strings.NewReader(string(c.Stdin))
	var out, err strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &err
	cmd.Run()
	return remote.Result{Stdout: []byte(out.String()), Stderr: []byte(err.String()), Exit: cmd.ProcessState.ExitCode()}, nil
}

func (h *shellHost) Transport() remote.Transport { return remote.Transport{Name: "shell"} }
func (h *shellHost) Close() error                { return nil }

const firstPart = `mh_fact a first
mh_fact void ''
mh_cmd slow 1 sleep 9
mh_cmd same 5 echo first
mh_stat /etc/hosts
mh_secret /etc/group
`

const secondPart = `mh_fact a second
mh_fact b second
mh_fact void filled
mh_fact seen "$mh_init|$mh_system|$(printf '%s\n' "$mh_listeners" | grep -c ' ')"
mh_cmd slow 5 echo done
mh_cmd same 5 echo second
printf 'a b\n' | mh_ask new 5 cat
mh_file /etc/hosts /etc/group /etc/hostname
mh_problem 'nothing of note'
`

// TestFollow: what a second command brings stands beside the first one's, under every shell, and a saved snapshot replays to the same.
func TestFollow(t *testing.T) {
	for _, shell := range []string{"dash", "bash", "mksh", "ksh93", "yash", "busybox"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Errorf("%s is not installed: the second command was not tried under it", shell)
			continue
		}
		h := &shellHost{shell: []string{path}}
		if shell == "busybox" {
			h.shell = append(h.shell, "sh")
		}
		first, raw, err := Collect(t.Context(), h, firstPart)
		if err != nil {
			t.Fatal(err)
		}
		first.Host = "mx1"
		both, all := Follow(t.Context(), h, first, raw, secondPart)
		if both.Host != "mx1" || both.Transport.Name != "shell" || !both.Complete || both.Digest != first.Digest || both.Taken != first.Taken {
			t.Errorf("%s: %+v", shell, both)
		}
		replayed, err := Parse(strings.NewReader(string(all)))
		if err != nil {
			t.Fatal(err)
		}
		for name, s := range map[string]*Snapshot{"live": both, "replayed": replayed} {
			followed(t, shell+" "+name, s)
		}
		if o, _ := first.Output("slow"); o.State != Timeout || first.Fact("b") != "" || len(first.Outputs("new")) > 0 {
			t.Errorf("%s: the first snapshot has changed", shell)
		}
		if strings.Count(string(all), " follow ") != 1 || len(both.Listeners) != len(first.Listeners) {
			t.Errorf("%s: %d listeners of %d", shell, len(both.Listeners), len(first.Listeners))
		}
	}
}

func followed(t *testing.T, name string, s *Snapshot) {
	t.Helper()
	for key, want := range map[string]string{"a": "first", "b": "second", "void": "filled"} {
		if s.Fact(key) != want {
			t.Errorf("%s: fact %s is %q, not %q", name, key, s.Fact(key), want)
		}
	}
	for key, want := range map[string]string{"slow": "done\n", "same": "first\n", "new": "a b\n"} {
		if o, ok := s.Output(key); !ok || string(o.Stdout) != want || o.State != Whole {
			t.Errorf("%s: output %s is %+v", name, key, o)
		}
	}
	for path, want := range map[string]State{"/etc/hosts": Whole, "/etc/group": Secret, "/etc/hostname": Whole} {
		if f, ok := s.File(path); !ok || f.State != want {
			t.Errorf("%s: file %s is %+v", name, path, f)
		}
	}
	if !slices.Contains(s.Problems, "nothing of note") || !strings.Contains(s.Fact("seen"), "|Linux|") {
		t.Errorf("%s: problems %q, seen %q", name, s.Problems, s.Fact("seen"))
	}
	if files := s.Files("/etc/hosts"); len(files) != 1 || len(s.Outputs("slow")) != 1 {
		t.Errorf("%s: a section is listed twice", name)
	}
}

// TestFollowFails: a second command that fails costs nothing of the first one's, and the snapshot says so, saved and live.
func TestFollowFails(t *testing.T) {
	for name, fail := range map[string]func(remote.Cmd) (remote.Result, error){
		"the link is lost": func(remote.Cmd) (remote.Result, error) { return remote.Result{}, errors.New("the link\nis lost") },
		"exit status 3":    func(remote.Cmd) (remote.Result, error) { return remote.Result{Exit: 3, Stderr: []byte("no\n")}, nil },
		"ended too early":  cutShort,
		"timed out half-way": func(c remote.Cmd) (remote.Result, error) {
			r, _ := cutShort(c)
			return r, errors.New("timed out half-way")
		},
		"it speaks of others": func(remote.Cmd) (remote.Result, error) {
			return remote.Result{Stdout: []byte("motd\n" + frame("@fact b evil"))}, errors.New("it speaks of others")
		},
	} {
		h := &shellHost{shell: []string{"/bin/sh"}, fail: fail}
		first, raw, err := Collect(t.Context(), h, firstPart)
		if err != nil {
			t.Fatal(err)
		}
		both, all := Follow(t.Context(), h, first, raw, secondPart)
		replayed, err := Parse(strings.NewReader(string(all)))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*Snapshot{both, replayed} {
			o, ok := s.Output("same")
			if !s.Complete || !ok || string(o.Stdout) != "first\n" || s.Fact("b") != "" {
				t.Errorf("%s: complete %v, output %+v, b %q", name, s.Complete, o, s.Fact("b"))
			}
			if problems := strings.Join(s.Problems, "; "); !strings.Contains(problems, name) || !strings.Contains(problems, "second command") {
				t.Errorf("%s: problems %q", name, problems)
			}
		}
	}
}

// cutShort is a second command of which only the beginning comes.
func cutShort(c remote.Cmd) (remote.Result, error) {
	nonce := c.Argv[len(c.Argv)-1]
	_, first, _ := strings.Cut(string(c.Stdin), "mh_first=")
	first, _, _ = strings.Cut(first, "\n")
	return remote.Result{Stdout: []byte(nonce + " follow " + first + " x 1795297122\n" + nonce + " output name=late exit=0 nl=1 lines=2 bytes=4\n|a\n")}, nil
}

// TestFollowStranger: a second frame of another run is not taken for this one's.
func TestFollowStranger(t *testing.T) {
	second := strings.ReplaceAll("\n@follow mh-of-another-host x 1795297122\n@fact b second\n@done\n", "@", "mh-fedcba9876543210 ")
	s, err := Parse(strings.NewReader(frame(hello) + second))
	if err != nil || s.Fact("b") != "" {
		t.Errorf("%v, %q", err, s.Fact("b"))
	}
	s, err = Parse(strings.NewReader(frame(hello) + strings.Replace(second, "mh-of-another-host", n0, 1)))
	if err != nil || s.Fact("b") != "second" {
		t.Errorf("%v, %q", err, s.Fact("b"))
	}
}
