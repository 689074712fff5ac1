package sendmail

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// detect returns one installation for each configuration that the collector found a reader of.
func detect(s *facts.Snapshot) []mta.Install {
	programs := strings.Fields(s.Fact("sendmail:programs"))
	if len(programs) == 0 {
		return nil
	}
	configs := strings.Fields(s.Fact("sendmail:configs"))
	if len(configs) == 0 {
		configs = []string{"/etc/mail/sendmail.cf"}
	}
	daemons := running(s, programs)
	var found []mta.Install
	for i, config := range configs {
		in := mta.Install{MTA: "sendmail", Program: programs[0], Config: config, Panel: s.Fact("panel")}
		if len(configs) > 1 {
			in.Instance = path.Base(config)
		}
		in.Version = version(s, programs[0], config)
		in.Package = s.Fact("package:" + programs[0])
		for _, d := range daemons {
			if d.serves && (d.config == config || d.config == "" && i == defaultConfig(configs)) {
				in.Active = true
				in.Listen = append(in.Listen, listening(s, d.pid)...)
			}
		}
		if in.Active && len(in.Listen) == 0 {
			in.Listen = unowned(s, config)
		}
		slices.Sort(in.Listen)
		in.Fixed = fixed(s)
		in.Features = features(s, programs[0], config)
		in.Basis = basis(s, in.Version)
		found = append(found, in)
	}
	slices.SortStableFunc(found, func(a, b mta.Install) int {
		switch {
		case a.Active == b.Active:
			return 0
		case a.Active:
			return -1
		}
		return 1
	})
	return found
}

// defaultConfig is the index of the configuration that a daemon without -C reads.
func defaultConfig(configs []string) int {
	for i, c := range configs {
		if c == "/etc/mail/sendmail.cf" || c == "/etc/sendmail.cf" || c == "/usr/lib/sendmail.cf" {
			return i
		}
	}
	return 0
}

// daemon is a running sendmail.
type daemon struct {
	pid    int
	serves bool     // it takes SMTP connections; else it is a queue runner
	config string   // of -C, "" for the built-in one
	args   []string // its -O and -o arguments, and what else it was started with
}

// running returns the sendmail processes. sendmail replaces its arguments by a title, so the command line is taken from
// its pid file where that names the process.
func running(s *facts.Snapshot, programs []string) []daemon {
	var all []daemon
	seen := map[int]bool{}
	for _, key := range s.Facts("sendmail:process:") {
		pid, _ := strconv.Atoi(strings.TrimPrefix(key, "sendmail:process:"))
		words := strings.Fields(s.Fact(key))
		if pid == 0 || len(words) == 0 || seen[pid] {
			continue
		}
		exe := words[0]
		if path.IsAbs(exe) && !slices.Contains(programs, exe) {
			continue
		}
		seen[pid] = true
		all = append(all, newDaemon(s, pid, words))
	}
	if len(all) > 0 {
		return all
	}
	// where the system shows no processes, the pid file of a living process is all there is
	for _, key := range s.Facts("sendmail:started:") {
		pid, _ := strconv.Atoi(strings.TrimPrefix(key, "sendmail:started:"))
		if !slices.ContainsFunc(s.Processes, func(p facts.Process) bool { return p.PID == pid }) {
			all = append(all, newDaemon(s, pid, nil))
		}
	}
	return all
}

// newDaemon reads what a process says of itself.
func newDaemon(s *facts.Snapshot, pid int, words []string) daemon {
	title := strings.Join(words, " ")
	d := daemon{pid: pid}
	d.serves = strings.Contains(title, "accepting connections") || strings.Contains(title, "rejecting connections")
	if started := strings.Fields(s.Fact("sendmail:started:" + strconv.Itoa(pid))); len(started) > 0 {
		d.args = started
	} else if !strings.Contains(title, "sendmail: ") {
		d.args = words
	}
	for i, a := range d.args {
		switch {
		case a == "-C" && i+1 < len(d.args):
			d.config = d.args[i+1]
		case strings.HasPrefix(a, "-C") && len(a) > 2:
			d.config = a[2:]
		case a == "-bd" || a == "-bD" || a == "-bs":
			d.serves = true
		}
	}
	return d
}

// listening returns the addresses on which pid or one of its kin listens.
func listening(s *facts.Snapshot, pid int) []string {
	var addrs []string
	for _, l := range s.Listeners {
		if l.PID == pid && !slices.Contains(addrs, l.Addr) {
			addrs = append(addrs, l.Addr)
		}
	}
	return addrs
}

// unowned returns the listeners whose process could not be read, on the ports that the configuration asks for: without
// root, the system does not say who listens.
func unowned(s *facts.Snapshot, config string) []string {
	f, ok := s.File(config)
	if !ok {
		return nil
	}
	ports := []string{}
	for _, o := range parseCF(config, f.Data).options {
		if o.name == "DaemonPortOptions" {
			ports = append(ports, portOf(daemonListener(o.value)))
		}
	}
	if len(ports) == 0 {
		ports = append(ports, "25")
	}
	var addrs []string
	for _, l := range s.Listeners {
		if l.PID == 0 && slices.Contains(ports, portOf(l.Addr)) && !slices.Contains(addrs, l.Addr) {
			addrs = append(addrs, l.Addr)
		}
	}
	return addrs
}

func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// A vendor may put its system before the number: "Version AIX7.2/8.14.4".
var (
	versionLine = regexp.MustCompile(`(?m)^Version (?:[A-Za-z][0-9A-Za-z.+-]*/)?(\d+\.\d+[0-9A-Za-z.+-]*)`)
	versionZ    = regexp.MustCompile(`(?:^|/)(\d+\.\d+[0-9A-Za-z.+-]*)`)
)

// version is what the program says when asked, or what the package or the Z macro of the .cf says.
func version(s *facts.Snapshot, program, config string) string {
	for _, name := range []string{askName(program, config), "sendmail:version:" + program} {
		if o, ok := s.Output(name); ok {
			if m := versionLine.FindSubmatch(o.Stdout); m != nil {
				return string(m[1])
			}
		}
	}
	if f, ok := s.File(config); ok {
		if m := versionZ.FindStringSubmatch(parseCF(config, f.Data).macros["Z"].word); m != nil {
			return m[1]
		}
	}
	return ""
}

func askName(program, config string) string { return "sendmail:ask:" + program + ":" + config }

// fixed are the advisories that the package's changelog names.
func fixed(s *facts.Snapshot) []string {
	var ids []string
	for _, pkg := range []string{"sendmail-bin", "sendmail"} {
		for _, id := range strings.Fields(s.Fact("fixed:" + pkg)) {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// features are what the program was compiled with, and what its own texts show of later corrections.
func features(s *facts.Snapshot, program, config string) []string {
	var list []string
	if o, ok := s.Output(askName(program, config)); ok {
		in := false
		for _, line := range strings.Split(string(o.Stdout), "\n") {
			head, tail, ok := strings.Cut(line, ":")
			switch {
			case ok && (strings.TrimSpace(head) == "Compiled with" || strings.TrimSpace(head) == "FFR Defines"):
				in, line = true, tail
			case !strings.HasPrefix(line, "\t\t"):
				in = false
			}
			for _, w := range strings.Fields(line) {
				if in {
					list = append(list, "sendmail:"+w)
				}
			}
		}
	}
	if mc := s.Fact("sendmail:mc:" + config); mc != "" {
		list = append(list, "sendmail:mc="+mc)
	}
	if f, ok := s.File(config); ok {
		list = append(list, builtMaps(s, parseCF(config, f.Data))...)
	}
	for _, key := range s.Facts("sendmail:feature:") {
		list = append(list, "sendmail:"+strings.TrimPrefix(key, "sendmail:feature:"))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// basis says what is known of such a host: the three Debian releases were run, other Linux and BSD systems were read in
// published configurations, the commercial systems in their manuals.
func basis(s *facts.Snapshot, version string) mta.Basis {
	switch s.OS.ID {
	case "debian":
		if slices.Contains([]string{"8.15.2", "8.17.1.9", "8.18.1"}, version) {
			return mta.Lab
		}
	case "aix", "hpux", "hp-ux", "solaris", "sunos":
		return mta.Manual
	}
	return mta.Published
}
