package remote

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// FuzzTerminal: whatever a command writes on a terminal, in whatever pieces, its output comes back byte for byte, with its status and standard error, and what
// was said before root was reached is none of it.
func FuzzTerminal(f *testing.F) {
	f.Add([]byte("out\n"), []byte("err"), uint8(3), uint8(1))
	f.Add([]byte("\nmtaharden-"), []byte(""), uint8(0), uint8(7))
	f.Add([]byte("\n\n\n"), []byte("\n"), uint8(255), uint8(2))
	f.Fuzz(func(t *testing.T, out, stderr []byte, exit, piece uint8) {
		b, err := NewBecome(How{Way: "sudo", Terminal: true})
		if err != nil {
			t.Fatal(err)
		}
		e := NewExchange(Cmd{}, 1<<20, b)
		stderr = bytes.TrimRight(stderr[:min(len(stderr), 1000)], "\n")
		text := "a lecture\r\n\n" + b.mark + "\n" + string(out) + "\n" + b.mark + "-end " + itoa(exit) + "\n" + string(stderr) + "\n"
		for rest := []byte(text); len(rest) > 0; {
			n := min(len(rest), int(piece)+1)
			if _, err := io.Copy(e.Stdout(), bytes.NewReader(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		r, err := e.Result(-1)
		if err != nil || !bytes.Equal(r.Stdout, out) || r.Exit != int(exit) || !bytes.HasSuffix(bytes.TrimSuffix(r.Stderr, []byte("\n")), stderr) {
			t.Errorf("%q: %d %q %q, %v", text, r.Exit, r.Stdout, r.Stderr, err)
		}
	})
}

func itoa(n uint8) string {
	text := []byte{'0' + n/100, '0' + n/10%10, '0' + n%10}
	return string(bytes.TrimLeft(text[:2], "0")) + string(text[2:])
}

// TestTerminalInput: a command on a terminal gets its input to the last byte and none of what follows, also where head(1) is POSIX's, which knows no -c.
func TestTerminalInput(t *testing.T) {
	t.Parallel()
	old := t.TempDir()
	if err := os.WriteFile(old+"/head", []byte("#!/bin/sh\necho 'head: illegal option -- c' >&2\nexit 2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{os.Getenv("PATH"), old + ":" + os.Getenv("PATH")} {
		b, err := NewBecome(How{Way: "sudo", Terminal: true})
		if err != nil {
			t.Fatal(err)
		}
		const input = "one\ntwo\x00\x04three"
		c := exec.Command("/bin/sh", "-c", b.middle(len(input)), "sh", "cat")
		c.Env, c.Stdin = []string{"PATH=" + path}, strings.NewReader("an unneeded password\n"+b.sync+"\n"+input+"more\n")
		out, err := c.Output()
		if want := "\n" + b.mark + "\n" + input + "\n" + b.mark + "-end 0\n\n"; err != nil || string(out) != want {
			t.Errorf("%v: %q, want %q", err, out, want)
		}
	}
}
