package sendmail

import (
	"path"
	"slices"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/remote"
)

// staging says what a candidate of this configuration needs: empty queues, mail store and home of its status files, the maps and the .cf that
// are built, and the daemon started by the words that it was started with.
func staging(s *facts.Snapshot, c *mta.Config, paths []string) mta.Stage {
	m, ok := c.Model.(*model)
	if !ok {
		return mta.Stage{}
	}
	in := c.Install
	out := mta.Stage{Copies: []string{path.Dir(in.Config)}}
	for _, b := range mapsOf(in, paths) {
		for i, end := range endings(b.kind) {
			show := []string{"makemap", "-u", b.kind, b.name}
			if i > 0 {
				show = []string{"cksum", b.name + end}
			}
			out.Generated = append(out.Generated, mta.Made{Path: resolved(s, b.name+end), Sources: []string{b.source}, Show: show})
		}
	}
	if sourceOf(in, paths) != "" {
		var sources []string
		for _, p := range paths {
			if ofSource(p) {
				sources = append(sources, p)
			}
		}
		out.Generated = append(out.Generated, mta.Made{Path: resolved(s, in.Config), Sources: sources})
	}
	out.Fresh = m.fresh()
	if in.Active {
		out.Start = []remote.Cmd{{Argv: startedBy(s, in)}}
		out.Listens = len(in.Listen) > 0
	}
	return out
}

// endings are those of a map's compiled files.
func endings(kind string) []string {
	switch kind {
	case "cdb":
		return []string{".cdb"}
	case "lmdb":
		return []string{".lmdb"}
	case "dbm":
		return []string{".pag", ".dir"}
	}
	return []string{".db"}
}

// resolved is where a collected file really is.
func resolved(s *facts.Snapshot, name string) string {
	if f, ok := s.File(name); ok && f.Target != "" {
		return f.Target
	}
	return name
}

// fresh are the directories in which the daemon writes. A queue may be a group ("/var/spool/mqueue/q*"): then it is what holds them.
func (m *model) fresh() []mta.Fresh {
	dirs := []string{"/var/spool/mqueue", "/var/spool/mqueue-client", "/var/spool/clientmqueue", "/var/mail", "/var/spool/mail", "/var/lib/sendmail"}
	for _, name := range []string{"QueueDirectory", "StatusFile", "HostStatusDirectory", "PidFile", "ControlSocketName", "DeadLetterDrop"} {
		o, ok := m.last(name)
		if !ok {
			continue
		}
		dir := firstWord(o.value)
		if name != "QueueDirectory" && name != "HostStatusDirectory" || strings.Contains(dir, "*") {
			dir = path.Dir(dir)
		}
		dirs = append(dirs, path.Clean(dir))
	}
	var out []mta.Fresh
	for _, d := range dirs {
		// what the copies hold is not emptied, and /run, /var/run and /var/log always are
		if !path.IsAbs(d) || strings.HasPrefix(d+"/", path.Dir(m.cf.path)+"/") || strings.Count(d, "/") < 2 || ofRun(d) {
			continue
		}
		if !slices.ContainsFunc(out, func(f mta.Fresh) bool { return f.Path == d }) {
			out = append(out, mta.Fresh{Path: d})
		}
	}
	return out
}

func ofRun(dir string) bool {
	return strings.HasPrefix(dir, "/run") || strings.HasPrefix(dir, "/var/run") || strings.HasPrefix(dir, "/var/log")
}

// startedBy is the command line of the daemon that serves the configuration: its own where it is known.
func startedBy(s *facts.Snapshot, in mta.Install) []string {
	for _, d := range running(s, []string{in.Program}) {
		if d.serves && len(d.args) > 0 && (d.config == "" || d.config == in.Config) && strings.HasPrefix(d.args[0], "/") {
			args := slices.Clone(d.args)
			for i, a := range args {
				if a == "-bD" { // it would not go to the background
					args[i] = "-bd"
				}
			}
			return args
		}
	}
	return []string{in.Program, "-bd", "-C" + in.Config}
}
