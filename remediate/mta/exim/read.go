package exim

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// model is what this driver knows of one instance beyond mta.Config.
type model struct {
	key      string // "exim:1": the prefix of the collector's facts
	in       mta.Install
	cfg      *config
	names    map[string]string // the words of the dialogues: host, local, far, from, own
	trusted  []mta.Trust
	agrees   bool // this reading and `exim -bP config` are the same
	broken   string
	files    []mta.File
	snapshot *facts.Snapshot
}

// read returns the effective configuration of an installation.
func read(s *facts.Snapshot, in mta.Install) (*mta.Config, error) {
	m := &model{in: in, key: keyOf(s, in), snapshot: s, names: map[string]string{"far": "example.org", "from": "example.com"}}
	if m.key == "" {
		return nil, fmt.Errorf("cannot read the configuration of %s: it was not collected", in.Program)
	}
	for _, w := range strings.Fields(s.Fact(m.key + ":names")) {
		name, value, _ := strings.Cut(w, "=")
		m.names[name] = value
	}
	live, ok := s.File(in.Config)
	if !ok || live.State == facts.Absent || live.State == facts.Unreadable || live.State == facts.Secret {
		return nil, fmt.Errorf("cannot read %s: %s", in.Config, stateOf(live, ok))
	}
	c := &mta.Config{Install: in, Model: m}
	if live.State == facts.Cut {
		c.Unread = append(c.Unread, mta.Unread{What: in.Config, Why: "it is larger than the collector takes"})
	}
	lines := splitLines(in.Config, live.Data)
	deb := m.debian(lines)
	prog, err := parse(lines, m.open, m.commandLine(), m.builtin())
	if err != nil {
		return nil, err
	}
	m.cfg = understand(prog, m.open)
	m.cfg.deb, m.cfg.version = deb, in.Version
	m.effective()
	m.trusted = m.cfg.trusted()
	m.cfg.trusts = m.trusted
	m.sources(c)
	m.settings(c)
	c.Trusted = m.trusted
	c.Notes = m.notes()
	for _, f := range prog.Missing {
		c.Unread = append(c.Unread, mta.Unread{What: f, Why: "it is included and was not collected"})
	}
	return c, nil
}

func stateOf(f *facts.File, ok bool) string {
	if !ok {
		return "it was not collected"
	}
	return string(f.State)
}

// keyOf finds the collector's number of an installation.
func keyOf(s *facts.Snapshot, in mta.Install) string {
	for i := 1; i <= maxInstances; i++ {
		key := fmt.Sprintf("exim:%d", i)
		file := s.Fact(key + ":file")
		if file == "" {
			file = s.Fact(key + ":config")
		}
		if s.Fact(key+":program") == in.Program && file == in.Config && strings.TrimSpace(s.Fact(key+":macros")) == in.Instance {
			return key
		}
	}
	return ""
}

// open is the snapshot as an opener.
func (m *model) open(path string) (data []byte, exists, known bool) {
	f, ok := m.snapshot.File(path)
	if !ok {
		return nil, false, false
	}
	switch f.State {
	case facts.Absent:
		return nil, false, true
	case facts.Whole:
		return f.Data, true, true
	}
	return nil, true, false
}

// folder lists the files of a folder of conf.d by name.
func (m *model) folder(dir string) []string {
	var out []string
	for _, f := range m.snapshot.Files(dir + "/") {
		if file, ok := m.snapshot.File(f); ok && file.State != facts.Absent && !strings.Contains(strings.TrimPrefix(f, dir+"/"), "/") {
			out = append(out, f)
		}
	}
	slices.Sort(out)
	return out
}

// debian works out what Debian's generator would make, and gives each line of the live file its source.
func (m *model) debian(lines []physical) *debian {
	version := m.snapshot.Fact("exim:debian:tool")
	conf, ok := m.snapshot.File(debConf)
	if !ok || conf.State != facts.Whole || version == "" || m.in.Config != debOutput {
		return nil
	}
	d := &debian{}
	d.vars, d.odd = parseDC(conf.Data)
	if !d.generate(m.open, m.folder, version, m.snapshot.Fact("exim:debian:fqdn")) {
		return nil
	}
	d.align(lines)
	for i := range lines {
		lines[i].place = d.origin[i]
	}
	return d
}

// source is where a line of the live file comes from.
func (m *model) source(p place) place {
	if m.cfg.deb != nil && p.File == m.in.Config && p.Line >= 1 && p.Line <= len(m.cfg.deb.origin) {
		return m.cfg.deb.origin[p.Line-1]
	}
	return p
}

// commandLine are the macros that the daemon was started with: "-DNAME=VALUE".
func (m *model) commandLine() []*macro {
	var out []*macro
	for _, w := range strings.Fields(m.snapshot.Fact(m.key + ":macros")) {
		name, value, _ := strings.Cut(strings.TrimPrefix(w, "-D"), "=")
		out = append(out, &macro{Name: name, Value: value, Raw: value})
	}
	return out
}

// builtin are the names of macros that the program itself defines: _HAVE_TLS and the like.
func (m *model) builtin() []string {
	o, ok := m.snapshot.Output(m.key + ":builtin")
	if !ok {
		return nil
	}
	return strings.Fields(string(o.Stdout))
}

// effective takes over what `exim -bP` says and compares this reading with `exim -bP config`.
func (m *model) effective() {
	if o, ok := m.snapshot.Output(m.key + ":main"); ok {
		for name, value := range listing(string(o.Stdout)) {
			switch name {
			case "primary_hostname":
				m.cfg.primary = value
			case "qualify_domain":
				m.cfg.qualify = value
			}
		}
	}
	if m.cfg.primary == "" {
		m.cfg.primary = m.names["host"]
	}
	for _, a := range m.snapshot.Addrs {
		if p, err := netip.ParsePrefix(a); err == nil {
			m.cfg.own = append(m.cfg.own, p)
		}
	}
	// A program that was stopped on a busy host has said nothing of its configuration.
	if o, ok := m.snapshot.Output(m.key + ":version"); ok && o.Exit != 0 && o.State == facts.Whole {
		m.broken = errorLine(string(o.Stdout) + "\n" + string(o.Stderr))
	}
	o, ok := m.snapshot.Output(m.key + ":config")
	m.agrees = !ok || sameACLs(string(o.Stdout), m.cfg.prog)
}

// errorLine is the error that Exim names and the line behind it, without the date.
func errorLine(out string) string {
	lines := strings.Split(out, "\n")
	for i, line := range lines {
		if at := strings.Index(line, "Exim configuration error"); at >= 0 {
			line = strings.TrimSpace(line[at:])
			if i+1 < len(lines) && strings.HasPrefix(lines[i+1], " ") {
				line += " " + strings.TrimSpace(lines[i+1])
			}
			return line
		}
	}
	return "exim -bV fails"
}

// listing reads `exim -bP`: "name = value", "name" for true, "no_name" for false.
func listing(out string) map[string]string {
	values := map[string]string{}
	for _, line := range strings.Split(out, "\n") {
		name, value, set := strings.Cut(line, " =")
		name = strings.TrimSpace(name)
		switch {
		case name == "" || strings.ContainsAny(name, " \t:"):
		case set:
			values[name] = strings.TrimPrefix(value, " ")
		case strings.HasPrefix(name, "no_"):
			values[strings.TrimPrefix(name, "no_")] = "false"
		default:
			values[name] = "true"
		}
	}
	return values
}

// sameACLs compares the ACLs of `exim -bP config` with this package's reading, white space aside.
func sameACLs(out string, p *program) bool {
	var theirs, ours []string
	in := false
	for _, line := range strings.Split(out, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "begin ") {
			in = line == "begin acl"
			continue
		}
		if in && line != "" && line[0] != '#' && !isDefinition(line) {
			theirs = append(theirs, plainSpace(line))
		}
	}
	for _, s := range p.Statements {
		if s.Section == "acl" && !strings.HasPrefix(s.Text, "begin ") {
			ours = append(ours, plainSpace(s.Text))
		}
	}
	return slices.Equal(theirs, ours)
}

var hiddenMarks = regexp.MustCompile(`<secret [0-9a-f]+>`)

// plainSpace takes out what the two print differently: white space, and values that the collector masked.
func plainSpace(s string) string {
	s = hiddenMarks.ReplaceAllString(s, "<hidden>")
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' }), "")
}

// sources lists the files that a person edits, in the order in which Exim or the generator reads them.
func (m *model) sources(c *mta.Config) {
	var paths []string
	if d := m.cfg.deb; d != nil {
		paths = append(paths, debConf)
		for _, l := range d.lines {
			if !slices.Contains(paths, l.File) {
				paths = append(paths, l.File)
			}
		}
	}
	paths = append(paths, m.in.Config)
	paths = append(paths, m.cfg.prog.Files...)
	for _, t := range m.trusted {
		paths = append(paths, t.File)
	}
	for _, p := range paths {
		f, ok := m.snapshot.File(p)
		if !ok || f.State != facts.Whole || slices.ContainsFunc(c.Files, func(x mta.File) bool { return x.Origin == f }) {
			continue
		}
		path := f.Path
		if f.Target != "" {
			path = f.Target
		}
		c.Files = append(c.Files, mta.File{Path: path, Data: f.Data, Origin: f})
	}
	m.files = c.Files
}

// settings lists the main options with their effective values, the named lists, and Debian's variables.
func (m *model) settings(c *mta.Config) {
	effective := map[string]string{}
	if o, ok := m.snapshot.Output(m.key + ":main"); ok {
		effective = listing(string(o.Stdout))
	}
	for name, o := range m.cfg.options {
		value, ok := effective[name]
		if !ok {
			value = o.Value
		}
		if o.Hidden {
			value = "<hidden>"
		}
		at := m.cfg.origin(o.Statement)
		raw := rawValue(o.Statement)
		if o.Hidden {
			raw = "<hidden>"
		}
		c.Settings = append(c.Settings, mta.Setting{Name: name, Value: value, Raw: raw, Origin: mta.Origin{File: at.File, Line: at.Line, How: m.how(at)}})
	}
	for name, value := range effective {
		if m.cfg.options[name] == nil {
			c.Settings = append(c.Settings, mta.Setting{Name: name, Value: value, Origin: mta.Origin{How: "default"}})
		}
	}
	for _, l := range m.cfg.lists {
		at := m.cfg.origin(l.Statement)
		c.Settings = append(c.Settings, mta.Setting{Name: l.Kind + " " + l.Name, Value: l.Value, Raw: rawValue(l.Statement), Origin: mta.Origin{File: at.File, Line: at.Line, How: m.how(at)}})
	}
	if d := m.cfg.deb; d != nil {
		for _, v := range d.vars {
			c.Settings = append(c.Settings, mta.Setting{Name: v.Name, Value: v.Value, Raw: v.Value, Origin: mta.Origin{File: debConf, Line: v.Line, How: "file"}})
		}
	}
	slices.SortFunc(c.Settings, func(a, b mta.Setting) int { return strings.Compare(a.Name, b.Name) })
}

// how says how a value came about by the file it stands in.
func (m *model) how(p place) string {
	switch {
	case m.cfg.deb != nil && p.File == m.in.Config:
		return "generated"
	case m.cfg.deb == nil && p.File != m.in.Config:
		return "include"
	}
	return "file"
}
