package sendmail

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// model is the driver's own reading of an installation.
type model struct {
	cf         *cf
	mc         *mc // nil where there is no macro source
	mcPath     string
	access     *table // the access database, nil where the .cf has none
	relay      []member
	daemons    []daemon
	overrides  map[string]string // options of the daemon's command line
	prog       *program          // the rules, ready to run
	rule       string            // the ruleset that decides on a recipient: check_rcpt, or the one that it calls first and obeys
	said       *said             // what sendmail answered, nil where it was not asked
	noask      string
	help       *facts.File
	helpUnread bool                    // there is a help file and it was not collected whole
	tree       string                  // the distribution's cf tree, "" where unknown
	files      map[string]mta.File     // the sources that may be edited, by path
	masks      map[string][]facts.Mask // of files that were edited
	order      []string                // their paths, in the order in which they were read
	debian     bool
	snap       *facts.Snapshot
	guard      *[]mta.Fix // what guardRemedy found, nil before it was asked
}

// table is a map by its text and by what its compiled form holds.
type table struct {
	cfMap
	text     string // path of the text
	file     *facts.File
	entries  []entry
	bad      []span
	compiled []entry
	dumped   bool
}

// member is a word of class R and where it comes from.
type member struct {
	word string
	mta.Origin
	shared bool // its line holds other words, which an edit would take too
}

// read returns the effective configuration.
func read(s *facts.Snapshot, in mta.Install) (*mta.Config, error) {
	f, ok := s.File(in.Config)
	if !ok || f.State == facts.Absent {
		return nil, fmt.Errorf("cannot read %s: it does not exist", in.Config)
	}
	if f.State != facts.Whole {
		return nil, fmt.Errorf("cannot read %s: it was not collected whole (%s)", in.Config, f.State)
	}
	m := &model{cf: parseCF(in.Config, f.Data), files: map[string]mta.File{}}
	if why := m.cf.alien(); why != "" {
		return nil, fmt.Errorf("cannot read %s: %s", in.Config, why)
	}
	c := &mta.Config{Install: in, Model: m}
	m.debian = strings.Contains(s.OS.ID+" "+s.OS.Like, "debian")
	m.tree = s.Fact("sendmail:cf-dir:" + in.Config)
	m.noask = s.Fact("sendmail:noask:" + in.Config)
	m.daemons = running(s, []string{in.Program})
	m.overrides = m.startedWith()
	m.keep(f)
	m.readSource(s, c)
	m.readAccess(s, c)
	if o, ok := s.Output(askName(in.Program, in.Config)); ok {
		m.said = parseSaid(o)
	}
	m.rule = cmp.Or(s.Fact("sendmail:rule:"+in.Config), "check_rcpt")
	m.readRelay(s, c)
	m.snap = s
	m.prog = m.compiled(s)
	m.help = m.helpFile(s, c)
	m.settings(s, c)
	m.trusted(c)
	m.notes(s, c)
	for _, p := range m.order {
		c.Files = append(c.Files, m.files[p])
	}
	return c, nil
}

// keep takes a collected file among the sources.
func (m *model) keep(f *facts.File) {
	path := f.Path
	if f.Target != "" {
		path = f.Target
	}
	if _, ok := m.files[path]; ok || f.State != facts.Whole {
		return
	}
	m.files[path] = mta.File{Path: path, Data: f.Data, Origin: f}
	m.order = append(m.order, path)
}

// source returns the resolved path of a file as the configuration names it.
func (m *model) source(named string) string {
	for path, f := range m.files {
		if path == named || f.Origin != nil && f.Origin.Path == named {
			return path
		}
	}
	return named
}

// open returns a collected file's bytes, and notes one that was cut or unreadable.
func (m *model) open(s *facts.Snapshot, c *mta.Config, path string) (*facts.File, bool) {
	f, ok := s.File(path)
	if !ok || f.State == facts.Absent {
		return nil, false
	}
	if f.State != facts.Whole {
		c.Unread = append(c.Unread, mta.Unread{What: path, Why: string(f.State)})
		return nil, false
	}
	m.keep(f)
	return f, true
}

// readSource reads the .mc and what it includes of the site's own.
func (m *model) readSource(s *facts.Snapshot, c *mta.Config) {
	path := s.Fact("sendmail:mc:" + c.Install.Config)
	if path == "" {
		return
	}
	f, ok := m.open(s, c, path)
	if !ok {
		return
	}
	m.mcPath = path
	m.mc = readMC(path, f.Data, func(p string) ([]byte, bool) {
		if inc, ok := m.open(s, c, p); ok {
			return inc.Data, true
		}
		return nil, false
	})
}

// readAccess reads the access database.
func (m *model) readAccess(s *facts.Snapshot, c *mta.Config) {
	k, ok := m.cf.mapNamed("access")
	if !ok {
		return
	}
	if index(fileMaps, k.kind) < 0 || !strings.HasPrefix(k.path, "/") {
		c.Unread = append(c.Unread, mta.Unread{What: "the access database", Why: "it is kept in a map of type " + k.kind + ", whose entries cannot be listed"})
		return
	}
	m.open(s, c, strings.TrimSuffix(k.path, ".db"))
	m.access = readTable(s, k)
	if m.access.file == nil && !m.access.dumped {
		c.Unread = append(c.Unread, mta.Unread{What: k.path, Why: "neither its text nor its compiled form was readable"})
	}
}

// fileMaps are the types of map that makemap builds from a text.
var fileMaps = []string{"hash", "btree", "dbm", "cdb", "lmdb"}

// readTable reads a map's text and what its compiled form holds, as far as the snapshot has them.
func readTable(s *facts.Snapshot, k cfMap) *table {
	t := &table{cfMap: k, text: strings.TrimSuffix(k.path, ".db")}
	if f, ok := s.File(t.text); ok && f.State == facts.Whole {
		t.file = f
		t.entries, t.bad = parseEntries(f.Data)
	}
	if o, ok := s.Output("sendmail:map:" + k.kind + ":" + t.text); ok && o.Exit == 0 && o.State == facts.Whole {
		t.compiled, _ = parseEntries(o.Stdout)
		t.dumped = true
	}
	return t
}

// effective are the entries that sendmail finds: of the compiled map where it could be read, with the place in the text
// where that has them too.
func (t *table) effective() []entry {
	if !t.dumped {
		return t.entries
	}
	at := map[string]entry{}
	for _, e := range t.entries {
		at[strings.ToLower(e.key)] = e
	}
	var list []entry
	for _, e := range t.compiled {
		e.span = span{}
		if text, ok := at[strings.ToLower(e.key)]; ok {
			e.span, e.key = text.span, text.key
		}
		list = append(list, e)
	}
	// a compiled map comes in the order of its hash: by line it is the same every time, what the text lacks last
	slices.SortStableFunc(list, func(a, b entry) int {
		if (a.line == 0) != (b.line == 0) {
			return b.line - a.line
		}
		return cmp.Or(a.line-b.line, strings.Compare(a.key, b.key))
	})
	return list
}

// readRelay gathers class R from the .cf's own words and the files it names.
func (m *model) readRelay(s *facts.Snapshot, c *mta.Config) {
	for _, w := range m.cf.classes["R"] {
		origin := mta.Origin{File: m.cf.path, Line: w.line.line, How: "file"}
		if m.mc != nil {
			for _, call := range m.mc.named("RELAY_DOMAIN", w.word) {
				origin = mta.Origin{File: call.file.path, Line: call.line, How: "file"}
			}
		}
		m.relay = append(m.relay, member{w.word, origin, false})
	}
	for _, cf := range m.cf.files {
		if cf.class != "R" {
			continue
		}
		if cf.program || !strings.HasPrefix(cf.path, "/") {
			c.Unread = append(c.Unread, mta.Unread{What: "class R", Why: "its words come from " + cf.path})
			continue
		}
		if f, ok := m.open(s, c, cf.path); ok {
			words := parseMembers(f.Data, cf.format)
			on := map[int]int{} // words on a line
			for _, w := range words {
				on[w.line]++
			}
			for _, w := range words {
				m.relay = append(m.relay, member{w.key, mta.Origin{File: cf.path, Line: w.line, How: "include"}, on[w.line] > 1})
			}
		}
	}
	if m.said == nil {
		return
	}
	for _, word := range m.said.classes["R"] { // what sendmail itself has beside
		if !slices.ContainsFunc(m.relay, func(w member) bool { return strings.EqualFold(w.word, word) }) {
			m.relay = append(m.relay, member{word, mta.Origin{File: m.cf.path, How: "generated"}, false})
		}
	}
}

// helpFile is the file of the HelpFile option.
func (m *model) helpFile(s *facts.Snapshot, c *mta.Config) *facts.File {
	o, ok := m.last("HelpFile")
	if !ok {
		return nil
	}
	path := firstWord(o.value)
	if f, ok := m.open(s, c, path); ok {
		return f
	}
	f, ok := s.File(path)
	m.helpUnread = !ok || f.State != facts.Absent
	return nil
}

// last is the O line that holds for name: the last one.
func (m *model) last(name string) (cfOption, bool) {
	for _, o := range slices.Backward(m.cf.options) {
		if o.name == name {
			return o, true
		}
	}
	return cfOption{}, false
}
