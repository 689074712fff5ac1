package postfix

import (
	"fmt"
	"strings"
)

// entry is one "name = value" of main.cf.
type entry struct {
	logical
	name  string
	value string // white space at both ends taken off; references not expanded
	at    int    // index in text of the first byte of value (of the end of the text for an empty one)
}

// offset is where the byte i of the value lies in the file; i may be len(value).
func (e *entry) offset(i int) int {
	if k := e.at + i; k < len(e.pos) {
		return e.pos[k]
	}
	return e.pos[len(e.pos)-1] + 1
}

// mainFile is a main.cf: its bytes and what stands in them.
type mainFile struct {
	path    string
	data    []byte
	entries []entry
	last    map[string]int // index of the last entry of each name: it is the one that holds
	broken  []place        // lines that make every Postfix program stop: "missing '=' after attribute name"
	stray   []int          // lines that Postfix leaves out with a warning
}

// place is a line with what is wrong with it.
type place struct {
	line int
	text string
}

// parseMain reads main.cf as Postfix's dict_load_fp does.
func parseMain(path string, data []byte) *mainFile {
	f := &mainFile{path: path, data: data, last: map[string]int{}}
	lines, stray := logicalLines(data)
	f.stray = stray
	for _, l := range lines {
		e, err := parseEntry(l)
		if err != nil {
			f.broken = append(f.broken, place{l.line, err.Error()})
			continue
		}
		f.last[e.name] = len(f.entries)
		f.entries = append(f.entries, e)
	}
	return f
}

func parseEntry(l logical) (entry, error) {
	end := strings.IndexAny(l.text, "= \t\n\v\f\r")
	if end < 0 {
		return entry{}, fmt.Errorf("missing '=' after attribute name: %.40q", l.text)
	}
	name := l.text[:end]
	rest, skipped := trimSpace(l.text[end:])
	if name == "" || !strings.HasPrefix(rest, "=") {
		return entry{}, fmt.Errorf("missing '=' after attribute name: %.40q", l.text)
	}
	value, blank := trimSpace(rest[1:])
	at := end + skipped + 1 + blank
	if value == "" {
		at = end + skipped + 1
	}
	return entry{logical: l, name: name, value: value, at: at}, nil
}

// get returns the entry of name that holds: the last one.
func (f *mainFile) get(name string) (*entry, bool) {
	i, ok := f.last[name]
	if !ok {
		return nil, false
	}
	return &f.entries[i], true
}

// lineAt is the number of the line that holds the byte at offset.
func lineAt(data []byte, offset int) int {
	line := 1
	for _, c := range data[:min(offset, len(data))] {
		if c == '\n' {
			line++
		}
	}
	return line
}
