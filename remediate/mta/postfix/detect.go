package postfix

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// detect returns the instances that the collector found, the running ones first. What runs is told by the master process, never by a
// unit: Debian 12's postfix.service is /bin/true.
func detect(s *facts.Snapshot) []mta.Install {
	running := map[string]int{}
	var dirs []string
	for _, key := range s.Facts("postfix:running:") {
		dir := strings.TrimPrefix(key, "postfix:running:")
		running[dir], _ = strconv.Atoi(s.Fact(key))
		dirs = append(dirs, dir)
	}
	for _, key := range s.Facts("postfix:version:") {
		if dir := strings.TrimPrefix(key, "postfix:version:"); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	var out []mta.Install
	for _, dir := range dirs {
		pid, active := running[dir]
		in := install(s, dir)
		if in.Active = active; active {
			in.Listen = mailSockets(s, pid)
		}
		out = append(out, in)
	}
	slices.SortStableFunc(out, func(a, b mta.Install) int { return boolOrder(a.Active) - boolOrder(b.Active) })
	return out
}

func boolOrder(active bool) int {
	if active {
		return 0
	}
	return 1
}

func install(s *facts.Snapshot, dir string) mta.Install {
	now := parameters(s, "postfix:"+dir+":now")
	in := mta.Install{MTA: "postfix", Config: dir, Version: s.Fact("postfix:version:" + dir)}
	if in.Version == "" {
		in.Version = now["mail_version"]
	}
	if d := now["daemon_directory"]; d != "" {
		in.Program = path.Join(d, "master")
	}
	in.Instance = instanceName(s, dir)
	in.Package = s.Fact("package:" + s.Fact("postfix:postconf"))
	in.Fixed = strings.Fields(s.Fact("fixed:postfix"))
	known := parameters(s, "postfix:"+dir+":d")
	for _, name := range probed {
		if _, ok := known[name]; ok {
			in.Features = append(in.Features, "postfix:"+name)
		}
	}
	in.Basis = basis(s.OS.ID, in.Version)
	in.Panel = panel(s, dir)
	return in
}

// basis says what we know such a version from. Run on real hosts were Debian 11, 12 and 13 with their own packages.
func basis(os, version string) mta.Basis {
	v := parseVersion(version)
	minor := [2]int{v[0], v[1]}
	switch {
	case os == "debian" && (minor == [2]int{3, 5} || minor == [2]int{3, 7} || minor == [2]int{3, 10}):
		return mta.Lab
	case os != "aix" && os != "hpux" && os != "solaris" && atLeast(v, "2.3") && !atLeast(v, "3.11"):
		return mta.Published
	}
	return mta.Manual
}

// instanceName is the name in postmulti -l's list, whose columns are name, group, enabled and directory; "" for the first instance.
func instanceName(s *facts.Snapshot, dir string) string {
	out, ok := s.Output("postfix:postmulti")
	if !ok {
		return ""
	}
	for line := range strings.Lines(string(out.Stdout)) {
		if f := strings.Fields(line); len(f) == 4 && f[3] == dir && f[0] != "-" {
			return f[0]
		}
	}
	return ""
}

// mailSockets are the sockets on which the master process listens.
func mailSockets(s *facts.Snapshot, pid int) []string {
	var out []string
	for _, l := range s.Listeners {
		if pid != 0 && l.PID == pid && !slices.Contains(out, l.Addr) {
			out = append(out, l.Addr)
		}
	}
	return out
}

// generators are panels and suites that write Postfix's configuration, with a text that their files hold outside comments.
var generators = []struct{ name, mark string }{
	{"zimbra", "/opt/zimbra/"},
	{"plesk", "/plesk/"},
	{"mailcow", "mailcow"},
	{"mail-in-a-box", "/home/user-data/mail"},
	{"ispcp", "/ispcp/"},
}

func panel(s *facts.Snapshot, dir string) string {
	f, ok := s.File(path.Join(dir, "main.cf"))
	if !ok {
		return ""
	}
	for _, e := range parseMain(f.Path, f.Data).entries {
		for _, g := range generators {
			if strings.Contains(e.value, g.mark) {
				return g.name
			}
		}
	}
	return ""
}

// parameters reads the "name = value" lines of a postconf output.
func parameters(s *facts.Snapshot, name string) map[string]string {
	out, ok := s.Output(name)
	if !ok {
		return nil
	}
	values := map[string]string{}
	for line := range strings.Lines(string(out.Stdout)) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "="); ok && !strings.HasPrefix(line, " ") {
			values[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return values
}
