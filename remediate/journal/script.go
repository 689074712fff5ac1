package journal

import (
	_ "embed"
	"fmt"
	"strings"

	"mtaharden/remediate/remote"
)

//go:embed sh/host.sh
var hostSh string

// Script is what every script of a run begins with: functions of POSIX sh whose names begin with mh_, and no command. A script calls mh_setup
// before any other of them.
func Script() string { return hostSh }

// Head is Script with its variables set for a run ("" where the script is of no run) and mh_setup called.
func (l Layout) Head(run string) string {
	dir := l.Base()
	if run != "" {
		dir = l.Run(run)
	}
	return hostSh + fmt.Sprintf("mh_base=%s\nmh_run=%s\nmh_dir=%s\nmh_setup\n", remote.Quote(l.Base()), remote.Quote(run), remote.Quote(dir))
}

// Bytes returns shell text that writes data to standard output: calls of mh_say joined by &&, each a line of less than 4000 bytes, which
// passes a terminal too.
func Bytes(data []byte) string {
	if len(data) == 0 {
		return ":\n"
	}
	var b strings.Builder
	room := 0
	for i, c := range data {
		word := escaped(c)
		if room -= len(word); room < 0 {
			if i > 0 {
				b.WriteString("' &&\n")
			}
			b.WriteString("mh_say '")
			room = 3900 - len(word)
		}
		b.WriteString(word)
	}
	return b.String() + "'\n"
}

// escaped is a byte as mh_say takes it: every one that a shell, printf or a terminal could read as something else is four octal digits.
func escaped(c byte) string {
	if c < ' ' || c >= 0x7f || strings.IndexByte(`'\!`, c) >= 0 {
		return fmt.Sprintf(`\%04o`, c)
	}
	return string(rune(c))
}

// Put returns a shell command that writes data to a file durably, under its name only when it is whole; its status says whether it did.
// file is shell text that names the file without a substitution: a quoted word, or one like "$mh_dir/about".
func Put(file string, data []byte) string {
	return "{\n" + Bytes(data) + "} >" + file + ".tmp && mh_seal " + file + "\n"
}
