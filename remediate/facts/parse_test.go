package facts

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
)

const n0 = "mh-0123456789abcdef"

// frame makes the output of a run whose lines are given, without the nonce before those that begin with "@".
func frame(lines ...string) string {
	text := "\n@begin 1 digest 1795297122\n" + strings.Join(lines, "\n") + "\n@done\n"
	return strings.ReplaceAll(text, "@", n0+" ")
}

const hello = "@file path=/a mode=81a4 owner=root group=root links=1 size=6 mtime=1 lines=1 bytes=6\n|hello\n@end"

// TestFrame holds what a frame must survive. Each case says what must come of file /a.
func TestFrame(t *testing.T) {
	for name, c := range map[string]struct {
		in       string
		complete bool
		data     string
		state    State
	}{
		"plain":             {frame(hello), true, "hello\n", Whole},
		"motd":              {"Welcome!\n|x\nmh-fake0000 done\n" + frame(hello) + "bye\n", true, "hello\n", Whole},
		"banner before":     {"Authorized use only\r\n" + frame(hello), true, "hello\n", Whole},
		"terminal":          {strings.ReplaceAll(frame(hello), "\n", "\r\n"), true, "hello\n", Whole},
		"noise inside":      {frame("@file path=/a size=6 lines=1 bytes=6\nBroadcast message from root\n|hello\n@end"), true, "hello\n", Whole},
		"no final newline":  {frame("@file path=/a size=5 lines=1 bytes=6\n|hello\n@end"), true, "hello", Whole},
		"cut in content":    {strings.Split(frame("@file path=/a size=12 lines=2 bytes=12\n|hello\n|world"), "|world")[0], false, "hello\n", Damaged},
		"cut before end":    {strings.Split(frame(hello, "@fact x y"), n0+" fact")[0], false, "hello\n", Whole},
		"a line lost":       {frame("@file path=/a size=12 lines=2 bytes=12\n|hello\n@end"), true, "hello\n", Damaged},
		"a byte lost":       {frame("@file path=/a size=6 lines=1 bytes=6\n|helo\n@end"), true, "helo\n", Damaged},
		"wrong sum":         {frame("@file path=/a size=6 sha256=00 lines=1 bytes=6\n|hello\n@end"), true, "hello\n", Damaged},
		"imitation":         {frame("@file path=/a size=57 lines=2 bytes=58\n|mh-0123456789abcdee done\n|" + n0 + " file path=/b\n@end"), true, "mh-0123456789abcdee done\n" + n0 + " file path=/b", Whole},
		"hex":               {frame("@file path=/a size=4 enc=hex lines=1 bytes=0\n|61006200\n@end"), true, "a\x00b\x00", Whole},
		"bad hex":           {frame("@file path=/a size=4 enc=hex lines=1 bytes=0\n|6100620g\n@end"), true, "a\x00b", Damaged},
		"sent twice":        {frame(hello, "@file path=/a size=2 lines=1 bytes=2\n|x\n@end"), true, "hello\n", Whole},
		"mask":              {frame("@file path=/a size=3 lines=1 bytes=18\n@mask 0 17 2\n|<secret 00000000>\n@end"), true, "<secret 00000000>\n", Whole},
		"mask out of range": {frame("@file path=/a size=6 lines=1 bytes=6\n@mask 5 9223372036854775807 1\n|hello\n@end"), true, "hello\n", Damaged},
		"negative mask":     {frame("@file path=/a size=6 lines=1 bytes=6\n@mask -1 2 1\n|hello\n@end"), true, "hello\n", Damaged},
		"escaped name":      {strings.Replace(frame(hello), "path=/a", "path=%2fa", 1), true, "hello\n", Whole},
	} {
		s, err := Parse(strings.NewReader(c.in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		f, ok := s.File("/a")
		if !ok || s.Complete != c.complete || string(f.Data) != c.data || f.State != c.state {
			t.Errorf("%s: complete %v, file %+v, problems %q", name, s.Complete, f, s.Problems)
		}
		if _, ok := s.File("/b"); ok {
			t.Errorf("%s: content was taken for a header", name)
		}
	}
	if _, err := Parse(strings.NewReader("motd\nno frame\n")); !errors.Is(err, ErrNoFrame) {
		t.Errorf("no frame: %v", err)
	}
}

// zeros is an endless stream of one byte.
type zeros byte

func (z zeros) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(z)
	}
	return len(b), nil
}

// TestEndless holds that a host that never ends is read only so far.
func TestEndless(t *testing.T) {
	if _, err := Parse(zeros('x')); !errors.Is(err, ErrNoFrame) {
		t.Errorf("%v", err)
	}
	if _, err := Parse(zeros('\n')); !errors.Is(err, ErrNoFrame) {
		t.Errorf("%v", err)
	}
}

func TestModes(t *testing.T) {
	for text, want := range map[string]fs.FileMode{
		"-rw-r--r--": 0o644, "drwxrwsr-t": fs.ModeDir | fs.ModeSetgid | fs.ModeSticky | 0o775, "-rwsr-xr-x.": fs.ModeSetuid | 0o755,
		"-r-x--s--x+": fs.ModeSetgid | 0o511, "-rwSr--r-T": fs.ModeSetuid | fs.ModeSticky | 0o644, "prw-------": fs.ModeNamedPipe | 0o600, "short": 0,
	} {
		if got := lettersMode(text); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if got := unixMode(0o102755); got != fs.ModeSetgid|0o755 {
		t.Errorf("%v", got)
	}
}

func TestTimes(t *testing.T) {
	taken := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]string{
		"Dec 30 23:59:59": "2025-12-30 23:59:59", "Jan  1 00:00:01": "2026-01-01 00:00:01", "1767225600": "2026-01-01 00:00:00",
		"2026-01-01T10:00:00+09:00": "2026-01-01 01:00:00", "2026-01-01T10:00:00+0900": "2026-01-01 01:00:00", "2026-01-01 10:00:00": "2026-01-01 10:00:00", "never": "0001-01-01 00:00:00",
	} {
		if got := logTime(text, taken).UTC().Format("2006-01-02 15:04:05"); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{"Dec_30_23:59": "2025-12-30 23:59", "Jan_1_2020": "2020-01-01 00:00", "x": "0001-01-01 00:00"} {
		if got := parseTime(map[string]string{"date": text}, taken).Format("2006-01-02 15:04"); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]time.Duration{"01:02": 62 * time.Second, "3-04:05:06": 76*time.Hour + 5*time.Minute + 6*time.Second} {
		if got, ok := parseAge(text); !ok || got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "\x1b[31mred\x1b]0;title\x07": `\x1b[31mred\x1b]0;title\x07`, "tab\tstays": "tab\tstays", "a\r\nb": `a\x0d\x0ab`, "한국어 é": "한국어 é",
		"\xff\xfe": `\xff\xfe`, "\u202egpj.exe": `\u202egpj.exe`, "\u009b31m": `\u009b31m`, "zero\u200bwidth": `zero\u200bwidth`, "a\u2028b": `a\u2028b`,
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWith(t *testing.T) {
	s, err := Parse(strings.NewReader(frame(hello)))
	if err != nil {
		t.Fatal(err)
	}
	n := s.With(&File{Path: "/a", Data: []byte("new")}, &File{Path: "/b"})
	if f, _ := s.File("/a"); string(f.Data) != "hello\n" || len(s.Files("")) != 1 {
		t.Errorf("With changed its receiver")
	}
	if f, _ := n.File("/a"); string(f.Data) != "new" || len(n.Files("/")) != 2 {
		t.Errorf("With: %q", n.Files(""))
	}
}

// TestStrip proves that the stripped script is the same program: bash prints the function it made of each, and they are equal.
func TestStrip(t *testing.T) {
	part := "# a comment\nx_collect() {\n  # inner\n  x='a\n  # kept\n'\n  y=\"b\n  # kept \\\" too $(echo \"#c\")\n\" # behind\n  z=${x#\"# y\"}\n  echo \\\n    # joined, no comment for the reader but for the shell\n  cat <<E\n  # kept\nE\n}\nx_collect\n"
	commented, stripped := Script(everything, part), Strip(Script(everything, part))
	if a, b := declared(t, commented), declared(t, stripped); a != b {
		t.Errorf("the stripped script is another program")
	}
	if strings.Contains(stripped, "inner") || !strings.Contains(stripped, "  # kept \\\" too") {
		t.Errorf("comments: %s", stripped[len(stripped)-300:])
	}
	if got := Strip(stripped); got != stripped {
		t.Errorf("a second Strip takes out more")
	}
	if n := len(Strip(Script())); n > 44<<10 {
		t.Errorf("the script without drivers' parts has %d bytes", n)
	}
	var first bytes.Buffer
	for line := range strings.Lines(commented) {
		if strings.HasPrefix(line, "mh_digest=") && strings.TrimSpace(line) != "mh_digest="+ScriptDigest(everything, part) {
			t.Errorf("digest: %s", line)
		}
		first.WriteString(line)
	}
}

// declared returns bash's own reading of the collector's function, as it prints it.
func declared(t *testing.T, script string) string {
	t.Helper()
	script = strings.TrimSuffix(script, "mh_collect </dev/null\n")
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("bash", "-c", `. "$0"; declare -f mh_collect`, path).CombinedOutput()
	if err != nil || len(out) < 10000 {
		t.Fatalf("%v: %.300s", err, out)
	}
	return string(out)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(frame(hello)))
	f.Add([]byte(frame("@output name=x exit=0 nl=0 lines=1 bytes=2\n|a\n@end\n@stderr name=x lines=1 bytes=2\n|e\n@end")))
	f.Add([]byte(frame("@proc pid=1 ppid=0 age=1-02:03:04 exe=/sbin/init lines=1 bytes=5\n|init\n@end\n@listen [::]:25 1\n@seen x\n|a\tauth\tlocal\t1\tNov  1 00:00:00\n@end\n@mask 1 2 3")))
	f.Add([]byte(frame(hello) + "mh-fedcba9876543210 follow " + n0 + " x 1\nmh-fedcba9876543210 fact a b\nmh-fedcba9876543210 file path=/b state=stat\nmh-fedcba9876543210 done\n"))
	f.Add([]byte(frame("@file path=/a enc=hex size=1\n|6\n@mask 0 1 1\n@fact root 1\n@end")))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(bytes.NewReader(data))
		if err != nil {
			return
		}
		total := 0
		for _, n := range s.Files("") {
			file, ok := s.File(n)
			if !ok {
				t.Fatalf("%q is listed and cannot be had", n)
			}
			total += len(file.Data)
			for _, m := range file.Masks {
				if file.State == Whole && (m.Offset < 0 || m.Length < 0 || m.Offset+m.Length > len(file.Data)) {
					t.Fatalf("mask %+v of a whole file is outside of it", m)
				}
			}
		}
		if total > len(data)+1 {
			t.Fatalf("%d bytes became %d", len(data), total)
		}
		_ = fmt.Sprint(s.Outputs(""), s.Facts(""), s.OS)
	})
}

func FuzzPrintable(f *testing.F) {
	f.Add("\x1b[31m\u202e\xff")
	f.Fuzz(func(t *testing.T, in string) {
		for _, r := range Printable(in) {
			if r != '\t' && !unicode.IsGraphic(r) {
				t.Fatalf("%q gave %q", in, r)
			}
		}
	})
}

func FuzzStrip(f *testing.F) {
	f.Add("f() {\n  # c\n  echo 'a\n # b'\n}\n")
	f.Fuzz(func(t *testing.T, in string) {
		out := Strip(in)
		if len(out) > len(in) || Strip(out) != out {
			t.Fatalf("%q gave %q, then %q", in, out, Strip(out))
		}
	})
}
