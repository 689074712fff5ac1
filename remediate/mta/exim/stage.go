package exim

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/remote"
)

// staging says what a candidate of this configuration needs: an empty spool, log and mail store, Debian's generated file where its sources
// change, and the daemon started by the words that it was started with.
func staging(s *facts.Snapshot, c *mta.Config, paths []string) mta.Stage {
	m, ok := c.Model.(*model)
	if !ok {
		return mta.Stage{}
	}
	in := c.Install
	out := mta.Stage{Copies: []string{path.Dir(in.Config)}}
	if generatedFrom(in, paths) {
		var sources []string
		for _, p := range paths {
			if generatedFrom(in, []string{p}) {
				sources = append(sources, p)
			}
		}
		out.Copies = append(out.Copies, path.Dir(debConf))
		out.Generated = append(out.Generated, mta.Made{Path: debOutput, Sources: sources})
	}
	for _, b := range builtOf(in, paths) {
		out.Generated = append(out.Generated, mta.Made{Path: b.file, Sources: []string{b.source}, Show: b.show(in)})
	}
	for _, d := range m.writes() {
		if !slices.Contains(out.Copies, d) && !slices.ContainsFunc(out.Fresh, func(f mta.Fresh) bool { return f.Path == d }) {
			out.Fresh = append(out.Fresh, mta.Fresh{Path: d})
		}
	}
	if in.Active {
		out.Start = []remote.Cmd{{Argv: startedBy(s, m)}}
		out.Listens = len(in.Listen) > 0
	}
	return out
}

// writes are the directories that the daemon writes in, by the effective options.
func (m *model) writes() []string {
	out := []string{"/var/mail"}
	for name, dir := range map[string]func(string) string{
		"spool_directory": path.Clean, "pid_file_path": path.Dir,
		"log_file_path": func(v string) string { return path.Dir(strings.TrimSpace(strings.Split(v, ":")[0])) },
	} {
		if value := m.shown(name); strings.HasPrefix(value, "/") {
			out = append(out, dir(value))
		}
	}
	out = slices.DeleteFunc(out, func(d string) bool {
		return strings.Count(d, "/") < 2 || strings.HasPrefix(d, "/run") || strings.HasPrefix(d, "/var/run") || strings.HasPrefix(d, "/var/log")
	})
	slices.Sort(out)
	return out
}

// shown is a main option as `exim -bP` printed it, "" where it is not known.
func (m *model) shown(name string) string {
	out, ok := m.snapshot.Output(m.key + ":main")
	if !ok {
		return ""
	}
	for line := range strings.Lines(string(out.Stdout)) {
		if value, ok := strings.CutPrefix(line, name+" ="); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// startedBy is the command line of the running daemon: one that stays in the foreground is sent to the background.
func startedBy(s *facts.Snapshot, m *model) []string {
	for _, p := range s.Processes {
		if s.Fact(m.key+":pid") != strconv.Itoa(p.PID) || len(p.Argv) == 0 || !slices.ContainsFunc(p.Argv, func(a string) bool { return strings.HasPrefix(a, "-bd") }) {
			continue
		}
		argv := slices.Clone(p.Argv)
		argv[0] = m.in.Program
		for i, a := range argv {
			if a == "-bdf" {
				argv[i] = "-bd"
			}
		}
		return argv
	}
	argv := []string{m.in.Program}
	if m.in.Config != "" && m.in.Config != debOutput && m.in.Config != debWinner {
		argv = append(argv, "-C", m.in.Config)
	}
	return append(append(argv, strings.Fields(m.in.Instance)...), "-bd")
}

// builtMap is a table that exim_dbmbuild(8) makes of a text.
type builtMap struct{ file, source string }

// dbmTables are the features that name the dbm files in which the effective configuration looks and which lie beside their text: "exim:dbm=FILE".
func dbmTables(s *facts.Snapshot, key string) []string {
	out, ok := s.Output(key + ":config")
	if !ok {
		return nil
	}
	var list []string
	for _, name := range s.Files("/") {
		if source := dbmSource(name); source != "" && strings.Contains(string(out.Stdout), "dbm;"+name) {
			list = append(list, "exim:dbm="+name)
		}
	}
	return list
}

// dbmSource is the text that a dbm file is made of by its name, "" where the name has no ending of one.
func dbmSource(name string) string {
	for _, end := range []string{".db", ".dbm"} {
		if source, ok := strings.CutSuffix(name, end); ok {
			return source
		}
	}
	return ""
}

// builtOf are the tables that are made of paths.
func builtOf(in mta.Install, paths []string) []builtMap {
	var out []builtMap
	for _, f := range in.Features {
		if name, ok := strings.CutPrefix(f, "exim:dbm="); ok && slices.Contains(paths, dbmSource(name)) {
			out = append(out, builtMap{name, dbmSource(name)})
		}
	}
	return out
}

// makeDBM builds a table beside the live one and renames it. $1 is the text, $2 the table.
const makeDBM = `set -e
new=$2.mtaharden
trap 'rm -f "$new" "$new.old"' 0
exim_dbmbuild "$1" "$new"
if [ -f "$2" ]; then cp -p "$2" "$new.old" && cat "$new" >"$new.old" && mv -f "$new.old" "$new"; fi
mv -f "$new" "$2"`

// showDBM prints what a table holds for the keys of its text: no program lists such a table. $1 is Exim, $2 the text, $3 the table.
const showDBM = `sed -e '/^[ 	]*#/d' -e '/^[ 	]/d' -e '/^$/d' -e 's/^"\([^"]*\)".*/\1/' -e 's/[: 	].*//' "$2" | sort -u | sed 2000q | while IFS= read -r key; do
	case $key in *[!A-Za-z0-9@._/:*-]*) printf '%s: a key that is not looked up\n' "$key"; continue ;; esac
	printf '%s: ' "$key"
	"$1" -be "\${lookup{$key}dbmnz{$3}{\$value}{\${lookup{$key}dbm{$3}{\$value}{(not there)}}}}" </dev/null
done`

func (b builtMap) show(in mta.Install) []string {
	return []string{"/bin/sh", "-c", showDBM, "sh", in.Program, b.source, b.file}
}
