package exim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// notes are what reading noticed: codes drift, pending, stale-daemon, missing-acl, config-error, winner, unused-file, unparsed,
// everything-local.
func (m *model) notes() []mta.Note {
	var out []mta.Note
	note := func(code string, at place, format string, args ...any) {
		how := "file"
		if at.File == "" {
			how = "default"
		}
		out = append(out, mta.Note{Code: code, Text: fmt.Sprintf(format, args...), Origin: mta.Origin{File: at.File, Line: at.Line, How: how}})
	}
	if m.broken != "" {
		note("config-error", place{File: m.in.Config}, "Exim does not take its configuration: %s", m.broken)
	}
	if !m.agrees {
		note("unparsed", place{File: m.in.Config}, "this program reads the ACLs otherwise than Exim does; nothing is said from its reading")
	}
	if m.cfg.strange != "" {
		note("unparsed", place{File: m.in.Config}, "%s", m.cfg.strange)
	}
	m.generated(note)
	m.missingACLs(note)
	m.stale(note)
	if l := m.cfg.lists["domainlist local_domains"]; l != nil && slices.Contains(splitList(l.Value), "*") {
		note("everything-local", m.cfg.origin(l.Statement), "local_domains holds *: mail for every domain is taken as the host's own")
	}
	return out
}

type noter func(code string, at place, format string, args ...any)

// generated tells where Debian's sources and the live file differ: pending where a source is newer, else edited by hand.
func (m *model) generated(note noter) {
	if _, exists, _ := m.open(debConf); exists && m.in.Config == debWinner {
		note("winner", place{debWinner, 1}, "%s exists and wins: %s and what it would generate are not used", debWinner, debConf)
		for _, f := range []string{debConf, debTemplate} {
			if _, exists, _ := m.open(f); exists {
				note("unused-file", place{File: f}, "%s is not used", f)
			}
		}
	}
	d := m.cfg.deb
	if d == nil {
		return
	}
	for _, p := range d.odd {
		note("unparsed", p, "a line that is no plain assignment: what the generator makes of it is not known")
	}
	for _, v := range d.vars {
		if v.Again {
			note("duplicate", place{debConf, v.Line}, "%s is assigned more than once; the last one holds", v.Name)
		}
	}
	if len(d.differs) == 0 && len(d.lacking) == 0 {
		return
	}
	var at place
	if len(d.differs) > 0 {
		at = d.differs[0]
	} else {
		at = d.lacking[0].place
	}
	if newer := m.newer(); newer != "" {
		note("pending", at, "%s is newer than %s and would change it: %d lines go, %d come", newer, debOutput, len(d.differs), len(d.lacking))
		return
	}
	note("drift", at, "%s was edited by hand: %d lines are not what %s makes, %d of its lines are missing; the next start undoes it", debOutput, len(d.differs), debTool, len(d.lacking))
}

// newer is a source that was changed after the live file was generated.
func (m *model) newer() string {
	live, ok := m.snapshot.File(debOutput)
	if !ok {
		return ""
	}
	paths := []string{debConf, debLocal, debTemplate, "/etc/mailname"}
	if m.cfg.deb.split {
		paths = append([]string{debConf, "/etc/mailname"}, m.snapshot.Files(debSplit+"/")...)
	}
	for _, p := range paths {
		if f, ok := m.snapshot.File(p); ok && f.State != facts.Absent && f.ModTime.After(live.ModTime) {
			return p
		}
	}
	return ""
}

// missingACLs: `exim -bV` does not notice the name of an ACL that does not exist; every recipient is then answered 451.
func (m *model) missingACLs(note noter) {
	for name, o := range m.cfg.options {
		if !strings.HasPrefix(name, "acl_") {
			continue
		}
		word, _ := cutWord(o.Value)
		if word == "" || strings.ContainsAny(word, "$/{") || verbs[strings.ToLower(word)] {
			continue
		}
		if _, ok := m.cfg.acls[word]; !ok {
			note("missing-acl", m.cfg.origin(o.Statement), "%s names the ACL %s, which does not exist: what it would judge is answered 451", name, word)
		}
	}
}

// stale says that the daemon read its configuration before the file was last changed. The pid file is written when a daemon starts, the
// main log's "daemon started" after each HUP too (exim specification, "The main log").
func (m *model) stale(note noter) {
	if !m.in.Active {
		return
	}
	live, ok := m.snapshot.File(m.in.Config)
	pid, found := m.snapshot.File(m.pidFile())
	if !ok || !found || pid.State == facts.Absent || pid.ModTime.IsZero() {
		return
	}
	read := pid.ModTime
	if again, ok := m.reread(); ok && again.After(read) && !again.After(m.snapshot.Taken.Add(2*time.Second)) {
		read = again
	}
	if live.ModTime.After(read.Add(2 * time.Second)) {
		note("stale-daemon", place{File: m.in.Config}, "the daemon that runs is older than %s: it still holds the configuration of before %s", m.in.Config, live.ModTime.UTC().Format("2 Jan 2006 15:04:05"))
	}
}

// reread is when the daemon last told its log that it has read its configuration.
func (m *model) reread() (time.Time, bool) {
	return stamped(m.snapshot.Fact(m.key+":reread"), m.snapshot.Fact("timezone"), m.main()["timezone"])
}

// stamped reads the time that a line of the main log begins with. Without a zone of its own (log_selector, log_timezone) that is in the
// host's, unless Exim's option timezone names another.
func stamped(line, host, exim string) (time.Time, bool) {
	if len(line) < 19 {
		return time.Time{}, false
	}
	stamp, rest := line[:19], line[19:]
	if strings.HasPrefix(rest, ".") {
		rest = strings.TrimLeft(rest, ".0123456789")
	}
	zone := host
	if f := strings.Fields(rest); len(f) > 0 && strings.ContainsAny(f[0][:1], "+-") {
		zone = f[0]
	} else if strings.EqualFold(exim, "utc") {
		zone = "+0000"
	} else if exim != "" {
		return time.Time{}, false
	}
	at, err := time.Parse("2006-01-02 15:04:05-0700", stamp+zone)
	return at, err == nil && at.Format("2006-01-02 15:04:05") == stamp // Parse takes an hour of one digit too
}

func (m *model) main() map[string]string {
	if o, ok := m.snapshot.Output(m.key + ":main"); ok {
		return listing(string(o.Stdout))
	}
	return nil
}

func (m *model) pidFile() string {
	if p := m.main()["pid_file_path"]; p != "" {
		return p
	}
	return m.cfg.option("pid_file_path", "/run/exim.pid")
}
