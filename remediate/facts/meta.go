package facts

import (
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// parseMode reads st_mode in hexadecimal, or ls's ten letters.
func parseMode(attr map[string]string) fs.FileMode {
	if m := attr["mode"]; m != "" {
		n, err := strconv.ParseUint(m, 16, 32)
		if err != nil {
			return 0
		}
		return unixMode(uint32(n))
	}
	return lettersMode(attr["perm"])
}

// unixMode turns st_mode into Go's bits.
func unixMode(n uint32) fs.FileMode {
	mode := fs.FileMode(n & 0o777)
	switch n & 0o170000 {
	case 0o040000:
		mode |= fs.ModeDir
	case 0o120000:
		mode |= fs.ModeSymlink
	case 0o140000:
		mode |= fs.ModeSocket
	case 0o010000:
		mode |= fs.ModeNamedPipe
	case 0o060000:
		mode |= fs.ModeDevice
	case 0o020000:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	}
	for bit, m := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if n&bit != 0 {
			mode |= m
		}
	}
	return mode
}

// lettersMode reads "-rwsr-xr-t".
func lettersMode(s string) fs.FileMode {
	if len(s) < 10 {
		return 0
	}
	kinds := map[byte]uint32{'d': 0o040000, 'l': 0o120000, 's': 0o140000, 'p': 0o010000, 'b': 0o060000, 'c': 0o020000, '-': 0o100000}
	n := kinds[s[0]]
	for i := range 9 {
		bit := uint32(1) << (8 - i)
		special := uint32(0o4000) >> (i / 3)
		switch s[1+i] {
		case 'r', 'w', 'x':
			n |= bit
		case 's', 't':
			n |= bit | special
		case 'S', 'T', 'l', 'L':
			n |= special
		}
	}
	return unixMode(n)
}

// parseTime reads seconds since 1970, or ls's three words, which lack either the year or the time of day.
func parseTime(attr map[string]string, taken time.Time) time.Time {
	if m := attr["mtime"]; m != "" {
		return time.Unix(atoi64(m), 0).UTC()
	}
	d := strings.ReplaceAll(attr["date"], "_", " ")
	if t, err := time.Parse("Jan 2 2006", d); err == nil {
		return t
	}
	t, err := time.Parse("Jan 2 15:04", d)
	if err != nil {
		return time.Time{}
	}
	t = t.AddDate(taken.Year(), 0, 0)
	if t.After(taken.Add(48 * time.Hour)) {
		t = t.AddDate(-1, 0, 0)
	}
	return t
}
