package facts

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Bounds of what is read from a host: the whole frame, one line of it, the sections and marks in it.
const (
	maxFrame    = 32 << 20
	maxLine     = 4 << 20
	maxSection  = 2 << 20 // bytes of content of one section; the script sends at most 1 MiB
	maxSections = 20000
	maxMasks    = 20000 // of one section
	maxWords    = 64    // of one header
)

// ErrNoFrame means that what was read holds no snapshot at all.
var ErrNoFrame = errors.New("no frame of the collector in it")

// Parse reads what the collector wrote: the frame of the first run that it finds, and the one that a second command (Follow) added to it.
// Noise before, between and after its lines is ignored.
// A frame whose end is missing gives a Snapshot that is not Complete, with what had come. The error says that there is no frame, or that
// reading failed; a damaged section is no error: its State says so.
func Parse(r io.Reader) (*Snapshot, error) { return parse(r, "") }

func parse(r io.Reader, nonce string) (*Snapshot, error) {
	p, second := newParser(nonce), newParser("")
	limited := &io.LimitedReader{R: r, N: maxFrame + 1}
	lines := bufio.NewReaderSize(limited, 64<<10)
	for !second.s.Complete {
		line, err := readLine(lines)
		switch {
		case len(line) == 0:
		case p.s.Complete:
			second.line(line)
		default:
			p.line(line)
			second.first = p.nonce
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the snapshot: %w", err)
		}
	}
	if !p.begun {
		return nil, fmt.Errorf("cannot read the snapshot: %w", ErrNoFrame)
	}
	if limited.N <= 0 {
		p.problem("the snapshot is larger than %d MiB; the rest was not read", maxFrame>>20)
	}
	p.close(false)
	if second.begun {
		second.close(false)
		p.s.lay(second.s)
	}
	p.s.nonce = p.nonce
	p.s.finish()
	return p.s, nil
}

func newParser(nonce string) *parser {
	return &parser{nonce: nonce, s: &Snapshot{
		Tools: map[string]string{}, files: map[string]*File{}, outputs: map[string]*Output{}, facts: map[string]string{}, seen: map[string][]Seen{},
	}}
}

// readLine returns the next line without its end. Of a line longer than maxLine it returns the beginning.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) <= maxLine {
			line = append(line, part...)
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		return bytes.TrimSuffix(line, []byte("\n")), err
	}
}

// parser is the state between two lines of a frame.
type parser struct {
	s        *Snapshot
	nonce    string
	first    string // of a second frame: the nonce of the first one, which its first line names
	begun    bool
	cr       bool // a terminal put a CR before every line end
	section  *section
	sections int
}

// section is what is being read: a header and the content that has come so far.
type section struct {
	kind  string
	name  string
	attr  map[string]string
	masks []Mask
	data  []byte
	lines int
	full  bool
}

func (p *parser) problem(format string, args ...any) {
	if len(p.s.Problems) < maxSections {
		p.s.Problems = append(p.s.Problems, fmt.Sprintf(format, args...))
	}
}

func (p *parser) line(line []byte) {
	if p.cr {
		line = bytes.TrimSuffix(line, []byte("\r"))
	}
	if !p.begun {
		p.begin(line)
		return
	}
	if rest, ok := bytes.CutPrefix(line, []byte(p.nonce+" ")); ok {
		p.header(string(rest))
		return
	}
	if p.section != nil && len(line) > 0 && line[0] == '|' {
		p.section.add(line[1:])
	}
}

// begin looks for the line "NONCE begin 1 DIGEST SECONDS", or of a second frame, "NONCE follow FIRST DIGEST SECONDS".
func (p *parser) begin(line []byte) {
	if len(line) > 512 {
		return
	}
	w := strings.Fields(string(line))
	word, of := "begin", "1"
	if p.first != "" {
		word, of = "follow", p.first
	}
	if len(w) != 5 || w[1] != word || w[2] != of || len(w[0]) < 8 || p.nonce != "" && w[0] != p.nonce {
		return
	}
	p.nonce, p.begun, p.cr = w[0], true, bytes.HasSuffix(line, []byte("\r"))
	p.s.Digest = w[3]
	if n, err := strconv.ParseInt(w[4], 10, 64); err == nil && n > 0 && n < 1<<40 {
		p.s.Taken = time.Unix(n, 0).UTC()
	}
}

func (p *parser) header(text string) {
	word, rest, _ := strings.Cut(text, " ")
	switch word {
	case "mask":
		p.section.mask(rest)
		return
	case "end":
		p.close(true)
		return
	}
	p.close(false)
	if p.sections++; p.sections > maxSections {
		return
	}
	switch word {
	case "done":
		p.s.Complete = true
	case "fact":
		key, value, _ := strings.Cut(rest, " ")
		p.s.facts[unescape(key)] = value
	case "problem":
		p.problem("%s", rest)
	case "listen":
		p.listen(rest)
	case "file", "output", "stderr", "proc":
		p.section = newSection(word, rest)
	case "seen":
		p.section = &section{kind: word, name: unescape(rest), attr: map[string]string{}}
	}
}

func (p *parser) listen(rest string) {
	w := strings.Fields(rest)
	if len(w) == 0 {
		return
	}
	l := Listener{Addr: w[0]}
	if len(w) > 1 {
		l.PID = atoi(w[1])
	}
	p.s.Listeners = append(p.s.Listeners, l)
}

func newSection(kind, rest string) *section {
	c := &section{kind: kind, attr: map[string]string{}}
	for i, w := range strings.Fields(rest) {
		if i == maxWords {
			break
		}
		k, v, _ := strings.Cut(w, "=")
		c.attr[k] = unescape(v)
	}
	c.name = c.attr["name"]
	if kind == "file" {
		c.name = c.attr["path"]
	}
	return c
}

func (c *section) mask(rest string) {
	if c == nil || len(c.masks) >= maxMasks {
		return
	}
	w := strings.Fields(rest)
	if len(w) == 3 {
		c.masks = append(c.masks, Mask{Offset: atoi(w[0]), Length: atoi(w[1]), Origin: atoi(w[2])})
	}
}

func (c *section) add(line []byte) {
	if len(c.data)+len(line)+1 > maxSection {
		c.full = true
		return
	}
	c.lines++
	if c.attr["enc"] == "hex" {
		raw, err := hex.AppendDecode(c.data, line)
		c.data = raw
		c.full = c.full || err != nil
		return
	}
	c.data = append(append(c.data, line...), '\n')
}

// close ends the open section; whole says that its end was seen.
func (p *parser) close(whole bool) {
	c := p.section
	p.section = nil
	if c == nil || c.name == "" && c.kind != "proc" {
		return
	}
	state := State(c.attr["state"])
	if !c.sound(whole) && (state == Whole || state == Cut || state == Timeout) {
		state = Damaged
		p.problem("%s %s did not come whole", c.kind, c.name)
	}
	switch c.kind {
	case "file":
		p.file(c, state)
	case "output":
		p.output(c, state)
	case "stderr":
		if o := p.s.outputs[c.name]; o != nil {
			o.Stderr = c.data
		}
	case "proc":
		p.process(c)
	case "seen":
		p.s.seen[c.name] = append(p.s.seen[c.name], parseSeen(c.data, p.s.Taken)...)
	}
}

// sound says whether what came is what was sent, as far as the header tells.
func (c *section) sound(whole bool) bool {
	if !whole || c.full {
		return false
	}
	end := 0
	for _, m := range c.masks {
		if m.Offset < end || m.Length <= 0 || m.Origin <= 0 || m.Origin > maxSection || m.Offset > len(c.data) || m.Length > len(c.data)-m.Offset {
			return false
		}
		end = m.Offset + m.Length
	}
	if n, ok := c.attr["lines"]; ok && atoi(n) != c.lines {
		return false
	}
	n, ok := c.attr["bytes"]
	return !ok || c.attr["enc"] == "hex" || atoi(n) == len(c.data)
}

// file keeps a file. Of a path that was sent twice the first counts.
func (p *parser) file(c *section, state State) {
	if _, dup := p.s.files[c.name]; dup {
		return
	}
	f := &File{
		Path: c.name, Target: c.attr["target"], Mode: parseMode(c.attr), Owner: c.attr["owner"], Group: c.attr["group"],
		Links: atoi(c.attr["links"]), Size: atoi64(c.attr["size"]), ModTime: parseTime(c.attr, p.s.Taken), SHA256: c.attr["sha256"],
		State: state, Data: c.data, Masks: c.masks,
	}
	origin := int64(len(f.Data))
	for _, m := range f.Masks {
		origin += int64(m.Origin - m.Length)
	}
	// The last line of a file need not have an end; the frame's lines all do.
	if f.State == Whole && origin == f.Size+1 && len(f.Data) > 0 {
		f.Data = f.Data[:len(f.Data)-1]
		origin--
	}
	if f.State == Whole && origin != f.Size {
		f.State = Damaged
		p.problem("file %s has %d bytes, %d came", Printable(f.Path), f.Size, origin)
	}
	if n := len(f.Masks); f.State == Whole && n > 0 && f.Masks[n-1].Offset+f.Masks[n-1].Length > len(f.Data) {
		f.State = Damaged
		p.problem("file %s has a mask behind its end", Printable(f.Path))
	}
	if f.State == Whole && len(f.Masks) == 0 {
		sum := sha256.Sum256(f.Data)
		if got := hex.EncodeToString(sum[:]); f.SHA256 == "" {
			f.SHA256 = got
		} else if f.SHA256 != got {
			f.State = Damaged
			p.problem("file %s changed while it was read, or was damaged on its way", Printable(f.Path))
		}
	}
	p.s.files[f.Path] = f
	p.s.order = append(p.s.order, "file\x00"+f.Path)
}

func (p *parser) output(c *section, state State) {
	if _, dup := p.s.outputs[c.name]; dup {
		return
	}
	o := &Output{Name: c.name, Exit: atoi(c.attr["exit"]), Stdout: c.data, State: state}
	if c.attr["nl"] == "0" {
		o.Stdout = bytes.TrimSuffix(o.Stdout, []byte("\n"))
	}
	p.s.outputs[o.Name] = o
	p.s.order = append(p.s.order, "output\x00"+o.Name)
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

func atoi64(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// unescape undoes the frame's %HH.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
