package journal

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// shells are those under which every script must do the same.
var shells = [][]string{{"dash"}, {"bash"}, {"mksh"}, {"ksh93"}, {"busybox", "sh"}, {"yash"}, {"posh"}}

// sh runs a script under a shell in a folder of runs and returns its output; dir is $mh_base, the run is "r1".
func sh(t testing.TB, shell []string, dir, script string) (string, error) {
	t.Helper()
	cmd := exec.Command(shell[0], shell[1:]...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.Stdin = strings.NewReader("body() {\n" + Layout{Dir: dir}.Head("r1") + script + "\n}\nbody </dev/null\n")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestASCII holds the library to what every shell reads in every locale (yash stops at a byte that is no character of its locale).
func TestASCII(t *testing.T) {
	for i, line := range strings.Split(Script(), "\n") {
		if len(line) > 3900 || strings.Trim(line, "\t") != line || strings.ContainsFunc(line, func(r rune) bool { return r > 0x7e }) {
			t.Errorf("line %d: %q", i+1, line)
		}
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	cases := [][]byte{
		{}, all, bytes.Repeat(all, 40), []byte("100% %s \\n \\\\ \\0 'quoted' $(x) `y` !! \"z\"\n"), []byte("-n"), []byte("-- \\c x"), []byte("\n\n"),
		bytes.Repeat([]byte{0}, 5000), []byte(strings.Repeat("line of text\n", 3000)), []byte("\r\n\t\v\x7f"), []byte("caf\xe9 \xe2\x82\xac"),
	}
	for _, shell := range shells {
		t.Run(strings.Join(shell, " "), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for i, data := range cases {
				file := filepath.Join(dir, "it's a file")
				text := "f=" + `"$mh_base/it's a file"` + "\n" + Put(`"$f"`, data)
				for line := range strings.Lines(text) {
					if len(line) > 4000 {
						t.Fatalf("a line of %d bytes", len(line))
					}
				}
				out, err := sh(t, shell, dir, strings.Replace(text, `"$f".tmp`, `"$f.tmp"`, 1))
				got, rerr := os.ReadFile(file)
				if err != nil || rerr != nil || !bytes.Equal(got, data) || out != "" {
					t.Fatalf("%v, case %d: %v, %v, said %q: %d bytes of %d", shell, i, err, rerr, out, len(got), len(data))
				}
			}
			if out, err := sh(t, shell, dir, Put("/nonexistent/dir/file", []byte("x"))+"echo went on $?"); err != nil || !strings.Contains(out, "went on") || strings.Contains(out, "went on 0") {
				t.Errorf("%v: writing where no directory is: %v, %q", shell, err, out)
			}
		})
	}
}
