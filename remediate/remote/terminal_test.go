package remote

import (
	"bytes"
	"io"
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
