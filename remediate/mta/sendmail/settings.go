package sendmail

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// settings fills Config.Settings.
func (m *model) settings(s *facts.Snapshot, c *mta.Config) {
	m.optionSettings(c)
	m.override(c)
	m.sourceSettings(c)
	add := func(name, value string, origin mta.Origin) {
		c.Settings = append(c.Settings, mta.Setting{Name: name, Value: value, Raw: value, Origin: origin})
	}
	level := mta.Origin{File: m.cf.path, How: "file"}
	add("cf:level", strconv.Itoa(m.cf.level), level)
	checked := "no"
	if m.cf.has("check_rcpt") {
		checked = "yes"
	}
	add("cf:check_rcpt", checked, level)
	for _, mailer := range m.cf.mailers {
		if limit, ok := mailer.fields["M"]; ok {
			add("mailer:"+mailer.name+":M", limit, mta.Origin{File: m.cf.path, Line: mailer.line.line, How: "file"})
		}
	}
	for _, class := range []string{"R", "w"} {
		add("class:"+class, strings.Join(m.classWords(s, class), " "), level)
	}
	if m.help != nil {
		add("helpfile", helpText(m.help.Data), mta.Origin{File: m.help.Path, Line: helpLine(m.help.Data), How: "file"})
	}
	if f, ok := s.File("/etc/mail/submit.cf"); ok && f.State == facts.Whole {
		sub := &model{cf: parseCF(f.Path, f.Data)}
		if o, ok := sub.last("PrivacyOptions"); ok {
			submit := sub.privacySetting(mta.Origin{File: f.Path, Line: o.line.line, How: "file"})
			submit.Name = "submit:PrivacyOptions"
			c.Settings = append(c.Settings, submit)
		}
	}
	for _, e := range m.serverFeatures() {
		add("Srv_Features:"+splitKey(e.key).what, e.value, mta.Origin{File: m.access.text, Line: e.line, How: "file"})
	}
}

// optionSettings are the O lines: the last of a name holds, PrivacyOptions add up, each DaemonPortOptions is a daemon.
func (m *model) optionSettings(c *mta.Config) {
	done := map[string]bool{}
	for _, o := range m.cf.options {
		origin := m.origin(o)
		switch {
		case o.name == "DaemonPortOptions":
			c.Settings = append(c.Settings, mta.Setting{Name: o.name, Listener: daemonListener(o.value), Value: o.value, Raw: o.value, Origin: origin})
		case done[o.name]:
		case o.name == "PrivacyOptions":
			done[o.name] = true
			c.Settings = append(c.Settings, m.privacySetting(origin))
		default:
			done[o.name] = true
			held, _ := m.last(o.name)
			c.Settings = append(c.Settings, mta.Setting{Name: o.name, Value: held.value, Raw: held.value, Origin: m.origin(held)})
		}
	}
}

// privacySetting joins all PrivacyOptions lines, goaway in its real parts.
func (m *model) privacySetting(origin mta.Origin) mta.Setting {
	values := m.values("PrivacyOptions")
	bits, bad := expandPrivacy(values)
	return mta.Setting{Name: "PrivacyOptions", Value: strings.Join(append(bits, bad...), ","), Raw: strings.Join(values, ","), Origin: origin}
}

func (m *model) values(name string) []string {
	var all []string
	for _, o := range m.cf.options {
		if o.name == name {
			all = append(all, o.value)
		}
	}
	return all
}

// origin is the define in the macro source where that explains the value, else the line of the .cf.
func (m *model) origin(o cfOption) mta.Origin {
	at := mta.Origin{File: m.cf.path, Line: o.line.line, How: "file"}
	if m.mc == nil {
		return at
	}
	if def, ok := m.mc.define(conf[o.name]); ok && conf[o.name] != "" {
		if squash(def.arg(1)) == squash(o.value) {
			return mta.Origin{File: def.file.path, Line: def.line, How: "file"}
		}
	}
	if o.name == "DaemonPortOptions" {
		for _, call := range m.mc.named("DAEMON_OPTIONS", "") {
			if squash(call.arg(0)) == squash(o.value) {
				return mta.Origin{File: call.file.path, Line: call.line, How: "file"}
			}
		}
	}
	at.How = "generated"
	return at
}

func squash(s string) string { return strings.Join(strings.Fields(s), "") }

// daemonListener is "ADDR:PORT" of a DaemonPortOptions value; the defaults are every address and port 25.
func daemonListener(value string) string {
	addr, port, family := "", "smtp", "inet"
	for _, part := range strings.Split(value, ",") {
		k, v, _ := strings.Cut(part, "=")
		v = strings.TrimSpace(v)
		switch k = strings.TrimSpace(k); {
		case k == "":
		case k[0]|32 == 'a':
			addr = v
		case k[0]|32 == 'p':
			port = v
		case k[0]|32 == 'f':
			family = v
		}
	}
	names := map[string]string{"smtp": "25", "smtps": "465", "submission": "587", "submissions": "465", "mta": "25"}
	if n, ok := names[strings.ToLower(port)]; ok {
		port = n
	}
	if addr == "" {
		addr = "0.0.0.0"
		if family == "inet6" {
			addr = "::"
		}
	}
	if strings.Contains(addr, ":") {
		addr = "[" + addr + "]"
	}
	return addr + ":" + port
}

// override puts the daemon's -O arguments over the file's: the command line wins (readcf.c, sticky options), but for
// PrivacyOptions, whose words add up wherever they come from.
func (m *model) override(c *mta.Config) {
	for _, name := range slices.Sorted(maps.Keys(m.overrides)) {
		value := m.overrides[name]
		setting := mta.Setting{Name: name, Value: value, Raw: value, Origin: mta.Origin{How: "argument"}}
		if name == "PrivacyOptions" {
			bits, bad := expandPrivacy(append(m.values(name), value))
			setting.Value = strings.Join(append(bits, bad...), ",")
		}
		c.Settings = slices.DeleteFunc(c.Settings, func(s mta.Setting) bool { return s.Name == name })
		c.Settings = append(c.Settings, setting)
		c.Notes = append(c.Notes, mta.Note{Code: "overridden", Text: "the daemon was started with -O" + name + "=" + value + ", which the files do not show"})
	}
}

// startedWith are the -O options of the daemons that serve this configuration.
func (m *model) startedWith() map[string]string {
	set := map[string]string{}
	for _, d := range m.daemons {
		if d.serves && (d.config == "" || d.config == m.cf.path) {
			maps.Copy(set, commandOptions(d.args))
		}
	}
	return set
}

// commandOptions reads -OName=value, -O Name=value and -oXvalue.
func commandOptions(args []string) map[string]string {
	set := map[string]string{}
	for i := 0; i < len(args); i++ {
		a := args[i]
		if (a == "-O" || a == "-o") && i+1 < len(args) {
			i++
			a += args[i]
		}
		switch {
		case strings.HasPrefix(a, "-O") && strings.Contains(a, "="):
			name, value, _ := strings.Cut(a[2:], "=")
			name, _ = longOption(strings.TrimSpace(name))
			set[name] = strings.TrimSpace(value)
		case strings.HasPrefix(a, "-o") && len(a) > 2:
			name, _ := letterOption(a[2])
			set[name] = a[3:]
		}
	}
	return set
}

// sourceSettings are the pseudo-settings of the macro source.
func (m *model) sourceSettings(c *mta.Config) {
	if m.mc == nil {
		return
	}
	for _, call := range m.mc.calls {
		name := ""
		switch call.name {
		case "FEATURE", "MAILER":
			name = "mc:" + call.name + "(" + call.arg(0) + ")"
		case "define":
			name = "mc:define(" + call.arg(0) + ")"
		case "DOMAIN", "OSTYPE":
			name = "mc:" + call.name
		}
		if name == "" {
			continue
		}
		first := 1
		if call.name == "DOMAIN" || call.name == "OSTYPE" {
			first = 0
		}
		var rest []string
		for i := first; i < len(call.args); i++ {
			rest = append(rest, call.arg(i))
		}
		value := strings.Join(rest, ", ")
		c.Settings = append(c.Settings, mta.Setting{Name: name, Value: value, Raw: value, Origin: mta.Origin{File: call.file.path, Line: call.line, How: "file"}})
	}
}

// classWords are the words of a class: as sendmail says, else as the files say.
func (m *model) classWords(s *facts.Snapshot, class string) []string {
	if m.said != nil && m.said.classes[class] != nil {
		return m.said.classes[class]
	}
	var words []string
	for _, w := range m.cf.classes[class] {
		words = append(words, w.word)
	}
	for _, f := range m.cf.files {
		if file, ok := s.File(f.path); ok && f.class == class && !f.program {
			for _, w := range parseWords(file.Data) {
				words = append(words, w.key)
			}
		}
	}
	return words
}

// serverFeatures are the Srv_Features entries of the access database.
func (m *model) serverFeatures() []entry {
	var list []entry
	if m.access == nil {
		return nil
	}
	for _, e := range m.access.effective() {
		if splitKey(e.key).tag == "srv_features" {
			list = append(list, e)
		}
	}
	return list
}
