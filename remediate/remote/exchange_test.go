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
func converse(s *Become, stdin string, stderr ...string) (given string, r Result, err error) {
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
		says     func(s *Become) []string
		given    string
		stderr   string
		kind     error
	}{
		{"asked", password, func(s *Become) []string { return []string{"lecture\n", s.prompt + "root: ", "\n", s.mark + "\nout\n"} }, "secret\nSYNC\nINPUT", "lecture\n\nout\n", nil},
		{"prompt in pieces", password, func(s *Become) []string {
			return []string{s.prompt[:5], s.prompt[5:] + "root: ", s.mark[:3], s.mark[3:], "\n"}
		}, "secret\nSYNC\nINPUT", "", nil},
		{"not asked", password, func(s *Become) []string { return []string{s.mark + "\n"} }, "SYNC\nINPUT", "", nil},
		{"sudo -n", nil, func(s *Become) []string { return []string{s.mark + "\n"} }, "INPUT", "", nil},
		{"asked twice", password, func(s *Become) []string {
			return []string{s.prompt + "root: ", "Sorry, try again.\n", s.prompt + "root: ", s.prompt + "root: "}
		}, "secret\n", "Sorry, try again.\n", ErrPrivilege},
		{"refused", nil, func(s *Become) []string { return []string{"sudo: a password is required\n"} }, "INPUT", "sudo: a password is required\n", ErrPrivilege},
		{"no password", func() (string, error) { return "", errors.New("gone") }, func(s *Become) []string { return []string{s.prompt + "root: "} }, "", "", ErrPrivilege},
		{"two lines for a password", func() (string, error) { return "a\nb", nil }, func(s *Become) []string { return []string{s.prompt + "root: "} }, "", "", ErrPrivilege},
		{"the mark of another run", password, func(s *Become) []string { return []string{"mtaharden-0000000000000000-root\n"} }, "", "mtaharden-0000000000000000-root\n", ErrPrivilege},
		{"PAM's own prompt", password, func(s *Become) []string { return []string{"[sudo] 암호: ", s.mark + "\n"} }, "secret\nSYNC\nINPUT", "[sudo] 암호: ", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := NewSudo(c.password)
			calls = 0
			given, r, err := converse(s, "INPUT", c.says(s)...)
			if given != strings.ReplaceAll(c.given, "SYNC", s.sync) || string(r.Stderr) != c.stderr || (c.kind == nil) != (err == nil) || c.kind != nil && !errors.Is(err, c.kind) {
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
	argv, err := NewSudo(password).Argv([]string{"x"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range argv {
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

// TestBegin: what the start-up files of a login shell print is not the command's output, and counts for nothing; where the command never says that
// it begins, all is.
func TestBegin(t *testing.T) {
	const welcome = "Welcome to the mail host\n"
	for _, c := range []struct {
		name   string
		writes func(mark string) []string
		out    string
		kind   error
	}{
		{"silent", func(m string) []string { return []string{m + "\n", "answer\n"} }, "answer\n", nil},
		{"noise", func(m string) []string { return []string{welcome, m + "\nanswer\n"} }, "answer\n", nil},
		{"noise without a line end", func(m string) []string { return []string{"hi" + m + "\nanswer\n"} }, "answer\n", nil},
		{"in pieces", func(m string) []string { return []string{welcome + m[:4], m[4:], "\n", "ans", "wer\n"} }, "answer\n", nil},
		{"by a terminal", func(m string) []string { return []string{welcome, m + "\r\nanswer\n"} }, "answer\n", nil},
		{"a shell that shows its commands", func(m string) []string { return []string{"echo " + m + "; exec\n" + m + "\nanswer\n"} }, "answer\n", nil},
		{"the mark a second time", func(m string) []string { return []string{m + "\n" + m + "\n"} }, "MARK\n", nil},
		{"another command in its place", func(string) []string { return []string{"forced\n"} }, "forced\n", nil},
		{"cut in the mark", func(m string) []string { return []string{m[:10]} }, "", nil},
		{"cut before the mark's line ends", func(m string) []string { return []string{m} }, "", nil},
		{"nothing", func(string) []string { return nil }, "", nil},
		{"much noise", func(m string) []string { return []string{strings.Repeat(welcome, 1000), m + "\n", "answer\n"} }, "answer\n", nil},
		{"too much", func(m string) []string { return []string{m + "\n", strings.Repeat("x", 30)} }, strings.Repeat("x", 20), ErrCut},
		{"too much at once", func(m string) []string { return []string{m + "\n" + strings.Repeat("x", 30)} }, strings.Repeat("x", 20), ErrCut},
		{"too much of another command", func(string) []string { return []string{strings.Repeat("x", 30)} }, strings.Repeat("x", 20), ErrCut},
		{"noise without end", func(string) []string { return []string{strings.Repeat("x", noiseLimit+30)} }, strings.Repeat("x", 20), ErrCut},
	} {
		e := NewExchange(Cmd{}, 20, nil)
		var heard string
		e.Hear(func(p []byte) { heard += string(p) })
		argv := e.Begin([]string{"run", "this"})
		mark, _, _ := strings.Cut(strings.TrimPrefix(argv[2], "echo "), ";")
		for _, text := range c.writes(mark) {
			io.WriteString(e.Stdout(), text)
		}
		want := strings.ReplaceAll(c.out, "MARK", mark)
		if len(want) > 20 {
			want, c.kind = want[:20], ErrCut
		}
		r, err := e.Result(0)
		if string(r.Stdout) != want || c.kind == nil && (err != nil || heard != want) || c.kind != nil && !errors.Is(err, c.kind) {
			t.Errorf("%s: %q, heard %q, %v", c.name, r.Stdout, heard, err)
		}
	}
	// An installed collector (a forced command) writes megabytes and never says that it begins: they are heard as they come.
	e := NewExchange(Cmd{}, 3*noiseLimit, nil)
	heard := 0
	e.Hear(func(p []byte) { heard += len(p) })
	e.Begin([]string{"x"})
	for range 2 * noiseLimit / 4096 {
		e.Stdout().Write(make([]byte, 4096))
	}
	if heard != 2*noiseLimit {
		t.Errorf("%d bytes of %d were heard before the command's end", heard, 2*noiseLimit)
	}
	e = NewExchange(Cmd{}, 20, nil)
	argv := e.Begin([]string{"printf", "%s|", "a b", `"$@"`})
	e.Stdout().Write([]byte(welcome))
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	e.Stdout().Write(out)
	if r, rerr := e.Result(0); err != nil || rerr != nil || string(r.Stdout) != `a b|"$@"|` {
		t.Errorf("%q, %v, %v", r.Stdout, err, rerr)
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
		chunks := strings.SplitAfter(strings.NewReplacer("P", s.prompt+"root: ", "M", s.mark+"\n").Replace(text), "\n")
		given, _, err := converse(s, "INPUT", chunks...)
		switch given {
		case "", "secret\n":
			if err == nil {
				t.Error("the command was never begun and there is no error")
			}
		case s.sync + "\nINPUT", "secret\n" + s.sync + "\nINPUT":
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
