package facts

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shells are those that the collector must give the same result under.
var shells = [][]string{{"dash"}, {"bash"}, {"mksh"}, {"ksh93"}, {"busybox", "sh"}, {"yash"}, {"posh"}}

// oddTree makes files of every kind that a collect may meet.
func oddTree(t *testing.T) string {
	t.Helper()
	dir, _ := plant(t, "testdata/secrets.txtar")
	files := map[string]string{
		"odd/empty": "", "odd/nonl": "a\nb", "odd/crlf": "a\r\nb\r\n", "odd/nul": "a\x00b\nc\x00", "odd/latin1": "caf\xe9 \xff\xfe\n",
		"odd/name with space": "x\n", "odd/it's": "quote\x00d\n", "odd/100%": "percent\n", "odd/-dash": "y\n",
		"odd/long": strings.Repeat("0123456789", 1500) + "\n", "odd/big": strings.Repeat("a line of a large file\n", 50000),
		"odd/frame": "mh-0123456789abcdef begin 1 x 1\n|content\nmh-0123456789abcdef done\n\n\n", "odd/blank": "\n\n\n", "odd/esc": "\x1b[31mred\x1b[0m\x07\n",
		"odd/secretnul": "\x00password=CANARY\n", "odd/access.db": "binary\x00",
	}
	if err := os.MkdirAll(filepath.Join(dir, "odd/dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"odd/link": "nonl", "odd/link2": "../odd/link", "odd/dangling": "nowhere", "odd/loop": "loop", "dirlink": "odd", "odd/away": "/etc/hostname"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "odd/fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "odd/empty"), 0o4755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// everything is a driver's part that uses every function the collector offers.
const everything = `
any_turn() {
  printf '\n%s said turn:%s turned:%s "said" \\n %%d %s\n' "$mh_nonce" "$1" "$1" "$1"
  printf '\n%s said turn:%s\n' "$mh_nonce" "$1" >&2
  any_n=$1
  shift
  printf 'in\n\n%s' "$any_n" | mh_turn 1 "$@"
}
any_turns() {
  any_turn 1 sh -c 'cat; echo kept 1 >&2; echo not >&2; exit 3'
  any_turn 2 sh -c 'echo begun; exec sleep 34'
  any_turn 3 printf 'mh-none rc 0\npassword=CANARY\n\n'
  any_turn 4 sh -c 'echo kept 4 >&2; echo kept password=CANARY >&2'
  any_turn 5 /nonexistent/program
  printf '\n%s fact turns %s\n' "$mh_nonce" "of five"
  echo stray
}
any_collect() {
  mh_tree DIR
  mh_tree DIR 3
  mh_tree DIR/odd/nonl
  mh_file DIR/odd/nonl DIR/dirlink/nonl DIR/odd/dangling DIR/odd/loop DIR/odd/dir DIR/odd/fifo /nonexistent/x relative 'DIR/odd/name with space'
  mh_secret DIR/etc/mail/access DIR/odd/dir/none
  mh_secret DIR/dirlink/crlf
  mh_stat DIR/dirlink/latin1 DIR/odd /dev/null
  mh_cmd both 5 sh -c 'echo hello; echo err >&2; exit 3'
  mh_cmd 'odd name: %' 5 cat DIR/odd/latin1
  mh_cmd hang 1 sleep 30
  mh_cmd family 1 sh -c 'sleep 31 & sleep 32 & echo begun; wait'
  mh_cmd missing 5 /nonexistent/program
  mh_cmd signal 5 sh -c 'kill -15 $$'
  printf 'in\n\n' | mh_ask asked 5 cat
  mh_cmd stdin 5 cat
  mh_cmd nonl 5 printf nonl
  mh_batch turns 8 '/^kept/ { keep($0) }' any_turns
  mh_batch silent 8 '' true
  mh_cmd secret 5 cat DIR/etc/postfix/main.cf
  mh_fact 'a key' "$(printf 'two\nlines \\n %%d')"
  mh_fact within "$(mh_within 5 sh -c 'echo out; echo err >&2; exit 3' 2>/dev/null; echo $?)"
  mh_fact stopped "$(mh_within 1 sh -c 'echo begun; exec sleep 33' 2>/dev/null; echo $?)"
  mh_problem 'a problem'
  printf '10.0.0.1\tauth\tforeign\t3\tNov 20 17:02:00\n' | mh_seen any
  mh_package /bin/true
  mh_package DIR/odd/nonl
  mh_changelog dash
  mh_has sh && mh_fact has "$mh_path"
  mh_has no-such-tool || mh_fact hasnot "[$mh_path]"
  mh_service no-such-service
  for any_f in DIR/odd/n*; do mh_fact "glob:${any_f##*/}" 1; done
}
any_collect
`

// rendered writes a snapshot as text, without what differs from one run to the next.
func rendered(s *Snapshot) string {
	var b strings.Builder
	for _, n := range s.Files("") {
		f, _ := s.File(n)
		fmt.Fprintf(&b, "file %q -> %q %v %s:%s links %d size %d %v %s state %q masks %v\n%q\n", f.Path, f.Target, f.Mode, f.Owner, f.Group, f.Links, f.Size, f.ModTime, f.SHA256, f.State, f.Masks, f.Data)
	}
	for _, n := range s.Outputs("") {
		o, _ := s.Output(n)
		if o.State == Timeout || o.Exit > 126 {
			o.Stderr = nil // what a shell, or timeout(1), says of a killed or missing program
		}
		fmt.Fprintf(&b, "output %q exit %d state %q\n%q\n%q\n", o.Name, o.Exit, o.State, o.Stdout, bytes.TrimSpace(o.Stderr))
	}
	for _, k := range s.Facts("") {
		if k != "elsewhere" && k != "tool.limit" {
			fmt.Fprintf(&b, "fact %q %q\n", k, s.Fact(k))
		}
	}
	fmt.Fprintf(&b, "problems %q\nseen %v\nroot %v host %q os %+v init %q addrs %q tools %v\n", s.Problems, s.Seen("any"), s.Root, s.Hostname, s.OS, s.Init, s.Addrs, s.Tools)
	return masked([]byte(b.String()))
}

// masked writes the marks of secrets, which differ from run to run, as one word.
func masked(text []byte) string {
	return regexp.MustCompile(`<secret [0-9a-f]{8}>`).ReplaceAllString(string(text), "<secret>")
}

// TestShells holds that the collector gives the same result under each shell, with timeout(1) and without.
func TestShells(t *testing.T) {
	dir := oddTree(t)
	part := strings.ReplaceAll(everything, "DIR", dir)
	first := collect(t, part, shells[0]...)
	checkOdd(t, dir, first)
	for name, want := range map[string]string{"turn:1": "3 in\n\n1 kept 1\n", "turn:2": "124 begun\n ", "turn:3": "0 mh-none rc 0\npassword=<secret>\n\n ", "turn:4": "0  kept 4\nkept password=<secret>\n"} {
		o, ok := first.Output(name)
		if got := fmt.Sprintf("%d %s %s", o.Exit, masked(o.Stdout), masked(o.Stderr)); !ok || got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got, want := first.Fact("turned:5")+" "+first.Fact("turns"), `"said" \n %d 5 of five`; got != want {
		t.Errorf("the facts of mh_batch are %q, want %q", got, want)
	}
	if out, stopped := first.Fact("within"), first.Fact("stopped"); out != "out 3" || !strings.HasPrefix(stopped, "begun 124") {
		t.Errorf("mh_within printed %q and %q", out, stopped)
	}
	want := rendered(first)
	for _, shell := range shells {
		if _, err := exec.LookPath(shell[0]); err != nil {
			t.Errorf("%s is not installed: the collector was not tried under it", shell[0])
			continue
		}
		for how, set := range map[string]string{"timeout": "", "watch": "mh_timeout= mh_short=\n"} {
			t.Run(shell[0]+"-"+how, func(t *testing.T) {
				t.Parallel()
				if got := rendered(collect(t, set+part, shell...)); got != want {
					t.Errorf("it differs from %v:\n%s", shells[0], cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
				}
			})
		}
	}
}

// checkOdd holds the first shell's result against what is in the tree.
func checkOdd(t *testing.T, dir string, s *Snapshot) {
	t.Helper()
	for name, want := range map[string]State{
		"odd/empty": Whole, "odd/nonl": Whole, "odd/crlf": Whole, "odd/nul": Whole, "odd/latin1": Whole, "odd/name with space": Whole,
		"odd/it's": Whole, "odd/100%": Whole, "odd/-dash": Whole, "odd/long": Whole, "odd/frame": Whole, "odd/blank": Whole, "odd/esc": Whole,
		"odd/link": Whole, "odd/link2": Whole, "dirlink/nonl": Whole, "odd/big": Cut, "odd/access.db": Binary, "odd/dangling": Absent,
		"odd/loop": Absent, "odd/dir": StatOnly, "odd/fifo": StatOnly, "odd/dir/none": Absent, "dirlink/crlf": Secret, "dirlink/latin1": StatOnly,
	} {
		path := filepath.Join(dir, name)
		f, ok := s.File(path)
		if !ok || f.State != want {
			t.Errorf("%s: got %+v, want state %q", name, f, want)
			continue
		}
		if want == Whole {
			if data, err := os.ReadFile(path); err != nil || !bytes.Equal(f.Data, data) {
				t.Errorf("%s: got %q, want %q", name, f.Data, data)
			}
		}
		if want != Absent {
			fi, err := os.Stat(path)
			if err != nil || f.Mode != fi.Mode() || f.Size != fi.Size() || f.ModTime.Unix() != fi.ModTime().Unix() || f.Owner == "" {
				t.Errorf("%s: metadata %v %d %v %s, want %v", name, f.Mode, f.Size, f.ModTime, f.Owner, fi)
			}
		}
	}
	real, err := filepath.EvalSymlinks(dir)
	if f, ok := s.File(dir + "/odd/link2"); err != nil || !ok || f.Target != real+"/odd/nonl" {
		t.Errorf("link2 leads to %+v", f)
	}
	if o, ok := s.Output("family"); !ok || o.State != Timeout || string(o.Stdout) != "begun\n" {
		t.Errorf("family: %+v", o)
	}
	if f, ok := s.File(dir + "/odd/secretnul"); !ok || f.State != Secret && len(f.Masks) == 0 {
		t.Errorf("secretnul: %+v", f)
	}
}

// TestAwks holds the same for the awks that are here.
func TestAwks(t *testing.T) {
	dir := oddTree(t)
	part := strings.ReplaceAll(everything, "DIR", dir)
	want := rendered(collect(t, part))
	for _, awk := range []string{"mawk", "gawk", "original-awk", "busybox awk", "gawk --posix"} {
		w := strings.Fields(awk)
		path, err := exec.LookPath(w[0])
		if err != nil {
			t.Logf("%s is not here", awk)
			continue
		}
		bin := t.TempDir()
		if err := os.WriteFile(filepath.Join(bin, "awk"), []byte("#!/bin/sh\nexec "+path+" "+strings.Join(w[1:], " ")+" \"$@\"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		got := rendered(collect(t, "PATH="+bin+":$PATH\nmh__setup\n"+part))
		if got != want {
			t.Errorf("%s differs:\n%s", awk, cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
		}
	}
}
