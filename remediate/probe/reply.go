package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Reply is an SMTP reply (RFC 5321, 4.2).
type Reply struct {
	Code     int      `json:"code"`               // 0 is none
	Enhanced string   `json:"enhanced,omitempty"` // the enhanced status code of the last line (RFC 3463): 5.7.1
	Lines    []string `json:"lines,omitempty"`    // the text of each line, after code and separator, as it came
}

// String is the reply in one line, cut where it is long: the code and the lines' text. Bytes are as the server sent them.
func (r Reply) String() string {
	text := strings.Join(r.Lines, " / ")
	if r.Code != 0 {
		text = strings.TrimSpace(fmt.Sprintf("%03d %s", r.Code, text))
	}
	if len(text) > maxShown {
		text = text[:maxShown] + "…"
	}
	return text
}

func (r Reply) text() string { return strings.Join(r.Lines, "\n") }

func (r Reply) good() bool { return r.Code >= 200 && r.Code < 300 }

// Bounds of a reply. RFC 5321, 4.5.3.1.5 allows 512 bytes a line; some servers send more.
const (
	maxTextLine   = 4096
	maxReplyLines = 256
	maxReplyBytes = 64 << 10
)

// maxShown bounds a reply in one line.
const maxShown = 400

// errGarbled is a reply that is none.
var errGarbled = errors.New("the reply is not SMTP")

// readReply reads one reply, all its lines. What came before an error is in the Reply. Lines may end in LF alone.
func readReply(r *bufio.Reader) (Reply, error) {
	var out Reply
	for n, size := 0, 0; ; n++ {
		if n == maxReplyLines || size > maxReplyBytes {
			return out, fmt.Errorf("%w: it does not end after %d lines and %d bytes", errGarbled, n, size)
		}
		line, err := readLine(r)
		size += len(line)
		if err != nil {
			if line != "" {
				out.Lines = append(out.Lines, line)
			}
			if err == io.EOF && (line != "" || n > 0) {
				err = io.ErrUnexpectedEOF
			}
			return out, err
		}
		code, last, text, ok := splitReply(line)
		if !ok {
			out.Lines = append(out.Lines, line)
			return out, fmt.Errorf("%w: %.80q", errGarbled, line)
		}
		if n > 0 && code != out.Code {
			out.Lines = append(out.Lines, text)
			return out, fmt.Errorf("%w: a line with code %d in a reply with code %d", errGarbled, code, out.Code)
		}
		out.Code, out.Lines = code, append(out.Lines, text)
		if last {
			out.Enhanced = enhanced(code, text)
			return out, nil
		}
	}
}

// readLine reads a line of at most maxTextLine bytes and takes off its end.
func readLine(r *bufio.Reader) (string, error) {
	var b []byte
	for {
		part, err := r.ReadSlice('\n')
		b = append(b, part...)
		if len(b) > maxTextLine {
			return string(b[:maxTextLine]), fmt.Errorf("%w: a line of more than %d bytes", errGarbled, maxTextLine)
		}
		if err == nil {
			return strings.TrimRight(string(b), "\r\n"), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return string(b), err
		}
	}
}

// splitReply takes a line apart: "250-text" and "250 text"; "250" alone is a last line without text.
func splitReply(line string) (code int, last bool, text string, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' {
		return 0, false, "", false
	}
	for i := range 3 {
		if line[i] < '0' || line[i] > '9' {
			return 0, false, "", false
		}
		code = code*10 + int(line[i]-'0')
	}
	switch {
	case len(line) == 3:
		return code, true, "", true
	case line[3] == ' ':
		return code, true, line[4:], true
	case line[3] == '-':
		return code, false, line[4:], true
	}
	return 0, false, "", false
}

// enhanced returns the enhanced status code at the head of a reply's text, "" for none. It must be of the reply code's class (RFC 2034, 4).
func enhanced(code int, text string) string {
	word, _, _ := strings.Cut(text, " ")
	parts := strings.Split(word, ".")
	if len(parts) != 3 || len(word) > 9 || parts[0] != string('0'+byte(code/100)) {
		return ""
	}
	for _, p := range parts {
		if p == "" || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return ""
		}
	}
	return word
}
