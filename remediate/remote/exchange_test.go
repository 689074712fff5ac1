package remote

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
	"unicode"
)

type sink struct {
	bytes.Buffer
	closed bool
}

func (s *sink) Close() error {
	s.closed = true
	return nil
}

// converse plays a conversation: what sudo writes in turn, and after that the command's end. It returns what sudo or the command was given.
func converse(s *Sudo, stdin string, stderr ...string) (given string, r Result, err error) {
	e := NewExchange(Cmd{Stdin: []byte(stdin)}, 100, s)
	for _, chunk := range stderr {
		io.WriteString(e.Stderr(), chunk)
	}
	e.End()
	var in sink
	e.Feed(&in)
	r, err = e.Result(1)
	return in.String(), r, err
}

func TestConversation(t *testing.T) {
	calls := 0
	password := func() (string, error) {
		calls++
		return "secret", nil
	}
	cases := []struct {
		name     string
		password func() (string, error)
		says     func(s *Sudo) []string
		given    string
		stderr   string
		kind     error
	}{
		{"asked", password, func(s *Sudo) []string { return []string{"lecture\n", s.prompt, "\n", s.mark + "\nout\n"} }, "secret\nINPUT", "lecture\n\nout\n", nil},
		{"prompt in pieces", password, func(s *Sudo) []string { return []string{s.prompt[:5], s.prompt[5:], s.mark[:3], s.mark[3:], "\n"} }, "secret\nINPUT", "", nil},
		{"not asked", password, func(s *Sudo) []string { return []string{s.mark + "\n"} }, "INPUT", "", nil},
		{"sudo -n", nil, func(s *Sudo) []string { return []string{s.mark + "\n"} }, "INPUT", "", nil},
		{"asked twice", password, func(s *Sudo) []string { return []string{s.prompt, "Sorry, try again.\n", s.prompt, s.prompt} }, "secret\n", "Sorry, try again.\n", ErrPrivilege},
		{"refused", nil, func(s *Sudo) []string { return []string{"sudo: a password is required\n"} }, "INPUT", "sudo: a password is required\n", ErrPrivilege},
		{"no password", func() (string, error) { return "", errors.New("gone") }, func(s *Sudo) []string { return []string{s.prompt} }, "", "", ErrPrivilege},
		{"two lines for a password", func() (string, error) { return "a\nb", nil }, func(s *Sudo) []string { return []string{s.prompt} }, "", "", ErrPrivilege},
		{"the mark of another run", password, func(s *Sudo) []string { return []string{"mtaharden-0000000000000000-root\n"} }, "", "mtaharden-0000000000000000-root\n", ErrPrivilege},
		{"PAM's own prompt", password, func(s *Sudo) []string { return []string{"[sudo] 암호: ", s.mark + "\n"} }, "secret\nINPUT", "[sudo] 암호: ", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := NewSudo(c.password)
			calls = 0
			given, r, err := converse(s, "INPUT", c.says(s)...)
			if given != c.given || string(r.Stderr) != c.stderr || (c.kind == nil) != (err == nil) || c.kind != nil && !errors.Is(err, c.kind) {
				t.Errorf("given %q, standard error %q, %v", given, r.Stderr, err)
			}
			if calls > 1 {
				t.Errorf("the password was fetched %d times", calls)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error holds the password: %v", err)
			}
		})
	}
	for _, word := range NewSudo(password).Argv([]string{"x"}) {
		if strings.Contains(word, "secret") {
			t.Errorf("the command holds the password: %q", word)
		}
	}
}

func TestLimits(t *testing.T) {
	e := NewExchange(Cmd{}, 10, nil)
	n1, err1 := io.WriteString(e.Stdout(), "0123456789")
	n2, err2 := io.WriteString(e.Stdout(), "x")
	r, err := e.Result(0)
	if n1 != 10 || err1 != nil || n2 != 0 || err2 == nil || string(r.Stdout) != "0123456789" || !errors.Is(err, ErrCut) {
		t.Errorf("%d %v, %d %v, %q %v", n1, err1, n2, err2, r.Stdout, err)
	}
	e = NewExchange(Cmd{}, 10, nil)
	block := make([]byte, 1<<20)
	for range 16 {
		if _, err := e.Stderr().Write(block); err != nil {
			t.Fatal(err)
		}
	}
	_, err1 = e.Stderr().Write(block)
	if r, err := e.Result(0); err1 == nil || len(r.Stderr) != stderrKeep || !errors.Is(err, ErrCut) {
		t.Errorf("standard error: %v, %d bytes kept, %v", err1, len(r.Stderr), err)
	}
}

// FuzzConversation: whatever is written on standard error, the password is given at most once and before the input, the input only after the mark, and no
// control character reaches a message.
func FuzzConversation(f *testing.F) {
	for _, seed := range []string{"", "P", "PM", "Sorry, try again.\nPP", "password: ", "x\x1b[31mP\nM\n", "MMPP", "sudo: a password is required"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := NewSudo(func() (string, error) { return "secret", nil })
		chunks := strings.SplitAfter(strings.NewReplacer("P", s.prompt, "M", s.mark+"\n").Replace(text), "\n")
		given, _, err := converse(s, "INPUT", chunks...)
		switch given {
		case "", "secret\n":
			if err == nil {
				t.Error("the command was never begun and there is no error")
			}
		case "INPUT", "secret\nINPUT":
			if !strings.Contains(text, "M") {
				t.Errorf("the input was given to sudo")
			}
		default:
			t.Errorf("given %q", given)
		}
		if err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) {
			t.Errorf("a control character in %q", err)
		}
	})
}

// FuzzQuote: a POSIX shell reads back the word that was quoted.
func FuzzQuote(f *testing.F) {
	for _, w := range []string{"", "a", "it's", "a\nb", `\`, "$(id)", "-n", "~", "\xff"} {
		f.Add(w)
	}
	f.Fuzz(func(t *testing.T, w string) {
		if strings.Contains(w, "\x00") {
			return
		}
		out, err := exec.Command("/bin/sh", "-c", Cmd{Argv: []string{"/usr/bin/printf", "%s", w}}.String()).Output()
		if err != nil || string(out) != w {
			t.Errorf("%q was read as %q, %v", w, out, err)
		}
	})
}

// TestClean: what a terminal could be led astray by becomes a space; quotation marks and other letters of a message stay.
func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"/usr/bin/env: \u2018sudo\u2019: No such file \u2013 암호\u2026": "/usr/bin/env: \u2018sudo\u2019: No such file \u2013 암호\u2026",
		"a\x1b[31mb\u009bc\x7fd":                  "a [31mb c d",
		"a\u200eb\u200fc\u202ed\u2066e\u2028f\ng": "a b c d e f g",
		"\xff\n":                 "?",
		strings.Repeat("é", 200): strings.Repeat("é", 150) + "\u2026",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
