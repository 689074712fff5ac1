package sshconfig

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// line is one directive.
type line struct {
	key      string // in lower case
	words    []string
	rest     string // what follows the keyword, as it stands
	file     string
	number   int
	included []line // of an Include
	err      error  // its words cannot be told apart
}

func (l line) where() string { return fmt.Sprintf("%s:%d", l.file, l.number) }

func (l line) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %s", l.where(), fmt.Sprintf(format, args...))
}

const (
	maxDepth = 16      // of includes, as in OpenSSH
	maxFile  = 1 << 20 // bytes of one file
	maxFiles = 1000    // that are included
)

// includer reads a file and those it includes.
type includer struct {
	home, dir string
	files     int
}

// read returns the directives of a file. One that is missing is empty.
func (in *includer) read(name string, depth int) ([]line, error) {
	if in.files++; in.files > maxFiles {
		return nil, fmt.Errorf("more than %d files are included", maxFiles)
	}
	text, err := readText(name)
	if errors.Is(err, fs.ErrNotExist) || depth > 0 && (errors.Is(err, fs.ErrPermission) || errors.Is(err, errDirectory)) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lines := parse(name, text)
	for i := range lines {
		if lines[i].key != "include" {
			continue
		}
		if depth == maxDepth {
			return nil, lines[i].errorf("files include each other %d deep", maxDepth)
		}
		for _, word := range lines[i].words {
			more, err := in.include(word, depth+1)
			if err != nil {
				return nil, err
			}
			lines[i].included = append(lines[i].included, more...)
		}
	}
	return lines, nil
}

func (in *includer) include(pattern string, depth int) ([]line, error) {
	if rest, ok := strings.CutPrefix(pattern, "~/"); ok {
		pattern = filepath.Join(in.home, rest)
	} else if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(in.dir, pattern)
	}
	names, err := filepath.Glob(pattern)
	if err != nil {
		return nil, nil // as glob(3): no such file
	}
	slices.Sort(names)
	var out []line
	for _, name := range names {
		lines, err := in.read(name, depth)
		if err != nil {
			return nil, err
		}
		out = append(out, lines...)
	}
	return out, nil
}

// errDirectory: ssh takes a directory for an empty file, and so does an Include of conf.d/* that has one within.
var errDirectory = errors.New("it is a directory")

func readText(name string) (string, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // the open of a pipe that nobody writes to would not return
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch null, _ := os.Stat(os.DevNull); {
	case err != nil:
		return "", err
	case info.IsDir():
		return "", fmt.Errorf("%s: %w", name, errDirectory)
	case os.SameFile(info, null):
		return "", nil
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s: it is a pipe or a device, and no file", name)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s: is larger than %d MiB", name, maxFile>>20)
	}
	return string(text), err
}

const blanks = " \t\r\n\f"

// parse cuts text into directives, as readconf.c of OpenSSH does.
func parse(file, text string) []line {
	var out []line
	number := 0
	for whole := range strings.Lines(text) {
		number++
		rest := strings.Trim(whole, blanks)
		if rest == "" || rest[0] == '#' {
			continue
		}
		l := line{file: file, number: number}
		l.key, rest = keyword(rest)
		l.key = strings.ToLower(l.key)
		l.rest = rest
		l.words, l.err = split(rest)
		out = append(out, l)
	}
	return out
}

// keyword takes the first word off: it ends at a blank or at one equals sign.
func keyword(s string) (word, rest string) {
	if inner, ok := strings.CutPrefix(s, `"`); ok {
		word, rest, _ = strings.Cut(inner, `"`)
		return word, afterWord(rest)
	}
	end := strings.IndexAny(s, blanks+"=")
	if end < 0 {
		return s, ""
	}
	return s[:end], afterWord(s[end:])
}

func afterWord(s string) string {
	s = strings.TrimLeft(s, blanks)
	if after, ok := strings.CutPrefix(s, "="); ok {
		s = strings.TrimLeft(after, blanks)
	}
	return s
}

// split cuts arguments as argv_split of OpenSSH does: quotes join, a backslash keeps a quote, a backslash or a blank, and # at the begin of a word begins a comment.
func split(s string) ([]string, error) {
	var words []string
	for i := 0; i < len(s); {
		switch {
		case s[i] == ' ' || s[i] == '\t':
			i++
			continue
		case s[i] == '#':
			return words, nil
		}
		word, end, err := oneWord(s, i)
		if err != nil {
			return words, err
		}
		words, i = append(words, word), end
	}
	return words, nil
}

func oneWord(s string, i int) (string, int, error) {
	var b strings.Builder
	quote := byte(0)
	for ; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && (strings.IndexByte(`'"\`, s[i+1]) >= 0 || quote == 0 && s[i+1] == ' '):
			i++
			b.WriteByte(s[i])
		case quote == 0 && (c == ' ' || c == '\t'):
			return b.String(), i, nil
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", i, fmt.Errorf("a %c without its end", quote)
	}
	return b.String(), i, nil
}
