package postfix

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// read returns the effective configuration of an instance.
func read(s *facts.Snapshot, in mta.Install) (*mta.Config, error) {
	file, err := wholeFile(s, path.Join(in.Config, "main.cf"))
	if err != nil {
		return nil, fmt.Errorf("cannot read Postfix's configuration: %w", err)
	}
	m := &model{snap: s, dir: in.Config, version: parseVersion(in.Version), tables: map[string]*table{},
		lists: map[cacheKey][]pattern{}, words: map[cacheKey][]member{}, values: map[cacheKey]string{}, wanted: map[string][]string{}, asked: map[string][]string{}}
	m.main = parseMain(file.Path, file.Data)
	if len(m.main.broken) > 0 {
		b := m.main.broken[0]
		return nil, fmt.Errorf("cannot read Postfix's configuration: %s:%d: %s", file.Path, b.line, b.text)
	}
	c := &mta.Config{Install: in, Model: m}
	c.Files = append(c.Files, source(file))
	m.readDefaults()
	if err := m.readMaster(c); err != nil {
		return nil, err
	}
	if err := m.checkValues(); err != nil {
		return nil, fmt.Errorf("cannot read Postfix's configuration: %w", err)
	}
	pid, _ := strconv.Atoi(s.Fact("postfix:running:" + in.Config))
	m.listeners = m.findListeners(pid)
	m.addTableFiles(c)
	c.Settings = m.settings()
	c.Notes = m.notes()
	cut := false
	if c.Trusted, cut = m.trusted(); cut {
		c.Unread = append(c.Unread, mta.Unread{What: "trusted entries", Why: fmt.Sprintf("more than %d: the later ones are not listed", maxTrusted)})
	}
	return c, nil
}

// wholeFile returns a file of which every byte was collected.
func wholeFile(s *facts.Snapshot, name string) (*facts.File, error) {
	f, ok := s.File(name)
	if !ok {
		return nil, fmt.Errorf("%s was not collected", name)
	}
	if f.State != facts.Whole {
		return nil, fmt.Errorf("%s is %s", name, f.State)
	}
	return f, nil
}

// source is a collected file as an editable one; its path is the resolved one.
func source(f *facts.File) mta.File {
	p := f.Path
	if f.Target != "" {
		p = f.Target
	}
	return mta.File{Path: p, Data: f.Data, Origin: f}
}

// readDefaults takes the host's own defaults, else the built-in ones of its version, and what this host makes of names and networks.
func (m *model) readDefaults() {
	m.defaults = builtin(m.version)
	for name, value := range parameters(m.snap, "postfix:"+m.dir+":d") {
		m.defaults[name] = value
	}
	now := parameters(m.snap, "postfix:"+m.dir+":now")
	for _, name := range []string{"queue_directory", "command_directory", "daemon_directory", "data_directory", "setgid_group", "mail_owner"} {
		if now[name] != "" {
			m.defaults[name] = now[name]
		}
	}
	m.defaults["config_directory"] = m.dir
	host, domain := now["myhostname"], now["mydomain"]
	if host == "" {
		host = m.snap.Hostname
	}
	if e, ok := m.main.get("myhostname"); ok {
		host, _ = m.expand(e.value, nil)
		domain = ""
	}
	if _, rest, ok := strings.Cut(host, "."); ok && domain == "" {
		domain = rest
	}
	if domain == "" {
		domain = "localdomain"
	}
	if !strings.Contains(host, ".") {
		if _, ok := m.main.get("myhostname"); !ok {
			host += "." + domain
		}
	}
	clear(m.values)
	m.computed = map[string]string{"myhostname": host, "mydomain": domain, "mynetworks": now["mynetworks"]}
	if m.defaults["mail_version"] == "" {
		m.defaults["mail_version"] = now["mail_version"]
	}
}

// readMaster reads master.cf. Without it the services, their overrides and their listeners are not known.
func (m *model) readMaster(c *mta.Config) error {
	name := path.Join(m.dir, "master.cf")
	file, err := wholeFile(m.snap, name)
	if err != nil {
		m.master = &masterFile{path: name}
		c.Unread = append(c.Unread, mta.Unread{What: "master.cf", Why: err.Error()})
		return nil
	}
	m.master = parseMaster(file.Path, file.Data)
	c.Files = append(c.Files, source(file))
	if len(m.master.broken) > 0 {
		b := m.master.broken[0]
		return fmt.Errorf("cannot read Postfix's configuration: %s:%d: %s", file.Path, b.line, b.text)
	}
	return nil
}

// checkValues returns the first value whose references are not well formed: Postfix stops at it ("macro processing error").
func (m *model) checkValues() error {
	for i := range m.main.entries {
		e := &m.main.entries[i]
		if last, _ := m.main.get(e.name); last != e {
			continue
		}
		if _, err := m.expand(e.value, nil); err != nil {
			return fmt.Errorf("%s:%d: %s: %w", m.main.path, e.line, e.name, err)
		}
	}
	return nil
}

// settings are the effective values: of every parameter that is known or set, then of each listener's overrides.
func (m *model) settings() []mta.Setting {
	names := map[string]bool{}
	for name := range m.defaults {
		names[name] = true
	}
	for name := range m.computed {
		names[name] = true
	}
	for name := range m.main.last {
		names[name] = true
	}
	var out []mta.Setting
	for name := range names {
		out = append(out, m.setting(name, nil, ""))
	}
	for _, l := range m.listeners {
		for _, s := range []*service{l.front, l.smtpd} {
			if s == nil || s == l.front && s == l.smtpd && len(s.overrides) == 0 {
				continue
			}
			for _, o := range s.overrides {
				out = append(out, m.setting(o.name, s, l.addr))
			}
		}
	}
	slices.SortFunc(out, func(a, b mta.Setting) int {
		if d := strings.Compare(a.Name, b.Name); d != 0 {
			return d
		}
		return strings.Compare(a.Listener, b.Listener)
	})
	return slices.CompactFunc(out, func(a, b mta.Setting) bool { return a.Name == b.Name && a.Listener == b.Listener })
}

func (m *model) setting(name string, s *service, addr string) mta.Setting {
	raw, origin, _ := m.raw(name, s)
	return mta.Setting{Name: name, Listener: addr, Value: m.value(name, s), Raw: raw, Origin: origin}
}

// addTableFiles makes the text of every collected table a source that Edit may touch.
func (m *model) addTableFiles(c *mta.Config) {
	for _, name := range m.tableFiles() {
		if f, ok := m.snap.File(name); ok && f.State == facts.Whole && !slices.ContainsFunc(c.Files, func(g mta.File) bool { return g.Origin == f }) {
			c.Files = append(c.Files, source(f))
		}
	}
}
