package sendmail

import (
	"strings"
)

// mc is a macro source with the files it includes, as far as they are the site's own.
type mc struct {
	main  *m4File
	files []*m4File // main first
	calls []m4Call  // of all files, in the order in which m4 meets them
	lost  []string  // included files that the snapshot lacks
}

// readMC follows the includes of a macro source. open returns a file's bytes; what lies in the distribution's own cf
// tree is not followed: its effect is in the generated .cf.
func readMC(path string, data []byte, open func(string) ([]byte, bool)) *mc {
	m := &mc{}
	m.main = parseM4(path, data, includesCF(data))
	m.add(m.main, open, 0)
	return m
}

// includesCF reports whether the source itself includes cf.m4: until then "#" begins a comment. Where it does not, cf.m4 is
// given to m4 before the source.
func includesCF(data []byte) bool {
	for _, c := range parseM4("", data, true).calls {
		if isInclude(c) && strings.HasSuffix(c.arg(0), "cf.m4") {
			return true
		}
	}
	return false
}

func isInclude(c m4Call) bool { return c.name == "include" || c.name == "sinclude" }

func (m *mc) add(f *m4File, open func(string) ([]byte, bool), depth int) {
	m.files = append(m.files, f)
	for _, c := range f.calls {
		m.calls = append(m.calls, c)
		path := c.arg(0)
		if !isInclude(c) || strings.HasSuffix(path, "cf.m4") || depth > 10 || len(m.files) > 100 {
			continue
		}
		if data, ok := open(path); ok {
			m.add(parseM4(path, data, false), open, depth+1)
		} else if c.name == "include" {
			m.lost = append(m.lost, path)
		}
	}
}

// err is the first thing that m4 could not read.
func (m *mc) err() error {
	for _, f := range m.files {
		if f.err != nil {
			return f.err
		}
	}
	return nil
}

// define returns the define of name that holds at the end.
func (m *mc) define(name string) (m4Call, bool) {
	var last m4Call
	found := false
	for _, c := range m.calls {
		if c.arg(0) != name {
			continue
		}
		switch c.name {
		case "define":
			last, found = c, true
		case "undefine":
			found = false
		}
	}
	return last, found
}

// defines returns every define and undefine of name, in order.
func (m *mc) defines(name string) []m4Call {
	var all []m4Call
	for _, c := range m.calls {
		if (c.name == "define" || c.name == "undefine") && c.arg(0) == name {
			all = append(all, c)
		}
	}
	return all
}

// named returns the calls of macro whose first argument is arg; "" is any.
func (m *mc) named(macro, arg string) []m4Call {
	var all []m4Call
	for _, c := range m.calls {
		if c.name != macro {
			continue
		}
		for _, w := range strings.Fields(c.arg(0)) {
			if arg == "" || strings.EqualFold(w, arg) {
				all = append(all, c)
				break
			}
		}
	}
	return all
}

// doNotTouch marks the blocks that Debian's sendmailconfig writes from /etc/mail/sendmail.conf.
const doNotTouch = "DO NOT TOUCH HERE"

// generated reports whether at lies in a block that a tool writes again: between two lines that say so.
func generated(data []byte, at int) bool {
	inside := false
	for _, s := range physical(data) {
		if strings.Contains(string(data[s.start:s.end]), doNotTouch) {
			inside = !inside
		}
		if at < s.end {
			return inside
		}
	}
	return false
}
