package journal

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"mtaharden/remediate/remote"
)

//go:embed sh/frame.sh
var frameSh string

// ErrDamaged means that what a host sent is not whole, or not what this program's script sends.
var ErrDamaged = errors.New("the host's answer is damaged")

// Part is one thing that a script sent: a fact with its text, or a content with its bytes.
type Part struct {
	Key  string
	Text string // of a fact; no control character is in it
	Data []byte // of a content
	Size int64  // of a content: the file's whole size; more than len(Data) where only its beginning was sent
	File bool   // it is a content
}

// Whole says whether all of a content came.
func (p Part) Whole() bool { return p.File && p.Size == int64(len(p.Data)) }

// maxParts bounds the parts of one answer.
const maxParts = 200_000

// Ask runs a script on a host, as one command, and returns what it sent by mh_fact, mh_blob and mh_raw, and the host's clock. The script follows
// Head; at most limit bytes are taken. The error wraps ErrDamaged where the answer has no end, or is not an answer.
func (l Layout) Ask(ctx context.Context, h remote.Host, run, script string, limit int) ([]Part, int64, error) {
	nonce := remote.Nonce()
	res, err := h.Run(ctx, l.command(nonce, run, script), limit)
	if err != nil {
		return nil, 0, err
	}
	parts, now, err := parse(res.Stdout, nonce)
	if err != nil {
		return nil, 0, fmt.Errorf("%w (exit status %d)%s", err, res.Exit, said(res.Stderr))
	}
	return parts, now, nil
}

// command is a script of a run as one command: a function that is called on the last line, with an answer's begin and end around it.
func (l Layout) command(nonce, run, script string) remote.Cmd {
	return remote.Launch(nonce, "mh_main() {\n"+l.Head(run)+frameSh+"mh_open\n"+strings.TrimRight(script, "\n")+"\nmh_close\n}\nmh_main </dev/null\n")
}

func said(stderr []byte) string {
	for line := range strings.Lines(string(stderr)) {
		if line = remote.Clean(line); line != "" {
			return ": " + line
		}
	}
	return ""
}

// frame is what is left to read of an answer.
type frame struct {
	rest  []byte
	nonce string
	parts []Part
}

// parse reads an answer. Lines before its beginning are noise; after it nothing is that is not the script's own.
func parse(out []byte, nonce string) (parts []Part, now int64, err error) {
	head := []byte("\n" + nonce + " begin 1 ")
	i := bytes.Index(out, head)
	if i < 0 {
		return nil, 0, fmt.Errorf("%w: it has no beginning", ErrDamaged)
	}
	f := &frame{rest: out[i+len(head):], nonce: nonce}
	line, _ := f.line()
	if now, err = strconv.ParseInt(line, 10, 64); err != nil || now < 0 || now > 1<<40 {
		return nil, 0, fmt.Errorf("%w: the host's clock says %.40q", ErrDamaged, line)
	}
	for {
		line, ok := f.line()
		if !ok {
			return nil, 0, fmt.Errorf("%w: it has no end", ErrDamaged)
		}
		word, ok := strings.CutPrefix(line, nonce+" ")
		if !ok {
			return nil, 0, fmt.Errorf("%w: it holds the line %.80q", ErrDamaged, line)
		}
		if word == "done" {
			return f.parts, now, nil
		}
		if err := f.part(word); err != nil {
			return nil, 0, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
}

// line takes the next line; false where none ends.
func (f *frame) line() (string, bool) {
	line, rest, ok := bytes.Cut(f.rest, []byte("\n"))
	if !ok {
		return "", false
	}
	f.rest = rest
	return string(line), true
}

func (f *frame) part(text string) error {
	if len(f.parts) >= maxParts {
		return fmt.Errorf("more than %d parts", maxParts)
	}
	word, rest, _ := strings.Cut(text, " ")
	key, value, _ := strings.Cut(rest, " ")
	p := Part{Key: key}
	var err error
	switch word {
	case "fact":
		p.Text = value
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			err = fmt.Errorf("the fact %.40q holds a control character", key)
		}
	case "blob":
		p.File = true
		p.Data, p.Size, err = f.blob()
	case "raw":
		p.File = true
		p.Data, p.Size, err = f.raw(value)
	default:
		err = fmt.Errorf("it holds %.80q", text)
	}
	f.parts = append(f.parts, p)
	return err
}

// blob takes lines of hexadecimal up to the end, which says the file's size.
func (f *frame) blob() (data []byte, size int64, err error) {
	for {
		line, ok := f.line()
		if !ok {
			return nil, 0, errors.New("a content has no end")
		}
		if end, ok := strings.CutPrefix(line, f.nonce+" end "); ok {
			size, err = strconv.ParseInt(end, 10, 64)
			if err != nil || size < 0 {
				err = fmt.Errorf("a content's size is %.40q", end)
			}
			// A file that grows while it is read is larger at the end; one that shrank is not what was sent.
			if err == nil && size < int64(len(data)) {
				err = fmt.Errorf("a content of %d bytes came with %d", size, len(data))
			}
			return data, size, err
		}
		if data, err = hex.AppendDecode(data, []byte(strings.Join(strings.Fields(line), ""))); err != nil {
			return nil, 0, errors.New("a content is no hexadecimal")
		}
	}
}

// raw takes so many bytes and the end after them.
func (f *frame) raw(value string) (data []byte, size int64, err error) {
	size, err = strconv.ParseInt(value, 10, 64)
	if err != nil || size < 0 || size > int64(len(f.rest)) {
		return nil, 0, fmt.Errorf("a content of %.40q bytes did not come whole", value)
	}
	data, f.rest = f.rest[:size:size], f.rest[size:]
	rest, ok := bytes.CutPrefix(f.rest, []byte("\n"+f.nonce+" end "+value+"\n"))
	if !ok {
		return nil, 0, fmt.Errorf("a content of %d bytes has another size", size)
	}
	f.rest = rest
	return data, size, nil
}
