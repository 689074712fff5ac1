package sendmail

import (
	"bytes"
	"fmt"
	"strings"
)

// m4Arg is one argument of a macro call.
type m4Arg struct {
	value      string // one level of quotes taken off, dnl and what it discards gone
	start, end int    // of the argument as written, leading blanks not included
	inner      [2]int // what stands within the quotes, where the argument is one quoted string; else both 0
}

// m4Call is a call of a macro that sendmail's cf/README names, or a bare section word.
type m4Call struct {
	name        string
	args        []m4Arg
	file        *m4File
	start, end  int
	line        int
	conditional bool // inside a branch of ifdef or ifelse
}

// arg is the value of the nth argument, "" where there is none.
func (c m4Call) arg(n int) string {
	if n < len(c.args) {
		return strings.TrimSpace(c.args[n].value)
	}
	return ""
}

// m4File is a macro source: its bytes and the calls in them, in order.
type m4File struct {
	path  string
	data  []byte
	calls []m4Call
	glued []m4Call // words like dnlFEATURE: one token, so no comment
	err   error    // a quote or a call that never ends
}

// m4Names are the macros that are followed; any other word is text to m4 or a macro of the site's own.
var m4Names = map[string]bool{
	"define": true, "undefine": true, "include": true, "sinclude": true, "ifdef": true, "ifelse": true, "divert": true,
	"changequote": true, "changecom": true, "syscmd": true, "esyscmd": true, "errprint": true, "eval": true, "defn": true,
	"pushdef": true, "popdef": true, "maketemp": true, "mkstemp": true, "incr": true, "len": true, "substr": true, "translit": true,
	"FEATURE": true, "MAILER": true, "OSTYPE": true, "DOMAIN": true, "VERSIONID": true, "HACK": true, "SITE": true,
	"DAEMON_OPTIONS": true, "CLIENT_OPTIONS": true, "RELAY_DOMAIN": true, "RELAY_DOMAIN_FILE": true, "MASQUERADE_AS": true,
	"MASQUERADE_DOMAIN": true, "MASQUERADE_DOMAIN_FILE": true, "MASQUERADE_EXCEPTION": true, "MASQUERADE_EXCEPTION_FILE": true,
	"LOCAL_DOMAIN": true, "LOCAL_DOMAIN_FILE": true, "EXPOSED_USER": true, "EXPOSED_USER_FILE": true, "LOCAL_USER": true,
	"LOCAL_USER_FILE": true, "TRUST_AUTH_MECH": true, "VIRTUSER_DOMAIN": true, "VIRTUSER_DOMAIN_FILE": true,
	"GENERICS_DOMAIN": true, "GENERICS_DOMAIN_FILE": true, "INPUT_MAIL_FILTER": true, "MAIL_FILTER": true, "MODIFY_MAILER_FLAGS": true,
	"QUEUE_GROUP": true, "CANONIFY_DOMAIN": true, "CANONIFY_DOMAIN_FILE": true, "LDAPROUTE_DOMAIN": true, "DECNET_RELAY": true,
	"SITECONFIG": true, "UUCPSMTP": true, "TRUSTED_USER": true,
}

// m4Sections are words without arguments after which raw configuration lines follow, or mailers (cf/README).
var m4Sections = map[string]bool{
	"MAILER_DEFINITIONS": true, "LOCAL_CONFIG": true, "LOCAL_RULESETS": true, "LOCAL_NET_CONFIG": true, "LOCAL_RULE_0": true,
	"LOCAL_RULE_1": true, "LOCAL_RULE_2": true, "LOCAL_RULE_3": true, "LOCAL_SRV_FEATURES": true, "LOCAL_TRY_TLS": true,
	"LOCAL_TLS_RCPT": true, "LOCAL_TLS_CLIENT": true, "LOCAL_TLS_SERVER": true, "LOCAL_UUCP": true,
}

// m4Scan walks one macro source as m4 reads it (POSIX m4, cf/README).
type m4Scan struct {
	file        *m4File
	data        []byte
	open, close string
	comments    bool // "#" begins a comment: m4's default, until sendmail's cf.m4 calls changecom()
	depth       int
}

// parseM4 reads a macro source. comments says whether m4 still has its own "#" comments when it begins to read this
// file: it does until cf.m4 has been included.
func parseM4(path string, data []byte, comments bool) *m4File {
	f := &m4File{path: path, data: data}
	s := &m4Scan{file: f, data: data, open: "`", close: "'", comments: comments}
	s.walk(0, len(data), false)
	return f
}

// fail notes the first thing that never ends.
func (s *m4Scan) fail(at int, what string) {
	if s.file.err == nil {
		s.file.err = fmt.Errorf("cannot read %s:%d: %s never ends", s.file.path, s.lineAt(at), what)
	}
}

func (s *m4Scan) lineAt(at int) int { return 1 + bytes.Count(s.data[:at], []byte("\n")) }

// walk reads text from i to end.
func (s *m4Scan) walk(i, end int, conditional bool) {
	for i < end {
		if next := s.step(i, end); next > i {
			i = next
			continue
		}
		if !wordStart(s.data[i]) {
			i++
			continue
		}
		i = s.word(i, end, conditional)
	}
}

// step passes a comment, a quoted string or a dnl at i; it returns i where there is none.
func (s *m4Scan) step(i, end int) int {
	rest := s.data[i:end]
	switch {
	case s.open != "" && bytes.HasPrefix(rest, []byte(s.open)):
		return s.quoted(i, end)
	case s.comments && rest[0] == '#':
		return s.toNextLine(i, end)
	case bytes.HasPrefix(rest, []byte("dnl")) && wordEnd(s.data, i, end) == i+3 && (i == 0 || !wordByte(s.data[i-1])):
		return s.toNextLine(i, end)
	}
	return i
}

func (s *m4Scan) toNextLine(i, end int) int {
	if n := bytes.IndexByte(s.data[i:end], '\n'); n >= 0 {
		return i + n + 1
	}
	return end
}

// quoted passes a quoted string, which may hold others.
func (s *m4Scan) quoted(i, end int) int {
	depth := 0
	for at := i; at < end; {
		rest := s.data[at:end]
		switch {
		case s.close != "" && depth > 0 && bytes.HasPrefix(rest, []byte(s.close)):
			depth--
			at += len(s.close)
			if depth == 0 {
				return at
			}
		case bytes.HasPrefix(rest, []byte(s.open)):
			depth++
			at += len(s.open)
		default:
			at++
		}
	}
	s.fail(i, "a quoted string")
	return end
}

func wordStart(b byte) bool { return b == '_' || b|32 >= 'a' && b|32 <= 'z' }

func wordByte(b byte) bool { return wordStart(b) || b >= '0' && b <= '9' }

func wordEnd(data []byte, i, end int) int {
	for i < end && wordByte(data[i]) {
		i++
	}
	return i
}

// word reads the name at i, and its arguments when it is a macro that is followed.
func (s *m4Scan) word(i, end int, conditional bool) int {
	stop := wordEnd(s.data, i, end)
	name := string(s.data[i:stop])
	call := m4Call{name: name, file: s.file, start: i, end: stop, line: s.lineAt(i), conditional: conditional}
	if m4Sections[name] {
		s.file.calls = append(s.file.calls, call)
		return stop
	}
	paren := stop < end && s.data[stop] == '('
	if rest, ok := strings.CutPrefix(name, "dnl"); ok && rest != "" && (m4Names[rest] || m4Sections[rest]) {
		s.file.glued = append(s.file.glued, call)
	}
	if !paren || !m4Names[name] || s.depth > 50 {
		return stop
	}
	call.args, call.end = s.arguments(stop, end)
	s.file.calls = append(s.file.calls, call)
	s.effect(call)
	return call.end
}

// effect carries out what changes the reading of the rest.
func (s *m4Scan) effect(call m4Call) {
	switch call.name {
	case "changequote":
		s.open, s.close = "`", "'"
		if len(call.args) > 0 && call.arg(0) != "" {
			s.open, s.close = call.arg(0), call.arg(0)
			if len(call.args) > 1 && call.arg(1) != "" {
				s.close = call.arg(1)
			}
		}
	case "changecom":
		s.comments = len(call.args) > 0 && call.arg(0) == "#"
	case "include", "sinclude":
		if strings.HasSuffix(call.arg(0), "cf.m4") {
			s.comments = false
		}
	case "ifdef", "ifelse":
		s.depth++
		for _, a := range call.args[min(1, len(call.args)):] {
			if a.inner[1] > a.inner[0] {
				s.walk(a.inner[0], a.inner[1], true)
			}
		}
		s.depth--
	}
}

// arguments reads "(a, `b', …)" that begins at i, and returns the offset behind it.
func (s *m4Scan) arguments(i, end int) ([]m4Arg, int) {
	var args []m4Arg
	at := i + 1
	for {
		arg, next, last := s.argument(at, end)
		args = append(args, arg)
		if next >= end && !last {
			s.fail(i, "a macro call")
			return args, end
		}
		at = next
		if last {
			return args, at
		}
	}
}

// argument reads one argument up to its comma or parenthesis, and says whether it was the last.
func (s *m4Scan) argument(i, end int) (arg m4Arg, next int, last bool) {
	for i < end && (s.data[i] == ' ' || s.data[i] == '\t' || s.data[i] == '\n' || s.data[i] == '\r') {
		i++
	}
	arg.start = i
	var value strings.Builder
	depth, quotes, plain := 0, 0, 0
	for at := i; at < end; {
		b := s.data[at]
		switch {
		case b == ')' && depth == 0 || b == ',' && depth == 0:
			arg.value, arg.end = value.String(), at
			if quotes != 1 || plain > 0 {
				arg.inner = [2]int{}
			}
			return arg, at + 1, b == ')'
		case s.open != "" && bytes.HasPrefix(s.data[at:end], []byte(s.open)):
			stop := s.quoted(at, end)
			from, to := at+len(s.open), max(at+len(s.open), stop-len(s.close))
			if from <= to && to <= end {
				arg.inner = [2]int{from, to}
				value.Write(s.data[from:to])
			}
			quotes++
			at = stop
		default:
			if stop := s.step(at, end); stop > at {
				at = stop // dnl inside the arguments discards the rest of its line
				for value.Len() == 0 && at < end && (s.data[at] == ' ' || s.data[at] == '\t') {
					at++
				}
				continue
			}
			switch b {
			case '(':
				depth++
			case ')':
				depth--
			}
			if b != ' ' && b != '\t' && b != '\n' && b != '\r' {
				plain++
			}
			value.WriteByte(b)
			at++
		}
	}
	arg.value, arg.end = value.String(), end
	return arg, end, false
}
