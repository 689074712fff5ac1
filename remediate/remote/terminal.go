package remote

import (
	"bytes"
	"strconv"
)

// terminal parts what comes over a terminal: what was said before root was reached, the command's output, and behind it its status and what it said on
// standard error.
type terminal struct {
	end   []byte // the line before the status
	tail  []byte // output that may be the beginning of that line
	ended bool
	after []byte // what came behind it, at most stderrLimit
}

func newTerminal(b *Become) *terminal { return &terminal{end: []byte("\n" + b.mark + "-end ")} }

// output takes what came and returns what of it, and of what was held back before, is the command's output.
func (t *terminal) output(p []byte) []byte {
	if t.ended {
		t.after = append(t.after, p[:min(len(p), stderrLimit-len(t.after))]...)
		return nil
	}
	t.tail = append(t.tail, p...)
	own, after, ended := bytes.Cut(t.tail, t.end)
	if ended {
		t.ended, t.after, t.tail = true, bytes.Clone(after), nil
		return own
	}
	keep := min(len(t.tail), len(t.end)-1)
	for !bytes.HasPrefix(t.end, t.tail[len(t.tail)-keep:]) {
		keep--
	}
	own = t.tail[:len(t.tail)-keep]
	t.tail = bytes.Clone(t.tail[len(t.tail)-keep:])
	return own
}

// rest is what was held back and no line came of.
func (t *terminal) rest() []byte {
	own := t.tail
	t.tail = nil
	return own
}

// status is the command's exit status and its standard error; ok is false where they did not come.
func (t *terminal) status() (exit int, stderr []byte, ok bool) {
	line, stderr, ok := bytes.Cut(t.after, []byte("\n"))
	if !t.ended || !ok {
		return 0, nil, false
	}
	exit, err := strconv.Atoi(string(line))
	if err != nil || exit < 0 || exit > 255 {
		return 0, nil, false
	}
	if string(stderr) == "\n" { // nothing was said
		stderr = nil
	}
	return exit, stderr[:min(len(stderr), stderrKeep)], true
}
