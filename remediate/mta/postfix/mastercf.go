package postfix

import (
	"fmt"
	"strings"
)

// override is one "-o name=value" of a service in master.cf.
type override struct {
	name, value string
	line        int    // of the -o
	from, to    int    // bytes of the file from the -o to the end of its argument
	valueAt     int    // offset of the value's first byte in the file
	flags       string // options written in one word with the o: "v" of -vo
}

// service is one entry of master.cf.
type service struct {
	logical
	name, kind string // "smtp", "inet"
	chroot     string // as written: y, n or -
	command    string // the program's name: smtpd
	fields     []word
	overrides  []override
}

// masterFile is a master.cf.
type masterFile struct {
	path     string
	data     []byte
	services []service
	broken   []place // lines at which the master stops: "bad field count"
}

// parseMaster reads master.cf: eight fields a service, of which the last is the command with its arguments (master(5)).
func parseMaster(path string, data []byte) *masterFile {
	f := &masterFile{path: path, data: data}
	lines, _ := logicalLines(data)
	for _, l := range lines {
		s, err := parseService(l)
		if err != nil {
			f.broken = append(f.broken, place{l.line, err.Error()})
			continue
		}
		for i := range s.overrides {
			s.overrides[i].line = lineAt(data, s.overrides[i].from)
		}
		f.services = append(f.services, s)
	}
	return f
}

func parseService(l logical) (service, error) {
	fields := masterFields(l.text)
	if len(fields) < 8 {
		return service{}, fmt.Errorf("bad field count: %.40q", l.text)
	}
	s := service{logical: l, fields: fields, name: fields[0].text, kind: fields[1].text, chroot: fields[4].text, command: fields[7].text}
	switch s.kind {
	case "inet", "unix", "fifo", "pass", "unix-dgram":
	default:
		return service{}, fmt.Errorf("invalid transport type: %.40q", s.kind)
	}
	s.readOverrides()
	return s, nil
}

// masterFields splits at white space; since Postfix 3.0 a word that begins with { ends at its }.
func masterFields(text string) []word {
	var words []word
	for i := 0; i < len(text); {
		if isSpace(text[i]) {
			i++
			continue
		}
		end := i
		if text[i] == '{' {
			if inner, _, ok := balanced(text[i:], '{', '}'); ok {
				end = i + len(inner) + 2
			}
		}
		for end < len(text) && !isSpace(text[end]) {
			end++
		}
		words = append(words, word{text[i:end], i, end})
		i = end
	}
	return words
}

// readOverrides takes the -o options out of the command's arguments; an option that takes an argument (-c dir) is passed over with it.
func (s *service) readOverrides() {
	args := s.fields[8:]
	for i := 0; i < len(args); i++ {
		a := args[i]
		if !strings.HasPrefix(a.text, "-") || a.text == "--" {
			continue
		}
		flags := optionO(a.text)
		if flags == 0 {
			continue
		}
		body, start := a.text[flags:], a.start+flags
		if body == "" {
			if i++; i == len(args) {
				return
			}
			body, start = args[i].text, args[i].start
		}
		s.addOverride(a, args[i], body, start)
	}
}

// optionO is the length of a word up to and with its option o, which may stand behind options without an argument (-vo, getopt(3)); 0 for
// a word without.
func optionO(text string) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == 'o':
			return i + 1
		case !strings.ContainsRune("cdDluvVSz", rune(text[i])):
			return 0
		}
	}
	return 0
}

func (s *service) addOverride(first, last word, body string, start int) {
	if strings.HasPrefix(body, "{") && strings.HasSuffix(body, "}") && len(body) >= 2 {
		body, start = body[1:len(body)-1], start+1
	}
	body, skipped := trimSpace(body)
	start += skipped
	name, value, ok := strings.Cut(body, "=")
	if !ok {
		return
	}
	at := start + len(name) + 1
	name, _ = trimSpace(name)
	value, skipped = trimSpace(value)
	at += skipped
	o := override{name: name, value: value, flags: first.text[1 : optionO(first.text)-1], from: s.pos[first.start], to: s.pos[last.end-1] + 1}
	if o.valueAt = o.to; at < len(s.pos) && value != "" {
		o.valueAt = s.pos[at]
	}
	s.overrides = append(s.overrides, o)
}

// override returns the -o of name that holds: the last one.
func (s *service) override(name string) (*override, bool) {
	for i := len(s.overrides) - 1; i >= 0; i-- {
		if s.overrides[i].name == name {
			return &s.overrides[i], true
		}
	}
	return nil, false
}

// listens reports whether the service is one at which SMTP clients arrive.
func (s *service) listens() bool {
	return s.kind == "inet" && (s.command == "smtpd" || s.command == "postscreen")
}

// title is the service's name as postconf -M prints it.
func (s *service) title() string { return s.name + "/" + s.kind }
